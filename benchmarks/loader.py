"""Does the step wait for data? The loader alone, the training step alone, and both together.

python -m benchmarks.loader                                     generated pictures, the small SSD
python -m benchmarks.loader --data VOCdevkit/VOC2007 --model ssd-mobilenetv2
MINISSD_THREADS and --workers set the threads of the step and of the loader.

The loader reads, decodes and augments as in training. Twice: with an empty cache, as in the first epoch, and with the
decoded pictures in memory, as in all others (as many as the cache holds).
"""

from __future__ import annotations

import argparse
import itertools
import statistics
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from minissd.datasets.loader import Batch, Loader
from minissd.datasets.shapes import write_shapes
from minissd.machine import keep_freed_memory
from minissd.parallel import thread_count
from minissd.training.config import TrainConfig
from minissd.training.run import TrainingRun


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", help="data set; generated shapes where not given")
    parser.add_argument("--split", default="trainval")
    parser.add_argument("--model", default="minissd")
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--batches", type=int, default=12, help="of each measurement")
    parser.add_argument("--workers", type=int, default=2, help="threads of the loader")
    args = parser.parse_args()
    keep_freed_memory()
    with tempfile.TemporaryDirectory() as folder:
        run = open_run(args, Path(folder))
        report(run, args)


def open_run(args: argparse.Namespace, folder: Path) -> TrainingRun:
    """Return a fresh training run of the network on the data."""
    data = args.data
    if data is None:
        data = str(folder / "shapes")
        write_shapes(data, n_trainval=args.batch * args.batches, n_test=1)
    config = TrainConfig(data=data, split=args.split, eval_split=None)
    config = replace(config, model=args.model, batch_size=args.batch, workers=args.workers)
    return TrainingRun.start(config, folder / "run", "cpu")


def report(run: TrainingRun, args: argparse.Namespace) -> None:
    """Print the three rates."""
    step = run.trainer.step
    n = min(args.batches, len(run.loader))
    print(f"{args.model}, batch {args.batch}, {thread_count()} threads, {args.workers} workers")
    cold = timed_loading(run.loader, n)
    warm = timed_loading(run.loader, n)
    batch = next(iter(run.loader.epoch(0)))
    step(batch)
    alone = statistics.median(seconds_of(lambda: step(batch)) for _ in range(n))
    waited, together = timed_training(run.loader, step, n)
    rates = {
        "loader alone, first epoch": 1 / cold,
        "loader alone, later epochs": 1 / warm,
        "step alone": 1 / alone,
        "together": 1 / together,
    }
    for name, rate in rates.items():
        print(f"{name:<28}{rate * args.batch:>9.1f} images/s")
    print(
        f"{'loader alone / step alone':<28}{alone / cold:>9.1f} (first), {alone / warm:.1f} (later)"
    )
    print(f"{'the step waits for data':<28}{waited:>9.1%} of the time")


def timed_loading(loader: Loader, n: int) -> float:
    """Return the seconds of a batch, the median over epoch 0's first `n`."""
    batches = loader.epoch(0)
    return seconds_of(lambda: consume(batches, n)) / n


def timed_training(loader: Loader, step: object, n: int) -> tuple[float, float]:
    """Return the share of the time that steps wait, and the seconds of a batch, with both at work."""
    begun = time.perf_counter()
    for batch in itertools.islice(loader.epoch(1), n):
        step(batch)
    seconds = time.perf_counter() - begun
    return loader.wait_seconds / seconds, seconds / n


def consume(batches: Iterator[Batch], n: int) -> None:
    """Take `n` batches."""
    for _ in itertools.islice(batches, n):
        pass


def seconds_of(work: object) -> float:
    """Return how long a call takes."""
    begun = time.perf_counter()
    work()
    return time.perf_counter() - begun


if __name__ == "__main__":
    main()
