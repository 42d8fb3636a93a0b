"""What a box is, and how much two of them overlap: the figures of the first chapter."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from minissd.boxes import area, corners_to_centers, iou
from minissd.datasets.sample import Sample
from minissd.errors import check, check_shape
from minissd.plotting.boxes import draw_boxes
from minissd.plotting.style import CURVE_DASHES, CURVES, NORMAL, QUIET, SMALL, mark
from minissd.plotting.teaching import (
    TAG,
    curve_axes,
    draw_on_grid,
    fill_box,
    measure,
    number_table,
    row_of_panels,
    title,
)


def objects_figure(sample: Sample, class_names: Sequence[str]) -> Figure:
    """Show a picture as it comes, and what a detector must say of it: a box and a class for each object.

    Args:
        sample: The picture.
        class_names: Name of label 1, 2, ...
    """
    figure, (bare, answered) = row_of_panels([3.8, 3.8], 3.8, ["object"])
    draw_boxes(bare, sample.image, np.zeros((0, 4)))
    title(bare, f"asked: {sample.image.size:,} numbers")
    names = [class_names[label - 1] for label in sample.labels]
    draw_boxes(answered, sample.image, sample.boxes, names)
    title(answered, f"answered: {len(names)} boxes, {len(names)} classes")
    return figure


def two_forms_figure(image: np.ndarray, box: np.ndarray) -> Figure:
    """Show one box twice: as two corners, and as its centre with width and height.

    Args:
        image: Shape (H, W, 3), uint8, RGB.
        box: Shape (4,), float, corners as fractions of the image.
    """
    check_shape(box, (4,), "box")
    height, width = image.shape[:2]
    left, top, right, bottom = box * [width, height, width, height]
    figure, (corners, centers) = row_of_panels([3.8, 3.8], 3.8)
    for axes in (corners, centers):
        draw_boxes(axes, image, box[None])
    _point(corners, left, top, "(xmin, ymin) = ({:.2f}, {:.2f})".format(*box[:2]), "left")
    _point(corners, right, bottom, "(xmax, ymax) = ({:.2f}, {:.2f})".format(*box[2:]), "right")
    cx, cy, w, h = corners_to_centers(box)
    _point(centers, cx * width, cy * height, f"(cx, cy) = ({cx:.2f}, {cy:.2f})", "right")
    below, beside = bottom - 0.06 * height, right - 0.06 * width
    measure(centers, (left, below), (right, below), f"w = {w:.2f}")
    measure(centers, (beside, top), (beside, bottom), f"h = {h:.2f}")
    title(corners, "corners: where it begins, where it ends")
    title(centers, "centers: where it is, how large it is")
    return figure


def _point(axes: Axes, x: float, y: float, words: str, side: str) -> None:
    """Mark a point and write above it; the words begin, end or have their middle there."""
    axes.plot(x, y, "o", color="black", markersize=7, markeredgecolor="white", zorder=6)
    y -= 0.035 * abs(np.subtract(*axes.get_ylim()))
    axes.text(x, y, words, ha=side, va="bottom", fontsize=NORMAL, bbox=TAG, zorder=6)


def toy_figure(objects: np.ndarray, boxes: np.ndarray) -> Figure:
    """Show the toy example on squared paper: objects A, B, ... on the left, boxes 1, 2, ... over them on the right.

    Args:
        objects: Shape (M, 4), float, corners as fractions.
        boxes: Shape (N, 4), float, corners as fractions.
    """
    letters = [chr(ord("A") + row) for row in range(len(objects))]
    figure, (first, second) = row_of_panels([3.6, 3.6], 3.6, ["object", "box"], left=0.3, gap=0.45)
    draw_on_grid(first, objects, letters, "object")
    numbers = [str(row + 1) for row in range(len(boxes))]
    marks = ["box"] * len(boxes) + ["object"] * len(objects)
    draw_on_grid(second, np.concatenate([boxes, objects]), numbers + letters, marks)
    return figure


def overlap_figure(object_box: np.ndarray, box: np.ndarray, cells: int = 10) -> Figure:
    """Show intersection and union of two boxes on squared paper, each with the squares it covers.

    Args:
        object_box: Shape (4,), float, corners as fractions; drawn as an object.
        box: Shape (4,), float, corners as fractions.
        cells: Squares a side.
    """
    both = np.stack([box, object_box])
    common = np.concatenate([both[:, :2].max(axis=0), both[:, 2:].min(axis=0)])
    shared = float(area(common)) * cells**2
    union = float(area(both).sum()) * cells**2 - shared
    figure, panels = row_of_panels([3.3, 3.3], 3.3, ["object", "box"], left=0.3, gap=0.6)
    parts = ([common], f"intersection: {shared:g} squares"), (both, f"union: {union:g} squares")
    for axes, (shaded, words) in zip(panels, parts):
        draw_on_grid(axes, both, None, ["box", "object"], cells)
        for corner in np.asarray(shaded) * cells:
            fill_box(axes, corner, QUIET)
        axes.set_xlabel(words, fontsize=NORMAL)
    return figure


def shifted_figure(image: np.ndarray, boxes: np.ndarray, shift: float) -> Figure:
    """Show objects, each with a box of its own size that has slid to the right, and how IoU falls as it slides.

    Args:
        image: Shape (H, W, 3), uint8, RGB.
        boxes: Shape (M, 4), float, corners as fractions: the objects.
        shift: How far every box has slid, in pixels.
    """
    width = image.shape[1]
    figure, (picture, curves) = row_of_panels(
        [3.4, 3.4], 3.4, ["object", "box"], gap=0.75, foot=0.45
    )
    slid = boxes + np.array([shift, 0, shift, 0]) / width
    overlaps = np.diag(iou(slid, boxes))
    texts = [f"IoU {value:.2f}" for value in overlaps] + [None] * len(boxes)
    marks = ["box"] * len(boxes) + ["object"] * len(boxes)
    draw_boxes(picture, image, np.concatenate([slid, boxes]), texts, marks)
    title(picture, f"slid to the right by {shift:g} pixels")
    steps = np.arange(0, 61)
    for number, box in enumerate(boxes):
        moved = box + steps[:, None] * np.array([1, 0, 1, 0]) / width
        size = (box[2] - box[0]) * width
        line = {"color": CURVES[number], "linestyle": CURVE_DASHES[number], "linewidth": 1.8}
        curves.plot(steps, iou(moved, box[None])[:, 0], label=f"{size:.0f} pixels wide", **line)
        curves.plot(shift, overlaps[number], "o", color=CURVES[number], markersize=6, zorder=4)
    _decision_line(curves, 0.5)
    curve_axes(curves, "shift in pixels", "IoU with the object")
    curves.set(xlim=(0, 60), ylim=(0, 1.02))
    curves.legend(fontsize=SMALL + 0.5, frameon=False, loc="upper right")
    return figure


def _decision_line(axes: Axes, threshold: float) -> None:
    axes.axhline(threshold, color=QUIET, linewidth=1, linestyle=(0, (3, 2)), zorder=1)


def gallery_figure(object_box: np.ndarray, boxes: np.ndarray, names: Sequence[str]) -> Figure:
    """Show several boxes against one object, a panel each, with the IoU above it.

    Args:
        object_box: Shape (4,), float, corners as fractions.
        boxes: Shape (N, 4), float, corners as fractions.
        names: What is done to each box, one or two words.
    """
    check(len(names) == len(boxes), "names", f"{len(boxes)} entries", len(names))
    side = 7.5 / len(boxes) - 0.1
    figure, panels = row_of_panels([side] * len(boxes), side, ["object", "box"], gap=0.1)
    overlaps = iou(np.asarray(boxes), object_box[None])[:, 0]
    for axes, box, name, overlap in zip(panels, boxes, names, overlaps):
        draw_on_grid(axes, np.stack([box, object_box]), None, ["box", "object"])
        axes.tick_params(labeltop=False, labelleft=False)
        title(axes, f"{name}: {overlap:.2f}")
    return figure


def iou_table_figure(overlaps: np.ndarray, threshold: float = 0.5) -> Figure:
    """Show the IoU of every box with every object as numbers, those that count as a match in a frame.

    Args:
        overlaps: Shape (N, M), float: boxes by objects.
        threshold: Least IoU of a match.
    """
    n_boxes, n_objects = overlaps.shape
    figure, (axes,) = row_of_panels([1.1 * n_objects], 0.42 * n_boxes, left=0.8, foot=0.35)
    rows = [f"box {number + 1}" for number in range(n_boxes)]
    columns = [f"object {chr(ord('A') + number)}" for number in range(n_objects)]
    number_table(axes, overlaps, rows, columns)
    for row, column in np.argwhere(overlaps >= threshold):
        frame = {"fill": False, "edgecolor": mark("positive").color, "linewidth": 3}
        axes.add_patch(Rectangle((column - 0.46, row - 0.44), 0.92, 0.88, **frame))
    n_matches = int((overlaps >= threshold).sum())
    axes.set_xlabel(f"framed: IoU of at least {threshold:g} ({n_matches})", fontsize=NORMAL)
    return figure


def candidates_figure(
    image: np.ndarray, objects: np.ndarray, boxes: np.ndarray, positive: np.ndarray
) -> Figure:
    """Show where the boxes that fit an object have their centres, and beside it how few they are among all.

    Args:
        image: Shape (H, W, 3), uint8, RGB.
        objects: Shape (M, 4), float, corners as fractions.
        boxes: Shape (N, 4), float, corners as fractions: all that were tried.
        positive: Shape (N,), bool: which of them fit an object.
    """
    figure, (picture, bars) = row_of_panels(
        [3.6, 3.2], 3.6, ["object", "positive"], gap=1.1, foot=0.45
    )
    draw_boxes(picture, image, objects, None, ["object"] * len(objects))
    fitting = boxes[positive]
    height, width = image.shape[:2]
    middles = (fitting[:, :2] + fitting[:, 2:]) / 2 * (width, height) - 0.5
    dot = {"s": 14, "color": mark("positive").color, "edgecolors": "white", "linewidths": 0.6}
    picture.scatter(*middles.T, zorder=3, **dot)
    title(picture, f"centres of the {len(fitting)} boxes that fit")
    counts = [len(boxes) - len(fitting), len(fitting)]
    bars.barh([1, 0], counts, 0.6, color=["#BBBBBB", mark("positive").color])
    for place, count in zip([1, 0], counts):
        bars.text(count, place, f" {count:,}", va="center", fontsize=NORMAL)
    curve_axes(bars, "boxes", "")
    bars.grid(visible=False)
    bars.set_yticks([1, 0], ["background", "object"], fontsize=NORMAL)
    bars.set(xlim=(0, 1.25 * max(counts)), ylim=(-0.8, 1.8))
    title(bars, f"all {len(boxes):,} boxes that were tried")
    return figure
