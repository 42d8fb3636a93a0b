"""A page of panels whose places are settled before anything is drawn, and the legend under it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from minissd.errors import check
from minissd.plotting.boxes import legend_lines
from minissd.plotting.style import DPI, NORMAL, QUIET, SMALL, WIDTH, mark

MARGIN, GAP, TITLE, LEGEND, HEAD = 0.12, 0.12, 0.27, 0.36, 0.36  # inches
TALLEST = 1.0  # times its width: a taller picture is shown smaller


def new_figure(height: float, width: float = WIDTH) -> Figure:
    """Return an empty figure that belongs to no window and no global state.

    Args:
        height: Inches.
        width: Inches.
    """
    figure = Figure(figsize=(width, height), dpi=DPI, facecolor="white")
    FigureCanvasAgg(figure)
    return figure


def image_grid(
    images: Sequence[np.ndarray],
    columns: int,
    marks: Sequence[str] = (),
    heading: str | None = None,
) -> tuple[Figure, list[Axes]]:
    """Lay out one panel an image, row by row, with room for a title above each and a legend below them all.

    Args:
        images: Each of shape (H, W, 3); None leaves a place empty.
        columns: Panels side by side.
        marks: Kinds of boxes that the legend explains.
        heading: Line above all.

    Returns:
        The figure, and the axes of the images in their order.
    """
    check(len(images) > 0, "images", "at least one", len(images))
    columns = min(columns, len(images))
    panel = (WIDTH - 2 * MARGIN - (columns - 1) * GAP) / columns
    panel = min(panel, 0.62 * WIDTH)
    left = (WIDTH - columns * panel - (columns - 1) * GAP) / 2
    rows = [images[start : start + columns] for start in range(0, len(images), columns)]
    heights = [panel * min(TALLEST, max(_slimness(image) for image in row)) for row in rows]
    head, foot = (HEAD if heading else 0), (LEGEND if marks else MARGIN)
    total = head + sum(heights) + len(rows) * (TITLE + GAP / 2) + foot
    figure = new_figure(total)
    axes, top = [], total - head
    for row, height in zip(rows, heights):
        bottom = top - TITLE - height
        for column, image in enumerate(row):
            if image is None:
                continue
            x = left + column * (panel + GAP)
            place = (x / WIDTH, bottom / total, panel / WIDTH, height / total)
            axes.append(figure.add_axes(place, anchor="N"))
        top = bottom - GAP / 2
    if heading:
        y = 1 - 0.5 * HEAD / total
        figure.text(
            0.5, y, heading, ha="center", va="center", fontsize=NORMAL + 1, parse_math=False
        )
    if marks:
        _legend(figure, marks, 0.5 * LEGEND / total)
    return figure, axes


def set_title(axes: Axes, title: str | None) -> None:
    """Write a line above a panel, cut to the panel's width."""
    if title:
        room = int(axes.get_position().width * WIDTH * 72 / (SMALL * 0.52))
        title = title if len(title) <= room else title[: room - 1] + "…"
        axes.set_title(title, fontsize=SMALL, pad=3, parse_math=False)


def write_heading(figure: Figure, text: str) -> None:
    """Write a line above all panels."""
    y = 1 - 0.22 / figure.get_size_inches()[1]
    figure.text(0.5, y, text, ha="center", va="center", fontsize=NORMAL + 1, parse_math=False)


def plain_axes(axes: Axes) -> None:
    """Draw a quiet frame: no box, a pale grid behind what is drawn, small numbers."""
    axes.grid(color="#E6E6E6", linewidth=0.6)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(QUIET)
    axes.tick_params(labelsize=SMALL - 0.5, color=QUIET, length=2.5)


def _slimness(image: np.ndarray | None) -> float:
    return 0.0 if image is None else image.shape[0] / image.shape[1]


def _legend(figure: Figure, marks: Sequence[str], y: float) -> None:
    figure.legend(
        handles=[legend_lines(name) for name in marks],
        labels=[mark(name).words for name in marks],
        loc="center",
        bbox_to_anchor=(0.5, y),
        ncols=len(marks),
        frameon=False,
        fontsize=SMALL + 0.5,
        handlelength=2.6,
    )
