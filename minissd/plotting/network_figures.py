"""From an image to rows of predictions: maps to scale, one cell unfolded, where weights and work are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import NamedTuple, Protocol

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from minissd.boxes import FeatureMap, centers_to_corners, decode
from minissd.errors import check, check_shape
from minissd.plotting.boxes import draw_boxes, legend_lines
from minissd.plotting.grid import new_figure
from minissd.plotting.style import CURVES, MEASURE, NORMAL, QUIET, SMALL, WIDTH, mark
from minissd.plotting.teaching import curve_axes, row_of_panels, title

CELL = "#000000"  # the cell that is looked at
OFFSETS = ("x", "y", "w", "h")


class Spec(Protocol):
    """What is read here of a configuration (`models.spec.DetectorSpec`)."""

    name: str
    image_size: int
    maps: tuple[FeatureMap, ...]
    n_default_boxes: int
    center_scale: float
    size_scale: float

    def default_boxes(self) -> np.ndarray:
        """Return them as centers (K, 4), fractions of the image."""


class Cell(NamedTuple):
    """A cell of a feature map: which map, row and column, each from 0."""

    map: int
    row: int
    column: int


def maps_figure(spec: Spec) -> Figure:
    """Draw the feature maps of a configuration to scale, with their boxes a cell and in all.

    Args:
        spec: Its maps.
    """
    sizes = [each.size for each in spec.maps]
    gap, largest = 0.42, 2.3
    shrink = min(largest / max(sizes), (WIDTH - 0.6 - gap * (len(sizes) - 1)) / sum(sizes))
    least = 0.55  # room for the words below a small map
    widths = [max(size * shrink, least) for size in sizes]
    figure = new_figure(max(sizes) * shrink + 1.05)
    axes = figure.add_axes((0, 0, 1, 1))
    height = figure.get_size_inches()[1]
    axes.set(xlim=(0, WIDTH), ylim=(0, height))
    axes.set_axis_off()
    left = (WIDTH - sum(widths) - gap * (len(sizes) - 1)) / 2
    for m, width in zip(spec.maps, widths):
        side = m.size * shrink
        x = left + (width - side) / 2
        axes.add_patch(Rectangle((x, 0.75), side, side, facecolor="#E4E4E4"))
        for line in np.arange(1, m.size) * shrink:
            axes.plot([x + line] * 2, [0.75, 0.75 + side], color="white", linewidth=0.5)
            axes.plot([x, x + side], [0.75 + line] * 2, color="white", linewidth=0.5)
        frame = {"fill": False, "edgecolor": "black", "zorder": 4}
        axes.add_patch(Rectangle((x, 0.75), side, side, **frame))
        middle = left + width / 2
        words = f"{m.size} x {m.size}\n{m.boxes_per_cell} a cell\n{m.n_boxes:,}"
        axes.text(middle, 0.66, words, ha="center", va="top", fontsize=SMALL + 0.5)
        left += width + gap
    words = f"{spec.name}: {spec.n_default_boxes:,} default boxes on {len(sizes)} maps"
    axes.text(WIDTH / 2, height - 0.14, words, ha="center", va="center", fontsize=NORMAL)
    return figure


def unfolded_figure(
    image: np.ndarray,
    spec: Spec,
    cell: Cell,
    scores: np.ndarray,
    offsets: np.ndarray,
    class_names: Sequence[str],
) -> Figure:
    """Show what one cell of a feature map says: its numbers, cut into rows, and what box each row means.

    Args:
        image: Shape (H, W, 3), uint8, RGB.
        spec: Gives maps and default boxes.
        cell: Which one.
        scores: Shape (K, C + 1), float: before softmax, of all default boxes.
        offsets: Shape (K, 4), float.
        class_names: Name of label 1, 2, ...
    """
    rows = rows_of(spec, cell)
    check_shape(scores, (spec.n_default_boxes, len(class_names) + 1), "scores")
    table = np.concatenate([scores[rows], offsets[rows]], axis=1).astype(float)
    n_shapes, n_numbers = table.shape
    side = (WIDTH - 0.4 - 0.1 * (n_shapes - 1)) / n_shapes
    high = 0.21 * n_shapes
    total = side + high + 1.75
    figure = new_figure(total)
    words = f"the {table.size} numbers of the cell in row {cell.row}, column {cell.column}"
    strip = figure.add_axes((0.2 / WIDTH, (total - 0.5) / total, 1 - 0.4 / WIDTH, 0.2 / total))
    _strip(strip, table.reshape(1, -1), n_numbers)
    title(strip, words)
    place = (0.95 / WIDTH, (side + 0.8) / total, 1 - 1.15 / WIDTH, high / total)
    _table(figure.add_axes(place), table, class_names)
    odds = np.exp(table[:, :-4] - table[:, :-4].max(axis=1, keepdims=True))
    odds /= odds.sum(axis=1, keepdims=True)
    centers = spec.default_boxes()[rows]
    boxes = decode(offsets[rows].astype(np.float32), centers, spec.center_scale, spec.size_scale)
    names = ["background", *class_names]
    for number in range(n_shapes):
        x = 0.2 + number * (side + 0.1)
        axes = figure.add_axes((x / WIDTH, 0.42 / total, side / WIDTH, side / total))
        best = int(odds[number].argmax())
        default = centers_to_corners(centers[number])
        pair = [boxes[number], default] if best else [default]
        draw_boxes(axes, image, np.array(pair), None, ["detection", "box"][-len(pair) :])
        _zoom_on_cell(axes, image, spec, cell)
        axes.set_title(f"{names[best]} {odds[number, best]:.2f}", fontsize=SMALL + 0.5, pad=3)
    _unfolded_legend(figure, total)
    return figure


def rows_of(spec: Spec, cell: Cell) -> np.ndarray:
    """Return the numbers of the default boxes of a cell, one a box shape."""
    check(0 <= cell.map < len(spec.maps), "cell", f"map 0 to {len(spec.maps) - 1}", cell)
    before = sum(each.n_boxes for each in spec.maps[: cell.map])
    m = spec.maps[cell.map]
    check(max(cell.row, cell.column) < m.size, "cell", f"row and column below {m.size}", cell)
    first = before + (cell.row * m.size + cell.column) * m.boxes_per_cell
    return np.arange(first, first + m.boxes_per_cell)


def _strip(axes: Axes, values: np.ndarray, group: int) -> None:
    """Draw numbers side by side in grey, with a line between groups."""
    axes.imshow(-np.abs(values), cmap="gray", aspect="auto")
    for line in range(group, values.shape[1], group):
        axes.axvline(line - 0.5, color="white", linewidth=5)
    axes.spines[:].set_visible(False)
    axes.set(xticks=[], yticks=[])


def _table(axes: Axes, table: np.ndarray, class_names: Sequence[str]) -> None:
    """Draw the numbers as a row for each box shape, scores and offsets apart."""
    n_shapes, n_numbers = table.shape
    shown = np.abs(table)
    axes.imshow(shown, cmap="Greys", vmin=0, vmax=2 * shown.max(), aspect="auto")
    for (row, column), value in np.ndenumerate(table):
        axes.text(column, row, f"{value:.1f}", ha="center", va="center", fontsize=SMALL)
    axes.axvline(n_numbers - 4.5, color="white", linewidth=5)
    columns = ["backgr.", *class_names, *OFFSETS]
    axes.set_xticks(range(n_numbers), columns, fontsize=SMALL)
    axes.set_yticks(range(n_shapes), [f"shape {n + 1}" for n in range(n_shapes)], fontsize=SMALL)
    axes.tick_params(length=0, top=True, labeltop=True, bottom=False, labelbottom=False)
    axes.spines[:].set_visible(False)


def _zoom_on_cell(axes: Axes, image: np.ndarray, spec: Spec, cell: Cell) -> None:
    """Mark the centre of the cell, and show of the picture what lies around it."""
    step = spec.maps[cell.map].step / spec.image_size
    height, width = image.shape[:2]
    place = ((cell.column + 0.5) * step * width, (cell.row + 0.5) * step * height)
    axes.plot(*place, "+", color=CELL, markersize=9, markeredgewidth=1.8, zorder=6)
    reach = min(1.7 * spec.maps[cell.map].min_size / spec.image_size, 0.5) * width
    left = float(np.clip(place[0] - reach, 0, width - 2 * reach))
    top = float(np.clip(place[1] - reach, 0, height - 2 * reach))
    axes.set(xlim=(left, left + 2 * reach), ylim=(top + 2 * reach, top))


def _unfolded_legend(figure: Figure, total: float) -> None:
    figure.legend(
        handles=[legend_lines("box"), legend_lines("detection")],
        labels=["default box of the cell (+ its centre)", "what the offsets make of it"],
        loc="center",
        bbox_to_anchor=(0.5, 0.2 / total),
        ncols=2,
        frameon=False,
        fontsize=SMALL + 0.5,
    )


def dilation_figure(size: int, kernel: int, dilation: int) -> Figure:
    """Show which cells of a map one output of a dilated convolution reads, beside a plain one of the same reach.

    Args:
        size: Cells along a side of the map.
        kernel: Cells along a side of the kernel.
        dilation: Cells from one tap to the next.
    """
    reach = dilation * (kernel - 1) + 1
    figure, panels = row_of_panels([2.6, 2.6, 2.6], 2.6, gap=0.25, foot=0.3)
    cases = ((kernel, 1), (kernel, dilation), (reach, 1))
    for axes, (taps, apart) in zip(panels, cases):
        seen = np.full((size, size), 0.08)
        middle = size // 2
        ends = apart * (taps // 2)
        lines = np.arange(middle - ends, middle + ends + 1, apart)
        seen[np.ix_(lines, lines)] = 0.75
        axes.imshow(seen, cmap="Greys", vmin=0, vmax=1)
        axes.set(xticks=[], yticks=[])
        for line in range(1, size):
            axes.axvline(line - 0.5, color="white", linewidth=0.6)
            axes.axhline(line - 0.5, color="white", linewidth=0.6)
        words = f"dilation {apart}: " if apart > 1 else ""
        span = apart * (taps - 1) + 1
        axes.set_xlabel(
            f"{taps} x {taps}, {words}{taps**2} taps over {span} cells", fontsize=SMALL + 0.5
        )
    return figure


def cost_figure(stages: Mapping[str, tuple[float, float]]) -> Figure:
    """Show for each stage of a network its share of the parameters and of the multiplications.

    Args:
        stages: For each name (parameters, multiplications).
    """
    numbers = np.array(list(stages.values()), float)
    shares = numbers / numbers.sum(axis=0)
    figure, panels = row_of_panels([2.9, 2.9], 0.24 * len(stages), left=1.35, gap=0.5, foot=0.48)
    places = np.arange(len(stages))[::-1]
    for axes, share, words in zip(panels, shares.T, ("parameters", "multiplications")):
        axes.barh(places, 100 * share, 0.68, color=MEASURE)
        for place, value in zip(places, share):
            axes.text(100 * value, place, f" {value:.1%}", va="center", fontsize=SMALL)
        curve_axes(axes, f"% of the {words}", "")
        axes.grid(visible=False, axis="y")
        axes.set(yticks=[], xlim=(0, 118 * share.max()), ylim=(-0.6, len(stages) - 0.4))
    panels[0].set_yticks(places, list(stages), fontsize=SMALL + 0.5)
    return figure


def lengths_figure(
    lengths: Sequence[np.ndarray], names: Sequence[str], after: np.ndarray
) -> Figure:
    """Show how long the feature vectors of each map are, and those of the first map after L2 normalisation.

    Args:
        lengths: For each map the lengths of its cells' vectors, any shape.
        names: Of the maps.
        after: Lengths of the first map's vectors behind the normalisation.
    """
    check(len(names) == len(lengths), "names", f"{len(lengths)} entries", len(names))
    figure, (axes,) = row_of_panels([5.6], 2.5, left=0.85, foot=0.48)
    groups = [np.ravel(lengths[0]), np.ravel(after), *(np.ravel(each) for each in lengths[1:])]
    labels = [names[0], f"{names[0]}\nnormalised", *names[1:]]
    for place, group in enumerate(groups):
        low, middle, high = np.percentile(group, [5, 50, 95])
        color = mark("right").color if place == 1 else CURVES[3]
        axes.plot([place, place], [low, max(high, low * 1.02)], color=color, linewidth=6)
        axes.plot(place, middle, "o", color="white", markeredgecolor="black", markersize=6)
        axes.text(place + 0.16, middle, f"{middle:,.0f}", va="center", fontsize=SMALL)
    axes.set_yscale("log")
    curve_axes(axes, "", "length of a cell's vector")
    axes.set_xticks(range(len(groups)), labels, fontsize=SMALL + 0.5)
    axes.set_xlim(-0.5, len(groups) - 0.3)
    axes.grid(visible=False, axis="x")
    axes.tick_params(axis="x", length=0, color=QUIET)
    return figure


def order_figure(spec: Spec, cell: Cell) -> Figure:
    """Show the order of the rows of predictions: all maps in a line, one map's cells, one cell's box shapes.

    Args:
        spec: Gives the maps.
        cell: The cell that is followed down to its rows.
    """
    rows = rows_of(spec, cell)
    m = spec.maps[cell.map]
    before = sum(each.n_boxes for each in spec.maps[: cell.map])
    figure = new_figure(2.5)
    axes = figure.add_axes((0.02, 0, 0.96, 1))
    axes.set(xlim=(0, 1), ylim=(0, 2.5))
    axes.set_axis_off()
    ends = np.cumsum([0, *(each.n_boxes for each in spec.maps)]) / spec.n_default_boxes
    _lane(axes, 1.85, ends, cell.map, [f"{each.size} x {each.size}" for each in spec.maps])
    _funnel(axes, ends[cell.map], ends[cell.map + 1], 1.85, 1.4)
    lines = np.linspace(0, 1, m.size + 1)
    _lane(axes, 1.0, lines, cell.row, [f"row {n}" if n == cell.row else "" for n in range(m.size)])
    start = lines[cell.row] + cell.column / m.size**2
    _funnel(axes, start, start + 1 / m.size**2, 1.0, 0.55)
    axes.add_patch(Rectangle((start, 1.0), 1 / m.size**2, 0.4, facecolor=CELL, linewidth=0))
    shapes = np.linspace(0, 1, m.boxes_per_cell + 1)
    _lane(axes, 0.15, shapes, None, [str(row) for row in rows])
    for y, words in (
        (2.37, f"all {spec.n_default_boxes:,} rows: map after map"),
        (
            1.5,
            f"the map of {m.size} x {m.size}, rows {before:,} and on: row after row, cell by cell",
        ),
        (0.66, f"the cell in row {cell.row}, column {cell.column}: shape after shape"),
    ):
        ground = {"facecolor": "white", "edgecolor": "none", "pad": 1.5}
        axes.text(0, y, words, fontsize=NORMAL, va="center", bbox=ground)
    return figure


def _lane(axes: Axes, y: float, ends: np.ndarray, chosen: int | None, words: Sequence[str]) -> None:
    """Draw parts side by side, the chosen one darker, with a word in each that has room for it."""
    for number, (start, stop) in enumerate(pairwise(ends)):
        shade = "#BBBBBB" if number == chosen else "#EEEEEE"
        style = {"facecolor": shade, "edgecolor": "white", "linewidth": 1.2}
        axes.add_patch(Rectangle((start, y), stop - start, 0.4, **style))
        if stop - start > 0.05:
            middle = (start + stop) / 2
            axes.text(middle, y + 0.2, words[number], ha="center", va="center", fontsize=SMALL)


def _funnel(axes: Axes, start: float, stop: float, top: float, bottom: float) -> None:
    """Draw two lines from the ends of a part to the whole width below."""
    for x, end in ((start, 0), (stop, 1)):
        axes.plot([x, end], [top, bottom], color=QUIET, linewidth=0.8)
