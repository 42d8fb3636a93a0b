"""Depthwise convolution: every channel has a kernel of its own, so there is nothing to multiply as matrices.

What is left is one product and one sum a kernel cell: the output is the input, shifted under the kernel and weighted
channel by channel. With channels last a row of the map is W * C neighbouring numbers, and a shift by one pixel is a
shift by C of them; so at stride 1 whole rows are weighted at once, by the kernel's C numbers written out W times. Work
goes image by image, which keeps the map in the cache for all cells of the kernel.

    y[i, j] = sum over cells of x[i + a, j + b] * w[a, b]        dx: the same walk, adding dy * w[a, b] back
    dw[a, b] = sum over pixels of x[i + a, j + b] * dy[i, j]
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product

from minissd.backend import Array, array_module
from minissd.nn.convolution.im2col import ConvShape, finish, pad, unpad
from minissd.parallel import over_batch


def suits(shape: ConvShape, in_channels: int, out_channels: int) -> bool:
    """Say whether a convolution is depthwise: as many groups as channels, one filter a channel."""
    return shape.groups == in_channels == out_channels


def forward(
    x: Array,
    w: Array,
    shape: ConvShape,
    bias: Array | None = None,
    ceiling: float | None = None,
) -> Array:
    """Convolve (N, H, W, C) with w (kh, kw, 1, C) into (N, OH, OW, C); finish them as in `im2col`."""
    xp = array_module(x, w)
    out_h, out_w = shape.output_size(x.shape[1], x.shape[2])
    y = xp.empty((len(x), out_h, out_w, x.shape[-1]), x.dtype)
    weights = _Walk(shape, y.shape).weights(w)

    def convolve(block: slice) -> None:
        walk = _Walk(shape, y[block].shape)
        y_rows = walk.rows(y[block])
        share = xp.empty_like(y_rows)
        y_rows[...] = 0
        for (_, seen), weight in zip(walk.windows(pad(x[block], shape.padding)), weights):
            xp.multiply(seen, weight, out=share)
            y_rows += share
        finish(y[block], bias, ceiling)

    over_batch(convolve, x)
    return y


def weight_gradient(x: Array, dy: Array, shape: ConvShape) -> Array:
    """Return dw (kh, kw, 1, C) for the upstream gradient dy (N, OH, OW, C)."""
    xp = array_module(x, dy)

    def gradient(block: slice) -> Array:
        walk = _Walk(shape, dy[block].shape)
        dy_rows = walk.rows(dy[block])
        dw = xp.empty((*shape.kernel, 1, x.shape[-1]), x.dtype)
        for cell, seen in walk.windows(pad(x[block], shape.padding)):
            dw[cell] = walk.channel_sums(seen, dy_rows)
        return dw

    parts = over_batch(gradient, x)
    return sum(parts[1:], start=parts[0])  # always in this order: the sum repeats bit for bit


def input_gradient(
    dy: Array, w: Array, shape: ConvShape, input_shape: tuple[int, int, int, int]
) -> Array:
    """Return dx (N, H, W, C) for the upstream gradient dy (N, OH, OW, C)."""
    xp = array_module(dy, w)
    _, h, width, c = input_shape
    weights = _Walk(shape, dy.shape).weights(w)
    dx = xp.empty(input_shape, dy.dtype)
    padded_size = (h + 2 * shape.padding[0], width + 2 * shape.padding[1], c)

    def spread(block: slice) -> None:
        walk = _Walk(shape, dy[block].shape)
        dy_rows = walk.rows(dy[block])
        share = xp.empty_like(dy_rows)
        padded = xp.zeros((len(dy[block]), *padded_size), dy.dtype)
        for (_, reached), weight in zip(walk.windows(padded), weights):
            xp.multiply(dy_rows, weight, out=share)
            reached += share
        dx[block] = unpad(padded, shape.padding)

    over_batch(spread, dx)
    return dx


class _Walk:
    """How the kernel meets a padded map: the view of it under each cell, in the same layout as the output.

    Args:
        shape: The walk of the kernel.
        output_shape: (N, OH, OW, C).

    The layout is (N, OH, OW * C), whole rows, where neighbouring outputs look at neighbouring pixels, else
    (N, OH, OW, C).
    """

    def __init__(self, shape: ConvShape, output_shape: tuple[int, int, int, int]):
        self.shape = shape
        self.n, self.out_h, self.out_w, self.channels = output_shape
        self.whole_rows = shape.stride[1] == 1

    def rows(self, y: Array) -> Array:
        """Return a map (N, H, W, C) in the layout of the walk; a view."""
        return y.reshape(*y.shape[:2], -1) if self.whole_rows else y

    def windows(self, padded: Array) -> Iterator[tuple[tuple[int, int], Array]]:
        """Yield each cell of the kernel and the view of the padded map that it meets."""
        for i, j in product(range(self.shape.kernel[0]), range(self.shape.kernel[1])):
            images, rows, columns = self.shape.window(i, j, self.out_h, self.out_w)
            if self.whole_rows:
                c = self.channels
                columns = slice(columns.start * c, columns.stop * c)
            yield (i, j), self.rows(padded)[images, rows, columns]

    def weights(self, w: Array) -> list[Array]:
        """Return the C weights of each cell of the kernel, as long as a row where rows are taken whole."""
        cells = w.reshape(-1, 1, self.channels)
        if self.whole_rows:
            xp = array_module(w)
            cells = xp.repeat(cells, self.out_w, axis=1).reshape(len(cells), -1)
        return [cells[i] for i in range(len(cells))]

    def channel_sums(self, seen: Array, dy: Array) -> Array:
        """Sum the products of two maps in the layout of the walk over all but their channels."""
        columns = array_module(dy).einsum("nr...,nr...->...", seen, dy)  # of whole images at once
        return columns.reshape(self.out_w, self.channels).sum(axis=0)
