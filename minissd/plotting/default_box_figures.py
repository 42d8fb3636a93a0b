"""Default boxes: those of a cell, of all cells, and which objects they can reach; the figures of the fourth chapter."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from minissd.boxes import FeatureMap, centers_to_corners
from minissd.errors import check, check_shape
from minissd.plotting.boxes import draw_boxes
from minissd.plotting.grid import image_grid
from minissd.plotting.style import CURVE_DASHES, CURVES, QUIET, SMALL, mark
from minissd.plotting.teaching import curve_axes, row_of_panels, title

SPARE = 0.22  # of the picture's side, shown around it: boxes cross its border


def one_box_figure(image: np.ndarray, objects: np.ndarray, guess: np.ndarray) -> Figure:
    """Show the objects of a picture and a single box that is to stand for them all.

    Args:
        image: Shape (H, W, 3), uint8, RGB.
        objects: Shape (M, 4), float, corners as fractions.
        guess: Shape (4,), float, corners as fractions.
    """
    figure, (axes,) = row_of_panels([3.4], 3.4, ["object", "box"])
    marks = ["box"] + ["object"] * len(objects)
    draw_boxes(axes, image, np.concatenate([guess[None], objects]), None, marks)
    return figure


def cell_figure(image: np.ndarray, m: FeatureMap, image_size: int, row: int, column: int) -> Figure:
    """Show the default boxes of one cell on a picture, with the grid of its map's cells.

    Args:
        image: Shape (H, W, 3), uint8, RGB.
        m: The feature map.
        image_size: Side of the network's input in pixels.
        row: Of the cell; beyond the map's last, the last.
        column: Of the cell; likewise.
    """
    row, column = min(row, m.size - 1), min(column, m.size - 1)
    figure, (axes,) = row_of_panels([3.9], 3.9, ["box"])
    _draw_cell(axes, image, m, image_size, row, column, grid=True)
    sides = ", ".join(f"{w:.0f} x {h:.0f}" for w, h in m.shapes())
    title(axes, f"{m.size} x {m.size} cells, row {row}, column {column}: {sides}")
    return figure


def maps_figure(image: np.ndarray, maps: Sequence[FeatureMap], image_size: int) -> Figure:
    """Show for each feature map the default boxes of its middle cell.

    Args:
        image: Shape (H, W, 3), uint8, RGB.
        maps: The feature maps.
        image_size: Side of the network's input in pixels.
    """
    figure, panels = image_grid([image] * len(maps), 3, ["box"])
    for axes, m in zip(panels, maps):
        _draw_cell(axes, image, m, image_size, m.size // 2, m.size // 2, grid=False)
        title(axes, f"{m.size} x {m.size}: {m.boxes_per_cell} boxes a cell")
    return figure


def _draw_cell(
    axes: Axes, image: np.ndarray, m: FeatureMap, image_size: int, row: int, column: int, grid: bool
) -> None:
    height, width = image.shape[:2]
    boxes = m.centers(image_size).reshape(m.size, m.size, -1, 4)[row, column]
    draw_boxes(axes, image, centers_to_corners(boxes), None, "box")
    step = m.step / image_size
    if grid:
        for line in np.arange(1, m.size + 1) * step:
            for start, stop in (([line, line], [0, 1]), ([0, 1], [line, line])):
                x, y = np.array(start) * width, np.array(stop) * height
                axes.plot(x, y, color="white", linewidth=0.5, alpha=0.6)
    axes.plot(boxes[0, 0] * width, boxes[0, 1] * height, "+", color="black", markersize=8, zorder=6)
    _show_around(axes, width, height)


def _show_around(axes: Axes, width: int, height: int) -> None:
    axes.set(
        xlim=(-SPARE * width, (1 + SPARE) * width), ylim=((1 + SPARE) * height, -SPARE * height)
    )


def centers_figure(image: np.ndarray, maps: Sequence[FeatureMap], image_size: int) -> Figure:
    """Show the centres of the cells of several maps on a picture, those outside of it apart.

    Args:
        image: Shape (H, W, 3), uint8, RGB.
        maps: The feature maps.
        image_size: Side of the network's input in pixels.
    """
    height, width = image.shape[:2]
    pale = (0.4 * image + 0.6 * 255).astype(np.uint8)
    figure, panels = image_grid([pale] * len(maps), len(maps))
    for axes, m in zip(panels, maps):
        draw_boxes(axes, pale, np.zeros((0, 4)))
        middle = (np.arange(m.size) + 0.5) * m.step / image_size
        x, y = np.meshgrid(middle, middle)
        outside = (np.maximum(x, y) > 1).ravel()
        for chosen, color in ((~outside, mark("box").color), (outside, "white")):  # outside: hollow
            place = (x.ravel()[chosen] * width, y.ravel()[chosen] * height)
            dot = {"facecolors": color, "edgecolors": "black", "linewidths": 0.6}
            axes.scatter(*place, s=180 / m.size, zorder=3, **dot)
        axes.set(xlim=(-0.06 * width, 1.06 * width), ylim=(1.06 * height, -0.06 * height))
        words = f"{m.size} x {m.size}, step {m.step:g}"
        title(axes, words + (f": {int(outside.sum())} outside" if outside.any() else ""))
    return figure


def counts_figure(maps: Sequence[FeatureMap]) -> Figure:
    """Show how many default boxes each feature map has.

    Args:
        maps: The feature maps.
    """
    figure, (axes,) = row_of_panels([5.6], 0.3 * len(maps), left=0.8, foot=0.45)
    counts = [m.n_boxes for m in maps]
    places = np.arange(len(maps))
    axes.barh(places, counts, 0.65, color=mark("box").color)
    for place, count in zip(places, counts):
        axes.text(count, place, f" {count:,}", va="center", fontsize=SMALL + 0.5)
    curve_axes(axes, f"default boxes, {sum(counts):,} in all", "")
    axes.set_yticks(places, [f"{m.size} x {m.size}" for m in maps])
    axes.grid(visible=False)
    axes.set(xlim=(0, 1.15 * max(counts)), ylim=(len(maps) - 0.4, -0.6))
    return figure


def clip_figure(ways: Mapping[str, np.ndarray]) -> Figure:
    """Show one default box that crosses the border of the picture, limited in several ways.

    Args:
        ways: For each name the box, (4,) float, centers as fractions of the picture.
    """
    side = 7.5 / len(ways) - 0.2
    figure, panels = row_of_panels([side] * len(ways), side, gap=0.2)
    for axes, (name, center) in zip(panels, ways.items()):
        axes.add_patch(Rectangle((0, 0), 1, 1, facecolor="#EEEEEE", edgecolor="black"))
        left, top, right, bottom = centers_to_corners(center)
        style = {"fill": False, "edgecolor": mark("box").color, "linewidth": 2.2}
        axes.add_patch(Rectangle((left, top), right - left, bottom - top, **style))
        axes.plot(*center[:2], "+", color="black", markersize=9)
        axes.set(xlim=(-0.1, 1.65), ylim=(1.37, -0.38), xticks=[], yticks=[])
        axes.spines[:].set_visible(False)
        title(axes, name)
    return figure


def reach_figure(
    sizes: np.ndarray, reached: Mapping[str, np.ndarray], marked: Sequence[float] = ()
) -> Figure:
    """Show the best IoU that any default box has with an object, against the object's size.

    Args:
        sizes: Shape (S,), float, root of the object's area in pixels.
        reached: For each name (S,) float; nan where no such object fits into the picture.
        marked: Sizes to be marked below: those of the square default boxes.
    """
    figure, (axes,) = row_of_panels([6.4], 3.0, left=0.7, foot=0.5)
    for number, (name, values) in enumerate(reached.items()):
        check_shape(values, (len(sizes),), f"reached[{name!r}]")
        style = {"color": CURVES[number], "linestyle": CURVE_DASHES[number], "linewidth": 1.8}
        axes.plot(sizes, values, label=name, **style)
    axes.axhline(0.5, color=QUIET, linewidth=1, linestyle=(0, (3, 2)))
    for size in marked:
        axes.plot([size, size], [0, 0.035], color=mark("box").color, linewidth=2.5)
    axes.legend(frameon=False, fontsize=SMALL + 0.5, loc="upper center", ncols=3)
    curve_axes(axes, "size of the object, pixels (orange: the square default boxes)", "best IoU")
    axes.set(ylim=(0, 1.12), xlim=(0, sizes[-1]))
    return figure


def networks_figure(
    percent: np.ndarray,
    reached: Mapping[str, np.ndarray],
    edges: np.ndarray,
    shares: Mapping[str, np.ndarray],
) -> Figure:
    """Show for several networks the best IoU against size, and the share of a data set's objects that reach 0.5.

    Args:
        percent: Shape (S,), float, root of the object's area in percent of the picture's side.
        reached: For each network (S,) float: best IoU.
        edges: Shape (B + 1,), float, percent: where the groups of sizes begin and end.
        shares: For each network (B,) float: share of the objects of each group that reach 0.5.
    """
    figure, (curves, groups) = row_of_panels([3.3, 3.3], 2.9, left=0.6, gap=0.75, foot=0.5)
    for number, (name, values) in enumerate(reached.items()):
        check_shape(values, (len(percent),), f"reached[{name!r}]")
        check_shape(shares[name], (len(edges) - 1,), f"shares[{name!r}]")
        style = {"color": CURVES[number], "linewidth": 1.8, "label": name}
        curves.plot(percent, values, linestyle=CURVE_DASHES[2 * number], **style)
        places = np.arange(len(edges) - 1) + 0.38 * (number - (len(reached) - 1) / 2)
        groups.bar(places, shares[name], 0.36, color=CURVES[number], label=name)
    curves.axhline(0.5, color=QUIET, linewidth=1, linestyle=(0, (3, 2)))
    curve_axes(curves, "size of the object, % of the picture", "best IoU")
    curves.set(xlim=(0, percent[-1]), ylim=(0, 1.12))
    curves.legend(frameon=False, fontsize=SMALL + 0.5, loc="upper center", ncols=2)
    names = [f"{low:g}-{high:g}" for low, high in itertools.pairwise(edges)]
    groups.set_xticks(range(len(names)), names)
    curve_axes(groups, "size of the object, % of the picture", "share that reaches 0.5")
    groups.set(ylim=(0, 1.12))
    return figure


def fit_figure(sizes: np.ndarray, rows: Mapping[str, Sequence[float]]) -> Figure:
    """Show how large the objects of a data set are, and above them the sizes of the square default boxes.

    Args:
        sizes: Shape (M,), float, in pixels.
        rows: For each name the sizes of its square default boxes, in pixels.
    """
    check(len(sizes) > 0, "sizes", "at least one", len(sizes))
    figure, (axes,) = row_of_panels([6.4], 2.5, left=0.7, foot=0.5)
    counts, _, _ = axes.hist(sizes, bins=np.arange(0, 301, 6), color="#BBBBBB")
    top = counts.max()
    for number, (name, each) in enumerate(rows.items()):
        height = top * (1.12 + 0.16 * number)
        style = {"color": CURVES[number], "markersize": 6}
        axes.plot(each, [height] * len(each), "s", label=name, **style)
    axes.legend(frameon=False, fontsize=SMALL + 0.5, loc="center right")
    curve_axes(axes, "size, pixels", "objects")
    axes.set(xlim=(0, 320), ylim=(0, top * (1.2 + 0.16 * len(rows))))
    return figure
