"""Where to write the labels of boxes so that they stay inside the picture and off each other."""

from __future__ import annotations

import numpy as np


def place_labels(boxes: np.ndarray, sizes: np.ndarray, width: float, height: float) -> np.ndarray:
    """Choose a place for the label of each box, the first box choosing first.

    A label goes above its box if there is room, else inside at its top, else below or inside at its bottom, at the left
    end of the edge or the right; the first of these places that lies in the picture and covers no label already
    placed. Where all are taken, it goes where it covers least.

    Args:
        boxes: Shape (N, 4), float, corners in pixels.
        sizes: Shape (N, 2), float, width and height of each label in pixels.
        width: Of the picture in pixels.
        height: Of the picture in pixels.

    Returns:
        Shape (N, 4), float64, corners of the labels in pixels. A label larger than the picture begins at its corner.
    """
    placed = np.zeros((len(boxes), 4))
    for i, (box, (label_width, label_height)) in enumerate(zip(boxes, sizes)):
        best_cover = np.inf
        for x, y in _places(box, label_width, label_height):
            x = max(0.0, min(x, width - label_width))
            inside = 0 <= y <= height - label_height
            y = max(0.0, min(y, height - label_height))
            label = np.array([x, y, x + label_width, y + label_height])
            cover = _covered(label, placed[:i]) + (
                0 if inside else 0.5 * label_width * label_height
            )
            if cover < best_cover:
                best_cover, placed[i] = cover, label
            if cover == 0:
                break
    return placed


def _places(box: np.ndarray, width: float, height: float) -> list[tuple[float, float]]:
    left, top, right, bottom = box
    edges = (
        top - height,
        top,
        bottom,
        bottom - height,
    )  # above, inside, below, inside at the bottom
    return [(x, y) for y in edges for x in (left, right - width)]


def _covered(label: np.ndarray, others: np.ndarray) -> float:
    """Return the area that a label shares with labels already placed, in square pixels."""
    sides = np.minimum(label[2:], others[:, 2:]) - np.maximum(label[:2], others[:, :2])
    return float(np.maximum(sides, 0).prod(axis=1).sum())
