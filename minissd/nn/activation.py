"""Activations: what makes a stack of linear maps more than one linear map."""

from __future__ import annotations

from minissd.backend import Array, array_module
from minissd.nn.layer import Layer
from minissd.parallel import over_batch


class ReLU(Layer):
    """max(x, 0). At 0 itself the gradient is 0."""

    def forward(self, x: Array) -> Array:
        """Return max(x, 0), elementwise."""
        xp = array_module(x)
        y = self._y = xp.empty_like(x)
        over_batch(lambda block: xp.maximum(x[block], 0, out=y[block]), x)
        return y

    def backward(self, dy: Array) -> Array:
        """Let the gradient through where the output was positive."""
        xp, y = array_module(dy), self._y
        dx = xp.empty_like(dy)

        def gradient(block: slice) -> None:
            positive = (y[block] > 0).astype(dy.dtype)
            xp.multiply(dy[block], positive, out=dx[block])

        over_batch(gradient, dy)
        return dx


class ReLU6(Layer):
    """min(max(x, 0), 6), the activation of MobileNetV2. At 0 and 6 the gradient is 0."""

    def forward(self, x: Array) -> Array:
        """Return x limited to [0, 6], elementwise."""
        xp = array_module(x)
        y = self._y = xp.empty_like(x)
        over_batch(lambda block: xp.clip(x[block], 0, 6, out=y[block]), x)
        return y

    def backward(self, dy: Array) -> Array:
        """Let the gradient through where the input lay strictly between 0 and 6."""
        xp, y = array_module(dy), self._y
        dx = xp.empty_like(dy)

        def gradient(block: slice) -> None:
            inside = y[block] > 0
            inside &= y[block] < 6
            xp.multiply(dy[block], inside.astype(dy.dtype), out=dx[block])

        over_batch(gradient, dy)
        return dx
