"""Pictures of how much it matters how large an object is, and how wide for its height.

Source: Hoiem et al., "Diagnosing Error in Object Detectors", ECCV 2012; Liu et al. 2016, figure 5.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from minissd.errors import check
from minissd.evaluation.sensitivity import ClassSensitivity, Sensitivity
from minissd.plotting.grid import new_figure, plain_axes, write_heading
from minissd.plotting.style import MEASURE, QUIET, SMALL, WIDTH

CLASSES_IN_A_ROW = 7


def sensitivity_figure(result: Sensitivity, heading: str | None = None) -> Figure:
    """Show how well objects of each size and each shape are found, five bars a class, after the mean of all classes.

    The whiskers are standard errors; the line across the bars is the class as a whole.

    Args:
        result: From `minissd.evaluation.analyse_sensitivity`.
        heading: Line above all.

    Raises:
        ValueError: No class has objects.
    """
    check(len(result.per_class) > 0, "result", "a class with objects", "none")
    classes = {"all classes": result.mean(), **result.per_class}
    names = list(classes) if len(result.per_class) > 1 else list(result.per_class)
    rows = [names[i : i + CLASSES_IN_A_ROW] for i in range(0, len(names), CLASSES_IN_A_ROW)]
    height, gap, head, foot, left = 1.25, 0.42, 0.62, 0.34, 0.55
    blocks = (
        (
            "size",
            "by area: 10 percent extra small (XS), 20 small, 40 medium, 20 large, 10 extra large (XL)",
        ),
        (
            "aspect",
            "by width over height: 10 percent extra tall (XT), 20 tall, 40 medium, 20 wide, 10 extra wide (XW)",
        ),
    )
    total = head + 2 * len(rows) * (height + gap) + 0.3 + foot
    figure = new_figure(total)
    top = total - head
    for key, words in blocks:
        y = (top + 0.12) / total
        figure.text(left / WIDTH, y, words, fontsize=SMALL + 0.5, va="center")
        for row in rows:
            share = len(row) / min(len(names), CLASSES_IN_A_ROW)
            width = (WIDTH - left - 0.1) * share
            place = (left / WIDTH, (top - height) / total, width / WIDTH, height / total)
            _bars(figure.add_axes(place), {name: classes[name] for name in row}, key)
            top -= height + gap
        top -= 0.3
    write_heading(figure, heading or _reference_line(result))
    return figure


def _bars(axes: Axes, classes: Mapping[str, ClassSensitivity], key: str) -> None:
    plain_axes(axes)
    axes.grid(visible=False, axis="x")
    parts = [(name, part) for each in classes.values() for name, part in getattr(each, key).items()]
    each_width = len(parts) // len(classes)
    x = np.array([k + k // each_width for k in range(len(parts))])
    values, spread = (
        np.array([getattr(part, field) for _, part in parts]) for field in ("ap", "error")
    )
    known = ~np.isnan(values)
    axes.bar(
        x[known],
        values[known],
        0.82,
        yerr=spread[known],
        color=MEASURE,
        alpha=0.55,
        error_kw={"ecolor": "black", "elinewidth": 0.8, "capsize": 1.6},
    )
    for place in x[~known]:
        axes.text(place, 0.02, "–", ha="center", fontsize=SMALL, color=QUIET)  # no such object
    for number, each in enumerate(classes.values()):
        ends = [6 * number - 0.5, 6 * number + each_width - 0.5]
        axes.plot(ends, [each.overall.ap] * 2, color="black", linewidth=1.2, label="_whole")
    axes.set(xlim=(-1, 6 * len(classes) - 1), ylim=(0, 1.04), yticks=[0, 0.5, 1])
    axes.set_xticks(x, [name for name, _ in parts], fontsize=SMALL - 1.5)
    axes.tick_params(axis="x", length=0, pad=1.5)
    axes.set_ylabel("AP$_N$", fontsize=SMALL + 0.5)
    for number, name in enumerate(classes):
        axes.text(
            number * 6 + 2,
            -0.16,
            name,
            ha="center",
            va="top",
            fontsize=SMALL,
            fontweight="bold" if name == "all classes" else "normal",
            transform=axes.get_xaxis_transform(),
            parse_math=False,
        )


def _reference_line(result: Sensitivity) -> str:
    low, own, high = result.span("size")
    return (
        f"normalised AP of each part, IoU {result.iou_threshold:g}, N = {result.n_reference:.4g};"
        f" by size on average {low:.2f} worst, {own:.2f} whole class, {high:.2f} best"
    )
