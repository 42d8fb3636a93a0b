"""The ablation drawn: a bar a variant, a panel a question, and marks where the paper has a figure of its own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from minissd.errors import check
from minissd.plotting.grid import new_figure
from minissd.plotting.style import MEASURE, NORMAL, QUIET, SMALL, WIDTH

Point = tuple[str, float | None, float | None]  # label, our mAP, the other's
BAR, TITLE, HEAD, FOOT, LEFT = 0.2, 0.34, 0.3, 0.62, 3.0  # inches
MARK = {"marker": "D", "markersize": 4.5, "color": "white", "markeredgecolor": QUIET}


def ablation_figure(groups: Mapping[str, Sequence[Point]], heading: str, reference: str) -> Figure:
    """Draw the mean average precision of every variant, group by group.

    Args:
        groups: For each title its rows: label, our mAP (0 to 1, None where there is none), the other's mAP or None.
        heading: Line above all.
        reference: What the other's figures are, for the legend.

    Raises:
        ValueError: There is no row.
    """
    check(any(groups.values()), "groups", "at least one row", dict(groups))
    heights = [BAR * len(rows) for rows in groups.values()]
    total = HEAD + sum(heights) + TITLE * len(heights) + FOOT
    figure = new_figure(total)
    top = total - HEAD
    panels: list[Axes] = []
    for (title, rows), height in zip(groups.items(), heights):
        top -= TITLE + height
        place = (LEFT / WIDTH, top / total, (WIDTH - LEFT - 0.45) / WIDTH, height / total)
        axes = figure.add_axes(place, sharex=panels[0] if panels else None)
        _draw_group(axes, title, rows)
        panels.append(axes)
    for axes in panels[:-1]:
        axes.tick_params(labelbottom=False)
    panels[-1].set_xlabel("mAP at IoU 0.5", fontsize=SMALL)
    y = 1 - 0.2 / total
    figure.text(0.5, y, heading, ha="center", va="center", fontsize=NORMAL + 1, parse_math=False)
    _legend(figure, reference, 0.13 / total)
    return figure


def _draw_group(axes: Axes, title: str, rows: Sequence[Point]) -> None:
    for place, (_, ours, other) in enumerate(rows):
        axes.barh(place, ours or 0, height=0.66, color=MEASURE)
        text = "not measured" if ours is None else f"{ours:.3f}"
        axes.text((ours or 0) + 0.008, place, text, va="center", fontsize=SMALL - 0.5)
        if other is not None:
            axes.plot(other, place, **MARK)
    axes.set(xlim=(0, 1), ylim=(len(rows) - 0.5, -0.5), yticks=range(len(rows)))
    axes.set_yticklabels([label for label, _, _ in rows], fontsize=SMALL, parse_math=False)
    axes.set_title(title, fontsize=SMALL + 0.5, loc="left", pad=3, parse_math=False)
    axes.grid(axis="x", color="#E6E6E6", linewidth=0.6)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(QUIET)
    axes.tick_params(labelsize=SMALL, color=QUIET, length=2.5)


def _legend(figure: Figure, reference: str, y: float) -> None:
    figure.legend(
        [Patch(color=MEASURE), Line2D([], [], linestyle="", **MARK)],
        ["measured here", reference],
        loc="center",
        bbox_to_anchor=(0.5, y),
        ncols=2,
        frameon=False,
        fontsize=SMALL,
    )
