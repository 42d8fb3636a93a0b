"""Boxes on a picture in Matplotlib axes: the base of every figure that shows images."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.font_manager import FontProperties
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle
from matplotlib.textpath import text_to_path

from minissd.errors import check, check_shape
from minissd.plotting.labels import place_labels
from minissd.plotting.style import ink_on, mark

HALO = (
    0.0,
    0.0,
    0.0,
    0.55,
)  # a dark line under every box, so that light colours show on light pictures


def show_image(axes: Axes, image: np.ndarray) -> None:
    """Show a picture in axes whose unit is its pixel, from the top left corner (0, 0) to (W, H).

    Args:
        axes: Where to draw.
        image: Shape (H, W, 3), uint8, RGB.
    """
    check_shape(image, ("H", "W", 3), "image")
    height, width = image.shape[:2]
    axes.imshow(image, extent=(0, width, height, 0))
    axes.set(xlim=(0, width), ylim=(height, 0), xticks=[], yticks=[])
    for spine in axes.spines.values():
        spine.set(linewidth=0.5, color="#BBBBBB")


def draw_boxes(
    axes: Axes,
    image: np.ndarray,
    boxes: np.ndarray,
    texts: Sequence[str | None] | None = None,
    marks: str | Sequence[str] = "object",
) -> None:
    """Show a picture with boxes on it; lines and letters suit the size at which the axes show it.

    Args:
        axes: Where to draw; its place in the figure should be settled.
        image: Shape (H, W, 3), uint8, RGB.
        boxes: Shape (N, 4), float, corners as fractions of the image; the first is drawn on top and chooses the place
            of its label first.
        texts: Label of each box; None or "" for no label.
        marks: What each box is (or all of them): a key of `minissd.plotting.style.MARKS`.

    Raises:
        ValueError: Counts differ, or there is no such mark.
    """
    boxes = np.asarray(boxes, float)
    check_shape(boxes, ("N", 4), "boxes")
    texts = [None] * len(boxes) if texts is None else list(texts)
    marks = [marks] * len(boxes) if isinstance(marks, str) else list(marks)
    check(len(texts) == len(boxes), "texts", f"{len(boxes)} entries", len(texts))
    check(len(marks) == len(boxes), "marks", f"{len(boxes)} entries", len(marks))
    show_image(axes, image)
    height, width = image.shape[:2]
    points = _points_per_pixel(axes, width)
    shown_side = np.sqrt(width * height) * points
    line = float(np.clip(shown_side * 0.007, 0.9, 2.5))
    pixels = boxes * [width, height, width, height]
    _draw_frames(axes, pixels, marks, line)
    _draw_texts(
        axes, pixels, texts, marks, float(np.clip(shown_side * 0.042, 6.5, 10)) / points, points
    )


def legend_lines(name: str) -> tuple[Line2D, Line2D]:
    """Return the lines, one over the other, that stand for a kind of box in a legend."""
    style = mark(name)
    halo = Line2D([], [], color="#666666", linewidth=3)
    return halo, Line2D([], [], color=style.color, linestyle=style.dashes, linewidth=1.8)


def _points_per_pixel(axes: Axes, width: int) -> float:
    axes.apply_aspect()
    return axes.bbox.width * 72 / axes.figure.dpi / width


def _draw_frames(axes: Axes, pixels: np.ndarray, marks: list[str], line: float) -> None:
    for order, (box, name) in enumerate(zip(pixels[::-1], marks[::-1])):
        (left, top, right, bottom), style = box, mark(name)
        ring = [(left, top), (right, top), (right, bottom), (left, bottom), (left, top)]
        depth = 2 + order / (len(pixels) + 1)
        axes.add_collection(
            LineCollection([ring], colors=[HALO], linewidths=line + 1.2, zorder=depth),
            autolim=False,
        )
        frame = Rectangle(
            (left, top),
            right - left,
            bottom - top,
            fill=False,
            edgecolor=style.color,
            linestyle=style.dashes,
            linewidth=line,
            zorder=depth,
        )
        axes.add_patch(frame)


def _draw_texts(
    axes: Axes,
    pixels: np.ndarray,
    texts: list[str | None],
    marks: list[str],
    size: float,
    points: float,
) -> None:
    """Write the labels; `size` is the font's in pixels of the image, of which each is `points` points wide."""
    rows = [row for row, text in enumerate(texts) if text]
    pad = 0.22 * size
    sizes = [(unit_width(texts[row]) * size + 2 * pad, size * 1.3) for row in rows]
    height, width = axes.get_ylim()[0], axes.get_xlim()[1]
    places = place_labels(pixels[rows], np.array(sizes).reshape(-1, 2), width, height)
    for row, place in zip(rows, places):
        color = mark(marks[row]).color
        text = axes.text(
            place[0] + pad,
            (place[1] + place[3]) / 2,
            texts[row],
            color=ink_on(color),
            fontsize=size * points,
            verticalalignment="center_baseline",
            bbox={"boxstyle": "square,pad=0.15", "facecolor": color, "edgecolor": "none"},
            zorder=4,
            clip_on=True,
        )
        text.set_parse_math(False)  # a class may be called "$"


@lru_cache(maxsize=2048)
def unit_width(text: str) -> float:
    """Return the width of a text in letters of size 1; at another size it is that many times as wide."""
    size = 100.0
    prop = FontProperties(size=size)
    return text_to_path.get_text_width_height_descent(text, prop, ismath=False)[0] / size
