"""How time grows: with the batch, the side of the pictures, the classes, the default boxes, and with threads.

python -m benchmarks.scaling                                     all five (about 12 minutes)
python -m benchmarks.scaling batch threads --rounds 5
python -m benchmarks.scaling --out benchmarks/results/scaling

Contenders are measured in turns, as in benchmarks.compare; PyTorch is left out where it is not installed.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

from matplotlib.figure import Figure

from benchmarks.cases import Case, installed
from benchmarks.compare import write_text
from benchmarks.race import race
from benchmarks.report import machine
from minissd.parallel import thread_count
from minissd.plotting.grid import new_figure, plain_axes, set_title
from minissd.plotting.style import CURVES, SMALL, WIDTH

LINES = {"minissd": (CURVES[0], "-"), "pytorch": (CURVES[1], "--")}


@dataclass(frozen=True)
class Point:
    """One measurement: where it stands on the axis, and its milliseconds by contender."""

    at: float
    case: Case
    threads: int
    milliseconds: dict[str, float]


@dataclass(frozen=True)
class Question:
    """One panel.

    Attributes:
        title: What is done.
        axis: What grows.
        points: For each its place on the axis, what is measured, and the number of threads (0: as asked for).
        images: Whether milliseconds are given for one image.
    """

    title: str
    axis: str
    points: Callable[[], list[tuple[float, Case, int]]]
    images: bool = False


def _case(kind: str, **settings: object) -> Case:
    who = ("minissd",) if kind in ("detect", "match") else ("minissd", "pytorch")
    return Case("", "", kind, who, **settings)


QUESTIONS: dict[str, Question] = {
    "batch": Question(
        "SSD300 training step, per image",
        "batch",
        lambda: [(n, _case("step", batch=n), 0) for n in (1, 2, 4, 8)],
        images=True,
    ),
    "side": Question(
        "small SSD forward, batch 8, per image",
        "side of the pictures",
        lambda: [
            (side, _case("forward", model="minissd", batch=8, image_size=side), 0)
            for side in (96, 160, 224, 320)
        ],
        images=True,
    ),
    "classes": Question(
        "SSD300 forward, one image",
        "object classes",
        lambda: [(n, _case("forward", classes=n), 0) for n in (1, 20, 80, 200)],
    ),
    "boxes": Question(
        "match and encode 20 objects",
        "default boxes",
        lambda: [
            (n, _case("match", model=model), 0)
            for n, model in ((8732, "ssd300"), (24564, "ssd512"))
        ],
    ),
    "threads": Question(
        "SSD300 forward, one image",
        "threads",
        lambda: [(n, _case("forward"), n) for n in (1, 2)],
    ),
    "threads-step": Question(
        "SSD300 training step, batch 2",
        "threads",
        lambda: [(n, _case("step", batch=2), n) for n in (1, 2)],
    ),
}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("questions", nargs="*", help=f"{', '.join(QUESTIONS)}; all where none")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--threads", type=int, default=thread_count())
    parser.add_argument("--out", type=Path, help="folder for table, figure and numbers")
    args = parser.parse_args()
    unknown = [name for name in args.questions if name not in QUESTIONS]
    if unknown:
        parser.error(f"no question {', '.join(unknown)}; there are {', '.join(QUESTIONS)}")
    answers, text = {}, [f"{machine()}; {args.threads} threads, {args.rounds} rounds, medians"]
    print(text[0])
    for name in args.questions or QUESTIONS:
        answers[name] = measure(QUESTIONS[name], args.threads, args.rounds)
        text.append(table(QUESTIONS[name], answers[name]))
        print(text[-1], flush=True)
    if args.out:
        from minissd.plotting import save_figure

        args.out.mkdir(parents=True, exist_ok=True)
        write_text(args.out / "table.txt", "\n".join(text) + "\n")
        save_figure(scaling_figure(answers), args.out / "scaling.png")
        facts = {name: [asdict(point) for point in points] for name, points in answers.items()}
        write_text(args.out / "points.json", json.dumps(facts, indent=1) + "\n")


def measure(question: Question, threads: int, rounds: int) -> list[Point]:
    """Measure every point of a question."""
    answers = []
    for at, case, own_threads in question.points():
        who = [each for each in case.contenders if installed(each)]
        count = own_threads or threads
        scale = 1e3 / (case.batch if question.images else 1)
        results = race(case, who, count, rounds)
        answers.append(Point(at, case, count, {r.who: scale * r.median for r in results}))
    return answers


def table(question: Question, points: list[Point]) -> str:
    """Return the numbers of a question, a line a contender; behind them the first number over the last."""
    lines = [
        f"\n{question.title}, milliseconds",
        _row(question.axis, [f"{p.at:g}" for p in points]),
    ]
    for who in points[0].milliseconds:
        numbers = [point.milliseconds[who] for point in points]
        lines.append(_row(f"  {who}", [f"{number:,.2f}" for number in numbers]))
        if question.axis == "threads":
            lines[-1] += f"   {numbers[0] / numbers[-1]:.2f} times as fast"
    return "\n".join(lines)


def _row(head: str, cells: list[str]) -> str:
    return f"{head:<22}" + "".join(f"{cell:>12}" for cell in cells)


def scaling_figure(answers: dict[str, list[Point]]) -> Figure:
    """Draw a panel a question, two beside each other."""
    rows = -(-len(answers) // 2)
    height, foot, head = 2.2, 0.55, 0.35
    total = rows * (height + foot + head)
    figure = new_figure(total)
    for place, (name, points) in enumerate(answers.items()):
        question, (row, column) = QUESTIONS[name], divmod(place, 2)
        bottom = total - (row + 1) * (head + height) - row * foot
        box = (0.7 + column * WIDTH / 2, bottom, WIDTH / 2 - 0.9, height)
        axes = figure.add_axes((box[0] / WIDTH, box[1] / total, box[2] / WIDTH, box[3] / total))
        for who in points[0].milliseconds:
            color, dashes = LINES[who]
            numbers = [point.milliseconds[who] for point in points]
            axes.plot([p.at for p in points], numbers, dashes, color=color, marker="o", label=who)
        plain_axes(axes)
        axes.set_ylim(bottom=0)
        axes.set_xticks([point.at for point in points])
        axes.set_xlabel(question.axis, fontsize=SMALL)
        axes.set_ylabel("milliseconds", fontsize=SMALL)
        axes.legend(frameon=False, fontsize=SMALL)
        set_title(axes, question.title)
    return figure


if __name__ == "__main__":
    main()
