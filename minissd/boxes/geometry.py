"""Boxes as numbers: two ways to write one, its area, and how much two of them overlap.

A box is four numbers along the last axis, as fractions of the image. "Corners" are (xmin, ymin, xmax, ymax);
"centers" are (cx, cy, w, h). x grows to the right and y downwards.
"""

from __future__ import annotations

import numpy as np

from minissd.backend import Array, array_module, to_cpu
from minissd.errors import check_shape

ROUNDING = 1e-6  # fraction of the image's side


def corners_to_centers(boxes: Array) -> Array:
    """Rewrite corners as centers.

    Args:
        boxes: Shape (..., 4), float, corners.

    Returns:
        Shape (..., 4), same dtype, centers.
    """
    low, high = boxes[..., :2], boxes[..., 2:]
    return array_module(boxes).concatenate([(low + high) / 2, high - low], axis=-1)


def centers_to_corners(boxes: Array) -> Array:
    """Rewrite centers as corners.

    Args:
        boxes: Shape (..., 4), float, centers.

    Returns:
        Shape (..., 4), same dtype, corners.
    """
    middle, half = boxes[..., :2], boxes[..., 2:] / 2
    return array_module(boxes).concatenate([middle - half, middle + half], axis=-1)


def area(boxes: Array) -> Array:
    """Compute width times height.

    Args:
        boxes: Shape (..., 4), float, corners.

    Returns:
        Shape (...), same dtype, fractions of the image; 0 for a box without width or height.
    """
    xp = array_module(boxes)
    width = xp.maximum(boxes[..., 2] - boxes[..., 0], 0)
    return width * xp.maximum(boxes[..., 3] - boxes[..., 1], 0)


def iou(a: Array, b: Array) -> Array:
    """Compute intersection over union (the Jaccard overlap) of every box of `a` with every box of `b`.

    Args:
        a: Shape (N, 4), float, corners.
        b: Shape (M, 4), float, corners.

    Returns:
        Shape (N, M), in [0, 1], in the finer dtype of the two; 0 wherever a box has no area, never nan.
    """
    xp = array_module(a, b)
    overlap_x = _overlap(a[:, 0], a[:, 2], b[:, 0], b[:, 2])
    overlap_y = _overlap(a[:, 1], a[:, 3], b[:, 1], b[:, 3])
    # In place from here on: for thousands of boxes, fresh memory costs more than the arithmetic.
    intersection = xp.multiply(overlap_x, overlap_y, out=overlap_x)
    union = xp.add(area(a)[:, None], area(b), out=overlap_y)
    union -= intersection
    tiny = np.finfo(union.dtype).tiny  # 0 / tiny is 0, where 0 / 0 would be nan
    ratio = xp.divide(intersection, xp.maximum(union, tiny, out=union), out=union)
    return xp.minimum(ratio, 1, out=ratio)  # float32 against float64 can round past 1


def _overlap(low_a: Array, high_a: Array, low_b: Array, high_b: Array) -> Array:
    """Return the length that intervals (N,) and (M,) share, as (N, M)."""
    xp = array_module(low_a, low_b)
    shared = xp.minimum(high_a[:, None], xp.ascontiguousarray(high_b))
    shared -= xp.maximum(low_a[:, None], xp.ascontiguousarray(low_b))
    return xp.maximum(shared, 0, out=shared)


def clip(boxes: Array) -> Array:
    """Cut boxes at the border of the image.

    Args:
        boxes: Shape (..., 4), float, corners.

    Returns:
        Shape (..., 4), same dtype, corners in [0, 1]; a box outside the image keeps no area.
    """
    return array_module(boxes).clip(boxes, 0, 1)


def inside_image(boxes: Array) -> Array:
    """Tell which boxes lie within the image; one that touches its border does.

    Args:
        boxes: Shape (..., 4), float, corners.

    Returns:
        Shape (...), bool. Rounding is forgiven: up to 1e-6 of the image's side.
    """
    low, high = boxes.min(axis=-1), boxes.max(axis=-1)
    return (low >= -ROUNDING) & (high <= 1 + ROUNDING)


def check_boxes(boxes: Array, name: str) -> None:
    """Refuse boxes that are not finite or whose corners are reversed.

    A box of width or height 0 passes, and so does one that reaches outside the image. From a device, the boxes are
    copied to the host to be looked at.

    Args:
        boxes: Shape (M, 4), float, corners.
        name: What to call the boxes in the message.

    Raises:
        ValueError: The shape is another one, or a box is wrong; the message names the first such row.
    """
    check_shape(boxes, ("M", 4), name)
    boxes = to_cpu(boxes)
    good = np.isfinite(boxes).all(axis=1) & (boxes[:, :2] <= boxes[:, 2:]).all(axis=1)
    if not good.all():
        row = int(good.argmin())
        raise ValueError(
            f"{name}: row {row}: expected finite corners with xmin <= xmax and ymin <= ymax, "
            f"got {boxes[row].tolist()}"
        )
