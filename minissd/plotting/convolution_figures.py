"""Windows, rows and what a cell sees: the figures of the third chapter."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from minissd.errors import check, check_shape
from minissd.plotting.boxes import draw_boxes, show_image
from minissd.plotting.style import CURVES, MEASURE, NORMAL, QUIET, SMALL
from minissd.plotting.teaching import curve_axes, number_table, row_of_panels, title

WINDOWS = ("#332288", "#AA7744", "#882255", "#999933")  # colours of windows that are compared
PALE = "#E6E6E6"


def filter_figure(image: np.ndarray, kernel: np.ndarray, response: np.ndarray) -> Figure:
    """Show a picture, a small kernel of numbers, and what the kernel answers at every pixel.

    Args:
        image: Shape (H, W, 3), uint8, RGB.
        kernel: Shape (kh, kw), float.
        response: Shape (H', W'), float; 0 is drawn grey.
    """
    check_shape(response, ("H", "W"), "response")
    figure, (left, middle, right) = row_of_panels([2.9, 1.3, 2.9], 2.9, gap=0.3)
    show_image(left, image)
    title(left, "x")
    reach = np.abs(response).max() or 1.0
    right.imshow(response, cmap="gray", vmin=-reach, vmax=reach)
    right.set(xticks=[], yticks=[])
    title(right, "y")
    middle.imshow(
        kernel, cmap="gray", vmin=-2 * np.abs(kernel).max(), vmax=2 * np.abs(kernel).max()
    )
    for (row, column), value in np.ndenumerate(kernel):
        middle.text(column, row, f"{value:g}", ha="center", va="center", fontsize=NORMAL)
    middle.set(xticks=[], yticks=[])
    title(middle, "w")
    return figure


def rows_figure(grid: np.ndarray, rows: np.ndarray, kernel: int, weights: np.ndarray) -> Figure:
    """Show the windows of a small map in colours, the matrix whose rows they become, and the product with the weights.

    Args:
        grid: Shape (H, W), numbers of the map.
        rows: Shape (OH * OW, k * k): the windows as rows.
        kernel: Side k of a window; one of stride 1.
        weights: Shape (k * k,): the kernel as a column.
    """
    check(len(rows) <= len(WINDOWS), "rows", f"at most {len(WINDOWS)}", len(rows))
    across = grid.shape[1] - kernel + 1
    figure, (left, middle, right) = row_of_panels([1.9, 4.1, 0.45], 1.9, left=0.1, gap=0.35)
    _numbers(left, grid)
    for number in range(len(rows)):
        row, column = divmod(number, across)
        inset = 0.04 + 0.055 * number
        place = (column - 0.5 + inset, row - 0.5 + inset)
        side = kernel - 2 * inset
        style = {"fill": False, "edgecolor": WINDOWS[number], "linewidth": 2.2}
        left.add_patch(Rectangle(place, side, side, **style))
    title(left, "four windows")
    _numbers(middle, rows)
    for number in range(len(rows)):
        style = {"fill": False, "edgecolor": WINDOWS[number], "linewidth": 2.2}
        middle.add_patch(Rectangle((-0.46, number - 0.42), rows.shape[1] - 0.08, 0.84, **style))
    title(middle, "four rows")
    _numbers(right, (rows @ weights)[:, None])
    title(right, "@ w")
    return figure


def _numbers(axes: Axes, values: np.ndarray) -> None:
    axes.imshow(np.ones(values.shape), cmap="gray", vmin=0, vmax=1, aspect="auto")
    for (row, column), value in np.ndenumerate(values):
        axes.text(column, row, f"{value:g}", ha="center", va="center", fontsize=NORMAL)
    for line in range(values.shape[1] + 1):
        axes.axvline(line - 0.5, color=PALE, linewidth=0.8)
    for line in range(values.shape[0] + 1):
        axes.axhline(line - 0.5, color=PALE, linewidth=0.8)
    axes.set(xticks=[], yticks=[])
    axes.spines[:].set_visible(False)


def counts_figure(counts: Mapping[str, np.ndarray]) -> Figure:
    """Show how many windows read each pixel of a map.

    Args:
        counts: For each title (H, W), whole numbers.
    """
    side = min(2.4, 7.3 / len(counts) - 0.25)
    figure, panels = row_of_panels([side] * len(counts), side, gap=0.25)
    top = max(each.max() for each in counts.values())
    for axes, (name, values) in zip(panels, counts.items()):
        empty = [""] * len(values)
        number_table(axes, values, empty, [""] * values.shape[1], "{:.0f}", top)
        axes.tick_params(top=False)
        title(axes, name)
    return figure


def walk_figure(size: int, kernel: int, stride: int, padding: int, dilation: int) -> Figure:
    """Show in one dimension which inputs each output reads.

    Args:
        size: Inputs.
        kernel: Taps of a window.
        stride: Inputs from one window to the next.
        padding: Zeros on both sides.
        dilation: Inputs from one tap to the next.
    """
    reach = dilation * (kernel - 1) + 1
    outputs = max((size + 2 * padding - reach) // stride + 1, 0)
    figure, (axes,) = row_of_panels([7.4], 1.9)
    for place in range(-padding, size + padding):
        inside = 0 <= place < size
        shade = PALE if inside else "white"
        style = {"facecolor": shade, "edgecolor": QUIET, "linestyle": "-" if inside else ":"}
        axes.add_patch(Rectangle((place, 0), 0.9, 0.6, **style))
    for number in range(outputs):
        start = number * stride - padding
        color = WINDOWS[number % len(WINDOWS)]
        middle = start + (reach - 1) / 2
        axes.add_patch(Rectangle((middle, 2.2), 0.9, 0.6, facecolor=color, alpha=0.85))
        for tap in range(kernel):
            x = start + tap * dilation + 0.45
            axes.plot([middle + 0.45, x], [2.2, 0.6], color=color, linewidth=1.3)
    axes.set(xlim=(-padding - 0.4, size + padding + 0.3), ylim=(-0.2, 3.1))
    axes.set_axis_off()
    formula = f"({size} + 2 * {padding} - {reach}) // {stride} + 1 = {outputs}"
    title(axes, f"{size} inputs, {outputs} outputs: {formula}")
    return figure


def pooling_figure(size: int, kernel: int, stride: int) -> Figure:
    """Show the windows of a pooling over a row of cells, with the last one left out and with it let hang over.

    Args:
        size: Cells.
        kernel: Cells of a window.
        stride: Cells from one window to the next.
    """
    floor = (size - kernel) // stride + 1
    ceil = -((kernel - size) // stride) + 1
    figure, panels = row_of_panels([7.4], 1.9, left=0.2)
    axes = panels[0]
    for line, (words, count) in enumerate((("rounded down", floor), ("rounded up", ceil))):
        top = 2.2 - 2.2 * line
        for place in range(size):
            style = {"facecolor": PALE, "edgecolor": QUIET}
            axes.add_patch(Rectangle((place, top), 0.9, 0.6, **style))
        for number in range(count):
            start = number * stride
            hangs = start + kernel > size
            style = {"fill": False, "edgecolor": WINDOWS[2 if hangs else 0], "linewidth": 2}
            axes.add_patch(Rectangle((start - 0.06, top - 0.1), kernel - 0.02, 0.8, **style))
        axes.text(0, top + 1.05, f"{words}: {size} -> {count}", fontsize=NORMAL, va="center")
    axes.set(xlim=(-0.3, size + kernel), ylim=(-0.4, 3.6))
    axes.set_axis_off()
    return figure


def fields_figure(
    image: np.ndarray, fields: Mapping[str, tuple[int, int]], center: tuple[float, float]
) -> Figure:
    """Show how much of a picture one cell of each of several maps sees, and how far its neighbour is.

    Args:
        image: Shape (H, W, 3), uint8, RGB.
        fields: For each name the side of the receptive field and the stride, in pixels.
        center: x and y of the cell, pixels.
    """
    height, width = image.shape[:2]
    side = 7.5 / len(fields) - 0.15
    figure, panels = row_of_panels([side] * len(fields), side, gap=0.15, foot=0.35)
    margin = 0.35 * width
    for axes, (name, (field, stride)) in zip(panels, fields.items()):
        draw_boxes(axes, image, np.zeros((0, 4)))
        x, y = center
        half = field / 2
        seen = Rectangle((x - half, y - half), field, field, facecolor=WINDOWS[2], alpha=0.28)
        axes.add_patch(seen)
        style = {"fill": False, "edgecolor": WINDOWS[2], "linewidth": 2}
        axes.add_patch(Rectangle((x - half, y - half), field, field, **style))
        axes.plot([x, x + stride], [y, y], "-", color="black", linewidth=3.5)
        axes.plot([x, x + stride], [y, y], ".-", color="white", markersize=5, linewidth=1.2)
        axes.set(xlim=(-margin, width + margin), ylim=(height + margin, -margin))
        axes.set_xlabel(f"sees {field}, step {stride}", fontsize=SMALL + 0.5)
        title(axes, name)
    return figure


def times_figure(seconds: Mapping[str, float]) -> Figure:
    """Show how long several ways to the same result take, on a logarithmic axis.

    Args:
        seconds: For each name.
    """
    figure, (axes,) = row_of_panels([4.6], 0.38 * len(seconds), left=2.2, foot=0.48)
    places = np.arange(len(seconds))[::-1]
    values = 1e3 * np.array(list(seconds.values()))
    least = 10 ** np.floor(np.log10(values.min()) - 0.3)
    axes.barh(places, values, 0.62, left=0, color=MEASURE)
    for place, value in zip(places, values):
        axes.text(value * 1.1, place, f"{value:,.3g} ms", va="center", fontsize=SMALL + 0.5)
    axes.set_xscale("log")
    curve_axes(axes, "milliseconds", "")
    axes.grid(visible=False, axis="y")
    axes.set_yticks(places, list(seconds), fontsize=NORMAL)
    axes.set(xlim=(least, values.max() * 5), ylim=(-0.6, len(seconds) - 0.4))
    axes.tick_params(axis="y", length=0, colors=CURVES[0])
    return figure
