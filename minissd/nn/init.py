"""First values of the weights: random, and just so large that signals neither die out nor blow up on their way.

The numbers are drawn in float64 and then cast, so that a seed gives the same weights at every precision.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from minissd.errors import check, check_positive_int

FANS = ("average", "in", "out")


def fans(shape: Sequence[int], groups: int = 1) -> tuple[int, int]:
    """Count how many inputs an output sums up, and how many outputs an input reaches.

    Args:
        shape: Of the weights: (kh, kw, C / groups, K) of a convolution or (C, K) of a linear layer.
        groups: Of the convolution.

    Returns:
        (fan_in, fan_out): kh * kw * C / groups and kh * kw * K / groups.

    Raises:
        ValueError: The shape has another number of axes, or an empty one, or groups do not divide the outputs.
    """
    check(len(shape) in (2, 4), "shape", "(kh, kw, C / groups, K) or (C, K)", tuple(shape))
    *kernel, n_in, n_out = (check_positive_int(size, "shape") for size in shape)
    check(n_out % groups == 0, "groups", f"a divisor of {n_out} outputs", groups)
    area = math.prod(kernel)
    return area * n_in, area * n_out // groups


def xavier_uniform(
    shape: Sequence[int],
    rng: np.random.Generator,
    dtype: np.dtype | type = np.float32,
    fan: str = "average",
    groups: int = 1,
) -> np.ndarray:
    """Draw weights of variance 1 / fan, uniformly: for layers that are linear or nearly so.

    Args:
        shape: Of the weights, see `fans`.
        rng: Source of randomness.
        dtype: Of the result.
        fan: "average" of fan in and fan out, as Glorot and Bengio define it; "in" is what Caffe calls "xavier", and
            with it the authors of SSD trained.
        groups: Of the convolution.

    Returns:
        Array of the shape, uniform in +-sqrt(3 / fan).

    Source: Glorot and Bengio 2010, equation 16.
    """
    limit = math.sqrt(3 / _fan(shape, fan, groups))
    return rng.uniform(-limit, limit, tuple(shape)).astype(dtype)


def he_normal(
    shape: Sequence[int],
    rng: np.random.Generator,
    dtype: np.dtype | type = np.float32,
    fan: str = "in",
    groups: int = 1,
) -> np.ndarray:
    """Draw weights of variance 2 / fan, normally: the 2 makes up for the half that a ReLU silences.

    Args:
        shape: Of the weights, see `fans`.
        rng: Source of randomness.
        dtype: Of the result.
        fan: "in" keeps the size of the signals on the way forward, "out" that of the gradients on the way back.
        groups: Of the convolution.

    Returns:
        Array of the shape, normal with standard deviation sqrt(2 / fan).

    Source: He et al. 2015, "Delving Deep into Rectifiers", equations 10 and 14.
    """
    deviation = math.sqrt(2 / _fan(shape, fan, groups))
    return (rng.standard_normal(tuple(shape)) * deviation).astype(dtype)


def _fan(shape: Sequence[int], fan: str, groups: int) -> float:
    check(fan in FANS, "fan", " | ".join(FANS), fan)
    fan_in, fan_out = fans(shape, groups)
    return {"in": fan_in, "out": fan_out, "average": (fan_in + fan_out) / 2}[fan]
