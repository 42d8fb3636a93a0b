"""Depthwise convolution on a GPU, by kernels; the answers are those of `depthwise`, whose array code is their twin."""

from __future__ import annotations

from minissd.backend import Array, array_module
from minissd.cuda import BLOCK, Kernels, narrow, pack_width
from minissd.nn.convolution import sums
from minissd.nn.convolution.im2col import ConvShape

KERNELS = Kernels(__file__, "depthwise.cu", half=True)


def forward(
    x: Array,
    w: Array,
    shape: ConvShape,
    bias: Array | None = None,
    ceiling: float | None = None,
) -> Array:
    """Convolve (N, H, W, C) with w (kh, kw, 1, C) into (N, OH, OW, C); finish them as `im2col` does."""
    xp, out = array_module(x, w), shape.output_size(*x.shape[1:3])
    x, w = xp.ascontiguousarray(x), xp.ascontiguousarray(w)
    y = xp.empty((len(x), *out, x.shape[-1]), x.dtype)
    kernels = KERNELS.of(x, WIDTH=pack_width(x.shape[-1], x, w), NARROW=narrow(x, y))
    finish = (bias is not None, ceiling is not None, 0 if ceiling is None else ceiling)
    stand_in = w if bias is None else bias
    args = (x, w, stand_in, y, *x.shape, *out, *shape.numbers, *finish)
    kernels.launch("depthwise_forward", y.size // kernels.width, BLOCK, args)
    return y


def input_gradient(
    dy: Array, w: Array, shape: ConvShape, input_shape: tuple[int, int, int, int]
) -> Array:
    """Return dx (N, H, W, C) for the upstream gradient dy (N, OH, OW, C)."""
    xp = array_module(dy, w)
    dy, w = xp.ascontiguousarray(dy), xp.ascontiguousarray(w)
    dx = xp.empty(input_shape, dy.dtype)
    kernels = KERNELS.of(dy, WIDTH=pack_width(dy.shape[-1], dy, w), NARROW=narrow(dx, dy))
    args = (dy, w, dx, *input_shape, *dy.shape[1:3], *shape.numbers)
    kernels.launch("depthwise_input_gradient", dx.size // kernels.width, BLOCK, args)
    return dx


def weight_gradient(x: Array, dy: Array, shape: ConvShape) -> Array:
    """Return dw (kh, kw, 1, C) for the input x (N, H, W, C) and the upstream gradient dy (N, OH, OW, C)."""
    xp, c, cells = array_module(x, dy), x.shape[-1], shape.kernel[0] * shape.kernel[1]
    x, dy = xp.ascontiguousarray(x), xp.ascontiguousarray(dy)
    shares = sums.shares_of(dy.size // c)  # of the output pixels, each added up by a block
    parts = xp.empty((shares, cells * c), x.dtype)
    args = (x, dy, parts, *x.shape, *dy.shape[1:3], *shape.numbers)
    grid = (-(-c // 32), shares, cells)
    KERNELS.of(x, NARROW=narrow(x, dy)).launch("depthwise_weight_gradient", grid, (32, 8), args)
    if shares > 1:
        parts = sums.add_rows(parts, sums.KERNELS.of(parts))
    return parts.reshape(*shape.kernel, 1, c)
