"""Ways forward and back, and how gradients are checked: the figures of the second chapter."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch

from minissd.errors import check, check_shape
from minissd.plotting.boxes import show_image
from minissd.plotting.grid import new_figure
from minissd.plotting.style import CURVE_DASHES, CURVES, NORMAL, QUIET, SMALL, WIDTH
from minissd.plotting.teaching import curve_axes, row_of_panels, title

GRADIENT = CURVES[2]  # whatever goes backward
TINY = 1e-17  # where an error of nothing is drawn on a logarithmic axis


def chain_figure(layers: Sequence[str], maps: Sequence[str], kept: Sequence[str]) -> Figure:
    """Draw a chain of layers: what goes forward above, the gradients that come back below, what each keeps inside.

    Args:
        layers: Name of each of the L layers.
        maps: What flows between them, input first, output last: L + 1 names with shapes.
        kept: What each layer keeps for the way back.
    """
    check(len(maps) == len(layers) + 1, "maps", f"{len(layers) + 1} entries", len(maps))
    check(len(kept) == len(layers), "kept", f"{len(layers)} entries", len(kept))
    figure = new_figure(1.75)
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set(xlim=(0, WIDTH), ylim=(0, 1.75))
    axes.set_axis_off()
    gap = 1.2
    step = (WIDTH - gap) / len(layers)
    width = step - gap
    for number, (layer, keeps) in enumerate(zip(layers, kept)):
        left = gap + number * step
        box = FancyBboxPatch(
            (left, 0.5), width, 0.75, boxstyle="round,pad=0,rounding_size=0.08", facecolor="#EEEEEE"
        )
        axes.add_patch(box)
        middle = left + width / 2
        axes.text(middle, 1.0, layer, ha="center", va="center", fontsize=NORMAL, weight="bold")
        words = f"keeps {keeps}" if keeps else "keeps nothing"
        axes.text(middle, 0.72, words, ha="center", va="center", fontsize=SMALL)
    for number, flows in enumerate(maps):
        left = number * step + 0.06
        _arrow(axes, left, left + gap - 0.12, 1.05, "black")
        _arrow(axes, left + gap - 0.12, left, 0.7, GRADIENT)
        middle = left + gap / 2 - 0.06
        axes.text(middle, 1.15, flows, ha="center", va="bottom", fontsize=SMALL)
        back = f"d{flows}"
        axes.text(middle, 0.58, back, ha="center", va="top", fontsize=SMALL, color=GRADIENT)
    axes.text(0.06, 1.6, "forward", fontsize=NORMAL, va="center")
    axes.text(0.06, 0.16, "backward", fontsize=NORMAL, va="center", color=GRADIENT)
    return figure


def _arrow(axes: Axes, start: float, stop: float, y: float, color: str) -> None:
    style = {"arrowstyle": "-|>", "color": color, "linewidth": 1.6, "shrinkA": 0, "shrinkB": 0}
    axes.annotate("", (stop, y), (start, y), arrowprops=style)


def secant_figure(
    function: Callable[[np.ndarray], np.ndarray], x: float, slope: float, exponent: float
) -> Figure:
    """Show a curve with its tangent at a point, and the secant through two points a step to either side.

    Args:
        function: Of numbers.
        x: The point.
        slope: Its true slope there.
        exponent: The step is 10 to this power.
    """
    step = 10.0**exponent
    figure, (curve, error) = row_of_panels([3.4, 3.2], 2.9, left=0.6, gap=0.85, foot=0.48)
    ends = np.array([x - step, x + step])
    secant = float(np.diff(function(ends))[0] / (2 * step))
    reach = np.linspace(x - 1.4, x + 1.4, 200)
    curve.plot(reach, function(reach), color=CURVES[0], linewidth=2)
    y = float(function(np.array([x]))[0])
    for value, color, dashes, words in (
        (slope, QUIET, CURVE_DASHES[4], f"tangent {slope:.4f}"),
        (secant, GRADIENT, CURVE_DASHES[0], f"secant {secant:.4f}"),
    ):
        curve.plot(
            reach,
            y + value * (reach - x),
            color=color,
            linestyle=dashes,
            label=words,
            linewidth=1.6,
        )
    curve.plot(ends, function(ends), "o", color=GRADIENT, markersize=5)
    curve.legend(frameon=False, fontsize=SMALL + 0.5, loc="upper left")
    curve_axes(curve, "x", "f(x)")
    low, high = function(reach).min(), function(reach).max()
    curve.set(xlim=(reach[0], reach[-1]), ylim=(low - 0.3, high + 0.7))
    title(curve, f"step 10^{exponent:g}")
    steps = 10.0 ** np.linspace(-12, 0, 49)
    errors = [_secant_error(function, x, slope, each) for each in steps]
    error.loglog(steps, errors, color=CURVES[0], linewidth=1.6)
    here = _secant_error(function, x, slope, step)
    error.plot(step, here, "o", color=GRADIENT, markersize=8)
    curve_axes(error, "step", "error of the slope")
    title(error, f"error {here:.0e}")
    return figure


def _secant_error(function: Callable, x: float, slope: float, step: float) -> float:
    low, high = function(np.array([x - step, x + step]))
    return max(abs((high - low) / (2 * step) - slope), TINY)


def step_error_figure(steps: np.ndarray, errors: Mapping[str, np.ndarray]) -> Figure:
    """Show the error of numeric gradients against the step they were taken with, a curve each.

    Args:
        steps: Shape (S,), float.
        errors: For each name (S,) float, relative errors.
    """
    figure, (axes,) = row_of_panels([6.2], 3.0, left=0.75, foot=0.5)
    for number, (name, values) in enumerate(errors.items()):
        check_shape(values, (len(steps),), f"errors[{name!r}]")
        style = {"color": CURVES[number], "linestyle": CURVE_DASHES[number], "linewidth": 1.8}
        axes.loglog(steps, np.maximum(values, TINY), label=name, **style)
        best = int(np.argmin(values))
        axes.plot(steps[best], max(values[best], TINY), "o", color=CURVES[number], markersize=6)
    axes.legend(frameon=False, fontsize=SMALL + 0.5, loc="upper left")
    curve_axes(axes, "step of the nudge", "relative error")
    axes.set_ylim(top=1e4)
    return figure


def agreement_figure(cases: Mapping[str, tuple[np.ndarray, np.ndarray]]) -> Figure:
    """Show numeric against exact gradients, a dot a number: on the diagonal both agree.

    Args:
        cases: For each title the exact and the numeric gradients, (N,) float both.
    """
    side = min(3.0, 7.3 / len(cases) - 0.7)
    figure, panels = row_of_panels([side] * len(cases), side, left=0.6, gap=0.75, foot=0.48)
    for axes, (name, (exact, numeric)) in zip(panels, cases.items()):
        reach = 1.1 * max(np.abs(exact).max(), np.abs(numeric).max(), 1e-9)
        axes.plot([-reach, reach], [-reach, reach], color=QUIET, linewidth=1)
        axes.plot(exact, numeric, "o", color=GRADIENT, markersize=4, alpha=0.7, markeredgewidth=0)
        curve_axes(axes, "by backward", "by nudging")
        axes.set(xlim=(-reach, reach), ylim=(-reach, reach))
        title(axes, name)
    return figure


def upstream_figure(errors: Mapping[str, tuple[float, float]], tolerance: float) -> Figure:
    """Show for several backward passes the error that a check finds with ones upstream and with random numbers.

    Args:
        errors: For each name the relative error with ones, and with random numbers.
        tolerance: Errors above it fail.
    """
    figure, (axes,) = row_of_panels([4.6], 0.55 * len(errors), left=2.5, foot=0.48)
    places = np.arange(len(errors))[::-1]
    least = 1e-13
    for column, (words, shift) in enumerate((("ones upstream", 0.19), ("random upstream", -0.19))):
        values = np.maximum([pair[column] for pair in errors.values()], 2 * least)
        color = "#C8C8C8" if column == 0 else GRADIENT
        axes.barh(places + shift, values, 0.34, left=least, color=color, label=words)
    axes.axvline(tolerance, color="black", linewidth=1.2, linestyle=(0, (3, 2)))
    axes.set_xscale("log")
    axes.set(xlim=(least, 100), ylim=(-0.6, len(errors) - 0.4))
    axes.text(tolerance, len(errors) - 0.4, " fails to the right ", fontsize=SMALL, va="bottom")
    curve_axes(axes, "largest relative error", "")
    axes.grid(visible=False)
    axes.set_yticks(places, list(errors), fontsize=NORMAL)
    axes.legend(frameon=False, fontsize=SMALL + 0.5, loc="upper right")
    return figure


def kink_figure(step: float) -> Figure:
    """Show what a nudge across the kink of a ReLU measures: a slope between 0 and 1 that nobody has.

    Args:
        step: Of the nudge.
    """
    figure, (curve, slopes) = row_of_panels([3.2, 3.2], 2.5, left=0.75, gap=0.9, foot=0.48)
    x = np.linspace(-3, 3, 301) * step
    point = 0.4 * step
    ends = np.array([point - step, point + step])
    curve.plot(x, np.maximum(x, 0), color=CURVES[0], linewidth=2)
    curve.plot(ends, np.maximum(ends, 0), "o-", color=GRADIENT, linewidth=1.6)
    curve.plot(point, point, "o", color="black", markersize=6)
    curve_axes(curve, "x", "ReLU(x)")
    title(curve, "a nudge across the kink")
    numeric = (np.maximum(x + step, 0) - np.maximum(x - step, 0)) / (2 * step)
    slopes.plot(x, (x > 0).astype(float), color=CURVES[0], linewidth=2, label="true slope")
    slopes.plot(x, numeric, color=GRADIENT, linewidth=1.6, label="measured")
    slopes.legend(frameon=False, fontsize=SMALL + 0.5)
    curve_axes(slopes, "x", "slope")
    title(slopes, "wrong within one step of 0")
    return figure


def fit_figure(
    image: np.ndarray, first: np.ndarray, last: np.ndarray, losses: Sequence[float]
) -> Figure:
    """Show the loss of a small training, and what the network says of every pixel before and after it.

    Args:
        image: Shape (H, W, 3), uint8, RGB.
        first: Shape (H, W), float: answers before, 0 to 1.
        last: Shape (H, W), float: answers after.
        losses: Of every step.
    """
    side = 1.75
    figure, panels = row_of_panels([1.75, side, side, side], side, left=0.55, gap=0.18, foot=0.45)
    curve, *pictures = panels
    curve.plot(losses, color=CURVES[0], linewidth=0.8)
    curve_axes(curve, "step", "loss")
    curve.set_ylim(bottom=0)
    show_image(pictures[0], image)
    title(pictures[0], "the scene")
    for axes, answers, words in zip(pictures[1:], (first, last), ("before", "after")):
        grey = (255 * np.clip(answers, 0, 1)).astype(np.uint8)
        show_image(axes, np.repeat(grey[..., None], 3, axis=2))
        title(axes, words)
    return figure
