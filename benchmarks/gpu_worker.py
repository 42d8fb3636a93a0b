"""One contender on a GPU in a process of its own: it prepares a case, and does a round whenever it is told to.

A round is as many runs, one after another, as take a fifth of a second, after one that brings clocks and caches up
again; the device is waited for before and after them. Started by `benchmarks.race`; its lines are JSON.
"""

from __future__ import annotations

import json
import math
import sys
import time
from collections.abc import Callable
from importlib.metadata import version
from types import ModuleType

from benchmarks.gpu_cases import GPU_CONTENDERS, GpuCase, switch_to_tf32
from benchmarks.rounds import Round
from benchmarks.worker import answer
from minissd.backend import resolve_device

WARM_UP = 5  # runs: kernels are compiled, algorithms chosen, memory reserved
ROUND_SECONDS = 0.2
MOST_RUNS = 200

Wait = Callable[[], None]


def main(case: GpuCase, who: str) -> None:
    """Prepare, then answer each line "round" with seconds a run, until the input ends."""
    place, wait, held_mb, package = (our_device if who == "minissd" else torch_device)()
    if who == "minissd":
        switch_to_tf32(case.precision)  # for as long as the process lives
    run = GPU_CONTENDERS[case.kind][who](case, place)
    serve(run, wait, held_mb, package)


def serve(run: Round, wait: Wait, held_mb: Callable[[], float], package: str) -> None:
    """Warm up, say so, and answer."""
    first = timed(run, wait, 1)
    for _ in range(WARM_UP):
        run()
    runs = min(MOST_RUNS, max(1, math.ceil(ROUND_SECONDS / timed(run, wait, 1))))
    answer({"ready": package, "first": first})
    for line in sys.stdin:
        if line.strip() != "round":
            break
        run()
        answer({"seconds": timed(run, wait, runs), "peak_mb": held_mb()})


def timed(run: Round, wait: Wait, runs: int) -> float:
    """Return the seconds of one of some runs, one after another."""
    wait()
    begun = time.perf_counter()
    for _ in range(runs):
        run()
    wait()
    return (time.perf_counter() - begun) / runs


def our_device() -> tuple[ModuleType, Wait, Callable[[], float], str]:
    """Return CuPy, what waits for it, the MB it has taken from the card, and its version."""
    resolve_device("gpu")
    import cupy

    pool = cupy.get_default_memory_pool()
    wait = cupy.cuda.Device().synchronize
    return cupy, wait, lambda: pool.total_bytes() / 2**20, f"cupy {cupy.__version__}"


def torch_device() -> tuple[str, Wait, Callable[[], float], str]:
    """Return the same of PyTorch, with the versions of its CUDA and cuDNN."""
    import torch

    cudnn = torch.backends.cudnn.version()
    package = f"torch {version('torch')}, CUDA {torch.version.cuda}, cuDNN {cudnn}"
    held = torch.cuda.max_memory_reserved
    return "cuda", torch.cuda.synchronize, lambda: held() / 2**20, package


if __name__ == "__main__":
    main(GpuCase(**json.loads(sys.argv[1])), sys.argv[2])
