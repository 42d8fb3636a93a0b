"""A profile drawn: a bar a layer, in the network's order, with the way forward and the way back."""

from __future__ import annotations

from matplotlib.figure import Figure
from matplotlib.patches import Patch

from minissd.errors import check
from minissd.plotting.grid import new_figure, plain_axes, write_heading
from minissd.plotting.style import CURVES, MEASURE, NORMAL, QUIET, SMALL, WIDTH

BAR, HEAD, FOOT, LEFT, RIGHT = 0.17, 0.42, 0.75, 2.6, 0.9  # inches
BACK = CURVES[1]
Bar = tuple[str, float, float, str]  # label, seconds forward, seconds back, what stands behind it


def profile_figure(bars: list[Bar], heading: str) -> Figure:
    """Draw the time of every layer.

    Args:
        bars: For each its label, seconds of the way forward and of the way back, and a word to stand behind the bar.
        heading: Line above all.

    Raises:
        ValueError: There is no bar.
    """
    check(len(bars) > 0, "bars", "at least one", len(bars))
    total = HEAD + BAR * len(bars) + FOOT
    figure = new_figure(total)
    place = (LEFT / WIDTH, FOOT / total, (WIDTH - LEFT - RIGHT) / WIDTH, BAR * len(bars) / total)
    axes = figure.add_axes(place)
    rows = range(len(bars))
    forward = [1e3 * bar[1] for bar in bars]
    back = [1e3 * bar[2] for bar in bars]
    axes.barh(rows, forward, height=0.72, color=MEASURE)
    if any(back):
        axes.barh(rows, back, height=0.72, left=forward, color=BACK)
    longest = max(one + other for one, other in zip(forward, back))
    for row, (one, other, bar) in enumerate(zip(forward, back, bars)):
        axes.text(one + other + longest / 100, row, bar[3], va="center", fontsize=SMALL - 0.5)
    plain_axes(axes)
    axes.grid(visible=False, axis="y")
    axes.set(ylim=(len(bars) - 0.4, -0.6), xlim=(0, longest), yticks=rows)
    axes.set_yticklabels([bar[0] for bar in bars], fontsize=SMALL - 0.5, parse_math=False)
    axes.set_xlabel("milliseconds", fontsize=NORMAL)
    axes.tick_params(axis="y", length=0, colors=QUIET, labelcolor="black")
    write_heading(figure, heading)
    if any(back):
        figure.legend(
            [Patch(color=MEASURE), Patch(color=BACK)],
            ["forward", "backward"],
            loc="lower right",
            ncols=2,
            frameon=False,
            fontsize=SMALL,
        )
    return figure
