"""The small matrices of Winograd's convolution, and how a block of tiles is taken through them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.polynomial import polynomial

from minissd.backend import Array, as_strided
from minissd.nn.convolution.scratch import LIMIT
from minissd.nn.convolution.tiles import REACH, STEP, Block, gather

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

BLOCK_BYTES = 8 * 2**20  # of working memory: a thread's part of the shared cache
LEAST_TILES = (
    64  # of a block: rows of a product; with fewer, BLAS spends its time on reordering the kernels
)


def to_points(
    x: Array,
    block: Block,
    padding: tuple[int, int],
    matrix: Array,
    memory: tuple[Array, Array],
    values: Array,
) -> None:
    """Take a block of tiles to the points: first the columns of each tile are mixed, then its rows.

    Args:
        x: Map (N, H, W, C).
        block: Which tiles.
        padding: As for `gather`.
        matrix: (6, S), INPUT for tiles of S = 6 pixels a side, OUTPUT.T for those of 4.
        memory: Two flat arrays of at least `pixels_of(block, S) * C` numbers, the second not that of `values`.
        values: (36, tiles, C), written: 6 b + a is column b and row a of the tiles at the points.
    """
    side, c = matrix.shape[1], x.shape[-1]
    images, down, across = block.grid
    length, high = across * c, STEP * down + side - STEP
    pixels, mixed = (
        part[: side_ * images * high * length] for part, side_ in zip(memory, (side, REACH))
    )
    gather(x, pixels.reshape(side, images, high, across, c), block, padding)
    source = pixels.reshape(side, -1, length).transpose(1, 0, 2)
    mixed = mixed.reshape(REACH, images, high, length)
    np.matmul(matrix, source, out=mixed.reshape(REACH, -1, length).transpose(1, 0, 2))
    column, image, row, item = mixed.strides
    tiles = as_strided(
        mixed, (REACH, images, down, side, length), (column, image, STEP * row, row, item)
    )
    out = values.reshape(REACH, REACH, images, down, length)
    np.matmul(matrix, tiles, out=out.transpose(0, 2, 3, 1, 4))


def pixels_of(block: Block, side: int) -> int:
    """Return how many numbers a channel `to_points` needs in each of its two memories."""
    images, down, across = block.grid
    return REACH * images * (STEP * down + side - STEP) * across


def from_points(products: Array, memory: tuple[Array, Array]) -> Array:
    """Take products (36, n) back from the points: (4, 4, n), the pixels of each tile, [j, i] column j and row i."""
    n = products.shape[1]
    back = OUTPUT.astype(products.dtype)
    halves, pixels = memory[0][: REACH * STEP * n], memory[1][: STEP * STEP * n]
    np.matmul(back, products.reshape(REACH, REACH, n), out=halves.reshape(REACH, STEP, n))
    np.matmul(back, halves.reshape(REACH, STEP * n), out=pixels.reshape(STEP, STEP * n))
    return pixels.reshape(STEP, STEP, n)


def tiles_of_block(bytes_per_tile: int) -> int:
    """Return how many tiles make a block, whose working memory a thread keeps."""
    wanted = max(BLOCK_BYTES // bytes_per_tile, LEAST_TILES)
    return max(1, min(wanted, LIMIT // bytes_per_tile))
