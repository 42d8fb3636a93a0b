"""The small matrices of Winograd's convolution, and how a block of tiles is taken through them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.polynomial import polynomial

from minissd.backend import Array, as_strided
from minissd.nn.convolution.scratch import LIMIT
from minissd.nn.convolution.tiles import STEP

POINTS = (0.0, 5 / 8, -5 / 8, 3 / 2, -3 / 2)


def transforms(points: Sequence[float]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the matrices INPUT (6, 6), KERNEL (6, 3) and OUTPUT (4, 6) for five points and infinity.

    At a point p a kernel has the value w0 + w1 p + w2 p^2. The input's row is the polynomial that is zero at all other
    points. Each pair of rows is balanced by a power of two, which costs no accuracy, so that neither grows large.
    """
    n = len(points) + 1
    data, kernel, output = np.zeros((n, n)), np.zeros((n, 3)), np.zeros((STEP, n))
    for i, point in enumerate(points):
        others = [p for p in points if p != point]
        kernel[i] = point ** np.arange(3) / np.prod(np.subtract(point, others))
        data[i, :-1] = polynomial.polyfromroots(others)
        output[:, i] = point ** np.arange(STEP)
    data[-1], kernel[-1, -1], output[-1, -1] = polynomial.polyfromroots(points), 1, 1
    ratio = np.linalg.norm(data, axis=1) / np.linalg.norm(kernel, axis=1)
    scale = 2.0 ** np.round(np.log2(ratio) / 2)
    return data / scale[:, None], kernel * scale[:, None], output


INPUT, KERNEL, OUTPUT = transforms(POINTS)

BLOCK_BYTES = 6 * 2**20  # of working memory: a thread's part of the shared cache
LEAST_TILES = (
    64  # of a block: rows of a product; with fewer, BLAS spends its time on reordering the kernels
)


def mix_columns(matrix: Array, columns: Array, out: Array) -> None:
    """Combine the columns of tiles: out[i] = sum over j of matrix[i, j] * columns[j]; row by row, each long."""
    source = columns.reshape(len(columns), -1, out[0, 0, 0].size)
    target = out.reshape(len(out), *source.shape[1:])
    np.matmul(matrix, source.transpose(1, 0, 2), out=target.transpose(1, 0, 2))


def mix_rows(matrix: Array, rows: Array, out: Array) -> None:
    """Combine the rows of tiles, one every 4 rows: out[i, n, r] = sum over j of matrix[i, j] * rows[n, 4 r + j]."""
    image, row, item = rows.strides
    _, images, down, length = out.shape
    tiles = as_strided(
        rows, (images, down, matrix.shape[1], length), (image, STEP * row, row, item)
    )
    np.matmul(matrix, tiles, out=out.transpose(1, 2, 0, 3))


def tiles_of_block(bytes_per_tile: int, spared: int = 0) -> int:
    """Return how many tiles make a block, which leaves `spared` bytes of a thread's memory to something else."""
    most = (LIMIT - spared) // bytes_per_tile
    return max(1, min(max(BLOCK_BYTES // bytes_per_tile, LEAST_TILES), most))
