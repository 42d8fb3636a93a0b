"""Activations: what makes a stack of linear maps more than one linear map.

They keep their output, which the next layer keeps anyway, and not their input. A map is worked through in runs of its
numbers, wherever these fall: one image is shared out among the threads as well as a batch. Where a convolution or a
normalisation stands before, that layer applies the activation itself, while a block of its output is in the cache
(`Layer.joins`).
"""

from __future__ import annotations

import math

from minissd.backend import Array, array_module
from minissd.nn.layer import Layer
from minissd.parallel import over_batch


class Rectifier(Layer):
    """min(max(x, 0), ceiling): what ReLU and ReLU6 have in common. At both ends the gradient is 0."""

    ceiling: float

    kept = ("output",)

    def forward(self, x: Array) -> Array:
        """Return x limited to [0, ceiling], elementwise."""
        xp = array_module(x)
        y = xp.empty(x.shape, x.dtype)
        numbers, results = x.reshape(-1), y.reshape(-1)
        # twice as fast in NumPy as a maximum with a number
        over_batch(lambda run: xp.clip(numbers[run], 0, self.ceiling, out=results[run]), numbers)
        return self.keep(y)

    def keep(self, y: Array) -> Array:
        """Take the output from a layer that has applied this one already, and return it."""
        self.output = y
        return y

    def backward(self, dy: Array) -> Array:
        """Let the gradient through where the output lay strictly between 0 and the ceiling."""
        xp = array_module(dy)
        dx = xp.empty(dy.shape, dy.dtype)
        gradients, outputs, results = dy.reshape(-1), self.output.reshape(-1), dx.reshape(-1)

        def gradient(run: slice) -> None:
            xp.multiply(gradients[run], self.open_where(outputs[run]), out=results[run])

        over_batch(gradient, gradients)
        return dx

    def open_where(self, y: Array) -> Array:
        """Return 1 where an output lets the gradient through, else 0, as numbers: products of truth values are slow."""
        is_open = y > 0
        if self.ceiling < math.inf:
            is_open &= y < self.ceiling
        return is_open.astype(y.dtype)


def can_join(layer: Layer, kind: type[Layer], after: Layer) -> bool:
    """Say whether `after` is an activation that a layer of this kind can apply; no subclass with own ways can."""
    as_written = type(layer).forward is kind.forward and type(layer).backward is kind.backward
    return as_written and type(after) in (ReLU, ReLU6)


class ReLU(Rectifier):
    """max(x, 0). At 0 itself the gradient is 0."""

    ceiling = math.inf


class ReLU6(Rectifier):
    """min(max(x, 0), 6), the activation of MobileNetV2. At 0 and 6 the gradient is 0."""

    ceiling = 6.0
