"""Pooling: a map made smaller by keeping the maximum of each window, or made one pixel by its mean."""

from __future__ import annotations

from minissd.backend import Array, array_module
from minissd.errors import check
from minissd.nn.conv import Pair, pair
from minissd.nn.convolution.im2col import ConvShape
from minissd.nn.layer import Layer


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
        framed = self._frame(x, out_h, out_w)
        y = framed[self.shape.window(0, 0, out_h, out_w)].copy()
        winner = xp.zeros(y.shape, xp.uint8 if self._n_cells <= 256 else xp.int32)
        for cell in range(1, self._n_cells):
            seen = framed[self._window(cell, out_h, out_w)]
            better = seen > y  # strictly: of equal pixels the first one wins
            xp.copyto(winner, cell, where=better)  # a mask as an index would make a GPU wait
            xp.maximum(y, seen, out=y)
        self._winner, self._input_shape, self._framed_shape = winner, x.shape, framed.shape
        return y

    def backward(self, dy: Array) -> Array:
        """Hand each window's gradient to the pixel that won it; windows that share a winner add up."""
        xp = array_module(dy)
        out_h, out_w = dy.shape[1:3]
        dx = xp.zeros(self._framed_shape, dy.dtype)
        for cell in range(self._n_cells):
            dx[self._window(cell, out_h, out_w)] += dy * (self._winner == cell)
        ph, pw = self.shape.padding
        return dx[:, ph : ph + self._input_shape[1], pw : pw + self._input_shape[2]]

    @property
    def _n_cells(self) -> int:
        return self.shape.kernel[0] * self.shape.kernel[1]

    def _window(self, cell: int, out_h: int, out_w: int) -> tuple[slice, slice, slice]:
        return self.shape.window(*divmod(cell, self.shape.kernel[1]), out_h, out_w)

    def _frame(self, x: Array, out_h: int, out_w: int) -> Array:
        """Put the map into a frame of -inf that is as large as the windows reach."""
        xp = array_module(x)
        (kh, kw), (sh, sw), (ph, pw) = self.shape.kernel, self.shape.stride, self.shape.padding
        n, h, w, c = x.shape
        rows = max((out_h - 1) * sh + kh, ph + h)
        columns = max((out_w - 1) * sw + kw, pw + w)
        if (rows, columns) == (h, w):
            return x
        framed = xp.full((n, rows, columns, c), -xp.inf, x.dtype)
        framed[:, ph : ph + h, pw : pw + w] = x
        return framed


class GlobalAvgPool(Layer):
    """The mean over all pixels: (N, H, W, C) -> (N, 1, 1, C), a map of one cell."""

    def forward(self, x: Array) -> Array:
        """Average over height and width."""
        self._input_shape = x.shape
        return x.mean(axis=(1, 2), keepdims=True)

    def backward(self, dy: Array) -> Array:
        """Give every pixel an equal share of the gradient."""
        _, h, w, _ = self._input_shape
        xp = array_module(dy)
        return xp.broadcast_to(dy / (h * w), self._input_shape).copy()
