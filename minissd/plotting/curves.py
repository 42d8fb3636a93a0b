"""Curves: how the loss fell, and precision against recall."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from minissd.errors import check
from minissd.evaluation.average_precision import RECALL_POINTS, envelope
from minissd.evaluation.results import ClassResult, Evaluation
from minissd.plotting.grid import new_figure, plain_axes, set_title, write_heading
from minissd.plotting.style import CURVE_DASHES, CURVES, MEASURE, QUIET, SMALL, WIDTH

MEASURES = ("mean_ap", "mAP", "map")
RATES = ("lr", "learning_rate")
MANY_POINTS = 100  # from here on a running mean is drawn over the raw values
Series = tuple[np.ndarray, np.ndarray]


def loss_curves(rows: Sequence[Mapping[str, object]], heading: str | None = None) -> Figure:
    """Show the parts of the loss, mean average precision and learning rate of a run, one panel each.

    Args:
        rows: Metrics, one dict a row, with `step` or `epoch`. Every key with "loss" in it is a curve of the first,
            `mean_ap` (or `mAP`, `map`) is the second panel, `lr` the third; one without numbers is left out. A row
            may lack any key, or hold "" or None.
        heading: Line above all.

    Raises:
        ValueError: There is nothing to draw.
    """
    x = "step" if any("step" in row for row in rows) else "epoch"
    keys = list(dict.fromkeys(key for row in rows for key in row))
    series = {key: _series(rows, x, key) for key in keys}
    series = {key: points for key, points in series.items() if len(points[0])}
    losses = {key: series[key] for key in sorted(series, key=len) if "loss" in key.lower()}
    measure = next((series[key] for key in MEASURES if key in series), None)
    rate = next((series[key] for key in RATES if key in series), None)
    drawn = [
        (height, draw, data)
        for height, draw, data in (
            (2.7, _draw_losses, losses),
            (1.8, _draw_measure, measure),
            (1.1, _draw_rate, rate),
        )
        if data
    ]
    check(len(drawn) > 0, "rows", f"numbers under {x!r} and a loss, mean_ap or lr", keys)
    figure, panels = _stacked([height for height, _, _ in drawn], x, heading)
    for axes, (_, draw, data) in zip(panels, drawn):
        draw(axes, data)
    return figure


def precision_recall_figure(evaluation: Evaluation, heading: str | None = None) -> Figure:
    """Show the precision-recall curve of each class, and of all classes in one ranking, a small panel each.

    The thin line is the curve; the points are the eleven at which the 11-point method reads it, or the filled steps the
    area that the all-point method measures. The legend of each panel has its AP, the brackets the number of objects.

    Args:
        evaluation: From `minissd.evaluation.evaluate`.
        heading: Line above all; None for the mean and the settings.
    """
    results = dict(evaluation.per_class)
    if len(results) > 1:
        results = {"all classes": evaluation.pooled, **results}
    figure, panels = _squares(len(results))
    for axes, (name, result) in zip(panels, results.items()):
        _draw_precision_recall(axes, result, str(evaluation.settings["method"]))
        set_title(axes, f"{name} ({result.n_objects:,})")
    write_heading(figure, heading or _settings_line(evaluation))
    return figure


def _squares(n_panels: int) -> tuple[Figure, list[Axes]]:
    """Return square panels in rows, with numbers only along the left and the lower side."""
    columns = min(n_panels, 5 if n_panels > 12 else 4 if n_panels > 6 else 3)
    n_rows = math.ceil(n_panels / columns)
    head, foot, left, gap, title = 0.4, 0.48, 0.62, 0.14, 0.3  # inches
    side = min((WIDTH - left - 0.15) / columns - gap, 3.6)
    left = max(left, (WIDTH - columns * (side + gap)) / 2)
    height = head + n_rows * (side + title) + foot
    figure = new_figure(height)
    panels = []
    for number in range(n_panels):
        row, column = divmod(number, columns)
        x, y = left + column * (side + gap), height - head - (row + 1) * (side + title)
        axes = figure.add_axes((x / WIDTH, y / height, side / WIDTH, side / height))
        plain_axes(axes)
        axes.tick_params(labelleft=column == 0, labelbottom=number + columns >= n_panels)
        panels.append(axes)
    middle = (left + columns * (side + gap) / 2) / WIDTH
    figure.supxlabel("recall", fontsize=SMALL + 0.5, x=middle, y=0.1 / height, va="bottom")
    figure.supylabel("precision", fontsize=SMALL + 0.5, x=(left - 0.5) / WIDTH)
    return figure, panels


def _series(rows: Sequence[Mapping[str, object]], x: str, key: str) -> Series:
    """Return the points of one key: rows without a number in both are left out."""
    points = [(_number(row.get(x)), _number(row.get(key))) for row in rows]
    known = [point for point in points if None not in point]
    array = np.array(known, float).reshape(-1, 2)
    return array[:, 0], array[:, 1]


def _number(value: object) -> float | None:
    try:
        return float(value)
    except (TypeError, ValueError):
        return None


def _stacked(heights: list[float], x: str, heading: str | None) -> tuple[Figure, list[Axes]]:
    """Return panels one above the other that share their horizontal axis."""
    top, bottom, gap = (0.42 if heading else 0.15), 0.48, 0.16
    total = top + sum(heights) + gap * (len(heights) - 1) + bottom
    figure = new_figure(total)
    panels: list[Axes] = []
    y = total - top
    for number, height in enumerate(heights):
        y -= height
        place = (0.75 / WIDTH, y / total, (WIDTH - 0.95) / WIDTH, height / total)
        axes = figure.add_axes(place, sharex=panels[0] if panels else None)
        plain_axes(axes)
        axes.tick_params(labelbottom=number == len(heights) - 1)
        panels.append(axes)
        y -= gap
    panels[-1].set_xlabel(x, fontsize=SMALL + 0.5)
    panels[-1].margins(x=0.02)
    panels[-1].xaxis.set_major_locator(MaxNLocator(8, integer=True))
    panels[-1].xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,g}"))
    if heading:
        write_heading(figure, heading)
    return figure, panels


def _draw_losses(axes: Axes, losses: dict[str, Series]) -> None:
    tops = []
    for number, (key, (x, y)) in enumerate(losses.items()):
        color, dashes = CURVES[number % len(CURVES)], CURVE_DASHES[number % len(CURVE_DASHES)]
        label = key.replace("_", " ")
        if len(x) > MANY_POINTS:
            axes.plot(x, y, color=color, linewidth=0.5, alpha=0.25, label="_raw")
            window = max(5, len(x) // 50)
            y = _running_mean(y, window)
            label += f" (mean of {window})"
        single = "o" if len(x) == 1 else None
        axes.plot(x, y, color=color, linestyle=dashes, linewidth=1.5, marker=single, label=label)
        finite = y[np.isfinite(y)]
        tops.append(np.percentile(finite, 99.5) if len(finite) else 1.0)
    axes.set_ylim(0, 1.15 * max(*tops, 1e-12))  # a few wild steps do not press the rest flat
    axes.set_ylabel("loss", fontsize=SMALL + 0.5)
    axes.legend(fontsize=SMALL, frameon=False, loc="upper right")


def _draw_measure(axes: Axes, points: Series) -> None:
    x, y = points
    axes.plot(x, y, color=MEASURE, linewidth=1.5, marker="o", markersize=3.5, label="mAP")
    if np.isfinite(y[-1]):
        axes.annotate(
            f"{y[-1]:.3f}",
            (x[-1], y[-1]),
            xytext=(-4, -12 if y[-1] > 0.5 else 7),
            textcoords="offset points",
            ha="right",
            fontsize=SMALL,
            color=MEASURE,
        )
    axes.set_ylim(0, 1.04)
    axes.set_ylabel("mean AP", fontsize=SMALL + 0.5)


def _draw_rate(axes: Axes, points: Series) -> None:
    x, y = points
    axes.plot(x, y, color=QUIET, linewidth=1.4, marker="o" if len(x) == 1 else None, label="lr")
    axes.set_ylim(0, 1.15 * max(np.nanmax(y, initial=0), 1e-12))
    axes.yaxis.set_major_locator(MaxNLocator(3))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.set_ylabel("learning rate", fontsize=SMALL + 0.5)


def _running_mean(values: np.ndarray, window: int) -> np.ndarray:
    """Return the mean of the last `window` values (fewer at the start), passing over what is not finite."""
    finite = np.isfinite(values)
    sums = np.cumsum(np.append(0, np.where(finite, values, 0)))
    counts = np.cumsum(np.append(0, finite))
    end = np.arange(1, len(values) + 1)
    start = np.maximum(end - window, 0)
    n = counts[end] - counts[start]
    return np.where(n > 0, (sums[end] - sums[start]) / np.maximum(n, 1), np.nan)


def _draw_precision_recall(axes: Axes, result: ClassResult, method: str) -> None:
    axes.set(xlim=(-0.02, 1.04), ylim=(-0.02, 1.06), xticks=[0, 0.5, 1], yticks=[0, 0.5, 1])
    if not result.n_objects:
        axes.text(0.5, 0.5, "no objects", ha="center", va="center", fontsize=SMALL, color=QUIET)
        return
    axes.plot(result.recall, result.precision, color=QUIET, linewidth=0.9, label="_curve")
    label = f"AP {result.ap:.3f}"
    if method == "11-point":
        best = envelope(result.recall, result.precision, RECALL_POINTS)
        axes.plot(
            RECALL_POINTS, best, "o", color=MEASURE, markersize=3.2, label=label, clip_on=False
        )
    else:
        at = np.concatenate([[0.0], np.unique(result.recall)])
        best = envelope(result.recall, result.precision, at)
        axes.fill_between(at, best, step="pre", color=MEASURE, alpha=0.2, linewidth=0, label=label)
        axes.step(at, best, where="pre", color=MEASURE, linewidth=1.1, label="_envelope")
    place = "lower left" if result.ap > 0.3 else "upper right"
    axes.legend(
        fontsize=SMALL - 0.5,
        loc=place,
        frameon=False,
        handlelength=1,
        handletextpad=0.5,
        borderpad=0.2,
    )


def _settings_line(evaluation: Evaluation) -> str:
    known = evaluation.settings
    n_classes = len(evaluation.per_class) - len(evaluation.missing)
    mean = "-" if math.isnan(evaluation.mean_ap) else f"{evaluation.mean_ap:.3f}"
    return (
        f"mean AP {mean} ({n_classes} class{'es' * (n_classes != 1)}, {known['method']}, "
        f"IoU {known['iou_threshold']:g}, {known['images']:,} images); in brackets: objects"
    )
