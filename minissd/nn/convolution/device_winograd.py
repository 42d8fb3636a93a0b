"""Winograd's convolution F(4x4, 3x3) on a GPU: kernels go to the points and back, cuBLAS does the 36 products between.

The algorithm, its points and its accuracy in float32 are those of `winograd`; its twin is `im2col`. Both maps at the
points, (36, tiles, C) and (36, tiles, K), are 36/16 = 2.25 times as large as the maps themselves, where the columns of
`im2col` are 9 times as large: where memory decides, that counts as much as the multiplications saved. Batches are cut
into runs of images whose values at the points fit `WORKSPACE`.

Weights go to the points at each call. A CPU keeps them while a network only predicts, and compares the weights with
those it transformed (`kept.py`); here the host would have to wait for the answer.

With TF32 the products' operands are rounded to 10 bits, which the way back enlarges: a relative error (root mean
square) near 1.2e-3 for 64 to 512 channels, where im2col's products have 3e-4.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from minissd.backend import Array, array_module
from minissd.cuda import BLOCK, Kernels, narrow
from minissd.nn.convolution.im2col import ConvShape, turned
from minissd.nn.convolution.tiles import REACH, tile_grid
from minissd.parallel import runs
from minissd.products import transposed_products

KERNELS = Kernels(__file__, "winograd.cu")
WORKSPACE = 2**28  # bytes of values at the points at a time
POINTS = REACH * REACH


def forward(
    x: Array,
    w: Array,
    shape: ConvShape,
    bias: Array | None = None,
    ceiling: float | None = None,
) -> Array:
    """Convolve (N, H, W, C) with w (3, 3, C, K) into (N, OH, OW, K); finish them as `im2col` does."""
    return _convolve(x, _kernels_at_points(w, False), shape, bias, ceiling)


def input_gradient(
    dy: Array, w: Array, shape: ConvShape, input_shape: tuple[int, int, int, int]
) -> Array:
    """Return dx (N, H, W, C) for the upstream gradient dy (N, OH, OW, K): a convolution with the turned kernels."""
    return _convolve(dy, _kernels_at_points(w, True), turned(shape))


def weight_gradient(x: Array, dy: Array, shape: ConvShape) -> Array:
    """Return dw (3, 3, C, K) for the input x (N, H, W, C) and the upstream gradient dy (N, OH, OW, K)."""
    xp, c, k = array_module(x, dy), x.shape[-1], dy.shape[-1]
    x, dy = xp.ascontiguousarray(x), xp.ascontiguousarray(dy)
    total = None
    for block, tiles in _blocks(dy.shape, c + k, shape, x.itemsize):
        data = tiles.to_points("input_to_points", x[block], shape.padding)
        gradients = tiles.to_points("gradient_to_points", dy[block], (0, 0))
        part = transposed_products(data, gradients)  # (36, C, K)
        total = part if total is None else total + part  # always in this order
    dw = xp.empty((3, 3, c, k), x.dtype)
    if total is None:
        dw[...] = 0
    else:
        KERNELS.of(x, NARROW=narrow(total)).launch(
            "kernels_from_points", c * k, BLOCK, (total, dw, c * k)
        )
    return dw


def _kernels_at_points(w: Array, turn: bool) -> Array:
    """Return weights (3, 3, C, K) at the points, (36, C, K); turned, (36, K, C)."""
    xp, (c, k) = array_module(w), w.shape[2:]
    values = xp.empty((POINTS, k, c) if turn else (POINTS, c, k), w.dtype)
    args = (xp.ascontiguousarray(w), values, c, k, turn)
    KERNELS.of(w, NARROW=narrow(values)).launch("kernels_to_points", c * k, BLOCK, args)
    return values


def _convolve(
    x: Array,
    kernels: Array,
    shape: ConvShape,
    bias: Array | None = None,
    ceiling: float | None = None,
) -> Array:
    """Convolve with kernels at the points, a run of images at a time."""
    xp, k = array_module(x), kernels.shape[-1]
    x = xp.ascontiguousarray(x)
    y = xp.empty((len(x), *shape.output_size(*x.shape[1:3]), k), x.dtype)
    finish = (bias is not None, ceiling is not None, 0 if ceiling is None else ceiling)
    for block, tiles in _blocks(y.shape, x.shape[-1] + k, shape, x.itemsize):
        data = tiles.to_points("input_to_points", x[block], shape.padding)
        products = xp.matmul(data, kernels)
        stand_in = kernels if bias is None else bias
        places = (tiles.count, *y.shape[1:], *tiles.grid, *shape.dilation)
        args = (products, stand_in, y[block], *places, *finish)
        KERNELS.of(x, NARROW=narrow(products, y)).launch(
            "output_from_points", tiles.count * k, BLOCK, args
        )
    return y


@dataclass(frozen=True)
class _Tiles:
    """The tiles of a run of images: how many, and how many rows and columns of them cover a phase of the output."""

    count: int
    grid: tuple[int, int]
    dilation: tuple[int, int]

    def to_points(self, kernel: str, x: Array, padding: tuple[int, int]) -> Array:
        """Take a map (N, H, W, C) to the points: (36, tiles, C)."""
        values = array_module(x).empty((POINTS, self.count, x.shape[-1]), x.dtype)
        args = (x, values, self.count, *x.shape[1:], *self.grid, *padding, *self.dilation)
        KERNELS.of(x, NARROW=narrow(x, values)).launch(
            kernel, self.count * x.shape[-1], BLOCK, args
        )
        return values


def _blocks(
    output_shape: tuple[int, int, int, int], channels: int, shape: ConvShape, itemsize: int
) -> list[tuple[slice, _Tiles]]:
    """Cut a batch into runs of images, each with its tiles; `channels`: of all values at the points together."""
    n, out_h, out_w, _ = output_shape
    dh, dw = shape.dilation
    grid = tile_grid(-(-out_h // dh), -(-out_w // dw))
    per_image = dh * dw * math.prod(grid)
    images = max(1, WORKSPACE // (POINTS * per_image * channels * itemsize))
    blocks = runs(n, images)
    return [(b, _Tiles((b.stop - b.start) * per_image, grid, (dh, dw))) for b in blocks]
