"""What the benchmarks show: tables in text, and ratios as bars."""

from __future__ import annotations

import platform
from collections.abc import Mapping, Sequence
from pathlib import Path

from matplotlib.figure import Figure

from benchmarks.cases import CASES
from benchmarks.race import Result
from minissd.files import write_atomically
from minissd.plotting.grid import new_figure, plain_axes, write_heading
from minissd.plotting.style import MEASURE, NORMAL, SMALL, WIDTH

Results = Mapping[str, Sequence[Result]]
HEAD = ("", "median ms", "fastest", "slowest", "ours / theirs", "peak MB", "")


def machine() -> str:
    """Return processor and system in a line."""
    name = platform.processor() or platform.machine()
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        name = next(line.partition(":")[2].strip() for line in lines if "model name" in line)
    except (OSError, StopIteration):
        pass
    return f"{name}, {platform.system()}, Python {platform.python_version()}"


def comparison_table(results: Results, head: bool = True) -> str:
    """Return the table: per case a title and one line a contender; a ratio below 1 means that we are faster."""
    lines = [_line(HEAD)] if head else []
    for name, row in results.items():
        lines.append(CASES[name].title)
        ours = row[0]
        for result in row:
            ratio = "" if result is ours else f"{ours.median / result.median:.2f}"
            seconds = (result.median, min(result.seconds), max(result.seconds))
            cells = [f"{1e3 * s:,.2f}" for s in seconds]
            lines.append(
                _line((f"  {result.who}", *cells, ratio, f"{result.peak_mb:,.0f}", result.package))
            )
    return "\n".join(lines)


def _line(cells: Sequence[str]) -> str:
    first, *middle, last = cells
    widths = (11, 10, 10, 14, 9)
    text = "".join(f"{cell:>{width}}" for cell, width in zip(middle, widths))
    return f"{first:<18}{text}  {last}".rstrip()


def comparison_figure(
    results: Results,
    titles: Mapping[str, str] | None = None,
    heading: str = "minissd beside its peers, on a CPU",
) -> Figure:
    """Draw, for each case and peer, our time as a part of theirs; at 1 both are equally fast."""
    titles = {name: case.title for name, case in CASES.items()} if titles is None else titles
    bars = [
        (f"{titles[name]}: {other.who}", row[0].median / other.median)
        for name, row in results.items()
        for other in row[1:]
    ]
    height = 0.2 * max(1, len(bars))
    left, right, foot, head = 4.6, 0.5, 0.6, 0.4
    total = head + height + foot
    figure = new_figure(total)
    place = (left / WIDTH, foot / total, (WIDTH - left - right) / WIDTH, height / total)
    axes = figure.add_axes(place)
    ratios = [ratio for _, ratio in bars]
    axes.barh(range(len(bars)), ratios, height=0.7, color=MEASURE)
    for row, ratio in enumerate(ratios):
        axes.text(ratio + 0.01, row, f"{ratio:.2f}", va="center", fontsize=SMALL - 0.5)
    axes.axvline(1, color="black", linewidth=1)
    plain_axes(axes)
    axes.grid(visible=False, axis="y")
    axes.set(ylim=(len(bars) - 0.4, -0.6), yticks=range(len(bars)))
    axes.set_yticklabels([label for label, _ in bars], fontsize=SMALL - 0.5, parse_math=False)
    axes.set_xlabel("our time / theirs (left of the line: minissd is faster)", fontsize=NORMAL)
    write_heading(figure, heading)
    return figure


def write_text(path: Path, text: str) -> None:
    """Write a whole file or nothing."""
    write_atomically(path, lambda temporary: temporary.write_text(text, encoding="utf-8"))
