"""Networks without first weights: for those whose weights are loaded right after, so that none are drawn in vain."""

from __future__ import annotations

from typing import Any

import numpy as np

from minissd.models.build import build_from_spec
from minissd.models.spec import DetectorSpec
from minissd.models.ssd import SSD


class Zeros(np.random.Generator):
    """A generator that draws nothing but zeros, at once (SSD300 draws 35 million numbers otherwise)."""

    def __init__(self) -> None:
        super().__init__(np.random.PCG64(0))

    def uniform(self, low: float = 0.0, high: float = 1.0, size: Any = None) -> np.ndarray:
        """Return zeros of a shape."""
        return np.zeros(size, np.float32)

    def standard_normal(self, size: Any = None, dtype: Any = None, out: Any = None) -> np.ndarray:
        """Return zeros of a shape."""
        return np.zeros(size, np.float32)


def build_blank(spec: DetectorSpec) -> SSD:
    """Build a network whose weights are zero.

    Args:
        spec: The configuration.

    Raises:
        ValueError: As `build_from_spec`.
    """
    return build_from_spec(spec, Zeros())
