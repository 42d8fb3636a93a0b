"""Tiles: a map cut into squares of 4x4 pixels, the squares into blocks of work, and pixels moved between the two."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import product

import numpy as np

from minissd.backend import Array
from minissd.parallel import LEAST_BLOCKS, runs

STEP = 4  # pixels from tile to tile: the side of the square of outputs
REACH = 6  # pixels of input that STEP outputs of a 3-wide kernel see
LEAST_FILTERS = (
    128  # of a block: with fewer, too much of its time goes into taking the input to the points
)


@dataclass(frozen=True)
class Block:
    """A run of images, tile rows, tile columns and filters: one job."""

    images: slice
    rows: slice
    columns: slice
    filters: slice

    @property
    def grid(self) -> tuple[int, int, int]:
        """Images, tile rows, tile columns."""
        return tuple(part.stop - part.start for part in (self.images, self.rows, self.columns))


def tile_grid(height: int, width: int) -> tuple[int, int]:
    """Return how many tiles cover a map, down and across."""
    return -(-height // STEP), -(-width // STEP)


def cut_into_blocks(
    n: int, grid: tuple[int, int], tiles: int, filters: int, least: int = LEAST_BLOCKS
) -> list[Block]:
    """Cut a batch into blocks of at most `tiles` tiles: runs of whole images, of whole tile rows, or parts of a row.

    Where that gives fewer than `least` blocks, the filters are shared out too. The cut depends on the sizes alone,
    never on the number of threads, so that every sum is always taken in the same order.
    """
    down, across = grid
    parts = (
        runs(n, tiles // (down * across)),
        runs(down, tiles // across),
        runs(across, tiles),
    )
    count = math.prod(len(part) for part in parts)
    shares = min(-(-least // count), max(1, filters // LEAST_FILTERS)) if count < least else 1
    return [Block(*slices) for slices in product(*parts, runs(filters, -(-filters // shares)))]


def gather(x: Array, out: Array, block: Block, padding: tuple[int, int]) -> None:
    """Lay out a block's pixels by their column within the tile: out[j, n, r, t] = pixel (r, 4 t + j) of its part of x.

    Args:
        x: Map (N, H, W, C).
        out: (columns of a tile, images, rows, tile columns, C); pixels beyond the map become zeros.
        block: Which tiles.
        padding: Rows and columns by which the first tile begins above and left of the map.
    """
    top, left = STEP * block.rows.start - padding[0], STEP * block.columns.start - padding[1]
    row_target, row_source = inside(out.shape[2], top, 1, x.shape[1])
    for j in range(len(out)):
        target, source = inside(out.shape[3], left + j, STEP, x.shape[2])
        out[j, :, : row_target.start] = 0
        out[j, :, row_target.stop :] = 0
        out[j, :, row_target, : target.start] = 0
        out[j, :, row_target, target.stop :] = 0
        out[j, :, row_target, target] = x[block.images, row_source, source]


def spread(
    tiles: Array, y: Array, block: Block, bias: Array | None, ceiling: float | None = None
) -> None:
    """Write outputs, laid out as by `gather`, to their place in y (N, OH, OW, K); finish them on the way."""
    rows, row_source = inside(tiles.shape[2], STEP * block.rows.start, 1, y.shape[1])
    for j in range(STEP):
        columns, source = inside(tiles.shape[3], STEP * block.columns.start + j, STEP, y.shape[2])
        target = y[block.images, row_source, source, block.filters]
        values = tiles[j, :, rows, columns]
        if bias is not None:
            last = target if ceiling is None else values
            values = np.add(values, bias[block.filters], out=last)
        if ceiling is not None:
            np.clip(values, 0, ceiling, out=target)
        elif bias is None:
            target[...] = values


def inside(count: int, first: int, step: int, size: int) -> tuple[slice, slice]:
    """Of places first, first + step, ... (`count` of them), return which lie in range(size), and that range's part."""
    begin = min(count, max(0, -(first // step)))
    end = max(begin, min(count, -((first - size) // step)))
    start = first + begin * step
    return slice(begin, end), slice(start, start + (end - begin) * step, step)
