"""What every chapter shares: one scene, one toy example, one way to show a picture, and the fast profile.

A chapter begins with `from course import ...`; notebooks run in their own folder, where this file lies.
"""

from __future__ import annotations

import io
import os
from typing import NamedTuple

import numpy as np
from IPython.display import Image as Shown
from matplotlib.figure import Figure
from PIL import Image

from minissd.datasets.sample import Sample
from minissd.datasets.shapes import SHAPE_CLASSES, draw_scene

FAST = os.environ.get("MINISSD_FAST", "0") not in ("", "0")  # tests: fewer steps, smaller sets
STATIC = os.environ.get("MINISSD_STATIC", "0") not in ("", "0")  # while a notebook is being saved
SHOWN_WIDTH = 900  # pixels: what GitHub shows without shrinking it
SIDE = 300  # pixels of the scene's sides, which are also SSD300's
CLASSES = SHAPE_CLASSES

_SCENE = 87  # the seed whose picture has five objects of four classes, from 27 to 182 pixels


class Toy(NamedTuple):
    """Two objects and five boxes on a grid of ten by ten, small enough to be worked by hand.

    Attributes:
        objects: Shape (2, 4), float64, corners as fractions: A and B.
        boxes: Shape (5, 4), float64, corners as fractions: box 1 to 5.
        labels: Shape (2,), int64: the classes of A and B, counted from 1.
    """

    objects: np.ndarray
    boxes: np.ndarray
    labels: np.ndarray


def scene() -> Sample:
    """Return the picture that runs through all chapters: `image`, `boxes` and `labels` of five objects.

    The objects are, in this order: star (medium), circle (large), ring (large), cross (small), circle (small).
    """
    rng = np.random.default_rng(_SCENE)
    return draw_scene(rng, size=(SIDE, SIDE), n_objects=5, scale=(0.09, 0.6))


def toy() -> Toy:
    """Return the toy example; every overlap in it is a fraction that can be worked in the head."""
    objects = [(1, 2, 5, 6), (3, 1, 7, 7)]
    boxes = [(1, 4, 3, 8), (1, 1, 4, 7), (2, 2, 6, 6), (5, 3, 8, 7), (5, 8, 9, 10)]
    return Toy(np.array(objects) / 10, np.array(boxes) / 10, np.array([1, 2]))


def show(figure: Figure, alt: str) -> Shown:
    """Return a figure as the picture that a notebook shows and saves.

    Args:
        figure: From `minissd.plotting`.
        alt: What the picture shows, in one sentence, for readers who cannot see it.
    """
    return Shown(data=png(figure), format="png", alt=alt)


def png(figure: Figure) -> bytes:
    """Return a figure as a small PNG file: at most 256 colours, as wide as GitHub shows it."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=SHOWN_WIDTH / figure.get_size_inches()[0])
    picture = Image.open(buffer).convert("RGB")
    small = picture.quantize(256, method=Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE)
    buffer = io.BytesIO()
    small.save(buffer, format="png", optimize=True)
    return buffer.getvalue()
