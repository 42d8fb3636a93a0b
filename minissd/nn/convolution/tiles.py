"""Tiles: a map cut into squares of 4x4 pixels, the squares into blocks of work, and pixels moved between the two."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product

import numpy as np

from minissd.backend import Array, as_strided
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

    @property
    def tiles(self) -> int:
        """How many tiles."""
        return math.prod(self.grid)


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
    lengths = ((n, tiles // (down * across)), (down, tiles // across), (across, tiles))
    parts = [runs(size, longest) for size, longest in lengths]
    count = math.prod(len(part) for part in parts)
    if count in (3, 5):  # of two threads one would wait for the other: one block more
        axis = next(axis for axis, part in enumerate(parts) if len(part) > 1)
        parts[axis] = runs(lengths[axis][0], -(-lengths[axis][0] // (len(parts[axis]) + 1)))
        count = math.prod(len(part) for part in parts)
    shares = min(-(-least // count), max(1, filters // LEAST_FILTERS)) if count < least else 1
    return [Block(*slices) for slices in product(*parts, runs(filters, -(-filters // shares)))]


def gather(x: Array, out: Array, block: Block, padding: tuple[int, int]) -> None:
    """Lay out a block's pixels by their column within the tile: out[j, n, r, t] = pixel (r, 4 t + j) of its part of x.

    Few long copies instead of many short ones: each costs Python's attention, which threads have only one at a time.

    Args:
        x: Map (N, H, W, C).
        out: (columns of a tile, images, rows, tile columns, C); pixels beyond the map become zeros.
        block: Which tiles.
        padding: Rows and columns by which the first tile begins above and left of the map.
    """
    top, left = STEP * block.rows.start - padding[0], STEP * block.columns.start - padding[1]
    rows, row_source = inside(out.shape[2], top, 1, x.shape[1])
    if rows != slice(0, out.shape[2]):
        out[:, :, : rows.start] = 0
        out[:, :, rows.stop :] = 0
    for j, end, tiles, source in _alike(len(out), out.shape[3], left, x.shape[2]):
        target = out[j:end, :, rows]
        if tiles != slice(0, out.shape[3]):
            target[:, :, :, : tiles.start] = 0
            target[:, :, :, tiles.stop :] = 0
        seen = x[block.images, row_source]
        target[:, :, :, tiles] = _by_column(seen, source, end - j, tiles.stop - tiles.start)


def _alike(
    columns: int, tiles: int, left: int, width: int
) -> Iterator[tuple[int, int, slice, int]]:
    """Group neighbouring columns of a tile that exist in the same tiles.

    Yields:
        First column, end, the tiles where all of them lie within the map, and the pixel of the first column there.
    """
    first = 0
    while first < columns:
        part, source = inside(tiles, left + first, STEP, width)
        end = first + 1
        while (
            end < min(columns, first + STEP) and inside(tiles, left + end, STEP, width)[0] == part
        ):
            end += 1
        yield first, end, part, source.start
        first = end


def _by_column(x: Array, start: int, columns: int, tiles: int) -> Array:
    """Return pixels (r, start + 4 t + j) of maps (N, H, W, C) as a view (columns j, N, H, tiles t, C)."""
    image, row, pixel, channel = x.strides
    return as_strided(
        x[:, :, start:],
        (columns, len(x), x.shape[1], tiles, x.shape[3]),
        (pixel, image, row, STEP * pixel, channel),
    )


def spread(
    tiles: Array, y: Array, block: Block, bias: Array | None, ceiling: float | None = None
) -> None:
    """Write outputs, tiles[j, i, n, r, t] for pixel (4 r + i, 4 t + j), to their place in y; finish them on the way.

    Args:
        tiles: (4, 4, images, tile rows, tile columns, filters); may be changed.
        y: (N, OH, OW, K).
        block: Which tiles and filters.
        bias: (K,), or None.
        ceiling: As for `im2col.finish`.
    """
    if bias is not None:
        tiles += bias[block.filters]
    part = y[block.images, :, :, block.filters]
    image, row, pixel, channel = part.strides
    rows, columns = (
        _whole_and_rest(size, cut) for size, cut in zip(y.shape[1:3], (block.rows, block.columns))
    )
    for (top, down, high), (left, across, wide) in product(rows, columns):
        values = tiles[:wide, :high, :, top : top + down, left : left + across]
        begin = part[:, STEP * (block.rows.start + top) :, STEP * (block.columns.start + left) :]
        strides = (pixel, row, image, STEP * row, STEP * pixel, channel)
        target = as_strided(begin, values.shape, strides)
        if ceiling is None:
            target[...] = values
        else:
            np.clip(values, 0, ceiling, out=target)


def _whole_and_rest(size: int, cut: slice) -> list[tuple[int, int, int]]:
    """Split a run of tiles along one side of the map into those that lie within it and one that hangs over.

    Returns:
        (first tile of the run, how many, their pixels within the map) for whichever of the two there are.
    """
    count = cut.stop - cut.start
    whole = min(count, size // STEP - cut.start)
    parts = [(0, whole, STEP)] if whole else []
    if whole < count:
        parts.append((whole, 1, size - STEP * (cut.start + whole)))
    return parts


def inside(count: int, first: int, step: int, size: int) -> tuple[slice, slice]:
    """Of places first, first + step, ... (`count` of them), return which lie in range(size), and that range's part."""
    begin = min(count, max(0, -(first // step)))
    end = max(begin, min(count, -((first - size) // step)))
    start = first + begin * step
    return slice(begin, end), slice(start, start + (end - begin) * step, step)
