"""Pictures of trainings: one picture learnt by heart, learning rates, curves of sound and of broken runs, layers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from minissd.errors import check
from minissd.plotting.boxes import draw_boxes
from minissd.plotting.grid import new_figure
from minissd.plotting.style import CURVE_DASHES, CURVES, NORMAL, QUIET, SMALL, WIDTH, mark
from minissd.plotting.teaching import curve_axes, row_of_panels, title

# Series of a run: its key, what it is called, its colour, and the top of its axis in the clinic.
SERIES = (
    ("class_loss", "class loss", CURVES[0], 12.0),
    ("box_loss", "offset loss", CURVES[1], 6.0),
    ("positives", "positives an image", mark("positive").color, 14.0),
    ("gradient", "length of the gradient", CURVES[3], 1e4),
)
LEAST_LENGTH = 1e-2  # foot of the axis of lengths, which is logarithmic
LEVEL = {"color": QUIET, "linestyle": CURVE_DASHES[4], "linewidth": 1.2}


def running_mean(values: Sequence[float | None], window: int) -> np.ndarray:
    """Return the mean of the last `window` values at every step (fewer at the start); None counts as not a number.

    Args:
        values: N numbers.
        window: How many are averaged, at least 1.

    Returns:
        Shape (N,), float64.
    """
    check(window >= 1, "window", "at least 1", window)
    known = np.array([np.nan if value is None else value for value in values], float)
    return np.array([known[max(0, i + 1 - window) : i + 1].mean() for i in range(len(known))])


def running_median(values: Sequence[float | None], window: int) -> np.ndarray:
    """Return the median of the last `window` values at every step: single wild steps do not count."""
    known = running_mean(values, 1)
    return np.array([np.median(known[max(0, i + 1 - window) : i + 1]) for i in range(len(known))])


def overfit_figure(looks: Sequence[tuple], losses: Sequence[float]) -> Figure:
    """Show what a network finds, before and after it was trained on one picture, and its loss.

    Args:
        looks: One tuple a panel: its title, the picture (H, W, 3) uint8, objects (M, 4), detected boxes (N, 4), and a
            text for each of these.
        losses: The loss of every step.
    """
    widths = [1.85] * len(looks) + [1.6]
    figure, panels = row_of_panels(widths, 1.85, ("object", "detection"), gap=0.15, foot=0.42)
    for axes, (words, image, objects, boxes, texts) in zip(panels, looks):
        every = np.concatenate([np.reshape(boxes, (-1, 4)), objects])
        marks = ["detection"] * len(boxes) + ["object"] * len(objects)
        draw_boxes(axes, image, every, [*texts, *[None] * len(objects)], marks)
        title(axes, words)
    axes = panels[-1]
    place = axes.get_position()
    axes.set_position((place.x0 + 0.05, place.y0 + 0.02, place.width - 0.05, place.height - 0.02))
    curve_axes(axes, "step", "")
    axes.semilogy(np.arange(1, len(losses) + 1), losses, color=CURVES[0], linewidth=1.5)
    title(axes, "loss")
    return figure


def schedules_figure(schedules: Mapping[str, tuple[Callable[[int], float], int]]) -> Figure:
    """Show the learning rate over whole runs, one panel a schedule.

    Args:
        schedules: By title: a function from the step to the rate, and how many steps the run has.
    """
    figure, panels = row_of_panels([3.2] * len(schedules), 1.9, left=0.8, gap=0.85, foot=0.5)
    for axes, (words, (rate, steps)) in zip(panels, schedules.items()):
        at = np.unique(np.linspace(0, steps - 1, 2000).astype(int))
        curve_axes(axes, "step", "learning rate")
        axes.plot(at, [rate(int(step)) for step in at], color=QUIET, linewidth=1.8)
        axes.set_ylim(0)
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
        axes.xaxis.set_major_locator(MaxNLocator(5))
        title(axes, words)
    return figure


def sweep_figure(ends: Mapping[str, float | None], start: float, ceiling: float) -> Figure:
    """Show the loss after a few steps against the learning rate; what is no number, or too high, stands at the top.

    Args:
        ends: Loss by learning rate; None where it was not a number any more.
        start: The loss before the first step.
        ceiling: Top of the axis.
    """
    rates = np.array([float(rate) for rate in ends])
    losses = np.array([np.nan if loss is None else loss for loss in ends.values()], float)
    off = ~(losses < ceiling)
    figure, (axes,) = row_of_panels([5.6], 2.3, left=0.8, foot=0.5)
    curve_axes(axes, "learning rate", "loss after the sweep")
    axes.axhline(start, **LEVEL)
    axes.text(rates[0], start, "before the first step", fontsize=SMALL, color=QUIET, va="bottom")
    axes.semilogx(rates[~off], losses[~off], "o-", color=CURVES[0], linewidth=1.5, markersize=5)
    axes.plot(rates[off], np.full(off.sum(), 0.96 * ceiling), "x", color=CURVES[2], markersize=8)
    for rate, loss in zip(rates[off], losses[off]):
        words = "not a number" if np.isnan(loss) else f"{loss:,.0f}"
        axes.text(rate, 0.91 * ceiling, words, ha="center", va="top", fontsize=SMALL)
    axes.set_ylim(0, ceiling)
    return figure


def clinic_figure(
    runs: Sequence[Mapping[str, Any]], names: Sequence[str], level: float, window: int = 20
) -> Figure:
    """Show the four curves of every run, a row each, on axes that are the same in all rows.

    Args:
        runs: Each with the lists of `SERIES`.
        names: What stands before each row.
        level: Class loss of a network that ignores the picture: a dotted line.
        window: Steps of the running median; the single steps stand behind, pale.
    """
    height, left, gap, head, foot = 0.92, 0.7, 0.46, 0.3, 0.42
    wide = (WIDTH - left - 0.12 - 3 * gap) / 4
    total = head + len(runs) * (height + 0.2) + foot
    steps = max(len(run["class_loss"]) for run in runs)
    figure = new_figure(total)
    for row, (run, name) in enumerate(zip(runs, names)):
        y = total - head - (row + 1) * (height + 0.2) + 0.2
        figure.text(
            0.01, (y + height / 2) / total, name, va="center", fontsize=NORMAL, fontweight="bold"
        )
        for column, series in enumerate(SERIES):
            x = left + column * (wide + gap)
            axes = figure.add_axes((x / WIDTH, y / total, wide / WIDTH, height / total))
            _draw_series(axes, run[series[0]], series, steps, window)
            axes.tick_params(labelbottom=row == len(runs) - 1)
            if row == 0:
                title(axes, series[1])
            if series[0] == "class_loss":
                axes.axhline(level, **LEVEL)
            if row == len(runs) - 1:
                axes.set_xlabel("step", fontsize=SMALL)
    return figure


def _draw_series(
    axes: Axes, values: Sequence[float | None], series: tuple, steps: int, window: int
) -> None:
    """Draw one series, raw and its running median; what leaves the axis or ends early is said in words."""
    key, _, color, top = series
    curve_axes(axes, "", "")
    known = running_mean(values, 1)
    at = np.arange(1, len(known) + 1)
    axes.set(xlim=(-0.02 * steps, 1.02 * steps), ylim=(0, top))
    axes.set_xticks([0, steps // 2, steps])
    if key == "gradient":
        axes.set_yscale("log")
        axes.set_ylim(LEAST_LENGTH, top)
        axes.set_yticks([LEAST_LENGTH, 1, 100, top])
        axes.minorticks_off()
        known = np.maximum(known, 1.15 * LEAST_LENGTH)
    mean = running_median(known, window)
    axes.plot(at, np.minimum(known, 2 * top), color=color, linewidth=0.5, alpha=0.3)
    axes.plot(at, np.minimum(mean, 2 * top), color=color, linewidth=1.5, clip_on=True)
    if not np.isfinite(known[-1]) or len(known) < steps:
        where = "nan" if not np.isfinite(known).all() else "the run ends"
        axes.axvline(len(known), color=QUIET, linewidth=0.8, linestyle=CURVE_DASHES[2])
        axes.text(
            (len(known) + 0.03 * steps) / steps,
            0.6,
            f"{where} at {len(known)}",
            transform=axes.transAxes,
            fontsize=SMALL,
        )


def log_figure(run: Mapping[str, Any], levels: Mapping[str, float], window: int = 20) -> Figure:
    """Show the four curves of one run, large, each on its own axis.

    Args:
        run: With the lists of `SERIES`.
        levels: Dotted lines of the class loss, by what they are called.
        window: Steps over which is averaged; the single steps stand behind, pale.
    """
    figure, total = new_figure(4.3), 4.3
    for number, (key, words, color, _) in enumerate(SERIES):
        row, column = divmod(number, 2)
        x, y = 0.6 + column * 3.85, total - 0.3 - 1.55 - row * 2.05
        axes = figure.add_axes((x / WIDTH, y / total, 3.4 / WIDTH, 1.55 / total))
        curve_axes(axes, "step" if row else "", "")
        known = running_mean(run[key], 1)
        at = np.arange(1, len(known) + 1)
        axes.plot(at, known, color=color, linewidth=0.5, alpha=0.3)
        axes.plot(at, running_mean(known, window), color=color, linewidth=1.7)
        axes.set_ylim(0, 1.1 * np.nanmax(known[window:]))
        title(axes, words)
        for name, level in levels.items() if key == "class_loss" else ():
            axes.axhline(level, **LEVEL)
            axes.text(len(known), level, name, fontsize=SMALL, color=QUIET, ha="right", va="bottom")
        if key == "class_loss":
            axes.set_ylim(0, 1.25 * max(levels.values()))
    return figure


def layers_figure(
    layers: Sequence[str], panels: Mapping[str, Mapping[str, Sequence[float | None]]], words: str
) -> Figure:
    """Show one number of every layer, from the input on the left to the heads on the right, a panel a run.

    Args:
        layers: Names of the layers' weights; those of heads begin with "heads".
        panels: By title, the curves of a run by their names: a number a layer. Exactly 0 is a triangle at the foot.
        words: What the number is.
    """
    figure, axes_of = row_of_panels([3.3] * len(panels), 2.3, left=0.75, gap=0.3, foot=0.75)
    heads = sum(not name.startswith("heads") for name in layers)
    at = np.arange(len(layers))
    finite = [v for lines in panels.values() for line in lines.values() for v in line if v]
    for number, (axes, (name, lines)) in enumerate(zip(axes_of, panels.items())):
        curve_axes(axes, "layer, from the picture to the heads", words if number == 0 else "")
        axes.axvspan(heads - 0.5, len(layers) - 0.5, color="#F0F0F0", zorder=0)
        axes.set_yscale("log")
        foot = 0.3 * min(finite)
        axes.set_ylim(foot, 4 * max(finite))
        axes.text(len(layers) - 0.6, 1.5 * max(finite), "heads", ha="right", fontsize=SMALL)
        for order, (label, values) in enumerate(lines.items()):
            known = np.array([np.nan if value is None else value for value in values], float)
            style = {"color": CURVES[2 * order], "linestyle": CURVE_DASHES[order]}
            shown = np.maximum(known, foot)
            axes.plot(at, shown, marker=".", markersize=4, linewidth=1.3, label=label, **style)
            if (known == 0).any():
                zero = {"marker": "v", "markersize": 6, "linestyle": "", "clip_on": False}
                axes.plot(at[known == 0], shown[known == 0], color=CURVES[2 * order], **zero)
        axes.legend(fontsize=SMALL, frameon=False, loc="upper left", ncols=len(lines))
        axes.tick_params(labelleft=number == 0)
        axes.set_xticks(at[::4], at[::4] + 1)
        title(axes, name)
    return figure


def steps_figure(
    image: np.ndarray,
    objects: np.ndarray,
    view: Mapping[str, Sequence],
    names: Sequence[str],
    losses: Sequence[float],
    step: int,
) -> Figure:
    """Show what a network finds in a picture after so many steps, and where in the class loss's curve that is.

    Args:
        image: Shape (H, W, 3), uint8.
        objects: Shape (M, 4), corners.
        view: Its detections: boxes, labels from 1, scores.
        names: Of the classes, label 1 first.
        losses: Class loss of every step of the run.
        step: After which step.
    """
    figure, (left, right) = row_of_panels(
        [3.2, 3.6], 3.2, ("object", "detection"), gap=0.7, foot=0.45
    )
    boxes = np.array(view["boxes"], float).reshape(-1, 4)
    texts = [f"{names[k - 1]} {s:.2f}" for k, s in zip(view["labels"], view["scores"])]
    marks = ["detection"] * len(boxes) + ["object"] * len(objects)
    every = np.concatenate([boxes, objects])
    draw_boxes(left, image, every, [*texts, *[None] * len(objects)], marks)
    title(left, f"after {step:,} steps")
    curve_axes(right, "step", "")
    at = np.arange(1, len(losses) + 1)
    right.plot(at, losses, color=CURVES[0], linewidth=0.5, alpha=0.3)
    right.plot(at, running_mean(losses, 20), color=CURVES[0], linewidth=1.6)
    right.axvline(step, color=CURVES[2], linewidth=1.6, linestyle=CURVE_DASHES[2])
    right.set_ylim(0)
    title(right, "class loss")
    return figure
