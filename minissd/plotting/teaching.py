"""Building blocks of the chapters' figures: panels of a given width, a grid to count on, arrows, numbers in cells."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from minissd.errors import check_shape
from minissd.plotting.boxes import draw_boxes, legend_lines
from minissd.plotting.grid import new_figure, plain_axes
from minissd.plotting.style import NORMAL, QUIET, SMALL, WIDTH, mark

PAPER = 240  # grey of the ground that boxes without a picture are drawn on
ARROW = {"arrowstyle": "<->", "color": "black", "linewidth": 1.3, "shrinkA": 0, "shrinkB": 0}
TAG = {"boxstyle": "square,pad=0.2", "facecolor": "white", "edgecolor": "none", "alpha": 0.85}


def row_of_panels(
    widths: Sequence[float],
    height: float,
    marks: Sequence[str] = (),
    left: float = 0.15,
    gap: float = 0.3,
    foot: float = 0.15,
) -> tuple[Figure, list[Axes]]:
    """Return panels side by side, with room for a title above each and a legend below them all.

    Args:
        widths: Inches, one a panel; together with margins and gaps at most `style.WIDTH`, or they are shrunk to it.
        height: Of every panel, inches.
        marks: Kinds of boxes that the legend explains.
        left: Inches to the left of the first panel.
        gap: Inches between two panels.
        foot: Inches below the panels, for their axes' labels.
    """
    room = WIDTH - left - gap * (len(widths) - 1) - 0.15
    shrink = min(1.0, room / sum(widths))
    spare = (room - shrink * sum(widths)) / 2
    legend = 0.3 if marks else 0.0
    total = 0.32 + height * shrink + foot + legend
    figure, panels, x = new_figure(total), [], left + spare
    for width in widths:
        place = (x, foot + legend, width * shrink, height * shrink)
        panels.append(figure.add_axes(np.divide(place, (WIDTH, total, WIDTH, total))))
        x += width * shrink + gap
    if marks:
        figure.legend(
            handles=[legend_lines(name) for name in marks],
            labels=[mark(name).words for name in marks],
            loc="center",
            bbox_to_anchor=(0.5, 0.5 * legend / total),
            ncols=len(marks),
            frameon=False,
            fontsize=SMALL + 0.5,
            handlelength=2.6,
        )
    return figure, panels


def draw_on_grid(
    axes: Axes,
    boxes: np.ndarray,
    texts: Sequence[str | None] | None = None,
    marks: str | Sequence[str] = "box",
    cells: int = 10,
) -> None:
    """Draw boxes on squared paper whose squares can be counted; the unit of the axes is a square.

    Args:
        axes: Where to draw.
        boxes: Shape (N, 4), float, corners as fractions; the first is drawn on top.
        texts: Label of each box.
        marks: What each box is.
        cells: Squares a side.
    """
    paper = np.full((cells, cells, 3), PAPER, np.uint8)
    draw_boxes(axes, paper, boxes, texts, marks)
    names = [marks] * len(boxes) if isinstance(marks, str) else marks
    for box, name in zip(np.asarray(boxes) * cells, names):
        if name == "object":  # filled, so that it is seen under boxes that share its edges
            fill_box(axes, box, mark(name).color, 0.35)
    ticks = np.arange(cells + 1)
    axes.set_xticks(ticks)
    axes.set_yticks(ticks)
    axes.grid(color="#C8C8C8", linewidth=0.7)
    axes.set_axisbelow(True)
    axes.tick_params(labelsize=SMALL, length=0, color=QUIET)
    axes.xaxis.tick_top()


def pale(image: np.ndarray) -> np.ndarray:
    """Return a pale grey version of a picture (H, W, 3), on which every colour means a mark."""
    grey = np.asarray(image, float).mean(axis=2, keepdims=True).repeat(3, axis=2)
    return (0.35 * grey + 0.65 * 255).astype(np.uint8)


def fill_box(axes: Axes, box: np.ndarray, color: str, alpha: float = 1.0) -> None:
    """Fill a box (corners in the units of the axes) with a colour, under the grid; nothing where it has no area."""
    left, top, right, bottom = box
    if right > left and bottom > top:
        place = ((left, top), right - left, bottom - top)
        axes.add_patch(Rectangle(*place, facecolor=color, alpha=alpha, linewidth=0, zorder=0.4))


def title(axes: Axes, words: str) -> None:
    """Write a line above a panel, in the size that all figures of the chapters use."""
    axes.set_title(words, fontsize=NORMAL, pad=5, parse_math=False)


def curve_axes(axes: Axes, x: str, y: str) -> None:
    """Make axes quiet and name both."""
    plain_axes(axes)
    axes.set_xlabel(x, fontsize=NORMAL)
    axes.set_ylabel(y, fontsize=NORMAL)
    axes.tick_params(labelsize=SMALL)


def number_table(
    axes: Axes,
    values: np.ndarray,
    rows: Sequence[str],
    columns: Sequence[str],
    form: str = "{:.2f}",
    top: float = 1.0,
) -> None:
    """Draw a matrix as shaded cells with their numbers in them: 0 is white, `top` the darkest.

    Args:
        axes: Where to draw.
        values: Shape (R, C), float, not negative.
        rows: Name of each row.
        columns: Name of each column.
        form: How a number is written.
        top: The value of the darkest shade.
    """
    values = np.asarray(values, float)
    check_shape(values, (len(rows), len(columns)), "values")
    axes.imshow(values, cmap="Greys", vmin=0, vmax=1.6 * top, aspect="auto")
    for (row, column), value in np.ndenumerate(values):
        ink = "white" if value > 0.8 * top else "black"
        axes.text(
            column, row, form.format(value), ha="center", va="center", fontsize=NORMAL, color=ink
        )
    axes.set_xticks(range(len(columns)), columns, fontsize=NORMAL)
    axes.set_yticks(range(len(rows)), rows, fontsize=NORMAL)
    axes.tick_params(length=0, top=True, labeltop=True, bottom=False, labelbottom=False)
    axes.spines[:].set_visible(False)


def measure(axes: Axes, start: tuple[float, float], stop: tuple[float, float], words: str) -> None:
    """Draw an arrow with two heads between two points, and what it measures at its middle."""
    axes.annotate("", stop, start, arrowprops=ARROW, zorder=5)
    middle = (np.array(start) + stop) / 2
    axes.text(
        *middle, words, ha="center", va="center", fontsize=NORMAL, bbox=TAG, zorder=6
    ).set_parse_math(False)
