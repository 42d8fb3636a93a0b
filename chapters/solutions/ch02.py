"""Chapter 2: solutions. Try for yourself first; the checks' hints take you further than reading does."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np


class ScaleShift:
    """Every channel times its scale, plus its shift."""

    def __init__(self, channels: int):
        self.scale, self.shift = np.ones(channels), np.zeros(channels)
        self.dscale, self.dshift = np.zeros(channels), np.zeros(channels)

    def forward(self, x: np.ndarray) -> np.ndarray:
        """The scale's way back needs the input."""
        self.x = x
        return x * self.scale + self.shift

    def backward(self, dy: np.ndarray) -> np.ndarray:
        """Both were used in every row, so both gather over the rows."""
        self.dscale += (dy * self.x).sum(axis=0)
        self.dshift += dy.sum(axis=0)
        return dy * self.scale


# a) sums of rows against sums of columns: differs. b) too small by N: found with any dy. c) With ones, the first row
# times N is the sum: passes. d) After one backward from zero, adding and overwriting are the same: passes with any dy.
found_by_ones = [True, True, False, False]


def central(function: Callable[[float], float], x: float, h: float) -> float:
    """The two points are 2 h apart."""
    return (function(x + h) - function(x - h)) / (2 * h)


def maximum_backward(a: np.ndarray, b: np.ndarray, dy: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The gradient goes where the number came from."""
    from_a = a >= b
    return dy * from_a, dy * ~from_a
