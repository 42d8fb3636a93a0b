"""Chapter 4: solutions. Try for yourself first; the checks' hints take you further than reading does."""

from __future__ import annotations

import math
from collections.abc import Sequence


def cell_shapes(
    min_size: float, max_size: float, ratios: Sequence[float]
) -> list[tuple[float, float]]:
    """The small square, the one between, then wide and high for each ratio."""
    middle = math.sqrt(min_size * max_size)
    boxes = [(min_size, min_size), (middle, middle)]
    for ratio in ratios:
        root = math.sqrt(ratio)
        boxes += [(min_size * root, min_size / root), (min_size / root, min_size * root)]
    return boxes


def count(maps: Sequence[tuple[int, int]]) -> int:
    """Two squares, and a wide and a high box for each ratio, in every cell."""
    return sum(size * size * (2 + 2 * n_ratios) for size, n_ratios in maps)


def outside(size: int, step: float, image: float) -> int:
    """All cells, less those whose row and column both lie inside."""
    inside = sum((place + 0.5) * step <= image for place in range(size))
    return size * size - inside * inside


# A square of 14 and one of 18 (the root of 14 * 24): near 12, near 16, and not too far from 24.
small_sizes = [14, 24]


def row_of(
    maps: Sequence[tuple[int, int]], map_index: int, row: int, column: int, shape: int
) -> int:
    """All boxes of the maps before, then those of whole rows, of cells, and of shapes."""
    before = sum(size * size * per_cell for size, per_cell in maps[:map_index])
    size, per_cell = maps[map_index]
    return before + (row * size + column) * per_cell + shape
