"""Dropout: in training, silence a random part of the numbers so that none is relied upon alone."""

from __future__ import annotations

import numpy as np

from minissd.backend import Array, array_module, to_device
from minissd.errors import check
from minissd.nn.layer import Layer


class Dropout(Layer):
    """Zero each number with probability `p` and scale the others by 1 / (1 - p); the identity in evaluation.

    Args:
        p: Probability of zero, 0 <= p < 1.
        rng: Source of the masks. Drawn on the host, so that a seed gives the same masks on every device.
    """

    kept = ("_mask",)

    def __init__(self, p: float, rng: np.random.Generator):
        check(0 <= p < 1, "p", "a probability in [0, 1)", p)
        self.p = p
        self.rng = rng

    def forward(self, x: Array) -> Array:
        """Return x with a fresh random mask, or x itself in evaluation mode."""
        if not self.training or self.p == 0:
            self._mask = None
            return x
        kept = self.rng.random(x.shape, dtype=np.float32) >= self.p
        mask = kept.astype(x.dtype) / (1 - self.p)
        self._mask = to_device(mask, array_module(x))
        return x * self._mask

    def backward(self, dy: Array) -> Array:
        """Pass the gradient through the mask of the last forward."""
        return dy if self._mask is None else dy * self._mask
