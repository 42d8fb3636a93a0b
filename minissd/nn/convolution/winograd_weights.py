"""The weight gradient of Winograd's convolution: the transposed walk of `winograd.forward`.

With V the input's and M the upstream gradient's tiles at the points, as matrices (tiles, C) and (tiles, K),

    dU[b, a] = V[b, a].T @ M[b, a]     dw = KERNEL.T dU KERNEL

are sums over all tiles of the batch. The work is cut in two ways: into *lanes* of tiles, each with a sum of its own,
and, where sums are too large for many lanes (512 times 512 filters: 38 MB), by the columns b of the points. How many of
each depends on sizes alone, and lanes are added in their order: a sum repeats bit for bit with any number of threads.
"""

from __future__ import annotations

from itertools import product

import numpy as np

from minissd.backend import Array
from minissd.nn.convolution.im2col import ConvShape
from minissd.nn.convolution.phases import split_phases
from minissd.nn.convolution.points import (
    INPUT,
    KERNEL,
    OUTPUT,
    mix_columns,
    mix_rows,
    tiles_of_block,
)
from minissd.nn.convolution.scratch import LIMIT, scratch
from minissd.nn.convolution.tiles import REACH, STEP, Block, cut_into_blocks, gather, tile_grid
from minissd.parallel import run_blocks

MOST_LANES = 8
SUM_BYTES = 2**25  # of the sums of all lanes together
LEAST_JOBS = 6


def weight_gradient(x: Array, dy: Array, shape: ConvShape) -> Array:
    """Return dw (3, 3, C, K) for the input x (N, H, W, C) and the upstream gradient dy (N, OH, OW, K)."""
    padding = tuple(p // d for p, d in zip(shape.padding, shape.dilation))
    if shape.dilation != (1, 1):
        x, dy = split_phases(x, shape.dilation), split_phases(dy, shape.dilation)
    c, k = x.shape[-1], dy.shape[-1]
    lanes, groups = _cut(x, dy)
    walk = _Walk(x, dy, padding)
    parts = run_blocks(lambda job: walk.sum(*job), list(product(groups, lanes)))
    by_group = [parts[i : i + len(lanes)] for i in range(0, len(parts), len(lanes))]
    columns = np.concatenate([sum(group[1:], start=group[0]) for group in by_group])
    dw = np.matmul(KERNEL.T.astype(x.dtype), columns.reshape(REACH, -1))  # (kw, kh * C * K)
    return dw.reshape(3, 3, c, k).swapaxes(0, 1)


def _cut(x: Array, dy: Array) -> tuple[list[list[Block]], list[slice]]:
    """Return the lanes, each a list of blocks, and the groups of columns of the points."""
    c, k = x.shape[-1], dy.shape[-1]
    kernel_bytes = REACH * c * k * x.itemsize
    most_lanes = max(1, min(SUM_BYTES // (REACH * kernel_bytes), MOST_LANES))
    n_groups = next(g for g in (1, 2, 3, 6) if g * most_lanes >= LEAST_JOBS or g == REACH)
    count = REACH // n_groups
    tile_bytes = ((42 + 6 * count) * c + (22 + 4 * count) * k) * x.itemsize
    tiles = tiles_of_block(tile_bytes, spared=min(LIMIT // 2, kernel_bytes))
    blocks = cut_into_blocks(len(x), tile_grid(*dy.shape[1:3]), tiles, 1)
    n_lanes = min(most_lanes, len(blocks))
    lanes = [blocks[i::n_lanes] for i in range(n_lanes)]
    return lanes, [slice(i, i + count) for i in range(0, REACH, count)]


class _Walk:
    """What all lanes share: the two maps and the way to the points."""

    def __init__(self, x: Array, dy: Array, padding: tuple[int, int]):
        self.x, self.dy, self.padding = x, dy, padding
        self.data = INPUT.astype(x.dtype)
        self.gradient = np.ascontiguousarray(OUTPUT.T.astype(x.dtype))  # (6, 4)

    def sum(self, columns: slice, blocks: list[Block]) -> Array:
        """Return KERNEL.T @ dU for some columns of the points and a lane's blocks: (columns, 3, C * K)."""
        c, k = self.x.shape[-1], self.dy.shape[-1]
        count = columns.stop - columns.start
        total = np.zeros((count, REACH, c, k), self.x.dtype)
        for block in blocks:
            self._add(total, block, columns)
        return np.matmul(KERNEL.T.astype(self.x.dtype), total.reshape(count, REACH, -1))

    def _add(self, total: Array, block: Block, columns: slice) -> None:
        """Add the products of one block to dU, (columns, 6, C, K)."""
        (images, down, across), count = block.grid, len(total)
        c, k = total.shape[-2:]
        high, low = STEP * down + REACH - STEP, STEP * down
        pixels, mixed, data, gradients, mixed_gradients, values, products = scratch(
            (REACH, images, high, across, c),
            (count, images, high, across * c),
            (REACH, images, down, across * c),
            (STEP, images, low, across, k),
            (count, images, low, across * k),
            (REACH, images, down, across * k),
            (REACH, c, k),
            dtype=total.dtype,
        )
        gather(self.x, pixels, block, self.padding)
        mix_columns(self.data[columns], pixels, mixed)
        gather(self.dy, gradients, block, (0, 0))
        mix_columns(self.gradient[columns], gradients, mixed_gradients)
        for i in range(count):
            mix_rows(self.data, mixed[i], data)
            mix_rows(self.gradient, mixed_gradients[i], values)
            left, right = data.reshape(REACH, -1, c), values.reshape(REACH, -1, k)
            np.matmul(left.transpose(0, 2, 1), right, out=products)
            total[i] += products
