"""Sums over all pixels of a map, channel by channel: the gradient of a bias."""

from __future__ import annotations

import numpy as np

from minissd.backend import Array, array_module
from minissd.cuda import Compiled, Kernels
from minissd.parallel import run_blocks, runs

KERNELS = Kernels(__file__, "sums.cu")
SHARE = 512  # rows that a block of the first launch adds up
MOST_SHARES = 256


def channel_sums(dy: Array) -> Array:
    """Sum (N, H, W, K) over all but the channels: on a CPU as products of ones with runs of pixels, on all threads."""
    kernels = KERNELS.of(dy)
    if kernels is not None:
        return add_rows(array_module(dy).ascontiguousarray(dy).reshape(-1, dy.shape[-1]), kernels)
    if array_module(dy) is not np:
        return dy.sum(axis=(0, 1, 2))
    pixels, ones = dy.reshape(-1, dy.shape[-1]), np.ones(4096, dy.dtype)
    parts = run_blocks(
        lambda run: ones[: run.stop - run.start] @ pixels[run], runs(len(pixels), len(ones))
    )
    return np.sum(parts, axis=0)  # short sums of short sums: they round little


def shares_of(rows: int) -> int:
    """Return into how many shares a sum of so many rows is cut."""
    return max(1, min(MOST_SHARES, rows // SHARE))


def add_rows(matrix: Array, kernels: Compiled) -> Array:
    """Sum a contiguous matrix (rows, columns) over its rows, in shares that are then added up."""
    xp, (rows, columns) = array_module(matrix), matrix.shape
    across = -(-columns // 32)
    shares = shares_of(rows)
    parts = xp.empty((shares, columns), matrix.dtype)
    kernels.launch("row_sums", (across, shares), (32, 8), (matrix, parts, rows, columns))
    return parts[0] if shares == 1 else add_rows(parts, kernels)
