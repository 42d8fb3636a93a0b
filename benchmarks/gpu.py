"""minissd beside PyTorch with cuDNN on one GPU, in turns, in one run: `python -m benchmarks.compare --device gpu`.

First the card itself is measured: how fast it copies, and how fast it multiplies matrices in each precision. Each case
is then given as time, images a second, our time over theirs, and the share that its floor is of the time taken.
"""

from __future__ import annotations

import argparse
import json
import platform
import shutil
import subprocess
import sys
from importlib.util import find_spec

import numpy as np

from benchmarks.gpu_cases import GPU_CASES, WHO, GpuCase
from benchmarks.gpu_floors import Card, measure_card, work_of
from benchmarks.race import Result, race
from benchmarks.report import comparison_figure, machine, write_text
from minissd.backend import resolve_device
from minissd.errors import DeviceError
from minissd.system import cuda_version

Results = dict[str, list[Result]]
HEAD = ("", "median ms", "images/s", "ours / theirs", "of the floor", "set by", "GPU MB")
WIDTHS = (11, 11, 15, 14, 10, 9)


def run(args: argparse.Namespace, names: list[str]) -> int:
    """Measure cases and print the table as it grows; return the exit status."""
    try:
        resolve_device("gpu")
    except DeviceError as error:
        print(f"{error}\nwithout a GPU: python -m benchmarks.compare --device cpu", file=sys.stderr)
        return 2
    who = [name for name in WHO if name == "minissd" or not report_missing_torch()]
    card, facts = look_at_card()
    print("\n".join([*description(facts, card), ""]), flush=True)
    results: Results = {}
    failed: dict[str, str] = {}
    for name in names:
        case = GPU_CASES[name]
        try:
            if case.precision in card.missing:
                raise RuntimeError(card.missing[case.precision])
            row = race(case, who, args.threads, args.rounds, module="benchmarks.gpu_worker")
        except RuntimeError as error:
            failed[name] = str(error)
            print(f"{case.title}\n  not measured: {error}", flush=True)
            continue
        results[name] = row
        print(gpu_table({name: row}, card, head=len(results) == 1), flush=True)
        if args.out:
            write(args, facts, card, results, failed)
    return 1 if failed else 0


def report_missing_torch() -> str | None:
    """Say once why PyTorch cannot take part, if so, and return it."""
    problem = torch_problem()
    if problem:
        print(f"not measured beside PyTorch: {problem}\n")
    return problem


def torch_problem() -> str | None:
    """Return why PyTorch cannot compute on the GPU, or None where it can."""
    if find_spec("torch") is None:
        return "it is not installed (pip install torch torchvision)"
    import torch

    if not torch.cuda.is_available():
        return f"torch {torch.__version__} finds no GPU (pip install a build for CUDA)"
    return None if find_spec("torchvision") else "its NMS is in torchvision, which is not installed"


def look_at_card() -> tuple[Card, dict[str, str]]:
    """Return what the card was measured to do, and its name and the versions of what drives it."""
    import cupy

    card = measure_card(cupy, cupy.cuda.Device().synchronize)
    cupy.get_default_memory_pool().free_all_blocks()  # the contenders' from here on
    runtime, properties = cupy.cuda.runtime, cupy.cuda.runtime.getDeviceProperties(0)
    facts = {
        "chip": properties["name"].decode(),
        "memory": f"{properties['totalGlobalMem'] / 2**30:.0f} GiB",
        "compute capability": f"{properties['major']}.{properties['minor']}",
        "driver": driver(),
        "CUDA of the driver": cuda_version(runtime.driverGetVersion()),
        "CUDA of CuPy": cuda_version(runtime.runtimeGetVersion()),
        "cupy": cupy.__version__,
        "numpy": np.__version__,
        "python": platform.python_version(),
        "host": machine(),
    }
    return card, facts | torch_versions()


def driver() -> str:
    """Return the version of the driver, and the clock and power that the card is allowed, as nvidia-smi says."""
    if not shutil.which("nvidia-smi"):
        return "not known (there is no nvidia-smi)"
    query = "--query-gpu=driver_version,clocks.max.sm,power.limit"
    command = ["nvidia-smi", "--id=0", query, "--format=csv,noheader"]
    answer = subprocess.run(command, capture_output=True, text=True, check=False)
    return answer.stdout.strip() or "not known (nvidia-smi does not say)"


def torch_versions() -> dict[str, str]:
    """Return the versions of PyTorch, its CUDA and its cuDNN, where it can take part."""
    if torch_problem():
        return {}
    import torch

    found = {"torch": torch.__version__, "CUDA of torch": torch.version.cuda}
    return found | {"cuDNN of torch": str(torch.backends.cudnn.version())}


def description(facts: dict[str, str], card: Card) -> list[str]:
    """Return the lines above the table: card, versions, measured rates."""
    lines = [f"{name}: {value}" for name, value in facts.items()]
    lines.append(f"copies {card.bandwidth / 1e9:,.0f} GB/s (read and written)")
    rates = [
        f"multiplies {rate / 1e12:,.1f} TFLOP/s in {name}" for name, rate in card.rates.items()
    ]
    return lines + rates + [f"not in {name}: {why}" for name, why in card.missing.items()]


def gpu_table(results: Results, card: Card, head: bool = True) -> str:
    """Return the table: per case a title and one line a contender; a ratio below 1 means that we are faster."""
    lines = [_line(HEAD)] if head else []
    for name, row in results.items():
        case = GPU_CASES[name]
        lines.append(case.title)
        for result in row:
            lines.append(_line((f"  {result.who}", *_cells(case, result, row[0], card))))
    return "\n".join(lines)


def _cells(case: GpuCase, result: Result, ours: Result, card: Card) -> list[str]:
    floor, by = card.floor(work_of(case), case.precision)
    ratio = "" if result is ours else f"{ours.median / result.median:.2f}"
    rates = [f"{1e3 * result.median:,.2f}", f"{case.batch / result.median:,.0f}"]
    return [*rates, ratio, f"{floor / result.median:.1%}", by, f"{result.peak_mb:,.0f}"]


def _line(cells: tuple[str, ...]) -> str:
    first, *others = cells
    return (
        f"{first:<14}" + "".join(f"{cell:>{width}}" for cell, width in zip(others, WIDTHS))
    ).rstrip()


def write(
    args: argparse.Namespace,
    facts: dict[str, str],
    card: Card,
    results: Results,
    failed: dict[str, str],
) -> None:
    """Write what is known so far: table, figure, and every round with chip and versions."""
    from minissd.plotting import save_figure

    args.out.mkdir(parents=True, exist_ok=True)
    head = "\n".join([*description(facts, card), f"{args.rounds} rounds in turns, medians", ""])
    lost = [f"{GPU_CASES[name].title}: not measured: {why}" for name, why in failed.items()]
    table = "\n".join([head, gpu_table(results, card), *lost])
    write_text(args.out / "table.txt", table + "\n")
    titles = {name: GPU_CASES[name].title for name in results}
    if any(len(row) > 1 for row in results.values()):
        heading = f"minissd beside PyTorch, on {facts['chip']}"
        save_figure(comparison_figure(results, titles, heading), args.out / "ratios.png")
    rounds = {name: [each.as_dict() for each in row] for name, row in results.items()}
    floors = {name: vars(work_of(GPU_CASES[name])) for name in results}
    content = {"facts": facts, "card": vars(card), "work": floors, "failed": failed}
    write_text(args.out / "rounds.json", json.dumps(content | {"results": rounds}, indent=1) + "\n")
