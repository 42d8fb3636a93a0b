"""Convolution as one matrix product: the plain algorithm, and the specification of all others.

Every output pixel looks at a window of `kh x kw` input pixels. Laying each window out as a row gives a matrix
("image to columns"), and the convolution is that matrix times the weights. The way back is two more products:

    y = cols @ w        dw = cols.T @ dy        dcols = dy @ w.T, whose rows are added back onto their windows

With channels last a window row is `kw * C` neighbouring numbers, so the rows are gathered in long runs. The matrix is
kh * kw times as large as the map, so it is made for a few images at a time: a block that fits the processor's cache
is read back from there, not from memory, and the blocks are shared out among the threads.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

from minissd.backend import Array, array_module, as_strided
from minissd.parallel import over_batch


@dataclass(frozen=True)
class ConvShape:
    """How a kernel walks over its input: two numbers each, for rows and columns."""

    kernel: tuple[int, int]
    stride: tuple[int, int] = (1, 1)
    padding: tuple[int, int] = (0, 0)
    dilation: tuple[int, int] = (1, 1)
    groups: int = 1

    @property
    def numbers(self) -> tuple[int, ...]:
        """Kernel, stride, padding and dilation in a row, as kernels for a GPU take them."""
        return (*self.kernel, *self.stride, *self.padding, *self.dilation)

    def output_size(self, height: int, width: int) -> tuple[int, int]:
        """Return (height, width) of the output map: floor((size + 2 pad - reach) / stride) + 1."""
        sizes = []
        for axis, size in enumerate((height, width)):
            reach = self.dilation[axis] * (self.kernel[axis] - 1) + 1
            sizes.append((size + 2 * self.padding[axis] - reach) // self.stride[axis] + 1)
        return sizes[0], sizes[1]

    def window(self, i: int, j: int, out_h: int, out_w: int) -> tuple[slice, slice, slice]:
        """Return the index of the (padded) input pixels that kernel cell (i, j) meets, over all output pixels."""
        top, left = i * self.dilation[0], j * self.dilation[1]
        rows = slice(top, top + (out_h - 1) * self.stride[0] + 1, self.stride[0])
        columns = slice(left, left + (out_w - 1) * self.stride[1] + 1, self.stride[1])
        return slice(None), rows, columns


def pad(x: Array, padding: tuple[int, int]) -> Array:
    """Return (N, H, W, C) with `padding` rows and columns of zeros on every side."""
    if padding == (0, 0):
        return x
    xp = array_module(x)
    (n, h, w, c), (ph, pw) = x.shape, padding
    padded = xp.zeros((n, h + 2 * ph, w + 2 * pw, c), x.dtype)
    padded[:, ph : ph + h, pw : pw + w] = x
    return padded


def unpad(x: Array, padding: tuple[int, int]) -> Array:
    """Return (N, H, W, C) without the border that `pad` added."""
    ph, pw = padding
    return x[:, ph : x.shape[1] - ph, pw : x.shape[2] - pw]


def columns(x: Array, shape: ConvShape, out_h: int, out_w: int) -> Array:
    """Lay out the window of every output pixel as a row.

    Args:
        x: Padded input (N, H, W, C), contiguous.
        shape: The walk of the kernel.
        out_h: Height of the output map.
        out_w: Its width.

    Returns:
        (groups, N * OH * OW, kh * kw * C / groups).
    """
    n, c, (kh, kw), g = len(x), x.shape[-1], shape.kernel, shape.groups
    m, seen = n * out_h * out_w, windows(x, shape, out_h, out_w)
    if g == 1:
        return array_module(x).ascontiguousarray(seen).reshape(1, m, kh * kw * c)
    return seen.reshape(m, kh * kw, g, c // g).transpose(2, 0, 1, 3).reshape(g, m, -1)


def windows(x: Array, shape: ConvShape, out_h: int, out_w: int) -> Array:
    """Return the windows of all output pixels of a padded map: (N, OH, OW, kh, kw, C), a view."""
    (kh, kw), (sh, sw), (dh, dw) = shape.kernel, shape.stride, shape.dilation
    image, row, pixel, channel = x.strides
    return as_strided(
        x,
        (len(x), out_h, out_w, kh, kw, x.shape[-1]),
        (image, sh * row, sw * pixel, dh * row, dw * pixel, channel),
    )


def weight_matrix(w: Array, groups: int) -> Array:
    """Return weights (kh, kw, C / groups, K) as (groups, kh * kw * C / groups, K / groups)."""
    kh, kw, c, k = w.shape
    return w.reshape(kh * kw * c, groups, k // groups).transpose(1, 0, 2)


def _by_group(y: Array, groups: int) -> Array:
    """Return a map (N, OH, OW, K) as (groups, N * OH * OW, K / groups)."""
    return y.reshape(-1, groups, y.shape[-1] // groups).transpose(1, 0, 2)


def finish(block: Array, bias: Array | None, ceiling: float | None) -> None:
    """Add the bias to a block of the output and limit it to [0, ceiling], in place, while it is in the cache.

    Args:
        block: (..., K).
        bias: (K,), or None.
        ceiling: Of the activation that follows: infinity for ReLU, 6 for ReLU6; None where none follows.
    """
    if bias is not None:
        block += bias
    if ceiling is not None:
        array_module(block).clip(block, 0, ceiling, out=block)


def forward(
    x: Array,
    w: Array,
    shape: ConvShape,
    bias: Array | None = None,
    ceiling: float | None = None,
) -> Array:
    """Convolve.

    Args:
        x: (N, H, W, C).
        w: (kh, kw, C / groups, K).
        shape: The walk of the kernel.
        bias: (K,), added to every output pixel.
        ceiling: As for `finish`.

    Returns:
        (N, OH, OW, K).
    """
    xp = array_module(x, w)
    n, k = x.shape[0], w.shape[-1]
    out_h, out_w = shape.output_size(x.shape[1], x.shape[2])
    matrix = weight_matrix(w, shape.groups)
    y = xp.empty((n, out_h, out_w, k), x.dtype)

    def convolve(block: slice) -> None:
        cols = columns(pad(x[block], shape.padding), shape, out_h, out_w)
        y_rows = y[block].reshape(-1, shape.groups, k // shape.groups)
        xp.matmul(cols, matrix, out=y_rows.transpose(1, 0, 2))
        finish(y[block], bias, ceiling)

    over_batch(convolve, x, _column_bytes(x, shape, out_h, out_w))
    return y


def _column_bytes(x: Array, shape: ConvShape, out_h: int, out_w: int) -> int:
    """Bytes of the columns of one image."""
    return out_h * out_w * shape.kernel[0] * shape.kernel[1] * x.shape[-1] * x.itemsize


def weight_gradient(x: Array, dy: Array, shape: ConvShape) -> Array:
    """Return dw (kh, kw, C / groups, K) for the upstream gradient dy (N, OH, OW, K)."""
    xp = array_module(x, dy)
    (kh, kw), groups = shape.kernel, shape.groups
    _, out_h, out_w, k = dy.shape

    def gradient(block: slice) -> Array:
        cols = columns(pad(x[block], shape.padding), shape, out_h, out_w)
        return xp.matmul(cols.transpose(0, 2, 1), _by_group(dy[block], groups))

    parts = over_batch(gradient, x, _column_bytes(x, shape, out_h, out_w))
    dw = sum(parts[1:], start=parts[0])  # always in this order: the sum repeats bit for bit
    return dw.transpose(1, 0, 2).reshape(kh, kw, x.shape[-1] // groups, k)


def input_gradient(
    dy: Array, w: Array, shape: ConvShape, input_shape: tuple[int, int, int, int]
) -> Array:
    """Return dx for the upstream gradient dy (N, OH, OW, K).

    At stride 1 it is itself a convolution: of dy, with the kernel turned by 180 degrees and its channels exchanged.
    """
    walk = turned(shape)
    if walk is not None:
        return forward(dy, exchange_channels(w[::-1, ::-1], shape.groups), walk)
    return add_back(dy, w, shape, input_shape)


def add_back(
    dy: Array, w: Array, shape: ConvShape, input_shape: tuple[int, int, int, int]
) -> Array:
    """Return dx for any stride: the adjoint of `columns`, read off line by line.

    Kernel cell (i, j) met a shifted view of the input; its share dy @ w[i, j].T is added back onto that view.
    """
    xp = array_module(dy, w)
    n, h, width, c = input_shape
    (ph, pw), groups = shape.padding, shape.groups
    out_h, out_w = dy.shape[1:3]
    dx = xp.zeros((n, h + 2 * ph, width + 2 * pw, c), dy.dtype)

    def spread(block: slice) -> None:
        dy_rows, dx_block = _by_group(dy[block], groups), dx[block]
        for i, j in product(range(shape.kernel[0]), range(shape.kernel[1])):
            w_ij = _by_group(w[i, j], groups)  # (groups, C / groups, K / groups)
            share = xp.matmul(dy_rows, w_ij.transpose(0, 2, 1))  # (groups, M, C / groups)
            share = share.transpose(1, 0, 2).reshape(-1, out_h, out_w, c)
            dx_block[shape.window(i, j, out_h, out_w)] += share

    over_batch(spread, dy, out_h * out_w * (c + dy.shape[-1]) * dy.itemsize)
    return unpad(dx, shape.padding)


def turned(shape: ConvShape) -> ConvShape | None:
    """Return the walk of the turned kernel over dy, or None where the gradient is no convolution of stride 1."""
    padding = tuple(d * (k - 1) - p for d, k, p in zip(shape.dilation, shape.kernel, shape.padding))
    if shape.stride != (1, 1) or min(padding) < 0:
        return None
    return ConvShape(shape.kernel, (1, 1), padding, shape.dilation, shape.groups)


def exchange_channels(w: Array, groups: int) -> Array:
    """Return weights (kh, kw, C / groups, K) as (kh, kw, K / groups, C): inputs and outputs exchanged in each group."""
    kh, kw, c, k = w.shape
    split = w.reshape(kh, kw, c, groups, k // groups)
    return split.transpose(0, 1, 4, 3, 2).reshape(kh, kw, k // groups, groups * c)
