"""Chapter 8: solutions. Try for yourself first; the checks' hints take you further than reading does."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def head_channels(n_object_classes: int, boxes_per_cell: int) -> int:
    """Scores of the classes and of background, and four offsets, for each box."""
    return boxes_per_cell * (n_object_classes + 1 + 4)


def place_of(k: int, maps: Sequence[tuple[int, int]]) -> tuple[int, int, int, int]:
    """Walk past whole maps, then past whole rows, then past whole cells."""
    for number, (size, shapes) in enumerate(maps):
        if k < size * size * shapes:
            cell, shape = divmod(k, shapes)
            return (number, *divmod(cell, size), shape)
        k -= size * size * shapes
    raise ValueError("k is larger than the number of default boxes")


# 321 -> 161 -> 81 -> 41 (rounded up), then 21; (21 + 2 - 3) // 2 + 1 = 11, then 6; 6 - 2 = 4, then 2.
sides_321 = [41, 21, 11, 6, 4, 2]


def l2_backward(x: np.ndarray, scale: np.ndarray, dy: np.ndarray) -> np.ndarray:
    """What points along x is taken out; the rest shrinks with the length."""
    length = np.sqrt((x * x).sum(axis=1, keepdims=True))
    unit, g = x / length, dy * scale
    return (g - unit * (g * unit).sum(axis=1, keepdims=True)) / length
