"""Pictures of a detector's errors: which kinds there are as detections grow in number.

Source: Hoiem et al., "Diagnosing Error in Object Detectors", ECCV 2012; Liu et al. 2016, figures 3 and 4.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.patheffects import Normal, Stroke
from matplotlib.ticker import FixedFormatter, FixedLocator, NullLocator, PercentFormatter

from minissd.errors import check
from minissd.evaluation.error_results import KINDS, ErrorAnalysis
from minissd.plotting.grid import new_figure, plain_axes, set_title, write_heading
from minissd.plotting.style import ERROR_AREAS, SMALL, WIDTH, ink_on

MULTIPLES = 2.0 ** np.linspace(-3, 3, 49)  # an eighth of the objects to eight times as many
FEWEST_WRONG = 25  # where the figure of wrong detections begins, as in the paper
LEAST_NAMED = 0.09  # share from which an area has room for its name
HALO = (Stroke(linewidth=3.4, foreground="white"), Normal())


def error_kinds_figure(analysis: ErrorAnalysis, heading: str | None = None) -> Figure:
    """Show the shares of the five kinds of detections, and recall, as detections grow in number, a panel each group.

    Args:
        analysis: From `minissd.evaluation.analyse_errors`.
        heading: Line above all; None for what is shown.

    Raises:
        ValueError: No class has both objects and detections.
    """
    groups = _shown_groups(analysis)
    figure, panels = _panels(
        len(groups), "detections of a class, best first, in multiples of its objects"
    )
    write_heading(
        figure,
        heading or "what the best scored detections are, on average over the classes of a group",
    )
    for axes, group in zip(panels, groups):
        shares = np.array([analysis.shares(group, m) for m in MULTIPLES])
        _stack(axes, MULTIPLES, shares, KINDS)
        for weak, dashes, name in ((False, "solid", "_found"), (True, (0, (3, 1.5)), "_weak")):
            recall = [analysis.recall(group, m, weak) for m in MULTIPLES]
            axes.plot(
                MULTIPLES,
                recall,
                color="black",
                linestyle=dashes,
                linewidth=1.6,
                label=name,
                path_effects=HALO,
            )
        _power_of_two_axis(axes)
        set_title(axes, f"{group} ({_count(analysis, group)})")
    blank = Line2D([], [], linestyle="none", label=" ")  # the lines get a column of their own
    strong, weak = (analysis.settings[f"{name}_threshold"] for name in ("iou", "weak"))
    lines = [
        blank,
        Line2D([], [], color="black", linewidth=1.6, label=f"objects found, IoU {strong:g}"),
        Line2D(
            [],
            [],
            color="black",
            linewidth=1.6,
            linestyle=(0, (3, 1.5)),
            label=f"objects found, IoU {weak:g}",
        ),
    ]
    _legend(figure, KINDS, lines)
    return figure


def wrong_kinds_figure(analysis: ErrorAnalysis, heading: str | None = None) -> Figure:
    """Show in what way the best scored wrong detections are wrong, as they grow in number, a panel each group.

    Args:
        analysis: From `minissd.evaluation.analyse_errors`.
        heading: Line above all; None for what is shown.

    Raises:
        ValueError: No class has both objects and detections.
    """
    groups = _shown_groups(analysis)
    figure, panels = _panels(len(groups), "wrong detections of a class, best first")
    write_heading(
        figure,
        heading or "in what way wrong detections are wrong, on average over the classes of a group",
    )
    for axes, group in zip(panels, groups):
        most = max((int((c.kinds > 0).sum()) for c in analysis.members(group)), default=0)
        counts = _counts(most)
        if not len(counts):
            axes.text(0.5, 0.5, "none is wrong", ha="center", va="center", transform=axes.transAxes)
            axes.set_axis_off()
        else:
            shares = np.array([analysis.wrong_shares(group, int(count)) for count in counts])
            _stack(axes, counts, shares, KINDS[1:])
            _count_axis(axes, counts)
        set_title(axes, f"{group} ({_count(analysis, group)})")
    _legend(figure, KINDS[1:], [])
    return figure


def _shown_groups(analysis: ErrorAnalysis) -> list[str]:
    """Names of the groups in which a class has objects and detections."""
    shown = [name for name in analysis.groups if not np.isnan(analysis.shares(name)).any()]
    check(len(shown) > 0, "analysis", "a class with objects and detections", "none")
    return shown


def _count(analysis: ErrorAnalysis, group: str) -> str:
    members = analysis.members(group)
    n_objects = sum(each.n_objects for each in members)
    return f"{len(members)} class{'es' * (len(members) != 1)}, {n_objects:,} objects"


def _panels(count: int, xlabel: str) -> tuple[Figure, list[Axes]]:
    """Return panels in rows of two or three, with numbers of shares only along the left side."""
    columns = min(count, 2 if count in (2, 4) else 3)
    n_rows = math.ceil(count / columns)
    head, foot, left, gap, title, below, height = 0.4, 0.67, 0.62, 0.22, 0.3, 0.28, 2.1  # inches
    width = min((WIDTH - left - 0.15 - (columns - 1) * gap) / columns, 5.0)
    left = max(left, (WIDTH - columns * width - (columns - 1) * gap) / 2)
    total = head + n_rows * (title + height + below) + foot
    figure = new_figure(total)
    panels = []
    for number in range(count):
        row, column = divmod(number, columns)
        x = left + column * (width + gap)
        y = total - head - (row + 1) * (title + height) - row * below
        axes = figure.add_axes((x / WIDTH, y / total, width / WIDTH, height / total))
        plain_axes(axes)
        axes.tick_params(labelleft=column == 0)
        panels.append(axes)
    middle = (left + (columns * (width + gap) - gap) / 2) / WIDTH
    figure.supxlabel(xlabel, fontsize=SMALL + 0.5, x=middle, y=0.6 / total, va="center")
    return figure, panels


def _stack(axes: Axes, x: np.ndarray, shares: np.ndarray, kinds: Sequence[str]) -> None:
    """Fill between the running sums of shares (P, kinds), and name each area where it is wide enough."""
    top = np.concatenate([np.zeros((len(shares), 1)), np.cumsum(shares, axis=1)], axis=1)
    if len(x) == 1:
        x, top = np.array([x[0], x[0] * 2]), np.repeat(top, 2, axis=0)
    for k, kind in enumerate(kinds):
        area = ERROR_AREAS[kind]
        axes.fill_between(
            x,
            top[:, k],
            top[:, k + 1],
            facecolor=area.color,
            edgecolor="#00000055",
            hatch=area.hatch,
            linewidth=0,
            label=kind,
        )
        axes.plot(x, top[:, k + 1], color="white", linewidth=0.9, label="_edge")
        _name_area(axes, x, top[:, k], top[:, k + 1], kind)
    axes.set(xlim=(x[0], x[-1]), ylim=(0, 1), xscale="log")
    axes.yaxis.set_major_locator(FixedLocator([0, 0.25, 0.5, 0.75, 1]))
    axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    axes.xaxis.set_minor_locator(NullLocator())


def _name_area(axes: Axes, x: np.ndarray, low: np.ndarray, high: np.ndarray, kind: str) -> None:
    """Write the name of an area where it is highest, away from the sides, if there is room."""
    inner = slice(len(x) // 12, max(len(x) - len(x) // 12, 1))
    at = int(np.argmax((high - low)[inner])) + inner.start
    if high[at] - low[at] < LEAST_NAMED:
        return
    color = ERROR_AREAS[kind].color
    share = (
        0.85 if kind == "BG" else 0.5
    )  # above the lines of recall, which run through the middle of it
    axes.annotate(
        kind,
        (x[at], low[at] + share * (high[at] - low[at])),
        ha="center",
        va="center",
        fontsize=SMALL,
        fontweight="bold",
        color=ink_on(color),
        path_effects=[Stroke(linewidth=3, foreground=color), Normal()],
    )


def _power_of_two_axis(axes: Axes) -> None:
    axes.xaxis.set_major_locator(FixedLocator([2.0**k for k in range(-3, 4)]))
    axes.xaxis.set_major_formatter(FixedFormatter(["1/8", "1/4", "1/2", "1", "2", "4", "8"]))


def _counts(most: int) -> np.ndarray:
    """Numbers of wrong detections at which the shares are read: evenly apart on a logarithmic axis, each once."""
    if most < 1:
        return np.zeros(0, int)
    first = min(FEWEST_WRONG, most)
    return np.unique(np.geomspace(first, most, 60).round().astype(int))


def _count_axis(axes: Axes, counts: np.ndarray) -> None:
    ticks = [FEWEST_WRONG * 2**k for k in range(20) if FEWEST_WRONG * 2**k <= counts[-1]]
    ticks = ticks if len(ticks) > 1 else sorted({int(counts[0]), int(counts[-1])})
    step = math.ceil(len(ticks) / 6)
    axes.xaxis.set_major_locator(FixedLocator(ticks[::step]))
    axes.xaxis.set_major_formatter(FixedFormatter([f"{tick:,}" for tick in ticks[::step]]))


def _legend(figure: Figure, kinds: Sequence[str], lines: list[Line2D]) -> None:
    areas = [
        Patch(
            facecolor=ERROR_AREAS[kind].color,
            edgecolor="#00000055",
            hatch=ERROR_AREAS[kind].hatch,
            linewidth=0,
            label=f"{kind}: {ERROR_AREAS[kind].words}",
        )
        for kind in kinds
    ]
    figure.legend(
        handles=[*areas, *lines],
        loc="center",
        bbox_to_anchor=(0.5, 0.28 / figure.get_size_inches()[1]),
        ncols=4,
        frameon=False,
        fontsize=SMALL,
        handlelength=2.4,
        columnspacing=1.4,
    )
