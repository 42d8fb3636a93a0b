"""How good is it: the ranked list, the precision-recall curve and its areas, and one mAP among many."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import PercentFormatter

from minissd.errors import check, check_shape
from minissd.evaluation.average_precision import (
    METHODS,
    RECALL_POINTS,
    average_precision,
    envelope,
)
from minissd.evaluation.error_results import KINDS, ErrorAnalysis
from minissd.plotting.grid import new_figure
from minissd.plotting.style import (
    CURVE_DASHES,
    CURVES,
    ERROR_AREAS,
    MEASURE,
    NORMAL,
    QUIET,
    SMALL,
    ink_on,
    mark,
)
from minissd.plotting.teaching import curve_axes, draw_on_grid, row_of_panels, title

SIGNS = {"right": "✓", "wrong": "×", "ignored": "–"}  # what is seen without colour too


def judged_figure(
    objects: np.ndarray, boxes: np.ndarray, scores: np.ndarray, words: Sequence[str]
) -> Figure:
    """Show five boxes as detections on squared paper, and beside it their ranked list with each one's verdict.

    Args:
        objects: Shape (M, 4), float, corners as fractions.
        boxes: Shape (N, 4), float, corners as fractions, best scored first.
        scores: Shape (N,), float, falling.
        words: The verdict on each: it begins with "right", or is wrong.
    """
    check(len(words) == len(boxes), "words", f"{len(boxes)} entries", len(words))
    marks = ["right" if each.startswith("right") else "wrong" for each in words]
    figure, (paper, ranks) = row_of_panels(
        [3.5, 3.5], 3.5, ["object", "right", "wrong"], left=0.3, gap=0.45
    )
    letters = [chr(ord("A") + row) for row in range(len(objects))]
    numbers = [str(row + 1) for row in range(len(boxes))]
    both = np.concatenate([boxes, objects])
    draw_on_grid(paper, both, numbers + letters, marks + ["object"] * len(objects))
    ranks.set(xlim=(0, 1), ylim=(len(boxes), -0.6))
    ranks.set_axis_off()
    for x, words_above in ((0.06, "rank"), (0.3, "score"), (0.5, "verdict")):
        ranks.text(x, -0.3, words_above, fontsize=NORMAL, color=QUIET, va="center")
    for row, (score, name, word) in enumerate(zip(scores, marks, words)):
        _tile(ranks, 0.05, row + 0.15, 0.16, 0.7, name, f"{row + 1} {SIGNS[name]}")
        ranks.text(0.3, row + 0.5, f"{score:.1f}", fontsize=NORMAL, va="center")
        ranks.text(0.5, row + 0.5, word, fontsize=NORMAL, va="center")
    return figure


def _tile(
    axes: Axes, x: float, y: float, width: float, height: float, name: str, words: str
) -> None:
    color = mark(name).color
    axes.add_patch(Rectangle((x, y), width, height, facecolor=color, edgecolor="white"))
    place = (x + width / 2, y + height / 2)
    axes.text(*place, words, ha="center", va="center", fontsize=NORMAL, color=ink_on(color))


def strip_figure(right: np.ndarray, n_objects: int) -> Figure:
    """Show a ranked list as a strip of right and wrong marks, with precision and recall after each detection below.

    Args:
        right: Shape (D,), bool, best scored first; a few dozen at most.
        n_objects: Objects to find.
    """
    right = np.asarray(right, bool)
    check_shape(right, ("D",), "right")
    ranks = np.arange(1, len(right) + 1)
    figure = new_figure(3.0)
    strip = figure.add_axes((0.09, 0.8, 0.89, 0.1))
    for rank, hit in zip(ranks, right):
        name = "right" if hit else "wrong"
        _tile(strip, rank - 0.5, 0, 1, 1, name, SIGNS[name])
    strip.set(xlim=(0.5, len(right) + 0.5), ylim=(0, 1))
    strip.set_axis_off()
    title(strip, f"the {len(right)} best scored detections, {n_objects} objects to find")
    axes = figure.add_axes((0.09, 0.17, 0.89, 0.58))
    found = np.cumsum(right)
    for values, name, row in ((found / ranks, "precision", 0), (found / n_objects, "recall", 1)):
        axes.plot(ranks, values, color=CURVES[row], linestyle=CURVE_DASHES[row], label=name)
        axes.plot(ranks, values, "o", color=CURVES[row], markersize=3)
    curve_axes(axes, "rank", "")
    axes.set(xlim=(0.5, len(right) + 0.5), ylim=(0, 1.05))
    axes.legend(loc="center right", fontsize=SMALL + 0.5, frameon=False)
    return figure


def two_areas_figure(recall: np.ndarray, precision: np.ndarray) -> Figure:
    """Show one precision-recall curve twice: read at eleven points, and with the whole area under its envelope.

    Args:
        recall: Shape (D,), float, after each detection: never falling.
        precision: Shape (D,), float.
    """
    figure, panels = row_of_panels([3.35, 3.35], 2.7, left=0.55, gap=0.55, foot=0.45)
    top = envelope(recall, precision, RECALL_POINTS)
    steps = np.append(0, recall)
    heights = envelope(recall, precision, recall)
    for axes, method in zip(panels, METHODS):
        axes.plot(recall, precision, color=CURVES[0], linewidth=1.0, label="the curve")
        curve_axes(axes, "recall", "precision")
        axes.set(xlim=(-0.03, 1.03), ylim=(0, 1.05))
        title(axes, f"{method}: {average_precision(recall, precision, method):.3f}")
    points, whole = panels
    points.vlines(RECALL_POINTS, 0, top, color=MEASURE, linewidth=1.2)
    points.plot(RECALL_POINTS, top, "o", color=MEASURE, markersize=5, label="eleven readings")
    whole.fill_between(
        np.append(steps, steps[-1]),
        np.concatenate([heights[:1], heights, [0]]),
        step="pre",
        color=MEASURE,
        alpha=0.25,
        linewidth=0,
        label="area under the envelope",
    )
    for axes in panels:
        axes.legend(loc="lower left", fontsize=SMALL + 0.5, framealpha=0.9)
    return figure


def settings_figure(names: Sequence[str], values: Sequence[float]) -> Figure:
    """Show the mAP of the same detections under several settings, a row each; the first is the one to compare with.

    Args:
        names: What was set.
        values: mAP, 0 to 1.
    """
    check(len(names) == len(values) > 1, "values", f"{len(names)} entries", len(values))
    height = 0.75 + 0.27 * len(names)
    figure = new_figure(height)
    axes = figure.add_axes((0.36, 0.5 / height, 0.56, 1 - 0.7 / height))
    rows = np.arange(len(names))
    axes.axvline(values[0], color=QUIET, linewidth=1, linestyle=CURVE_DASHES[2])
    axes.hlines(rows, values[0], values, color=MEASURE, linewidth=1.5)
    axes.plot(values, rows, "o", color=MEASURE, markersize=6)
    curve_axes(axes, "mAP of one and the same list of detections", "")
    low, high = min(values), max(values)
    room = 0.12 * (high - low)
    axes.set(ylim=(len(names) - 0.4, -0.6), xlim=(low - 1.5 * room, high + 1.5 * room))
    axes.set_yticks(rows, names, fontsize=NORMAL)
    for row, value in enumerate(values):
        side = -1 if value < values[0] else 1
        place = (value + side * 0.25 * room, row)
        axes.text(
            *place, f"{value:.3f}", ha="right" if side < 0 else "left", va="center", fontsize=SMALL
        )
    return figure


def floor_figure(
    recall: np.ndarray,
    precision: np.ndarray,
    scores: np.ndarray,
    floors: np.ndarray,
    means: np.ndarray,
    floor: float,
) -> Figure:
    """Show what a score floor cuts off the precision-recall curve, and what mAP is left at every floor.

    Args:
        recall: Shape (D,), float, of all classes in one ranking: never falling.
        precision: Shape (D,), float.
        scores: Shape (D,), float, falling.
        floors: Shape (F,), float, rising.
        means: Shape (F,), float, mAP at each floor.
        floor: Detections that do not score above it are left out.
    """
    kept = int((np.asarray(scores) > floor).sum())
    figure, (curve, measure) = row_of_panels([3.35, 3.35], 2.7, left=0.55, gap=0.55, foot=0.45)
    curve.plot(recall, precision, color=QUIET, linewidth=1.0, linestyle=CURVE_DASHES[4])
    curve.plot(recall[:kept], precision[:kept], color=CURVES[0], linewidth=1.6)
    if kept:
        end = recall[kept - 1], precision[kept - 1]
        curve.plot(*end, "o", color=CURVES[0], markersize=5)
    curve_axes(curve, "recall", "precision")
    curve.set(xlim=(-0.03, 1.03), ylim=(0, 1.05))
    title(curve, f"floor {floor:.2f}: {kept:,} of {len(scores):,} detections left")
    measure.plot(floors, means, color=MEASURE, linewidth=1.6)
    here = float(np.interp(floor, floors, means))
    measure.plot(floor, here, "o", color=MEASURE, markersize=6)
    curve_axes(measure, "score floor", "mAP")
    measure.set(xlim=(0, 1), ylim=(0, 1))
    title(measure, f"mAP {here:.3f}")
    return figure


def error_bars_figure(analysis: ErrorAnalysis, edges: Sequence[int]) -> Figure:
    """Show of which kinds the detections of all classes are, in one ranked list cut into slices: a bar for each.

    Args:
        analysis: From `minissd.evaluation.analyse_errors`.
        edges: Rising ranks at which the list is cut, 0 first; at most as many as there are detections.
    """
    classes = analysis.per_class.values()
    scores = np.concatenate([each.scores for each in classes])
    kinds = np.concatenate([each.kinds for each in classes])[np.argsort(-scores, kind="stable")]
    slices = list(pairwise(edges))
    fits = all(0 <= low < high <= len(kinds) for low, high in slices)
    check(fits, "edges", f"rising ranks, at most {len(kinds)}", list(edges))
    columns = [f"{low + 1}–{high}" for low, high in slices]
    counts = [np.bincount(kinds[low:high], minlength=len(KINDS)) for low, high in slices]
    shares = np.array(counts) / np.diff(edges)[:, None]
    figure = new_figure(3.0)
    axes = figure.add_axes((0.09, 0.16, 0.6, 0.76))
    base = np.zeros(len(columns))
    for kind, share in zip(KINDS, shares.T):
        area = ERROR_AREAS[kind]
        axes.bar(
            columns,
            share,
            bottom=base,
            color=area.color,
            hatch=area.hatch,
            edgecolor="white",
            label=f"{kind}: {area.words}",
        )
        base = base + share
    curve_axes(axes, "rank in the list of all classes", "share")
    axes.yaxis.set_major_formatter(PercentFormatter(1))
    axes.set_ylim(0, 1)
    handles, labels = axes.get_legend_handles_labels()
    figure.legend(
        handles[::-1],
        labels[::-1],
        loc="center left",
        bbox_to_anchor=(0.7, 0.54),
        frameon=False,
        fontsize=SMALL + 0.5,
    )
    return figure
