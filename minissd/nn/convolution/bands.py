"""im2col band by band: the plain algorithm, cut so that the columns never leave the cache.

`im2col` lays out whole images, which for a map of 300x300 pixels is far more than a cache holds, and leaves all but one
thread idle when there is one image. Here a block is a band of output rows: its input rows are framed with their border,
their windows laid out in the thread's own memory, and multiplied from there. It does what no other algorithm is for:
strides, borders and kernels of any size.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import numpy as np

from minissd.backend import Array
from minissd.nn.convolution import im2col
from minissd.nn.convolution.im2col import ConvShape
from minissd.nn.convolution.scratch import scratch
from minissd.parallel import LEAST_BLOCKS, run_blocks, runs

BLOCK_BYTES = 2**21  # of columns: little more than a core's level-2 cache holds
LEAST_PIXELS = (
    64  # of a block: rows of a product; with fewer, BLAS spends its time on reordering the weights
)
MOST_LANES = 8
SUM_BYTES = 2**25  # of the weight gradients of all lanes together
Band = tuple[slice, slice]  # images and output rows


def suits(shape: ConvShape) -> bool:
    """Say whether the convolution is one product a band, not one a group."""
    return shape.groups == 1


def forward(
    x: Array,
    w: Array,
    shape: ConvShape,
    bias: Array | None = None,
    ceiling: float | None = None,
) -> Array:
    """Convolve (N, H, W, C) with w (kh, kw, C, K) into (N, OH, OW, K); finish them as in `im2col`."""
    k = w.shape[-1]
    y = np.empty((len(x), *shape.output_size(*x.shape[1:3]), k), x.dtype)
    matrix = w.reshape(-1, k)

    def convolve(band: Band) -> None:
        target = y[band].reshape(-1, k)  # whole rows of an image, or whole images: a view
        np.matmul(_columns(x, shape, band, y.shape[2]), matrix, out=target)
        im2col.finish(target, bias, ceiling)

    run_blocks(convolve, _bands(x, shape, y.shape))
    return y


def input_gradient(
    dy: Array, w: Array, shape: ConvShape, input_shape: tuple[int, int, int, int]
) -> Array:
    """Return dx (N, H, W, C) for the upstream gradient dy (N, OH, OW, K): at stride 1 it is a convolution too."""
    walk = im2col.turned(shape)
    if walk is None:
        return im2col.add_back(dy, w, shape, input_shape)
    return forward(dy, im2col.exchange_channels(w[::-1, ::-1], 1), walk)


def weight_gradient(x: Array, dy: Array, shape: ConvShape) -> Array:
    """Return dw (kh, kw, C, K) for the input x (N, H, W, C) and the upstream gradient dy (N, OH, OW, K).

    Bands are dealt out to lanes, each with a sum of its own; a sum too large for many lanes is cut by kernel rows.
    """
    (kh, kw), c, k = shape.kernel, x.shape[-1], dy.shape[-1]
    bands = _bands(x, shape, dy.shape)
    n_lanes = min(MOST_LANES, len(bands), SUM_BYTES // (kh * kw * c * k * x.itemsize))
    lanes = [bands[i :: max(1, n_lanes)] for i in range(max(1, n_lanes))]
    kernel_rows = [slice(0, kh)] if len(lanes) > LEAST_BLOCKS else runs(kh, 1)

    def gradient(job: tuple[slice, list[Band]]) -> Array:
        rows, lane = job
        total = 0
        for band in lane:
            columns = _columns(x, shape, band, dy.shape[2], rows)
            total = total + columns.T @ dy[band].reshape(-1, k)
        return total

    parts = run_blocks(gradient, list(product(kernel_rows, lanes)))
    sums = [parts[i : i + len(lanes)] for i in range(0, len(parts), len(lanes))]
    return np.concatenate([sum(group[1:], start=group[0]) for group in sums]).reshape(kh, kw, c, k)


def _bands(x: Array, shape: ConvShape, output_shape: tuple[int, int, int, int]) -> list[Band]:
    """Cut a batch into runs of whole images, or of rows of one image; by sizes alone, not by threads."""
    n, out_h, out_w, _ = output_shape
    pixel_bytes = shape.kernel[0] * shape.kernel[1] * x.shape[-1] * x.itemsize
    pixels = max(LEAST_PIXELS, min(BLOCK_BYTES // pixel_bytes, n * out_h * out_w // LEAST_BLOCKS))
    return list(product(runs(n, pixels // (out_h * out_w)), runs(out_h, pixels // out_w)))


def _columns(
    x: Array, shape: ConvShape, band: Band, out_w: int, kernel_rows: slice | None = None
) -> Array:
    """Lay out the windows of a band, of some kernel rows: (N * OH * OW, rows * kw * C), in the thread's memory."""
    images, rows = band
    n, out_h, (width, c) = images.stop - images.start, rows.stop - rows.start, x.shape[2:]
    cells = kernel_rows or slice(0, shape.kernel[0])
    walk = replace(shape, kernel=(cells.stop - cells.start, shape.kernel[1]))
    (ph, pw), reach = shape.padding, shape.dilation[0] * (walk.kernel[0] - 1) + 1
    top = rows.start * shape.stride[0] + cells.start * shape.dilation[0] - ph
    high = (out_h - 1) * shape.stride[0] + reach
    framed, columns = scratch(
        (n, high, width + 2 * pw, c), (n, out_h, out_w, *walk.kernel, c), dtype=x.dtype
    )
    _frame(x[images], framed, top, pw)
    columns[...] = im2col.windows(framed, walk, out_h, out_w)
    return columns.reshape(n * out_h * out_w, -1)


def _frame(x: Array, framed: Array, top: int, left: int) -> None:
    """Copy the rows of x from `top` on into `framed`, with zeros beyond the map's rows and columns."""
    first = min(max(0, -top), framed.shape[1])
    last = max(first, min(framed.shape[1], x.shape[1] - top))
    framed[:, :first] = 0
    framed[:, last:] = 0
    framed[:, first:last, :left] = 0
    framed[:, first:last, left + x.shape[2] :] = 0
    framed[:, first:last, left : left + x.shape[2]] = x[:, max(0, top) : max(0, top + last)]
