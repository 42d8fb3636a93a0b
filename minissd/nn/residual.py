"""Residual: a detour around some layers, so that they only have to learn what to add."""

from __future__ import annotations

from minissd.backend import Array, array_module
from minissd.errors import check
from minissd.nn.layer import Layer, Sequential
from minissd.parallel import over_batch


class Residual(Layer):
    """y = x + body(x): the gradient takes both ways, and so reaches early layers unhindered.

    Args:
        layers: The body, one after another; it must keep the shape.

    Source: He, Zhang, Ren and Sun 2016 ("Deep residual learning"), equation 1.
    """

    def __init__(self, *layers: Layer):
        self.body = Sequential(*layers)

    def forward(self, x: Array) -> Array:
        """Return x + body(x).

        Raises:
            ValueError: The body changes the shape.
        """
        y = self.body.forward(x)
        check(y.shape == x.shape, "body", f"an output of shape {tuple(x.shape)}", tuple(y.shape))
        return add(x, y)

    def backward(self, dy: Array) -> Array:
        """Return dy, which came past the body, plus what comes back through it."""
        return add(dy, self.body.backward(dy))


def add(one: Array, other: Array) -> Array:
    """Return one + other, on all threads; neither may be written to, as the layer that made it may have kept it."""
    xp = array_module(one, other)
    total = xp.empty(one.shape, one.dtype)
    over_batch(lambda block: xp.add(one[block], other[block], out=total[block]), total)
    return total
