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
        crowd: Shape (M,), bool: a region with many objects in one box (COCO's iscrowd), which is `difficult` too.
            None: there are none. Given for evaluation only, for a network is not trained on such regions.
        area: Shape (M,), float64, pixels of the picture as it is in its file: the area that the annotation states,
            which COCO's size ranges go by. None: it states none. Given for evaluation only.
    """

    image: np.ndarray
    boxes: np.ndarray
    labels: np.ndarray
    difficult: np.ndarray
    image_id: str = ""
    crowd: np.ndarray | None = None
    area: np.ndarray | None = None

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
        for name in ("crowd", "area"):
            if getattr(self, name) is not None:
                check_shape(getattr(self, name), (n_objects,), name)

    def replace(self, **changes: object) -> Sample:
        """Return a new sample in which the named attributes are exchanged."""
        return dataclasses.replace(self, **changes)

    def select(self, keep: np.ndarray) -> Sample:
        """Return a new sample with only some of the objects.

        Args:
            keep: Shape (M,) bool, or indices of the objects to keep.
        """
        return self.replace(
            boxes=self.boxes[keep],
            labels=self.labels[keep],
            difficult=self.difficult[keep],
            crowd=None if self.crowd is None else self.crowd[keep],
            area=None if self.area is None else self.area[keep],
        )

    @property
    def size(self) -> tuple[int, int]:
        """Width and height of the picture in pixels."""
        return self.image.shape[1], self.image.shape[0]
