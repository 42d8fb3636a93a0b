"""Pointwise convolution: a 1x1 kernel mixes the channels of each pixel, so the map itself is the matrix.

    y = x @ w        dx = dy @ w.T        dw = x.T @ dy        with pixels as rows

No column is laid out and nothing is copied; pixels and, where there are few, filters are shared out among the threads.
"""

from __future__ import annotations

from itertools import product

import numpy as np

from minissd.backend import Array
from minissd.nn.convolution.im2col import ConvShape, finish
from minissd.parallel import LEAST_BLOCKS, run_blocks, runs

BLOCK_ROWS = 512  # pixels of a block
LEAST_ROWS = 128  # with fewer, BLAS spends its time on reordering the weights
MOST_LANES = 8
SUM_BYTES = 2**25  # of the weight gradients of all lanes together


def suits(shape: ConvShape) -> bool:
    """Say whether a convolution looks at single pixels: 1x1, every pixel, no border, one group."""
    return shape == ConvShape((1, 1), dilation=shape.dilation)


def forward(
    x: Array,
    w: Array,
    shape: ConvShape,
    bias: Array | None = None,
    ceiling: float | None = None,
) -> Array:
    """Convolve (N, H, W, C) with w (1, 1, C, K) into (N, H, W, K); finish them as in `im2col`."""
    return _multiply(x, w[0, 0], bias, ceiling)


def input_gradient(
    dy: Array, w: Array, shape: ConvShape, input_shape: tuple[int, int, int, int]
) -> Array:
    """Return dx (N, H, W, C) for the upstream gradient dy (N, H, W, K)."""
    return _multiply(dy, w[0, 0].T)


def weight_gradient(x: Array, dy: Array, shape: ConvShape) -> Array:
    """Return dw (1, 1, C, K) for the input x (N, H, W, C) and the upstream gradient dy (N, H, W, K)."""
    x_rows, dy_rows = x.reshape(-1, x.shape[-1]), dy.reshape(-1, dy.shape[-1])
    dw_bytes = x.shape[-1] * dy.shape[-1] * x.itemsize
    lanes = max(1, min(MOST_LANES, SUM_BYTES // dw_bytes, len(x_rows) // LEAST_ROWS))
    pixels = runs(len(x_rows), -(-len(x_rows) // lanes))
    parts = run_blocks(lambda part: x_rows[part].T @ dy_rows[part], pixels)
    return sum(parts[1:], start=parts[0])[None, None]  # always in this order


def _multiply(
    x: Array, matrix: Array, bias: Array | None = None, ceiling: float | None = None
) -> Array:
    """Return x @ matrix for a map (N, H, W, C), finished."""
    k = matrix.shape[-1]
    rows = x.reshape(-1, x.shape[-1])
    y = np.empty((*x.shape[:-1], k), x.dtype)
    y_rows = y.reshape(-1, k)
    pixels = runs(len(rows), min(BLOCK_ROWS, max(LEAST_ROWS, -(-len(rows) // LEAST_BLOCKS))))
    shares = -(-LEAST_BLOCKS // max(1, len(pixels)))

    def multiply(job: tuple[slice, slice]) -> None:
        part, filters = job
        target = y_rows[part, filters]
        np.matmul(rows[part], matrix[:, filters], out=target)
        finish(target, None if bias is None else bias[filters], ceiling)

    run_blocks(multiply, list(product(pixels, runs(k, max(LEAST_ROWS, -(-k // shares))))))
    return y
