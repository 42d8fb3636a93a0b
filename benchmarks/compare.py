"""minissd beside PyTorch, ONNX Runtime and OpenVINO: the same work on the same cores, in turns, in one run.

python -m benchmarks.compare                        everything (about 20 minutes)
python -m benchmarks.compare ssd300-forward-1       some cases; --list shows all
python -m benchmarks.compare --out benchmarks/results/compare
python -m benchmarks.compare --device gpu           on a GPU, beside PyTorch with cuDNN: three precisions, and floors

Every contender has a process of its own; the number of threads is the same for all. Each round runs all contenders one
after another. What counts is the median of a contender's rounds, and its ratio to ours. Peers:
pip install -e '.[peer,benchmark]'. Those that are missing are left out, and it is said which.
"""

from __future__ import annotations

import argparse
import json
import platform
import sys
from pathlib import Path

import numpy as np

from benchmarks.cases import CASES, CONTENDERS, installed
from benchmarks.gpu import run as run_on_gpu
from benchmarks.gpu_cases import GPU_CASES
from benchmarks.race import Result, race
from benchmarks.report import comparison_figure, comparison_table, machine, write_text
from minissd.parallel import thread_count


def main() -> None:
    """Measure the cases that were asked for, and print the table as it grows."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("cases", nargs="*", help="names of cases; all where none is given")
    parser.add_argument("--rounds", type=int, default=11, help="that count (default: 11)")
    parser.add_argument("--threads", type=int, default=thread_count())
    parser.add_argument("--device", choices=("cpu", "gpu"), default="cpu")
    parser.add_argument("--out", type=Path, help="folder for the table, the figure and all seconds")
    parser.add_argument("--list", action="store_true", help="show the names and stop")
    args = parser.parse_args()
    cases = CASES if args.device == "cpu" else GPU_CASES
    if args.list:
        print("\n".join(f"{case.name:<26} {case.title}" for case in cases.values()))
        return
    unknown = [name for name in args.cases if name not in cases]
    if unknown:
        parser.error(f"no case {', '.join(unknown)}; --list shows all")
    names = args.cases or list(cases)
    if args.device == "gpu":
        sys.exit(run_on_gpu(args, names))
    report_missing(names)
    results: dict[str, list[Result]] = {}
    for name in names:
        case = CASES[name]
        who = [each for each in case.contenders if installed(each)]
        results[name] = race(case, who, args.threads, args.rounds)
        print(comparison_table({name: results[name]}, head=len(results) == 1), flush=True)
        if args.out:
            write(args, results)


def report_missing(names: list[str]) -> None:
    """Say once which peers are not installed."""
    peers = {peer for name in names for peer in CONTENDERS[CASES[name].kind]}
    missing = sorted(peer for peer in peers if not installed(peer))
    if missing:
        words = ", ".join(missing)
        print(f"not measured, since not installed: {words} (pip install -e '.[peer,benchmark]')\n")


def write(args: argparse.Namespace, results: dict[str, list[Result]]) -> None:
    """Write what is known so far: table, figure, and every round."""
    from minissd.plotting import save_figure

    args.out.mkdir(parents=True, exist_ok=True)
    head = f"{machine()}\n{args.threads} threads, {args.rounds} rounds in turns, medians\n\n"
    write_text(args.out / "table.txt", head + comparison_table(results) + "\n")
    save_figure(comparison_figure(results), args.out / "ratios.png")
    rounds = {name: [r.as_dict() for r in row] for name, row in results.items()}
    facts = {"machine": machine(), "threads": args.threads, "numpy": np.__version__}
    facts |= {"python": platform.python_version(), "results": rounds}
    write_text(args.out / "rounds.json", json.dumps(facts, indent=1) + "\n")


if __name__ == "__main__":
    main()
