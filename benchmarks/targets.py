"""What was aimed at, and what the kept measurements say about it.

python -m benchmarks.targets        reads benchmarks/results/compare and benchmarks/results/scaling
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import median

RESULTS = Path(__file__).parent / "results"


@dataclass(frozen=True)
class Target:
    """A ratio that was aimed at.

    Attributes:
        words: What is compared.
        case: In `benchmarks.cases`.
        to: The contender that ours is compared with, "best" for the fastest of the others, or another case of ours.
        aim: Largest ratio that counts as reached.
        what: "seconds" or "peak_mb".
    """

    words: str
    case: str
    to: str
    aim: float
    what: str = "seconds"


TARGETS = [
    Target("SSD300 forward, batch 1, to the fastest peer", "ssd300-forward-1", "best", 0.80),
    Target("SSD300 forward, batch 8, to the fastest peer", "ssd300-forward-8", "best", 0.80),
    Target("SSD300 training step, batch 4, to PyTorch", "ssd300-step-4", "pytorch", 0.70),
    Target("SSD300 training step, batch 8, to PyTorch", "ssd300-step-8", "pytorch", 0.70),
    Target("small SSD training step, batch 32, to PyTorch", "minissd-step-32", "pytorch", 1.00),
    Target(
        "SSD MobileNetV2 step, batch 32, to PyTorch", "ssd-mobilenetv2-step-32", "pytorch", 1.20
    ),
    Target("decode and NMS, to the forward of SSD300", "detect", "ssd300-forward-1", 0.05),
    Target("memory of the SSD300 step, batch 8", "ssd300-step-8", "pytorch", 1.00, "peak_mb"),
]
THREADS_AIM = 1.8  # times as fast on two threads as on one


def main() -> None:
    """Print the table."""
    argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    ).parse_args()
    print(report())


def report(results: Path = RESULTS) -> str:
    """Return the table: what was measured, what was aimed at, and whether it was reached."""
    rounds = json.loads((results / "compare" / "rounds.json").read_text(encoding="utf-8"))[
        "results"
    ]
    points = json.loads((results / "scaling" / "points.json").read_text(encoding="utf-8"))
    lines = [_line("ours / theirs, medians", "measured", "aim", "")]
    for target in TARGETS:
        value = ratio(target, rounds)
        lines.append(_compared(target.words, value, f"<= {target.aim:.2f}", value <= target.aim))
    for name, words in (("threads", "SSD300 forward"), ("threads-step", "SSD300 training step")):
        for who, faster in speedups(points[name]):
            text = f"two threads to one, {words}: {who}"
            aim = f">= {THREADS_AIM:.2f}" if who == "minissd" else ""
            lines.append(_compared(text, faster, aim, faster >= THREADS_AIM))
    return "\n".join(lines)


def ratio(target: Target, rounds: dict[str, list[dict]]) -> float:
    """Return ours over theirs."""
    ours, *others = rounds[target.case]
    if target.to in rounds:
        others = rounds[target.to][:1]
    elif target.to != "best":
        others = [other for other in others if other["who"] == target.to]
    if target.what == "peak_mb":
        return ours["peak_mb"] / others[0]["peak_mb"]
    return median(ours["seconds"]) / min(median(other["seconds"]) for other in others)


def speedups(points: list[dict]) -> Iterator[tuple[str, float]]:
    """Yield, for each contender, how many times as fast its last point is as its first."""
    for who in points[0]["milliseconds"]:
        yield who, points[0]["milliseconds"][who] / points[-1]["milliseconds"][who]


def _compared(words: str, value: float, aim: str, reached: bool) -> str:
    return _line(
        words,
        f"{value:.3f}" if value < 0.1 else f"{value:.2f}",
        aim,
        "" if reached or not aim else "missed",
    )


def _line(words: str, value: str, aim: str, note: str) -> str:
    return f"{words:<54}{value:>9}{aim:>9}  {note}".rstrip()


if __name__ == "__main__":
    main()
