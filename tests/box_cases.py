"""Boxes for the tests: random ones, and hypothesis strategies that like to touch, to coincide and to have no area."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st


def random_boxes(rng: np.random.Generator, n: int, dtype=np.float64) -> np.ndarray:
    """Return (n, 4) corners in [0, 1], sides from 0.05 to 0.5 where the border leaves room."""
    low = rng.uniform(0, 0.9, (n, 2))
    side = rng.uniform(0.05, 0.5, (n, 2))
    return np.concatenate([low, np.minimum(low + side, 1)], axis=1).astype(dtype)


@st.composite
def grid_boxes(draw, min_size: int = 0, max_size: int = 12, least_side: int = 0, cells: int = 8):
    """Draw (n, 4) float64 corners on a grid of 1/8: exact in binary, so ties and IoU of 1/2 do occur."""
    n = draw(st.integers(min_size, max_size))
    position = st.integers(0, cells - least_side)
    boxes = []
    for _ in range(n):
        x, y = draw(position), draw(position)
        right = draw(st.integers(x + least_side, cells))
        bottom = draw(st.integers(y + least_side, cells))
        boxes.append([x / cells, y / cells, right / cells, bottom / cells])
    return np.array(boxes, dtype=np.float64).reshape(n, 4)
