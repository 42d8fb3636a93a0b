"""Small pictures, detections and true objects for the tests of plotting, and what stands in the axes afterwards."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from minissd.boxes.nms import Detections
from minissd.evaluation import Truth

NAMES = ["cat", "dog"]
A, B, C = (0.1, 0.2, 0.4, 0.6), (0.5, 0.5, 0.9, 0.9), (0.6, 0.05, 0.8, 0.3)


def picture(width: int = 80, height: int = 60, value: int = 128) -> np.ndarray:
    return np.full((height, width, 3), value, np.uint8)


def found(*boxes, labels=None, scores=None) -> Detections:
    n = len(boxes)
    return Detections(
        np.array(boxes, np.float32).reshape(n, 4),
        np.array(labels if labels is not None else [1] * n, np.int64),
        np.array(scores if scores is not None else [0.9] * n, np.float32),
    )


def truth(*boxes, labels=None, difficult=None) -> Truth:
    n = len(boxes)
    return Truth(
        np.array(boxes, np.float32).reshape(n, 4),
        np.array(labels if labels is not None else [1] * n, np.int64),
        np.array(difficult if difficult is not None else [False] * n),
    )


def rectangles(axes: Axes) -> list[Rectangle]:
    return [patch for patch in axes.patches if isinstance(patch, Rectangle)]


def colors(axes: Axes) -> list[str]:
    """Colours of the boxes, the topmost first."""
    return [to_hex(r.get_edgecolor()).upper() for r in rectangles(axes)[::-1]]


def texts(axes: Axes) -> list[str]:
    return [text.get_text() for text in axes.texts]


def legend_words(figure: Figure) -> list[str]:
    return [text.get_text() for legend in figure.legends for text in legend.get_texts()]
