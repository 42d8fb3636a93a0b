"""One picture with its objects: what every data set gives and every transform takes.

A sample is never changed in place: a transform builds a new one with `replace`.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import numpy as np

from minissd.errors import check, check_shape


@dataclass(frozen=True, eq=False)
class Sample:
    """A picture, the boxes of its objects and what they are.

    Attributes:
        image: Shape (H, W, 3), uint8, RGB.
        boxes: Shape (M, 4), float32, corners (xmin, ymin, xmax, ymax) as fractions of the image; M may be 0.
        labels: Shape (M,), int64, 1 to n_object_classes.
        difficult: Shape (M,), bool: trained on, not evaluated.
        image_id: Name of the picture within its data set.
    """

    image: np.ndarray
    boxes: np.ndarray
    labels: np.ndarray
    difficult: np.ndarray
    image_id: str = ""

    def __post_init__(self) -> None:
        """Check shapes and kinds, so that a wrong sample is found where it is made."""
        check_shape(self.image, ("H", "W", 3), "image")
        check(self.image.dtype == np.uint8, "image", "dtype uint8", str(self.image.dtype))
        check_shape(self.boxes, ("M", 4), "boxes")
        n_objects = self.boxes.shape[0]
        check_shape(self.labels, (n_objects,), "labels")
        check_shape(self.difficult, (n_objects,), "difficult")
        check(self.labels.dtype == np.int64, "labels", "dtype int64", str(self.labels.dtype))
        check(
            self.difficult.dtype == np.bool_, "difficult", "dtype bool", str(self.difficult.dtype)
        )

    def replace(self, **changes: object) -> Sample:
        """Return a new sample in which the named attributes are exchanged."""
        return dataclasses.replace(self, **changes)

    def select(self, keep: np.ndarray) -> Sample:
        """Return a new sample with only some of the objects.

        Args:
            keep: Shape (M,) bool, or indices of the objects to keep.
        """
        return self.replace(
            boxes=self.boxes[keep], labels=self.labels[keep], difficult=self.difficult[keep]
        )

    @property
    def size(self) -> tuple[int, int]:
        """Width and height of the picture in pixels."""
        return self.image.shape[1], self.image.shape[0]
