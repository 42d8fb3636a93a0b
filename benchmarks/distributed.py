"""Is a second process worth more than a second thread? Training steps of the same global batch, measured in turns.

python -m benchmarks.distributed                                        the small SSD, batch 32
python -m benchmarks.distributed --model ssd300 --batch 4 --steps 3
python -m benchmarks.distributed --out benchmarks/results/distributed/small.json

`2 processes, overlapped` sends the gradients of each map while the way back goes on with the maps below it; the others
add them up when it is done.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from benchmarks.compare import write_text
from benchmarks.race import ROOT, THREAD_VARIABLES
from benchmarks.report import machine
from benchmarks.rounds import OBJECTS, RATE
from minissd.backend import Array
from minissd.datasets.loader import Batch, cut
from minissd.machine import keep_freed_memory
from minissd.models.build import build_model
from minissd.nn.layer import Parameter
from minissd.training.communicator import Communicator, messages, unpack
from minissd.training.config import TrainConfig
from minissd.training.distributed import connect
from minissd.training.trainer import Trainer

# Name: processes, threads of each, mode.
CONTENDERS = {
    "1 process, 1 thread": (1, 1, "shared"),
    "1 process, 2 threads": (1, 2, "shared"),
    "2 processes, 1 thread each": (2, 1, "shared"),
    "2 processes, own batch norm": (2, 1, "own-norm"),
    "2 processes, overlapped": (2, 1, "overlapped"),
}


class OverlappedTrainer(Trainer):
    """Sends the gradients of a map's head and segment as soon as the way back has passed them."""

    def __init__(self, model, config, total_steps, communicator):
        super().__init__(model, config, total_steps, communicator)
        self.sent: list[tuple[object, Array, list[Array] | None]] = []
        for head, tap, segment in zip(model.heads, model.taps, model.segments):
            ready = [layer for layer in (segment, tap, head) if layer is not None]
            parameters = [p for layer in ready for p in layer.parameters().values()]
            segment.backward = self.sending(segment.backward, parameters)

    def sending(self, backward: Callable, parameters: list[Parameter]) -> Callable:
        def both(dy: Array) -> Array:
            dx = backward(dy)
            for request, *_ in self.sent:
                request.Test()  # Open MPI goes on with a message only when it is called
            mpi, world = self.communicator.mpi, self.communicator.world
            for message, parts in messages([p.grad for p in parameters]):
                self.sent.append((world.Iallreduce(mpi.IN_PLACE, message), message, parts))
            return dx

        return both

    def sum_over_processes(self, losses: list[Array]) -> list[Array]:
        for request, message, parts in self.sent:
            request.Wait()
            unpack(message, parts)
        self.sent.clear()
        *parts, n_positives = losses
        sums = np.stack(parts)
        self.communicator.sum([sums])
        return [*sums, n_positives]


def work(model_name: str, batch_size: int, steps: int, mode: str) -> None:
    """Do the steps and, in process 0, print what they took."""
    keep_freed_memory()
    communicator = connect("cpu")
    settings = {"optimizer": "sgd", "lr": RATE, "batch_size": batch_size, "model": model_name}
    config = TrainConfig("", warmup=0, sync_norm=mode != "own-norm", **settings)
    model = build_model(model_name, 20, np.random.default_rng(0))
    kind = OverlappedTrainer if mode == "overlapped" else Trainer
    trainer = kind(model, config, steps + 1, communicator)
    part = cut(batch_size, communicator.rank, communicator.size)
    side, count = model.spec.image_size, part.stop - part.start
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (batch_size, side, side, 3), dtype=np.uint8)[part]
    labels, difficult = [np.array([1, 2, 3])] * count, [np.zeros(3, bool)] * count
    batch = Batch(images, [OBJECTS] * count, labels, difficult, ["x"] * count)
    trainer.step(batch)  # fills caches and does not count
    seconds = [timed(lambda: trainer.step(batch), communicator) for _ in range(steps)]
    grads = [p.grad for p in trainer.parameters.values()]
    talk = min(timed(lambda: communicator.sum(grads), communicator) for _ in range(5))
    if communicator.leads:
        size = sum(grad.nbytes for grad in grads)
        print(json.dumps({"seconds": seconds, "talk": talk, "gradient_bytes": size}))


def timed(action: Callable, communicator: Communicator) -> float:
    """Return the seconds of an action that all processes begin together."""
    communicator.any(False)
    begun = time.perf_counter()
    action()
    return time.perf_counter() - begun


def measure(name: str, options: list[str]) -> dict:
    """Run one contender and return what its process 0 printed."""
    processes, threads, mode = CONTENDERS[name]
    launcher = Path(sys.executable).with_name("mpiexec")
    launch = [str(launcher) if launcher.exists() else "mpiexec", "-n", str(processes)]
    command = [sys.executable, "-m", "benchmarks.distributed", "--work", mode, *options]
    allowed = {"OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1"}
    environment = os.environ | {name: str(threads) for name in THREAD_VARIABLES} | allowed
    command = launch + command if processes > 1 else command
    result = subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True)
    if result.returncode:
        raise SystemExit(result.stderr)
    return json.loads(result.stdout.splitlines()[-1])


def table(results: dict[str, list[dict]]) -> str:
    """Return a line a contender: the median step, the fastest, and how it compares with the first."""
    lines = [f"{'':<30}{'median ms':>10}{'fastest':>10}{'speed':>8}{'adding up, ms':>16}"]
    medians = {
        name: statistics.median(s for turn in turns for s in turn["seconds"])
        for name, turns in results.items()
    }
    base = next(iter(medians.values()))
    for name, turns in results.items():
        fastest = min(s for turn in turns for s in turn["seconds"])
        talk = statistics.median(turn["talk"] for turn in turns)
        told = f"{1e3 * talk:>16.2f}" if CONTENDERS[name][0] > 1 else ""
        row = f"{name:<30}{1e3 * medians[name]:>10.1f}{1e3 * fastest:>10.1f}"
        lines.append(f"{row}{base / medians[name]:>8.2f}{told}")
    return "\n".join(lines)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", default="minissd")
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--out", type=Path, help="file for all numbers; the table goes beside it")
    parser.add_argument("--work", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.work:
        work(args.model, args.batch, args.steps, args.work)
        return
    options = ["--model", args.model, "--batch", str(args.batch), "--steps", str(args.steps)]
    results: dict[str, list[dict]] = {name: [] for name in CONTENDERS}
    for _ in range(args.turns):
        for name, turns in results.items():
            turns.append(measure(name, options))
    size = results["1 process, 1 thread"][0]["gradient_bytes"]
    head = f"{machine()}\n{args.model}, global batch {args.batch}, {args.turns} turns of {args.steps} steps; "
    text = f"{head}gradients {size:,} bytes\n\n{table(results)}\n"
    print(text)
    if args.out:
        facts = {"machine": machine(), "model": args.model, "batch": args.batch, "results": results}
        write_text(args.out, json.dumps(facts, indent=1) + "\n")
        write_text(args.out.with_suffix(".txt"), text)


if __name__ == "__main__":
    main()
