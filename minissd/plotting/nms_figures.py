"""What becomes of thousands of boxes: the figures of non-maximum suppression."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from minissd.boxes.nms import Detections
from minissd.datasets.sample import Sample
from minissd.errors import check
from minissd.evaluation.ranking import Truth
from minissd.evaluation.verdicts import RIGHT, judge_images
from minissd.plotting.boxes import draw_boxes
from minissd.plotting.grid import image_grid
from minissd.plotting.style import CURVE_DASHES, CURVES, NORMAL, QUIET, SMALL, mark
from minissd.plotting.teaching import (
    curve_axes,
    draw_on_grid,
    number_table,
    row_of_panels,
    title,
)

MOST_NAMED = 8  # wrong detections in one picture: the names of more would hide it


def tangle_figure(
    image: np.ndarray, boxes: np.ndarray, found: Detections, names: Sequence[str]
) -> Figure:
    """Show all boxes that passed the score floor, and beside them what suppression leaves.

    Args:
        image: Shape (H, W, 3), uint8, RGB.
        boxes: Shape (N, 4), float, corners as fractions: all candidates.
        found: What is left of them.
        names: Name of label 1, 2, ...
    """
    figure, (before, after) = row_of_panels([3.8, 3.8], 3.8, ["box", "detection"])
    draw_boxes(before, image, boxes, None, "box")
    title(before, f"candidates: {len(boxes)} boxes")
    draw_boxes(after, image, found.boxes, _names(found, names), "detection")
    title(after, f"kept: {len(found.boxes)} boxes")
    return figure


def twins_figure(
    image: np.ndarray, object_box: np.ndarray, taught: np.ndarray, answering: np.ndarray
) -> Figure:
    """Show why one object gets many answers: the default boxes that matching gives it, and the boxes that answer.

    Args:
        image: Shape (H, W, 3), uint8, RGB.
        object_box: Shape (4,), float, corners as fractions.
        taught: Shape (P, 4), float: default boxes that are positives of the object.
        answering: Shape (N, 4), float: decoded boxes with a high score on it.
    """
    figure, panels = row_of_panels([3.8, 3.8], 3.8, ["object", "positive", "box"])
    pairs = (taught, "positive", "taught: {} default boxes"), (answering, "box", "answer: {} boxes")
    for axes, (boxes, name, words) in zip(panels, pairs):
        both = np.concatenate([object_box[None], boxes])
        draw_boxes(axes, image, both, None, ["object"] + [name] * len(boxes))
        title(axes, words.format(len(boxes)))
        _zoom(axes, np.concatenate([object_box[None], taught, answering]), image.shape[:2])
    return figure


def _zoom(axes: Axes, boxes: np.ndarray, size: tuple[int, int]) -> None:
    """Show only a square around some boxes, with a margin, shifted so that it lies in the picture."""
    height, width = size
    pixels = boxes * [width, height, width, height]
    low, high = pixels[:, :2].min(axis=0), pixels[:, 2:].max(axis=0)
    side = min(1.15 * (high - low).max(), width, height)
    left, top = np.clip((low + high - side) / 2, 0, np.array([width, height]) - side)
    axes.set(xlim=(left, left + side), ylim=(top + side, top))


def film_strip_figure(
    image: np.ndarray,
    boxes: np.ndarray,
    scores: np.ndarray,
    rounds: Sequence[tuple[int, Sequence[int]]],
    columns: int = 3,
) -> Figure:
    """Show greedy suppression as a film: all boxes, one frame a round, and what is kept in the end.

    A frame holds what is kept so far, what this round silences, and what is still open; what was silenced before is
    gone.

    Args:
        image: Shape (H, W, 3), uint8, RGB.
        boxes: Shape (N, 4), float, corners as fractions.
        scores: Shape (N,), float.
        rounds: One a round: the row that is kept, and the rows that it silences.
        columns: Frames side by side.
    """
    marks = ["box", "detection", "silenced"]
    figure, frames = image_grid([image] * (len(rounds) + 2), columns, marks)
    draw_boxes(frames[0], image, boxes, None, "box")
    title(frames[0], f"start: {len(boxes)} boxes")
    open_rows, kept = set(range(len(boxes))), []
    for number, (axes, (best, silenced)) in enumerate(zip(frames[1:-1], rounds), 1):
        kept.append(best)
        open_rows -= {best, *silenced}
        rows = [*kept[::-1], *silenced, *sorted(open_rows)]
        kinds = ["detection"] * len(kept) + ["silenced"] * len(silenced) + ["box"] * len(open_rows)
        texts = [f"{scores[best]:.2f}"] + [None] * (len(rows) - 1)
        draw_boxes(axes, image, boxes[rows], texts, kinds)
        title(axes, f"round {number}: keep 1, silence {len(silenced)}, {len(open_rows)} left")
    draw_boxes(frames[-1], image, boxes[kept], [f"{scores[row]:.2f}" for row in kept], "detection")
    title(frames[-1], f"end: {len(kept)} kept")
    return figure


def chain_figure(
    boxes: np.ndarray, scores: Sequence[np.ndarray], kept: Sequence[Sequence[int]]
) -> Figure:
    """Show the same boxes under different scores, a panel each, and which of them suppression keeps.

    Args:
        boxes: Shape (N, 4), float, corners as fractions.
        scores: One array of shape (N,) a panel.
        kept: Rows that are kept, one sequence a panel.
    """
    figure, panels = row_of_panels(
        [3.6] * len(scores), 3.6, ["detection", "silenced"], left=0.3, gap=0.45
    )
    for axes, values, rows in zip(panels, scores, kept):
        order = sorted(range(len(boxes)), key=lambda row: row not in set(rows))
        kinds = ["detection" if row in set(rows) else "silenced" for row in order]
        texts = [f"{row + 1}: {values[row]:g}" for row in order]
        draw_on_grid(axes, boxes[order], texts, kinds)
        axes.set_xlabel(f"{len(rows)} of {len(boxes)} are kept", fontsize=NORMAL)
    return figure


def matrix_figure(
    overlaps: np.ndarray, names: Sequence[str], threshold: float, kept: np.ndarray
) -> Figure:
    """Show who may silence whom: the overlaps of boxes sorted by score, above the diagonal.

    An overlap above the threshold has a solid frame where its row, the better box, is kept itself, and a dotted one
    where it is not: a silenced box silences nobody.

    Args:
        overlaps: Shape (N, N), float, best first.
        names: Of the boxes in this order.
        threshold: Overlaps above it silence.
        kept: Shape (N,), bool, in this order.
    """
    n = len(overlaps)
    figure, (axes,) = row_of_panels([1.15 * n], 0.46 * n, left=1.2, foot=0.3)
    above = np.triu(overlaps, 1)
    names = [name if stays else f"{name} (out)" for name, stays in zip(names, kept)]
    number_table(axes, above, names, names)
    for text in axes.texts:
        column, row = text.get_position()
        text.set_visible(column > row)
        text.set_color("black" if kept[row] else QUIET)
    edges = np.arange(n + 1) - 0.5
    axes.vlines(edges, edges[0], edges[-1], color="#DDDDDD", linewidth=0.7)
    axes.hlines(edges, edges[0], edges[-1], color="#DDDDDD", linewidth=0.7)
    for row, column in np.argwhere(above > threshold):
        style = mark("detection" if kept[row] else "silenced")
        frame = {"fill": False, "edgecolor": style.color, "linestyle": style.dashes, "linewidth": 3}
        axes.add_patch(Rectangle((column - 0.46, row - 0.43), 0.92, 0.86, **frame))
    words = "solid: the row silences; dotted: it would, but is silenced itself"
    axes.set_xlabel(f"framed: IoU above {threshold:g} ({words})", fontsize=NORMAL)
    return figure


def funnel_figure(stages: Sequence[str], counts: Sequence[int], work: dict[str, int]) -> Figure:
    """Show how many boxes each stage leaves, and how many overlaps must be computed, both on a logarithmic axis.

    Args:
        stages: Name of each stage, in order.
        counts: Boxes left after it.
        work: Ways to do it, and how many overlaps each computes.
    """
    check(len(stages) == len(counts), "counts", f"{len(stages)} entries", len(counts))
    figure, (left, right) = row_of_panels([2.7, 2.2], 2.5, left=1.45, gap=1.5, foot=0.5)
    groups = (left, list(stages), list(counts), "box"), (right, list(work), list(work.values()), "")
    for axes, names, values, kind in groups:
        places = np.arange(len(names))[::-1]
        color = mark(kind).color if kind else CURVES[3]
        axes.barh(places, values, 0.6, color=color)
        for place, value in zip(places, values):
            axes.text(value, place, f" {value:,}", va="center", fontsize=NORMAL)
        axes.set_xscale("log")
        curve_axes(axes, "", "")
        axes.grid(visible=False)
        axes.set_yticks(places, names, fontsize=SMALL + 0.5)
        axes.set_xlim(0.7, 0.7 * (max(values) / 0.7) ** 1.5)  # a third is for the number
    left.set_xlabel("answers left (logarithmic)", fontsize=NORMAL)
    right.set_xlabel("overlaps computed (logarithmic)", fontsize=NORMAL)
    return figure


def modes_figure(sample: Sample, answers: dict[str, Detections], names: Sequence[str]) -> Figure:
    """Show detections of several modes side by side, right and wrong ones, over the objects.

    Args:
        sample: The picture and its objects.
        answers: Name of each mode, and what it finds.
        names: Name of label 1, 2, ...
    """
    figure, panels = row_of_panels([3.8] * len(answers), 3.8, ["object", "right", "wrong"])
    for axes, (mode, found) in zip(panels, answers.items()):
        n_right, lost, wrong = draw_judged(axes, sample, found, names)
        title(axes, f"{mode}: {n_right} right, {wrong} wrong, {lost} lost")
    return figure


def draw_judged(
    axes: Axes, sample: Sample, found: Detections, names: Sequence[str]
) -> tuple[int, int, int]:
    """Draw detections, right and wrong, over the objects; return how many are right, objects lost, and wrong."""
    verdict, lost = judged(sample, found)
    marks = ["right" if value == RIGHT else "wrong" for value in verdict]
    texts: list[str | None] = list(_names(found, names))
    if marks.count("wrong") > MOST_NAMED:
        texts = [text if name == "right" else None for text, name in zip(texts, marks)]
    order = np.argsort(verdict != RIGHT, kind="stable")
    boxes = np.concatenate([sample.boxes, np.asarray(found.boxes)[order]])
    draw_boxes(
        axes,
        sample.image,
        boxes,
        [f"lost: {names[label - 1]}" if gone else None for gone, label in zip(lost, sample.labels)]
        + [texts[i] for i in order],
        ["object"] * len(lost) + [marks[i] for i in order],
    )
    return marks.count("right"), int(lost.sum()), marks.count("wrong")


def judged(sample: Sample, found: Detections) -> tuple[np.ndarray, np.ndarray]:
    """Return the verdict on each detection, (D,), and which objects none of the right ones is about, (M,) bool."""
    truth = Truth(sample.boxes, sample.labels, sample.difficult)
    ((verdict, about),) = judge_images([found], [truth])
    lost = ~np.isin(np.arange(len(sample.labels)), about[verdict == RIGHT])
    return verdict, lost


def crowd_figure(
    sample: Sample,
    detect: Callable[[float, float], Detections],
    threshold: float,
    score_floor: float,
    names: Sequence[str],
    steps: Sequence[float] = tuple(np.arange(0.05, 1.0, 0.05)),
) -> Figure:
    """Show what is kept at one threshold, and objects found and wrong detections at every threshold.

    Args:
        sample: The picture and its objects.
        detect: Takes threshold and score floor, returns detections.
        threshold: Of suppression.
        score_floor: Below it nothing is drawn.
        names: Name of label 1, 2, ...
        steps: Thresholds of the curves.
    """
    figure, (picture, curves) = row_of_panels(
        [3.9, 2.9], 3.9, ["object", "right", "wrong"], gap=0.75, foot=0.45
    )
    n_right, lost, wrong = draw_judged(picture, sample, detect(threshold, score_floor), names)
    title(picture, f"{n_right} right, {wrong} wrong, {lost} lost")
    counts = [
        np.bincount(judged(sample, detect(step, score_floor))[0] == RIGHT, minlength=2)
        for step in steps
    ]
    for number, (values, label) in enumerate(
        zip(np.transpose(counts)[::-1], ("objects found", "wrong detections"))
    ):
        line = {"color": CURVES[number], "linestyle": CURVE_DASHES[2 * number], "linewidth": 1.8}
        curves.plot(steps, values, label=label, **line)
    curves.axvline(threshold, color=QUIET, linewidth=1.2, zorder=1)
    curves.text(
        threshold,
        0.99,
        f" {threshold:g}",
        fontsize=SMALL + 0.5,
        va="top",
        transform=curves.get_xaxis_transform(),
    )
    curve_axes(curves, "NMS threshold (IoU)", "boxes")
    curves.set(xlim=(0, 1), ylim=(0, 2.2 * len(sample.labels)))
    curves.legend(
        fontsize=SMALL + 0.5,
        frameon=False,
        loc="lower center",
        bbox_to_anchor=(0.5, 1.0),
        ncols=2,
        borderpad=0,
        columnspacing=1.2,
    )
    return figure


def _names(found: Detections, names: Sequence[str]) -> list[str]:
    return [f"{names[label - 1]} {score:.2f}" for label, score in zip(found.labels, found.scores)]
