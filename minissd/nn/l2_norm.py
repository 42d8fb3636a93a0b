"""L2 normalisation, which SSD applies to conv4_3."""

from __future__ import annotations

import numpy as np

from minissd.backend import Array, array_module
from minissd.errors import check, check_positive_int
from minissd.nn import device_norm
from minissd.nn.convolution.sums import channel_sums
from minissd.nn.device_norm import l2_kernels
from minissd.nn.layer import Layer, Parameter

L2_RULES = ("inside", "outside", "floor")  # where the epsilon of an L2 norm stands


class L2Normalize(Layer):
    """Scale the channel vector of every pixel to length one, then each channel by a learnt factor.

    SSD applies it to conv4_3, whose features are much larger than those of the later maps. What keeps an all-zero
    pixel from dividing by zero differs between the published codes. With |x| the root of the sum of squares:

    | rule    | divisor                  | found in                     |
    | ------- | ------------------------ | ---------------------------- |
    | inside  | sqrt(sum of x^2 + eps)   | the authors' Caffe, eps 1e-10 |
    | outside | |x| + eps                | ssd.pytorch, eps 1e-10       |
    | floor   | max(|x|, eps)            | torchvision, eps 1e-12       |

    Args:
        channels: C of the input (N, H, W, C).
        scale: Starting value of the learnt factors.
        eps: Keeps the divisor above zero.
        rule: "inside", "outside" or "floor", as above.
        dtype: Of the parameters.

    Attributes:
        scale: Parameter (C,).

    Source: Liu et al. 2016, section 3.1 (after ParseNet).
    """

    kept = ("_unit", "_inv_norm", "_x", "_divisors")

    def __init__(
        self,
        channels: int,
        scale: float = 20.0,
        eps: float = 1e-10,
        rule: str = "inside",
        dtype: np.dtype | type = np.float32,
    ):
        self.channels = check_positive_int(channels, "channels")
        check(rule in L2_RULES, "rule", " | ".join(L2_RULES), rule)
        self.eps, self.rule = eps, rule
        self.scale = Parameter(np.full(channels, scale, dtype), decay=False)

    def forward(self, x: Array) -> Array:
        """Return scale * x / (length of x over channels, kept above zero)."""
        check(x.shape[-1] == self.channels, "x", f"{self.channels} channels", tuple(x.shape))
        kernels = l2_kernels(x, self.scale.value.dtype)
        if kernels is not None:
            rule = L2_RULES.index(self.rule)
            y, self._divisors = device_norm.l2_normalise(
                kernels, x, self.scale.value, self.eps, rule
            )
            self._x = x
            return y
        self._divisors, xp = None, array_module(x)
        squares = (x * x).sum(axis=-1, keepdims=True)
        if self.rule == "inside":
            divisor, self._slope = xp.sqrt(squares + self.eps), 1
        else:
            divisor, self._slope = self._by_length(xp.sqrt(squares))
        self._inv_norm = 1 / divisor
        self._unit = x * self._inv_norm
        return self._unit * self.scale.value

    def _by_length(self, length: Array) -> tuple[Array, Array]:
        """Return the divisor D of rules "outside" and "floor", and D' D / |x|, by which the way back differs.

        Below the floor D' is 0. At x = 0 any finite number does, because there it is multiplied by x.
        """
        xp = array_module(length)
        if self.rule == "floor":
            return xp.maximum(length, self.eps), (length >= self.eps).astype(length.dtype)
        divisor = length + self.eps
        return divisor, divisor / xp.maximum(length, 1e-30)

    def backward(self, dy: Array) -> Array:
        """Return dx = (g - unit * <g, unit>) / norm with g = dy * scale: the part along the vector is taken out.

        With a divisor D(|x|) in place of the norm, <g, unit> is taken D' D / |x| times (1 for rule "inside").
        """
        if self._divisors is not None:
            return device_norm.l2_gradients(dy, self._x, self.scale, self._divisors)
        self.scale.grad += channel_sums(dy * self._unit)
        g = dy * self.scale.value
        along = (g * self._unit).sum(axis=-1, keepdims=True) * self._slope
        return (g - self._unit * along) * self._inv_norm
