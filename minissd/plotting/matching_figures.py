"""Which default box answers for which object: matches on a matrix, on the toy example and on the scene."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from minissd.boxes import match
from minissd.errors import check, check_shape
from minissd.plotting.boxes import draw_boxes
from minissd.plotting.grid import image_grid
from minissd.plotting.style import NORMAL, QUIET, mark
from minissd.plotting.teaching import (
    curve_axes,
    draw_on_grid,
    number_table,
    pale,
    row_of_panels,
    title,
)

MATCHED = ("forced", "positive")
Owners = tuple[np.ndarray, np.ndarray]  # (K,) int, object of each box or -1; (K,) bool, forced


def toy_matches_figure(objects: np.ndarray, boxes: np.ndarray, owner: np.ndarray) -> Figure:
    """Show for each object of the toy example the boxes that answer for it, and the boxes that nobody owns.

    Args:
        objects: Shape (M, 4), float, corners as fractions.
        boxes: Shape (K, 4), float, corners as fractions.
        owner: Shape (K,), int: the object of each box, -1 for background.
    """
    check_shape(owner, (len(boxes),), "owner")
    groups = [*range(len(objects)), -1]
    side = 7.3 / len(groups) - 0.25
    figure, panels = row_of_panels(
        [side] * len(groups), side, ["object", "positive"], left=0.3, gap=0.25, foot=0.3
    )
    for axes, group in zip(panels, groups):
        rows = np.flatnonzero(owner == group)
        names = [str(row + 1) for row in rows]
        if group < 0:
            draw_on_grid(axes, boxes[rows], names, "box")
            axes.set_xlabel("background", fontsize=NORMAL)
            continue
        marks = ["positive"] * len(rows) + ["object"]
        shown = np.concatenate([boxes[rows], objects[group : group + 1]])
        draw_on_grid(axes, shown, [*names, _letter(group)], marks)
        words = f"object {_letter(group)}: {_count(len(rows), 'box', 'boxes')}"
        axes.set_xlabel(words, fontsize=NORMAL)
    return figure


def rounds_figure(
    overlaps: np.ndarray, winners: Sequence[tuple[int, int]], owner: np.ndarray
) -> Figure:
    """Show the matrix round by round: which pair wins, what leaves the game, and what the threshold adds at the end.

    Args:
        overlaps: Shape (N, M), float: boxes by objects.
        winners: For each round the box and the object that were matched.
        owner: Shape (N,), int: the object of each box at the end, -1 for background.
    """
    n_boxes, n_objects = overlaps.shape
    count = len(winners) + 1
    width = 7.6 / count - 0.35
    figure, panels = row_of_panels(
        [width] * count, 0.36 * n_boxes, MATCHED, left=0.62, gap=0.3, foot=0.3
    )
    gone_boxes: list[int] = []
    gone_objects: list[int] = []
    for number, (axes, (box, thing)) in enumerate(zip(panels, winners), start=1):
        _table(axes, overlaps, number == 1)
        for row in gone_boxes:
            _strike(axes, (-0.5, row - 0.5), n_objects, 1)
        for column in gone_objects:
            _strike(axes, (column - 0.5, -0.5), 1, n_boxes)
        _frame(axes, box, thing, "forced")
        axes.set_xlabel(f"round {number}", fontsize=NORMAL)
        gone_boxes.append(box)
        gone_objects.append(thing)
    _table(panels[-1], overlaps, False)
    forced = np.zeros(n_boxes, bool)
    forced[gone_boxes] = True
    _frame_all(panels[-1], owner, forced)
    panels[-1].set_xlabel("then the threshold", fontsize=NORMAL)
    return figure


def rules_figure(overlaps: np.ndarray, rules: Mapping[str, Owners]) -> Figure:
    """Show what several rules of matching make of one matrix: frames around the pairs that each has matched.

    Args:
        overlaps: Shape (N, M), float: boxes by objects.
        rules: For each name the owner of every box (-1: background) and whether it was forced.
    """
    n_boxes, n_objects = overlaps.shape
    width = 7.6 / len(rules) - 0.32
    figure, panels = row_of_panels(
        [width] * len(rules), 0.36 * n_boxes, MATCHED, left=0.62, gap=0.25, foot=0.45
    )
    for axes, (name, (owner, forced)) in zip(panels, rules.items()):
        check_shape(owner, (n_boxes,), f"rules[{name!r}]")
        _table(axes, overlaps, axes is panels[0])
        _frame_all(axes, owner, forced)
        without = [_letter(each) for each in range(n_objects) if each not in owner]
        words = f"without a box: {', '.join(without)}" if without else "every object has a box"
        axes.set_xlabel(f"{name}\n{words}", fontsize=NORMAL)
    return figure


def matched_figure(
    image: np.ndarray,
    objects: np.ndarray,
    boxes: np.ndarray,
    owner: np.ndarray,
    forced: np.ndarray,
) -> Figure:
    """Show the matched default boxes on a picture by the rule that matched them: left those of the rounds.

    Args:
        image: Shape (H, W, 3), uint8, RGB.
        objects: Shape (M, 4), float, corners as fractions.
        boxes: Shape (K, 4), float, corners of the default boxes.
        owner: Shape (K,), int: object of each box, -1 for background.
        forced: Shape (K,), bool: matched so that the object has a box.
    """
    paper = pale(image)
    figure, panels = image_grid([paper, paper], 2, ["object", "forced", "positive"])
    groups = {"forced": forced, "positive": (owner >= 0) & ~forced}
    words = {"forced": "one for each object, in rounds", "positive": "by the threshold"}
    for axes, (name, chosen) in zip(panels, groups.items()):
        marks = ["object"] * len(objects) + [name] * int(chosen.sum())
        draw_boxes(axes, paper, np.concatenate([objects, boxes[chosen]]), None, marks)
        title(axes, f"{words[name]}: {int(chosen.sum())}")
    return figure


def size_figure(sizes: np.ndarray, counts: np.ndarray, best: np.ndarray) -> Figure:
    """Show how many default boxes answer for an object against its size, and how well the best of them fits.

    Args:
        sizes: Shape (M,), float: root of each object's area, in pixels.
        counts: Shape (M,), int: its positive default boxes.
        best: Shape (M,), float: the highest IoU of any default box with it.
    """
    figure, (left, right) = row_of_panels([3.2, 3.2], 2.6, left=0.6, gap=0.8, foot=0.48)
    fits = best >= 0.5
    for axes, values, words in (
        (left, counts, "positive default boxes"),
        (right, best, "IoU of its best default box"),
    ):
        for chosen, name in ((fits, "positive"), (~fits, "forced")):
            style = {"s": 12, "color": mark(name).color, "alpha": 0.7, "linewidths": 0}
            axes.scatter(sizes[chosen], values[chosen], **style)
        curve_axes(axes, "size of the object, pixels", words)
        axes.set(xlim=(0, None), ylim=(0, None))
    left.yaxis.get_major_locator().set_params(integer=True)
    right.axhline(0.5, color=QUIET, linewidth=1, linestyle=(0, (3, 2)))
    title(left, f"{len(sizes)} objects of generated scenes")
    title(right, f"{int((~fits).sum())} of them below 0.5")
    return figure


def threshold_figure(
    image: np.ndarray,
    objects: np.ndarray,
    boxes: np.ndarray,
    names: Sequence[str],
    threshold: float,
) -> Figure:
    """Show the positives of a picture at a threshold: their centres, and how many each object has.

    Args:
        image: Shape (H, W, 3), uint8, RGB.
        objects: Shape (M, 4), float, corners as fractions.
        boxes: Shape (K, 4), float, corners of the default boxes.
        names: Name of each object.
        threshold: Least IoU of a match that is not forced.
    """
    check(len(names) == len(objects), "names", f"{len(objects)} entries", len(names))
    found = match(boxes, objects, threshold)
    figure, (picture, bars) = row_of_panels(
        [3.4, 2.6], 3.4, ["object", "positive", "forced"], gap=1.3, foot=0.45
    )
    paper = pale(image)
    draw_boxes(picture, paper, objects, None, "object")
    size = np.array([image.shape[1], image.shape[0]])
    middles = (boxes[:, :2] + boxes[:, 2:]) / 2 * size
    free = (found.object_index >= 0) & ~found.forced
    for chosen, name, area in ((free, "positive", 12), (found.forced, "forced", 34)):
        style = {"s": area, "color": mark(name).color, "edgecolors": "white", "linewidths": 0.5}
        picture.scatter(*middles[chosen].T, zorder=4, **style)
    title(picture, f"centres of the positives: {int(free.sum() + found.forced.sum())}")
    places = np.arange(len(objects))[::-1]
    left = np.zeros(len(objects))
    for chosen, name in ((found.forced, "forced"), (free, "positive")):
        counts = np.bincount(found.object_index[chosen], minlength=len(objects))
        bars.barh(places, counts, 0.6, left=left, color=mark(name).color)
        left = left + counts
    for place, count in zip(places, left):
        bars.text(count, place, f" {int(count)}", va="center", fontsize=NORMAL)
    curve_axes(bars, "positive default boxes", "")
    bars.grid(visible=False)
    bars.xaxis.get_major_locator().set_params(integer=True)
    bars.set_yticks(places, names, fontsize=NORMAL)
    bars.set_xlim(0, 1.2 * max(left.max(), 1))
    title(bars, f"IoU of at least {threshold:g}")
    return figure


def _table(axes: Axes, overlaps: np.ndarray, named: bool) -> None:
    n_boxes, n_objects = overlaps.shape
    rows = [f"box {row + 1}" if named else "" for row in range(n_boxes)]
    number_table(axes, overlaps, rows, [_letter(column) for column in range(n_objects)])


def _frame(axes: Axes, row: int, column: int, name: str) -> None:
    style = {"fill": False, "edgecolor": mark(name).color, "linewidth": 3, "zorder": 4}
    axes.add_patch(Rectangle((column - 0.45, row - 0.43), 0.9, 0.86, **style))


def _frame_all(axes: Axes, owner: np.ndarray, forced: np.ndarray) -> None:
    for row in np.flatnonzero(owner >= 0):
        _frame(axes, row, owner[row], "forced" if forced[row] else "positive")


def _strike(axes: Axes, corner: tuple[float, float], width: float, height: float) -> None:
    """Cover a row or column that has left the game."""
    style = {"facecolor": "white", "alpha": 0.82, "linewidth": 0, "zorder": 3}
    axes.add_patch(Rectangle(corner, width, height, **style))


def _letter(number: int) -> str:
    return chr(ord("A") + number)


def _count(number: int, one: str, many: str) -> str:
    return f"{number} {one if number == 1 else many}"
