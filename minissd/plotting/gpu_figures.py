"""Queues, threads, addresses, rounding, limits and rings: the figures of the chapter on GPUs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch, Rectangle

from minissd.errors import check
from minissd.plotting.style import CURVES, MEASURE, NORMAL, QUIET, SMALL
from minissd.plotting.teaching import curve_axes, number_table, row_of_panels, title

PALE = "#E6E6E6"
COPY = CURVES[1]  # what waits for the wire or for memory, in all figures of the chapter
BLOCKS = ("#D9D4EC", "#EBDCC8", "#E3CBD6", "#E2E2C0")  # backgrounds of numbers: whose they are

Bar = tuple[str, float, float]  # copy or compute, start, end


def timeline_figure(ways: Mapping[str, Sequence[Bar]]) -> Figure:
    """Show when batches are copied and computed, for several ways to order the work.

    Args:
        ways: For each way its bars, in units of one batch's computing; bars of a kind are numbered as they come.
    """
    rows = [(way, kind) for way in ways for kind in ("copy", "compute")]
    figure, (axes,) = row_of_panels([5.6], 0.36 * len(rows) + 0.1, left=1.9, foot=0.5)
    last = max(end for bars in ways.values() for _, _, end in bars)
    for row, (way, kind) in enumerate(rows):
        own = [(start, end) for each, start, end in ways[way] if each == kind]
        for number, (start, end) in enumerate(own, 1):
            style = {"facecolor": COPY if kind == "copy" else MEASURE, "edgecolor": "white"}
            axes.add_patch(Rectangle((start, row - 0.36), end - start, 0.72, **style))
            if end - start > 0.035 * last:
                style = {"ha": "center", "va": "center", "color": "white", "fontsize": SMALL}
                axes.text((start + end) / 2, row, str(number), **style)
    for place, bars in enumerate(ways.values()):
        end = max(end for _, _, end in bars)
        words = f"{end:.1f}"
        axes.text(end + 0.02 * last, 2 * place + 0.5, words, va="center", fontsize=NORMAL)
        if place:
            axes.axhline(2 * place - 0.5, color=QUIET, linewidth=0.8)
    curve_axes(axes, "time, in units of one batch's computing", "")
    axes.grid(visible=False, axis="y")
    axes.set(xlim=(0, 1.1 * last), ylim=(len(rows) - 0.5, -0.5))
    axes.set_yticks(range(len(rows)), [f"{way}: {kind}" for way, kind in rows], fontsize=NORMAL)
    axes.tick_params(axis="y", length=0)
    return figure


def grid_figure(count: int, n_blocks: int, block_size: int) -> Figure:
    """Show which thread handles which number: a column a thread, a row for each turn of its loop.

    Args:
        count: Numbers to handle.
        n_blocks: Blocks of the grid, told apart by their backgrounds.
        block_size: Threads of a block.
    """
    threads = n_blocks * block_size
    turns = -(-count // threads)
    figure, (axes,) = row_of_panels([7.0], 0.3 * (turns + 1.6), left=0.7)
    for turn in range(turns):
        for thread in range(threads):
            i = turn * threads + thread
            color = BLOCKS[thread // block_size % len(BLOCKS)] if i < count else "white"
            _cell(axes, (thread, turn), str(i) if i < count else "", color)
    for block in range(n_blocks):
        middle = (block + 0.5) * block_size
        style = {"ha": "center", "va": "bottom", "fontsize": NORMAL}
        axes.text(middle, -0.9, f"block {block}", **style)
        for index in range(block_size):
            place = block * block_size + index + 0.5
            axes.text(place, -0.15, str(index), ha="center", fontsize=SMALL, color=QUIET)
    for turn in range(turns):
        axes.text(-0.3, turn + 0.5, f"turn {turn}", ha="right", va="center", fontsize=SMALL)
    axes.set(xlim=(0, threads), ylim=(turns, -1.6))
    axes.set_axis_off()
    return figure


def _cell(axes: Axes, corner: tuple[float, float], words: str, color: str) -> None:
    axes.add_patch(Rectangle(corner, 1, 1, facecolor=color, edgecolor="white", linewidth=1.2))
    style = {"ha": "center", "va": "center", "fontsize": SMALL}
    axes.text(corner[0] + 0.5, corner[1] + 0.5, words, **style)


def access_figure(panels: Mapping[str, Sequence[int]], n_numbers: int, line: int = 32) -> Figure:
    """Show which addresses the threads of a warp read with one instruction, and which lines of memory must come.

    Args:
        panels: For each title the address, counted in numbers, that each thread reads.
        n_numbers: How much of the memory is shown.
        line: Numbers of a line.
    """
    width = (7.3 - 0.45 * (len(panels) - 1)) / len(panels)
    figure, all_axes = row_of_panels([width] * len(panels), 2.2, left=0.55, gap=0.45, foot=0.5)
    for axes, (words, addresses) in zip(all_axes, panels.items()):
        check(max(addresses) < n_numbers, "addresses", f"below {n_numbers}", max(addresses))
        touched = {address // line for address in addresses}
        for number in range(-(-n_numbers // line)):
            color = COPY if number in touched else PALE
            place = (number * line, -1)
            style = {"facecolor": color, "alpha": 0.45, "edgecolor": "white", "linewidth": 1}
            axes.add_patch(Rectangle(place, line, len(addresses) + 1, **style))
        axes.plot(addresses, range(len(addresses)), ".", color=MEASURE, markersize=3.5)
        curve_axes(axes, "address, in numbers", "thread" if axes is all_axes[0] else "")
        axes.grid(visible=False)
        axes.set(xlim=(0, n_numbers), ylim=(len(addresses), -1))
        axes.set_xticks(range(0, n_numbers + 1, max(8 * line, n_numbers // 4)))
        axes.set_yticks(range(0, len(addresses), 8))
        lines = "1 line" if len(touched) == 1 else f"{len(touched)} lines"
        share = len(set(addresses)) / (line * len(touched))
        title(axes, f"{words}: {lines}, {share:.0%} of them used")
    return figure


def seen_figure(counts: Sequence[tuple[str, np.ndarray]]) -> Figure:
    """Show for every pixel of small maps by how many windows it is seen.

    Args:
        counts: For each map its title and counts (H, W).
    """
    sides = [0.32 * count.shape[1] for _, count in counts]
    figure, all_axes = row_of_panels(sides, max(0.32 * len(c) for _, c in counts), gap=1.6)
    for axes, (words, count) in zip(all_axes, counts):
        rows, columns = [""] * count.shape[0], [""] * count.shape[1]
        number_table(axes, count, rows, columns, form="{:.0f}", top=max(4, count.max()))
        axes.set_aspect("equal", anchor="N")
        title(axes, words)
    return figure


def parity_figure(errors: Mapping[str, float], bound: float) -> Figure:
    """Show errors on a logarithmic axis, with the bound that a test sets.

    Args:
        errors: Positive, each under what it comes from.
        bound: What lies to the right of it is a fault.
    """
    figure, (axes,) = row_of_panels([5.0], 0.36 * len(errors), left=2.4, foot=0.5)
    rows = np.arange(len(errors))
    values = np.array(list(errors.values()))
    axes.barh(rows, values, 0.62, color=MEASURE)
    for row, value in zip(rows, values):
        axes.text(value * 1.4, row, f"{value:.0e}", va="center", fontsize=SMALL + 0.5)
    axes.axvline(bound, color=CURVES[0], linewidth=1.2, dashes=(5, 2))
    axes.set_xscale("log")
    curve_axes(axes, f"relative error (dashed: {bound:.0e})", "")
    axes.grid(visible=False, axis="y")
    axes.set(xlim=(values.min() / 10, max(1.0, values.max()) * 5), ylim=(len(errors) - 0.5, -0.5))
    axes.set_yticks(rows, list(errors), fontsize=NORMAL)
    axes.tick_params(axis="y", length=0)
    return figure


def limits_figure(layers: Sequence[tuple[str, float, float]], balance: float) -> Figure:
    """Show the least time of each layer as a share of all, and whether memory or products set it.

    Args:
        layers: For each its name, bytes and operations.
        balance: Operations that the card does while one byte moves.
    """
    figure, (axes,) = row_of_panels([6.2], 0.165 * len(layers), left=1.2, foot=0.85)
    memory = np.array([size for _, size, _ in layers])
    products = np.array([operations / balance for _, _, operations in layers])
    least = np.maximum(memory, products)
    shares, rows = 100 * least / least.sum(), np.arange(len(layers))
    colors = [COPY if waits else MEASURE for waits in memory >= products]
    axes.barh(rows, shares, 0.72, color=colors)
    curve_axes(axes, "least time, percent of all layers", "")
    axes.grid(visible=False, axis="y")
    axes.set(ylim=(len(layers) - 0.4, -0.6), xlim=(0, max(16, 1.05 * shares.max())))
    axes.set_yticks(rows, [name for name, _, _ in layers], fontsize=SMALL, parse_math=False)
    axes.tick_params(axis="y", length=0)
    share = least[memory >= products].sum() / least.sum()
    words = f"{balance:.0f} operations while a byte moves: {share:.0%} of the time is memory's"
    title(axes, words)
    labels = ["memory sets the time", "products set the time"]
    style = {"loc": "lower center", "ncols": 2, "frameon": False, "fontsize": SMALL + 0.5}
    figure.legend([Patch(color=COPY), Patch(color=MEASURE)], labels, **style)
    return figure


def ring_figure(states: Sequence[tuple[str, np.ndarray]]) -> Figure:
    """Show how many processes' gradients are in each piece that each process holds, at some moments.

    Args:
        states: For each moment its title and the counts (processes, pieces).
    """
    n = len(states[0][1])
    side = 0.36 * n
    figure, all_axes = row_of_panels([side] * len(states), side, left=0.9, gap=0.75, foot=0.35)
    for axes, (words, counts) in zip(all_axes, states):
        pieces = [chr(ord("A") + piece) for piece in range(counts.shape[1])]
        names = [f"process {rank}" if axes is all_axes[0] else "" for rank in range(n)]
        number_table(axes, counts, names, pieces, form="{:.0f}", top=n)
        axes.set_xlabel(words, fontsize=NORMAL, parse_math=False)
    return figure
