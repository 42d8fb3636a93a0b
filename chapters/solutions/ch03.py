"""Chapter 3: solutions. Try for yourself first; the checks' hints take you further than reading does."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def map_size(size: int, kernel: int, stride: int, padding: int, dilation: int) -> int:
    """How often the window can step before its last tap leaves the padded row, and the place it starts from."""
    reach = dilation * (kernel - 1) + 1
    return (size + 2 * padding - reach) // stride + 1


def readers(size: int, kernel: int, stride: int) -> np.ndarray:
    """Let every window count its cells."""
    counts = np.zeros(size, int)
    for start in range(0, size - kernel + 1, stride):
        counts[start : start + kernel] += 1
    return counts


def rows(x: np.ndarray, kernel: int, stride: int) -> np.ndarray:
    """Cut out each window and lay it flat."""
    height, width, _ = x.shape
    return np.stack(
        [
            x[i : i + kernel, j : j + kernel].ravel()
            for i in range(0, height - kernel + 1, stride)
            for j in range(0, width - kernel + 1, stride)
        ]
    )


def field(layers: Sequence[tuple[int, int]]) -> int:
    """A layer adds kernel - 1 cells of *its input*, which are as many pixels apart as the strides before it say."""
    seen, apart = 1, 1
    for kernel, stride in layers:
        seen += (kernel - 1) * apart
        apart *= stride
    return seen
