"""Linear: the fully connected layer, y = x @ w + b."""

from __future__ import annotations

import numpy as np

from minissd.backend import Array
from minissd.errors import check, check_positive_int
from minissd.nn import init
from minissd.nn.layer import Layer, Parameter


class Linear(Layer):
    """y = x @ weight + bias over the last axis.

    Args:
        in_features: C of the input (..., C).
        out_features: K of the output (..., K).
        bias: Whether to add one learnt number an output.
        rng: Source of the initial weights (He normal).
        dtype: Of the parameters.

    Attributes:
        weight: Parameter (C, K).
        bias: Parameter (K,) without weight decay, or None.
    """

    kept = ("_x",)

    def __init__(
        self,
        in_features: int,
        out_features: int,
        bias: bool = True,
        *,
        rng: np.random.Generator,
        dtype: np.dtype | type = np.float32,
    ):
        self.in_features = check_positive_int(in_features, "in_features")
        self.out_features = check_positive_int(out_features, "out_features")
        self.weight = Parameter(init.he_normal((in_features, out_features), rng, dtype=dtype))
        self.bias = Parameter(np.zeros(out_features, dtype), decay=False) if bias else None

    def forward(self, x: Array) -> Array:
        """Map (..., C) to (..., K)."""
        check(x.shape[-1] == self.in_features, "x", f"{self.in_features} features", tuple(x.shape))
        self._x = x
        y = x @ self.weight.value
        if self.bias is not None:
            y += self.bias.value
        return y

    def backward(self, dy: Array) -> Array:
        """Add dw = x.T @ dy and db = sum of dy; return dx = dy @ w.T."""
        rows, dy_rows = self._x.reshape(-1, self.in_features), dy.reshape(-1, self.out_features)
        self.weight.grad += rows.T @ dy_rows
        if self.bias is not None:
            self.bias.grad += dy_rows.sum(axis=0)
        return dy @ self.weight.value.T
