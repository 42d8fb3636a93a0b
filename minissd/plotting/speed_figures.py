"""Roof, steps, threads, tiles and points: the figures of the chapter on speed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch, Rectangle

from minissd.errors import check, check_shape
from minissd.plotting.style import CURVE_DASHES, CURVES, MEASURE, NORMAL, QUIET, SMALL
from minissd.plotting.teaching import curve_axes, row_of_panels, title

PALE = "#E6E6E6"
PARTS = (MEASURE, "#AA7744", "#999933", "#882255")  # the products, and three ways to and from them


class Step(NamedTuple):
    """One way to do the same layer.

    Attributes:
        name: Short.
        seconds: Measured.
        intensity: Operations of the layer's definition for each byte that this way has to fetch or store.
        reason: What changed, in a few words.
    """

    name: str
    seconds: float
    intensity: float
    reason: str


def roof_figure(
    peak: float, bandwidth: float, threads: int, flop: float, steps: Sequence[Step]
) -> Figure:
    """Show what a core can do at most, and where the steps stand under it or above it.

    Args:
        peak: Operations a second of one core.
        bandwidth: Bytes a second.
        threads: Cores that the upper roof stands for.
        flop: Operations of the layer by definition.
        steps: Numbered as they come, each at its intensity, or a little to the right of another that it would hide.
    """
    figure, (axes,) = row_of_panels([6.6], 3.1, left=0.75, foot=0.5)
    intensity = np.geomspace(0.2, 500, 200)
    roof = np.minimum(peak, bandwidth * intensity) / 1e9
    axes.plot(intensity, roof, color=CURVES[0], linewidth=2)
    ridge, flat = peak / bandwidth, peak / 1e9
    label = {"fontsize": SMALL, "va": "bottom"}
    axes.text(1.1 * ridge, 1.06 * flat, "one core multiplies no faster", **label)
    axes.text(0.23, 1.1 * bandwidth / 1e9, "memory gives no more", **label)
    if threads > 1:
        axes.plot([ridge, 500], [threads * flat] * 2, color=CURVES[0], linewidth=1.2, dashes=(5, 2))
        axes.text(1.1 * ridge, 1.06 * threads * flat, f"{threads} cores", **label)
    rates = [flop / step.seconds / 1e9 for step in steps]
    places: list[tuple[float, float]] = []
    for number, (step, rate) in enumerate(zip(steps, rates), 1):
        place = (step.intensity, rate)
        while any(_hides(place, other) for other in places):
            place = (1.33 * place[0], rate)
        places.append(place)
        axes.plot(*place, "o", markersize=15, color=MEASURE)
        style = {"ha": "center", "va": "center", "color": "white", "fontsize": NORMAL}
        axes.text(*place, str(number), zorder=5, **style)
    words = "\n".join(f"{number}  {step.name}" for number, step in enumerate(steps, 1))
    axes.text(0.78, 0.04, words, transform=axes.transAxes, fontsize=SMALL + 0.5, va="bottom")
    axes.set(xscale="log", yscale="log", xlim=(0.2, 500))
    axes.set_ylim(min([1.0, *np.multiply(rates, 0.5)]), max([threads * peak / 1e9, *rates]) * 2.2)
    curve_axes(axes, "operations for each byte fetched or stored", "GFLOP/s, by definition")
    return figure


def _hides(place: tuple[float, float], other: tuple[float, float]) -> bool:
    """Say whether two dots on logarithmic axes overlap."""
    across, up = np.abs(np.log10(place) - np.log10(other))
    return across < 0.12 and up < 0.2


def steps_figure(steps: Sequence[Step], flop: float) -> Figure:
    """Show the time of every step on a logarithmic axis, with its rate and what changed.

    Args:
        steps: In the order of the story.
        flop: Operations of the layer by definition.
    """
    figure, (axes,) = row_of_panels([5.0], 0.42 * len(steps), left=2.0, foot=0.5)
    milliseconds = 1e3 * np.array([step.seconds for step in steps])
    places = np.arange(len(steps))[::-1]
    axes.barh(places, milliseconds, 0.62, color=MEASURE)
    for place, value, step in zip(places, milliseconds, steps):
        words = f"{_short(value)} ms, {_short(flop / step.seconds / 1e9)} GFLOP/s"
        axes.text(value * 1.12, place + 0.17, words, va="center", fontsize=SMALL)
        axes.text(value * 1.12, place - 0.17, step.reason, va="center", fontsize=SMALL, color=QUIET)
    axes.set_xscale("log")
    curve_axes(axes, "milliseconds", "")
    axes.grid(visible=False, axis="y")
    names = [f"{number}  {step.name}" for number, step in enumerate(steps, 1)]
    axes.set_yticks(places, names, fontsize=NORMAL)
    axes.set(xlim=(milliseconds.min() / 2, milliseconds.max() * 12))
    axes.set(ylim=(-0.6, len(steps) - 0.4))
    axes.tick_params(axis="y", length=0, colors=CURVES[0])
    return figure


def _short(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def threads_figure(jobs: Sequence[tuple[int, float, float]], words: str) -> Figure:
    """Show which thread did which block of the work, and when.

    Args:
        jobs: For every block its thread, and the seconds at which it began and ended.
        words: Stand above.
    """
    check(len(jobs) > 0, "jobs", "at least one", len(jobs))
    jobs = sorted(jobs, key=lambda job: job[1])
    names = list(dict.fromkeys(thread for thread, _, _ in jobs))
    done = [0] * len(names)
    figure, (axes,) = row_of_panels([6.4], 0.5 * max(2, len(names)), left=1.0, foot=0.5)
    start = min(begun for _, begun, _ in jobs)
    for thread, begun, ended in jobs:
        row = names.index(thread)
        done[row] += 1
        left, width = 1e3 * (begun - start), 1e3 * (ended - begun)
        style = {"facecolor": MEASURE, "alpha": 0.4 + 0.5 * (done[row] % 2), "edgecolor": "white"}
        axes.add_patch(Rectangle((left, row - 0.36), width, 0.72, linewidth=0.8, **style))
    last = 1e3 * (max(ended for _, _, ended in jobs) - start)
    curve_axes(axes, "milliseconds", "")
    axes.grid(visible=False, axis="y")
    axes.set(xlim=(0, last * 1.01), ylim=(len(names) - 0.4, -0.6))
    axes.set_yticks(range(len(names)), [f"thread {n}" for n in range(1, len(names) + 1)])
    axes.tick_params(axis="y", length=0, labelsize=NORMAL)
    title(axes, words)
    return figure


def points_figure(
    matrices: tuple[np.ndarray, np.ndarray, np.ndarray],
    data: np.ndarray,
    weights: np.ndarray,
    points: Sequence[str],
) -> Figure:
    """Show a short convolution worked through its points: both ways there, the products, the way back.

    Args:
        matrices: INPUT (P, P), KERNEL (P, 3) and OUTPUT (M, P).
        data: Shape (P,), the inputs.
        weights: Shape (3,).
        points: Name of each point.
    """
    to_points, kernel, back = matrices
    check_shape(to_points, (len(data), len(points)), "matrices")
    d_there, w_there = to_points @ data, kernel @ weights
    m = d_there * w_there
    pieces = [
        ("INPUT", to_points, PALE),
        ("d", data[:, None], "white"),
        ("V", d_there[:, None], PALE),
        ("KERNEL", kernel, PALE),
        ("w", weights[:, None], "white"),
        ("U", w_there[:, None], PALE),
        ("V * U", m[:, None], "#BBBBBB"),
        ("OUTPUT", back, PALE),
        ("y", (back @ m)[:, None], "white"),
    ]
    signs = ("@", "=", "", "@", "=", "", "", "=", "")
    widths = [piece.shape[1] for _, piece, _ in pieces]
    gaps = [0.45, 0.45, 0.75, 0.45, 0.45, 0.75, 0.75, 0.75, 0]
    total = sum(widths) + sum(gaps) + 1.6
    figure, (axes,) = row_of_panels([7.6], 7.6 / total * (len(points) + 0.2), left=0.1)
    x = 1.5
    for row, point in enumerate(points):
        axes.text(1.3, row + 0.5, point, ha="right", va="center", fontsize=NORMAL, color=QUIET)
    for (name, piece, color), sign, gap in zip(pieces, signs, gaps):
        top = (len(points) - len(piece)) / 2
        _cells(axes, piece, (x, top), color)
        x_middle = x + piece.shape[1] / 2
        axes.text(x_middle, top - 0.12, name, ha="center", va="bottom", fontsize=NORMAL)
        x += piece.shape[1]
        axes.text(x + gap / 2, len(points) / 2, sign, ha="center", va="center", fontsize=NORMAL)
        x += gap
    axes.set(xlim=(0, x + 0.1), ylim=(len(points) + 0.1, -0.6))
    axes.set_axis_off()
    return figure


def _cells(axes: Axes, values: np.ndarray, corner: tuple[float, float], color: str) -> None:
    """Draw a small matrix, its upper left corner at x and y; a cell is one unit."""
    for (row, column), value in np.ndenumerate(values):
        place = (corner[0] + column, corner[1] + row)
        axes.add_patch(Rectangle(place, 1, 1, facecolor=color, edgecolor=QUIET, linewidth=0.8))
        words = f"{value:.3g}".replace("-0.5", "-.5").replace("0.5", ".5")
        style = {"ha": "center", "va": "center", "fontsize": NORMAL}
        axes.text(place[0] + 0.5, place[1] + 0.5, words.replace("-", "\N{MINUS SIGN}"), **style)


def tiles_figure(size: int, step: int = 4, reach: int = 6) -> Figure:
    """Show how a map is cut: squares of outputs, and the overlapping windows of input that they need.

    Args:
        size: Cells a side of the map, with padding 1 around it.
        step: Side of a square of outputs.
        reach: Side of the window of inputs.
    """
    count = -(-size // step)
    side = 3.3
    figure, (left, right) = row_of_panels([side, side], side, gap=0.5)
    covered = count * step
    for axes in (left, right):
        for line in range(-1, covered + 2):
            style = {"color": PALE, "linewidth": 0.7, "zorder": 0}
            axes.plot([line, line], [-1, covered + 1], **style)
            axes.plot([-1, covered + 1], [line, line], **style)
        frame = {"fill": False, "edgecolor": QUIET, "linewidth": 1.5}
        axes.add_patch(Rectangle((0, 0), size, size, **frame))
        axes.set(xlim=(-1.3, covered + 1.3), ylim=(covered + 1.3, -1.3), aspect="equal")
        axes.set_axis_off()
    for number in range(count**2):
        row, column = divmod(number, count)
        color = CURVES[1:][(row % 2) * 2 + column % 2]
        inset = 0.1 + 0.07 * ((row % 2) * 2 + column % 2)
        place = (step * column - 1 + inset, step * row - 1 + inset)
        box = {"fill": False, "edgecolor": color, "linewidth": 1.8}
        left.add_patch(Rectangle(place, reach - 2 * inset, reach - 2 * inset, **box))
        place = (step * column + 0.08, step * row + 0.08)
        box = {"facecolor": color, "alpha": 0.35, "edgecolor": color, "linewidth": 1.8}
        right.add_patch(Rectangle(place, step - 0.16, step - 0.16, **box))
    title(left, f"inputs: windows of {reach} x {reach}, every {step} cells")
    title(right, f"outputs: {count**2} tiles of {step} x {step}")
    return figure


def work_figure(channels: int, side: int, parts: Mapping[str, float], direct: float) -> Figure:
    """Show the counted multiplications of one output value, directly and through the points.

    Args:
        channels: In and out.
        side: Cells a side of the map.
        parts: For each part of Winograd's way its multiplications for one output value.
        direct: Those of the definition.
    """
    figure, (axes,) = row_of_panels([6.0], 1.2, left=1.2, foot=0.85)
    axes.barh([1], [direct], 0.6, color=CURVES[0])
    left = 0.0
    for color, value in zip(PARTS, parts.values()):
        axes.barh([0], [value], 0.6, left=left, color=color)
        left += value
    style = {"va": "center", "fontsize": SMALL + 0.5}
    axes.text(direct * 1.02, 1, f"{direct:,.0f}", **style)
    axes.text(left + direct * 0.02, 0, f"{left:,.0f}, {left / direct:.0%} of it", **style)
    axes.set(ylim=(-0.5, 1.5), xlim=(0, max(direct * 1.15, left * 1.45)))
    curve_axes(axes, "multiplications for one output value", "")
    axes.grid(visible=False, axis="y")
    axes.set_yticks([1, 0], ["directly", "Winograd"], fontsize=NORMAL)
    axes.tick_params(axis="y", length=0)
    figure.legend(
        [Patch(color=color) for color, _ in zip(PARTS, parts)],
        list(parts),
        loc="lower center",
        ncols=len(parts),
        frameon=False,
        fontsize=SMALL + 0.5,
    )
    title(axes, f"{side} x {side} cells, {channels} channels in and out")
    return figure


def errors_figure(errors: Mapping[str, np.ndarray]) -> Figure:
    """Show how far off float32 results are, for several ways to compute them.

    Args:
        errors: For each way the errors of all outputs, as parts of the outputs' root mean square.
    """
    figure, (axes,) = row_of_panels([6.6], 2.3, left=0.6, foot=0.5)
    sizes = {name: np.abs(values).ravel() for name, values in errors.items()}
    least = min(np.quantile(values, 0.02) for values in sizes.values())
    most = max(values.max() for values in sizes.values())
    edges = np.geomspace(max(least, 1e-12), most * 1.05, 60)
    for number, (name, values) in enumerate(sizes.items()):
        counts, _ = np.histogram(values, edges)
        style = {"color": CURVES[number], "linestyle": CURVE_DASHES[number], "linewidth": 2}
        mean = np.sqrt((values**2).mean())
        axes.stairs(counts / len(values), edges, label=f"{name}: {mean:.1e}", **style)
    axes.set_xscale("log")
    curve_axes(axes, "error of an output (its typical size is 1)", "share of outputs")
    axes.legend(fontsize=SMALL + 0.5, frameon=False, loc="upper left")
    return figure
