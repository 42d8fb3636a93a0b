"""The weight gradient of Winograd's convolution: the transposed walk of `winograd.forward`.

With V the input's and M the upstream gradient's tiles at the points, as matrices (tiles, C) and (tiles, K),

    dU[b, a] = V[b, a].T @ M[b, a]     dw = KERNEL.T dU KERNEL

are sums over all tiles of the batch. Each of the 36 products writes C * K numbers, however few tiles it has, and these
have to be added to what the tiles before gave. So the tiles come in *chunks*: their blocks are taken to the points,
then the 36 products are taken and added to dU. How the threads share that depends on the size of dU:

- up to 4 MB (256 times 128 filters: 5 MB), each thread can have a sum of its own. The tiles are dealt out to *lanes*
  that work alone, in chunks that stay in the cache.
- Beyond, there is one sum, and its chunk is as long as memory allows: with the 60 tiles that fit a core's cache beside
  them, a layer of 512 times 512 filters would move a gigabyte to and fro. The threads share first a chunk's blocks,
  then its products.

How a batch is cut depends on sizes alone, and chunks and lanes are added in their order: a sum repeats bit for bit with
any number of threads.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from minissd.backend import Array
from minissd.nn.convolution.im2col import ConvShape
from minissd.nn.convolution.phases import split_phases
from minissd.nn.convolution.points import (
    INPUT,
    KERNEL,
    OUTPUT,
    pixels_of,
    tiles_of_block,
    to_points,
)
from minissd.nn.convolution.scratch import scratch
from minissd.nn.convolution.tiles import REACH, Block, cut_into_blocks, tile_grid
from minissd.parallel import run_blocks, runs

POINTS = REACH**2
LANE_SUM_BYTES = 2**22  # of dU, for which every lane has one of its own
MOST_LANES = 8
LANE_BYTES = 2**22  # of a chunk at the points, V and M together, where a thread has it alone
# Where all threads have it together: at least the first, and twice dU, up to the second.
SHARED_BYTES = 2**25
MOST_SHARED_BYTES = 2**26
PART_NUMBERS = 2**13  # of dU that are taken back from the points at a time


def weight_gradient(x: Array, dy: Array, shape: ConvShape) -> Array:
    """Return dw (3, 3, C, K) for the input x (N, H, W, C) and the upstream gradient dy (N, OH, OW, K)."""
    padding = tuple(p // d for p, d in zip(shape.padding, shape.dilation))
    if shape.dilation != (1, 1):
        x, dy = split_phases(x, shape.dilation), split_phases(dy, shape.dilation)
    plan = _plan(x, dy)
    walk = _Walk(x, dy, padding, plan)
    sums = run_blocks(walk.sum, plan.lanes)
    return _from_points(sum(sums[1:], start=sums[0]))


@dataclass(frozen=True)
class _Plan:
    """How the work is cut: lanes, each a list of chunks, each a list of blocks; and points of a product's job."""

    lanes: list[list[list[Block]]]
    points: list[slice]


def _plan(x: Array, dy: Array) -> _Plan:
    c, k = x.shape[-1], dy.shape[-1]
    tile_bytes, sum_bytes = (POINTS * size * x.itemsize for size in (c + k, c * k))
    alone = sum_bytes <= LANE_SUM_BYTES
    chunk_bytes = LANE_BYTES if alone else min(max(SHARED_BYTES, 2 * sum_bytes), MOST_SHARED_BYTES)
    tiles = max(1, chunk_bytes // tile_bytes)
    longest = tiles_of_block(78 * max(c, k) * x.itemsize)
    grid = tile_grid(*dy.shape[1:3])
    blocks = cut_into_blocks(len(x), grid, tiles if alone else min(longest, -(-tiles // 4)), 1)
    n_lanes = min(MOST_LANES, len(blocks)) if alone else 1
    lanes = [_chunks(blocks[i::n_lanes], tiles) for i in range(n_lanes)]
    return _Plan(lanes, runs(POINTS, POINTS if alone else 1))


def _chunks(blocks: list[Block], tiles: int) -> list[list[Block]]:
    """Group blocks that follow each other into chunks of at most so many tiles, or of one block."""
    chunks: list[list[Block]] = []
    room = 0
    for block in blocks:
        if room < block.tiles:
            chunks.append([])
            room = tiles
        chunks[-1].append(block)
        room -= block.tiles
    return chunks


class _Walk:
    """What all lanes share: the two maps and the ways to the points."""

    def __init__(self, x: Array, dy: Array, padding: tuple[int, int], plan: _Plan):
        self.x, self.dy, self.padding, self.points = x, dy, padding, plan.points
        self.data = INPUT.astype(x.dtype)
        self.gradient = np.ascontiguousarray(OUTPUT.T.astype(x.dtype))  # (6, 4)

    def sum(self, chunks: list[list[Block]]) -> Array:
        """Return dU (36, C, K) of a lane's chunks."""
        c, k = self.x.shape[-1], self.dy.shape[-1]
        most = max(sum(block.tiles for block in chunk) for chunk in chunks)
        data, gradients = (_at_points(most, size, self.x.dtype) for size in (c, k))
        total = np.empty((POINTS, c, k), self.x.dtype)
        for number, chunk in enumerate(chunks):
            _to_points(self.x, data, chunk, self.data, self.padding)
            _to_points(self.dy, gradients, chunk, self.gradient, (0, 0))
            tiles = slice(0, sum(block.tiles for block in chunk))
            self._add_products(data[:, tiles], gradients[:, tiles], total, first=number == 0)
        return total

    def _add_products(self, data: Array, gradients: Array, total: Array, first: bool) -> None:
        """Add the products of a chunk, V (36, tiles, C) and M (36, tiles, K), to dU; or write them, the first time."""

        def multiply(points: slice) -> None:
            target = total[points]
            left, right = data[points].transpose(0, 2, 1), gradients[points]
            if first:
                np.matmul(left, right, out=target)
                return
            (share,) = scratch(target.shape, dtype=total.dtype)
            np.matmul(left, right, out=share)
            target += share

        run_blocks(multiply, self.points)


def _at_points(tiles: int, channels: int, dtype: np.dtype) -> Array:
    """Return memory for tiles at the points, (36, tiles, C), in which no two points lie a power of two apart."""
    room = tiles * channels + 16 * (1 + tiles * channels // 16 % 2)
    memory = np.empty((POINTS, room), dtype)
    return memory[:, : tiles * channels].reshape(POINTS, tiles, channels)


def _to_points(
    x: Array, values: Array, blocks: list[Block], matrix: Array, padding: tuple[int, int]
) -> None:
    """Take a map's blocks of tiles, `matrix.shape[1]` pixels wide and high, to the points, one behind the other."""
    ends = np.cumsum([block.tiles for block in blocks]).tolist()

    def transform(job: tuple[Block, int]) -> None:
        block, end = job
        size = pixels_of(block, matrix.shape[1]) * x.shape[-1]
        memory = scratch((size,), (size,), dtype=x.dtype)
        to_points(x, block, padding, matrix, memory, values[:, end - block.tiles : end])

    run_blocks(transform, list(zip(blocks, ends)))


def _from_points(total: Array) -> Array:
    """Return dw (3, 3, C, K) = KERNEL.T dU KERNEL for dU (36, C, K), of which 6 b + a belongs to column b and row a."""
    _, c, k = total.shape
    back = np.ascontiguousarray(KERNEL.T.astype(total.dtype))  # (3, 6)
    dw = np.empty((3, 3, c, k), total.dtype)

    def transform(channels: slice) -> None:
        part = np.ascontiguousarray(total[:, channels]).reshape(REACH, REACH, -1)
        rows = np.matmul(back, part)  # (6, 3, n): along the rows of each column
        both = np.matmul(back, rows.transpose(1, 0, 2).reshape(3, REACH, -1))  # (3, 3, n)
        dw[:, :, channels] = both.reshape(3, 3, -1, k)

    run_blocks(transform, runs(c, PART_NUMBERS // k))
    return dw
