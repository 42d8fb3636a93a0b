"""Pooling: a map made smaller by keeping the maximum of each window, or made one pixel by its mean."""

from __future__ import annotations

from itertools import product

import numpy as np

from minissd.backend import Array, array_module
from minissd.cuda import BLOCK, Compiled, Kernels, narrow, pack_width, use_kernels
from minissd.errors import check
from minissd.nn.conv import Pair, pair
from minissd.nn.convolution.im2col import ConvShape
from minissd.nn.convolution.tiles import inside
from minissd.nn.layer import Layer
from minissd.parallel import BLOCK_BYTES, run_blocks, runs

KERNELS = Kernels(__file__, "pool.cu", half=True)
MOST_CELLS = 254  # of a window whose winner is noted in a byte


class MaxPool2d(Layer):
    """The maximum of each window; the gradient goes to the first pixel that holds it.

    Args:
        kernel_size: Height and width of the window.
        stride: Step of the window; the kernel size where not given.
        padding: Border on every side, which never wins (at most half the kernel).
        ceil_mode: Round the output size up, so that the last pixels are seen even when they do not fill a window
            (75 -> 38 with 2x2 windows, as Caffe's pooling does everywhere). A window that would begin in the right or
            bottom border is left out, as Caffe and PyTorch both define it.
    """

    kept = ("_x", "_y")

    def __init__(
        self,
        kernel_size: Pair,
        stride: Pair | None = None,
        padding: Pair = 0,
        ceil_mode: bool = False,
    ):
        kernel = pair(kernel_size, "kernel_size")
        steps = kernel if stride is None else pair(stride, "stride")
        border = pair(padding, "padding", minimum=0)
        half = tuple(k // 2 for k in kernel)
        check(border[0] <= half[0] and border[1] <= half[1], "padding", f"at most {half}", border)
        self.shape = ConvShape(kernel, steps, border)
        self.ceil_mode = ceil_mode

    def output_size(self, height: int, width: int) -> tuple[int, int]:
        """Return (height, width) of the output map."""
        if not self.ceil_mode:
            return self.shape.output_size(height, width)
        sizes = []
        for axis, size in enumerate((height, width)):
            k, s, p = self.shape.kernel[axis], self.shape.stride[axis], self.shape.padding[axis]
            out = -((k - size - 2 * p) // s) + 1  # ceil((size + 2p - k) / s) + 1
            sizes.append(out - 1 if (out - 1) * s >= size + p else out)
        return sizes[0], sizes[1]

    def forward(self, x: Array) -> Array:
        """Pool (N, H, W, C) into (N, OH, OW, C).

        Raises:
            ValueError: The map is smaller than the window.
        """
        xp = array_module(x)
        out_h, out_w = self.output_size(x.shape[1], x.shape[2])
        check(
            min(out_h, out_w) > 0,
            "x",
            f"a map no smaller than the window {self.shape.kernel}",
            x.shape,
        )
        y = xp.empty((len(x), out_h, out_w, x.shape[-1]), x.dtype)
        kernels = self._kernels(x)
        if kernels is not None:
            self._x, self._y, self._sizes = None, None, (*x.shape, out_h, out_w)
            self._winner = xp.empty(y.shape, "uint8")
            args = (xp.ascontiguousarray(x), y, self._winner, *self._sizes, *self._walk())
            kernels.launch("max_pool_forward", y.size // kernels.width, BLOCK, args)
            return y
        self._winner = None
        run_blocks(lambda block: self._pool(x, y, *block), _blocks(x, y, self.shape.stride[0]))
        self._x, self._y = x, y
        return y

    def _kernels(self, x: Array) -> Compiled | None:
        """Return the kernels for an array, or None."""
        if self.shape.kernel[0] * self.shape.kernel[1] > MOST_CELLS:
            return None
        return KERNELS.of(x, WIDTH=pack_width(x.shape[-1], x), NARROW=narrow(x))

    def _walk(self) -> tuple[int, ...]:
        return (*self.shape.kernel, *self.shape.stride, *self.shape.padding)

    def _pool(self, x: Array, y: Array, images: slice, rows: slice) -> None:
        """Pool some output rows: over the rows of each window first, where runs are longest, then over its columns."""
        xp, n_rows = array_module(x), rows.stop - rows.start
        highest = xp.empty((images.stop - images.start, n_rows, *x.shape[2:]), x.dtype)
        seen = [self._seen(0, i, rows, x.shape[1]) for i in range(self.shape.kernel[0])]
        _maximum(highest, [((slice(None), t), x[images, s]) for t, s in seen])
        columns = slice(0, y.shape[2])
        seen = [self._seen(1, j, columns, x.shape[2]) for j in range(self.shape.kernel[1])]
        target = y[images, rows]
        _maximum(target, [(_columns(t), highest[_columns(s)]) for t, s in seen])

    def _seen(self, axis: int, cell: int, outputs: slice, size: int) -> tuple[slice, slice]:
        """Return which of these outputs see a pixel with this cell of the window, and which pixels those are."""
        step, count = self.shape.stride[axis], outputs.stop - outputs.start
        return inside(count, outputs.start * step + cell - self.shape.padding[axis], step, size)

    def backward(self, dy: Array) -> Array:
        """Hand each window's gradient to the first pixel that holds its maximum; windows that share one add up."""
        xp, x = array_module(dy), self._x
        if self._winner is not None:
            return self._collect(dy)
        dx = xp.empty(x.shape, dy.dtype)
        # Then a thread needs whole images.
        windows_meet = self.shape.kernel[0] > self.shape.stride[0]
        blocks = _blocks(x, dy, self.shape.stride[0], whole_images=windows_meet)
        run_blocks(lambda block: self._hand_back(dy, dx, *block), blocks)
        return dx

    def _collect(self, dy: Array) -> Array:
        """Do the way back with kernels: each pixel collects from the windows that it won."""
        xp = array_module(dy)
        dx = xp.empty(self._sizes[:4], dy.dtype)
        dy = xp.ascontiguousarray(dy)
        with use_kernels(True):  # only the kernels know what the way there has kept
            kernels = KERNELS.of(dy, WIDTH=pack_width(dy.shape[-1], dy), NARROW=narrow(dx, dy))
        args = (dy, self._winner, dx, *self._sizes, *self._walk())
        kernels.launch("max_pool_backward", dx.size // kernels.width, BLOCK, args)
        return dx

    def _hand_back(self, dy: Array, dx: Array, images: slice, rows: slice) -> None:
        """Hand back the gradient of some output rows.

        Where each pixel is in exactly one window, what a cell of the windows gets is written at once; else dx begins
        with zeros, to which each cell adds.
        """
        xp, y, gradient = array_module(dy), self._y[images, rows], dy[images, rows]
        whole = self._covers(dx.shape[1:3], dy.shape[1:3])
        if not whole:
            dx[images, self._own_rows(rows, dy.shape[1], dx.shape[1])] = 0
        free = xp.ones(y.shape, bool)  # windows whose gradient nobody has yet
        for cell in product(*(range(k) for k in self.shape.kernel)):
            seeing, pixels = self._seen(0, cell[0], rows, dx.shape[1])
            columns, their_columns = self._seen(1, cell[1], slice(0, dy.shape[2]), dx.shape[2])
            place, target = (slice(None), seeing, columns), (images, pixels, their_columns)
            won = self._x[target] == y[place]
            won &= free[place]
            free[place] ^= won
            share = won.astype(dy.dtype)  # numbers: products of truth values are slow
            if whole:
                xp.multiply(gradient[place], share, out=dx[target])
            else:
                share *= gradient[place]
                dx[target] += share

    def _covers(self, size: tuple[int, int], output_size: tuple[int, int]) -> bool:
        """Say whether every pixel of a map is in one window and no more."""
        reach = (n * s for n, s in zip(output_size, self.shape.stride))
        apart = self.shape.kernel == self.shape.stride and self.shape.padding == (0, 0)
        return apart and all(r >= s for r, s in zip(reach, size))

    def _own_rows(self, rows: slice, out_h: int, height: int) -> slice:
        """Return the input rows that belong to a run of output rows; together those of all runs are all rows."""
        step, border = self.shape.stride[0], self.shape.padding[0]
        start = 0 if rows.start == 0 else rows.start * step - border
        return slice(start, height if rows.stop == out_h else rows.stop * step - border)


def _blocks(x: Array, y: Array, step: int, whole_images: bool = False) -> list[tuple[slice, slice]]:
    """Cut a batch into runs of images and output rows whose pixels fit the cache; by sizes alone, not by threads."""
    n, out_h = y.shape[:2]
    if array_module(x) is not np:
        return [(slice(0, n), slice(0, out_h))]
    row_bytes = step * x.shape[2] * x.shape[3] * x.itemsize
    rows = max(1, BLOCK_BYTES // (2 * max(1, row_bytes)))
    images = runs(n, rows // out_h)
    return list(product(images, [slice(0, out_h)] if whole_images else runs(out_h, rows)))


def _columns(part: slice) -> tuple[slice, slice, slice]:
    return slice(None), slice(None), part


def _maximum(target: Array, pieces: list[tuple[tuple[slice, ...], Array]]) -> None:
    """Write to `target` the maximum of pieces, each of which covers a part of it; what none covers is -inf."""
    xp = array_module(target)
    place, first = pieces[0]
    if target[place].shape == target.shape:
        target[...] = first
        pieces = pieces[1:]
    else:
        target[...] = -xp.inf
    for place, piece in pieces:
        xp.maximum(target[place], piece, out=target[place])


class GlobalAvgPool(Layer):
    """The mean over all pixels: (N, H, W, C) -> (N, 1, 1, C), a map of one cell."""

    def forward(self, x: Array) -> Array:
        """Average over height and width."""
        self._input_shape = n, h, w, c = x.shape
        kernels = KERNELS.of(x)
        if kernels is None or not h * w:
            return x.mean(axis=(1, 2), keepdims=True)
        xp = array_module(x)
        y = xp.empty((n, 1, 1, c), x.dtype)
        args = (xp.ascontiguousarray(x), y, h * w, c)
        kernels.launch("mean_forward", (-(-c // 32), n), (32, 8), args)
        return y

    def backward(self, dy: Array) -> Array:
        """Give every pixel an equal share of the gradient."""
        n, h, w, c = self._input_shape
        xp, kernels = array_module(dy), KERNELS.of(dy)
        if kernels is None:
            return xp.broadcast_to(dy / (h * w), self._input_shape).copy()
        dx = xp.empty(self._input_shape, dy.dtype)
        args = (xp.ascontiguousarray(dy), dx, n, h * w, c)
        kernels.launch("mean_backward", dx.size, BLOCK, args)
        return dx
