"""Default boxes: the fixed set of boxes that the network's predictions are written relative to.

Each feature map lays a grid over the image; in the middle of each cell stand a few boxes of different shape. The
coarser the map, the larger its boxes. What the authors published differs only in the numbers given here.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from minissd.boxes.geometry import centers_to_corners, clip, corners_to_centers
from minissd.errors import check, check_positive_int

CLIPS = (None, "corners", "size", "centers")


@dataclass(frozen=True)
class FeatureMap:
    """One feature map that predicts, and the default boxes of each of its cells.

    Attributes:
        size: Cells along one side; the map is square.
        step: Pixels from one cell's centre to the next.
        min_size: Side of the small square box in pixels; the elongated boxes have its area.
        max_size: In pixels; adds a square box of side sqrt(min_size * max_size). None: no such box.
        ratios: Width / height of the elongated boxes; each brings its reciprocal along.
        stacked: Further sizes and ratios on the same cells, each written as a map of the same size and step.
    """

    size: int
    step: float
    min_size: float
    max_size: float | None
    ratios: tuple[float, ...]
    stacked: tuple[FeatureMap, ...] = ()

    def __post_init__(self) -> None:
        """Check the numbers where they are written down."""
        check_positive_int(self.size, "size")
        check(self.step > 0, "step", "more than 0 pixels", self.step)
        check(self.min_size > 0, "min_size", "more than 0 pixels", self.min_size)
        larger = self.max_size is None or self.max_size > self.min_size
        check(larger, "max_size", f"more than min_size = {self.min_size}, or None", self.max_size)
        usable = all(ratio > 0 and ratio != 1 for ratio in self.ratios)
        check(
            usable,
            "ratios",
            "numbers above 0 other than 1 (the squares are there anyway)",
            self.ratios,
        )
        grids = [(each.size, each.step) for each in self.stacked]
        same = all(grid == (self.size, self.step) for grid in grids)
        check(same, "stacked", f"maps of size and step {self.size, self.step}", grids)

    @property
    def boxes_per_cell(self) -> int:
        """How many default boxes stand in each cell."""
        own = 1 + (self.max_size is not None) + 2 * len(self.ratios)
        return own + sum(each.boxes_per_cell for each in self.stacked)

    @property
    def n_boxes(self) -> int:
        """How many default boxes the whole map has."""
        return self.size**2 * self.boxes_per_cell

    def shapes(self, integer_sizes: bool = False) -> list[tuple[float, float]]:
        """List (width, height) in pixels of the boxes of one cell, in the order of the predictions.

        Args:
            integer_sizes: Cut min_size and max_size down to whole pixels first, as Caffe's layer does.

        Source: section 2.2 of the paper, "Choosing scales and aspect ratios for default boxes".
        """
        whole = math.floor if integer_sizes else float
        small = whole(self.min_size)
        shapes = [(small, small)]
        if self.max_size is not None:
            between = math.sqrt(small * whole(self.max_size))  # s'_k = sqrt(s_k s_k+1)
            shapes.append((between, between))
        for ratio in self.ratios:
            stretch = math.sqrt(ratio)  # w = s sqrt(a), h = s / sqrt(a): the area stays s^2
            shapes.append((small * stretch, small / stretch))
            shapes.append((small / stretch, small * stretch))
        for each in self.stacked:
            shapes += each.shapes(integer_sizes)
        return shapes

    def centers(self, image_size: float, integer_sizes: bool = False) -> np.ndarray:
        """Build the default boxes of this map.

        Args:
            image_size: Side of the (square) image in pixels.
            integer_sizes: As in `shapes`.

        Returns:
            Shape (size * size * boxes_per_cell, 4), float64, centers as fractions of the image; row by row,
            column by column, shape by shape.
        """
        middle = (np.arange(self.size) + 0.5) * self.step / image_size
        boxes = np.empty((self.size, self.size, self.boxes_per_cell, 4))  # row, column, shape
        boxes[..., 0] = middle[None, :, None]  # cx moves with the column
        boxes[..., 1] = middle[:, None, None]  # cy moves with the row
        boxes[..., 2:] = np.array(self.shapes(integer_sizes)) / image_size
        return boxes.reshape(-1, 4)


def default_boxes(
    maps: Sequence[FeatureMap],
    image_size: float,
    clip: str | None = None,
    integer_sizes: bool = False,
    dtype: np.dtype | type = np.float32,
) -> np.ndarray:
    """Build all default boxes, in the order of the network's predictions.

    Args:
        maps: The feature maps, finest first.
        image_size: Side of the (square) image in pixels.
        clip: What is limited to [0, 1]: None nothing (the authors' Caffe), "corners" (early versions of the paper),
            "size" width and height only (torchvision), "centers" all four centre-form numbers (ssd.pytorch).
        integer_sizes: Cut sizes down to whole pixels first, as Caffe's layer does.
        dtype: Float type of the result; computed in float64.

    Returns:
        Shape (K, 4), centers as fractions of the image, NumPy; by map, row, column, then shape: min square,
        sqrt(min * max) square, each ratio followed by its reciprocal.

    Raises:
        ValueError: No maps, a size that is not positive, or an unknown `clip`.
    """
    check(len(maps) > 0, "maps", "at least one feature map", maps)
    check(image_size > 0, "image_size", "more than 0 pixels", image_size)
    check(clip in CLIPS, "clip", " | ".join(map(str, CLIPS)), clip)
    boxes = np.concatenate([each.centers(image_size, integer_sizes) for each in maps])
    return _limit(boxes, clip).astype(dtype)


def _limit(centers: np.ndarray, mode: str | None) -> np.ndarray:
    """Limit centre-form boxes to [0, 1] in one of the ways in use."""
    if mode == "corners":
        return corners_to_centers(clip(centers_to_corners(centers)))
    if mode == "size":
        return np.concatenate([centers[:, :2], clip(centers[:, 2:])], axis=1)
    if mode == "centers":
        return clip(centers)
    return centers
