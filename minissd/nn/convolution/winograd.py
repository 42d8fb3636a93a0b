"""Winograd's convolution F(4x4, 3x3): a quarter of the multiplications of a 3x3 convolution of stride 1.

Two polynomials can be multiplied by evaluating both at enough points, multiplying the values and going back to the
coefficients. Read backwards, that is a short convolution: 4 neighbouring outputs of 3 weights see 6 inputs, and instead
of 4 * 3 products it takes 6, one a point. In two dimensions a tile of 4x4 outputs sees 6x6 inputs and needs 36 products
instead of 144. Going to the points and back are fixed small matrices (`INPUT`, `KERNEL`, `OUTPUT` below):

    V = INPUT d INPUT.T     U = KERNEL w KERNEL.T     M[b, a] = V[b, a] @ U[b, a]     y = OUTPUT M OUTPUT.T

d is a 6x6 window of the input, taken every 4 pixels, and all of this holds channel by channel, so that each of the 36
values is a matrix (tiles, C) times a matrix (C, K). The way back of the weights is the transposed walk: with dy's 4x4
tiles taken to the points by OUTPUT.T, dU[b, a] = V[b, a].T @ M[b, a] and dw = KERNEL.T dU KERNEL.

How it is made fast here: maps are cut into blocks whose working memory stays in the cache, and threads share the
blocks. A block gathers its pixels once, by their column within the tile, so that pixels to be mixed lie in rows of
their own; both steps of a transform (mixing the columns of a tile, then its rows) are then products of a 6x6 matrix
with long rows. A block goes from one memory to another and back, so that two are enough.

Accuracy: the points are 0, +-5/8, +-3/2 and infinity. The usual 0, +-1, +-2 make do with small whole numbers, but
matrices multiply any numbers equally fast, and these lose less. Against float64 the float32 results of a 3x3 layer of
64 to 512 channels have a relative error (root mean square) of 0.6e-6 to 1.4e-6, in all three directions, and none is
off by more than 4e-6 of the largest; the direct sum has 0.2e-6 to 0.4e-6. The usual points have about twice the error.

Source: Lavin and Gray 2016 ("Fast algorithms for convolutional neural networks"), section 4; the matrices for any
points are Toom and Cook's (Blahut 2010, "Fast algorithms for signal processing", chapter 5).
"""

from __future__ import annotations

import math

import numpy as np

from minissd.backend import Array
from minissd.nn.convolution import winograd_weights
from minissd.nn.convolution.im2col import ConvShape, turned
from minissd.nn.convolution.phases import join_phases, split_phases
from minissd.nn.convolution.points import (
    INPUT,
    KERNEL,
    from_points,
    pixels_of,
    tiles_of_block,
    to_points,
)
from minissd.nn.convolution.scratch import scratch
from minissd.nn.convolution.tiles import (
    REACH,
    STEP,
    Block,
    cut_into_blocks,
    spread,
    tile_grid,
)
from minissd.parallel import run_blocks, runs

weight_gradient = winograd_weights.weight_gradient

LEAST_CHANNELS = 16  # in and out
LEAST_PIXELS = 256  # of the output, all images together
LEAST_FILL = 0.6  # of the tiles' area that is output


def suits(shape: ConvShape) -> bool:
    """Say whether the algorithm is for this walk: 3x3, stride 1, one group, a border of up to two (dilated) pixels."""
    border = all(p % d == 0 and p <= 2 * d for p, d in zip(shape.padding, shape.dilation))
    return shape.kernel == (3, 3) and shape.stride == (1, 1) and shape.groups == 1 and border


def pays(shape: ConvShape, input_shape: tuple[int, int, int, int], filters: int) -> bool:
    """Say whether it is the faster one for an input (N, H, W, C).

    The ways to the points and back take time in proportion to the channels, the products to their square; the kernels
    at the points are four times as many numbers to read as the kernels, which few pixels do not repay; and a tile costs
    the same whether it is full or hangs over the border. All three bounds are measured, forward and backward.
    """
    if not suits(shape) or min(input_shape[-1], filters) < LEAST_CHANNELS:
        return False
    out_h, out_w = shape.output_size(*input_shape[1:3])
    phases = [-(-size // d) for size, d in zip((out_h, out_w), shape.dilation)]
    covered = math.prod(shape.dilation) * STEP**2 * math.prod(tile_grid(*phases))
    return input_shape[0] * out_h * out_w >= LEAST_PIXELS and out_h * out_w >= LEAST_FILL * covered


def transform_kernels(w: Array) -> Array:
    """Take kernels (3, 3, C, K) to the points: (6, 6, C, K), of which [b, a] belongs to column b and row a."""
    _, _, c, k = w.shape
    matrix = KERNEL.astype(w.dtype)
    values = np.empty((REACH, REACH, c, k), w.dtype)

    def transform(channels: slice) -> None:
        part = np.ascontiguousarray(w[:, :, channels])
        rows = np.matmul(matrix, part.reshape(3, 3, -1))  # (3, 6, C * K): along the rows
        both = np.matmul(matrix, rows.transpose(1, 0, 2))  # (6, 6, C * K): along the columns
        values[:, :, channels] = both.reshape(REACH, REACH, -1, k)

    run_blocks(transform, runs(c, 2**13 // k))
    return values


def forward(
    x: Array,
    w: Array,
    shape: ConvShape,
    bias: Array | None = None,
    ceiling: float | None = None,
    kernels: Array | None = None,
) -> Array:
    """Convolve.

    Args:
        x: (N, H, W, C).
        w: (3, 3, C, K).
        shape: The walk of the kernel: stride 1, one group; the padding a multiple of the dilation.
        bias: (K,), added while a block of the output is in the cache.
        ceiling: Of the activation that follows, as for `im2col.finish`; applied in the same place.
        kernels: What `transform_kernels` made of `w`, if that is at hand.

    Returns:
        (N, OH, OW, K).
    """
    kernels = transform_kernels(w) if kernels is None else kernels
    return _by_phases(x, kernels, shape, bias, ceiling)


def input_gradient(
    dy: Array, w: Array, shape: ConvShape, input_shape: tuple[int, int, int, int]
) -> Array:
    """Return dx (N, H, W, C) for the upstream gradient dy (N, OH, OW, K): a convolution with the turned kernels."""
    kernels = transform_kernels(w[::-1, ::-1].swapaxes(2, 3))  # inputs and outputs exchanged
    return _by_phases(dy, kernels, turned(shape))


def _by_phases(
    x: Array,
    kernels: Array,
    shape: ConvShape,
    bias: Array | None = None,
    ceiling: float | None = None,
) -> Array:
    """Convolve with kernels at the points, phase by phase if the walk is dilated."""
    padding = tuple(p // d for p, d in zip(shape.padding, shape.dilation))
    if shape.dilation == (1, 1):
        return _convolve(x, kernels, padding, bias, ceiling)
    y = _convolve(split_phases(x, shape.dilation), kernels, padding, bias, ceiling)
    return join_phases(y, shape.dilation, shape.output_size(*x.shape[1:3]))


def _convolve(
    x: Array,
    kernels: Array,
    padding: tuple[int, int],
    bias: Array | None,
    ceiling: float | None,
) -> Array:
    """Convolve an undilated map with kernels at the points, block by block."""
    (n, h, w, c), k = x.shape, kernels.shape[-1]
    y = np.empty((n, h + 2 * padding[0] - 2, w + 2 * padding[1] - 2, k), x.dtype)
    grid = tile_grid(*y.shape[1:3])
    tiles = tiles_of_block(2 * REACH**2 * max(c, k) * x.itemsize)
    to_values, kernels = INPUT.astype(x.dtype), kernels.reshape(REACH**2, c, k)

    def convolve(block: Block) -> None:
        count, filters = block.tiles, block.filters.stop - block.filters.start
        pixels, at_points = c * pixels_of(block, REACH), REACH**2 * count
        one, other = scratch(
            (max(pixels, at_points * max(c, filters)),),
            (max(pixels, at_points * filters),),
            dtype=x.dtype,
        )
        values = one[: at_points * c].reshape(-1, count, c)
        to_points(x, block, padding, to_values, (one, other), values)
        products = other[: at_points * filters].reshape(-1, count, filters)
        np.matmul(values, kernels[:, :, block.filters], out=products)
        outputs = from_points(products.reshape(REACH**2, -1), (one, other))
        spread(outputs.reshape(STEP, STEP, *block.grid, filters), y, block, bias, ceiling)

    run_blocks(convolve, cut_into_blocks(n, grid, tiles, k))
    return y
