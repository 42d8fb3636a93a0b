"""Seconds and peak memory of one image forward and of one training step, each in a process of its own.

python -m benchmarks.model_cost                              ssd300 with 21 classes, a training step at batch 4
python -m benchmarks.model_cost --model ssd-mobilenetv2 --batch 32 --rounds 5
"""

from __future__ import annotations

import argparse
import json
import platform
import resource
import statistics
import subprocess
import sys
import time

import numpy as np

from minissd.machine import keep_freed_memory
from minissd.models.build import build_model
from minissd.models.loss import make_targets, multibox_loss
from minissd.models.ssd import SSD
from minissd.nn.optim import SGD
from minissd.parallel import thread_count

CASES = ("forward", "step")


def main() -> None:
    """Run each case in a process of its own and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="ssd300")
    parser.add_argument("--classes", type=int, default=20, help="object classes")
    parser.add_argument("--batch", type=int, default=4, help="images of the training step")
    parser.add_argument("--rounds", type=int, default=5, help="after one that does not count")
    parser.add_argument("--case", choices=CASES, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.case:
        print(json.dumps(measure(args)))
        return
    print(f"{args.model}, {args.classes} object classes; {thread_count()} threads, float32")
    print(f"Python {platform.python_version()}, NumPy {np.__version__}, {platform.machine()}")
    print(f"{'':<28}{'median s':>9}{'fastest s':>10}{'slowest s':>10}{'peak MB':>9}")
    for case in CASES:
        command = [sys.executable, "-m", "benchmarks.model_cost", *sys.argv[1:], "--case", case]
        answer = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
        title = "forward, one image" if case == "forward" else f"training step, batch {args.batch}"
        seconds = answer["seconds"]
        print(
            f"{title:<28}{statistics.median(seconds):>9.2f}{min(seconds):>10.2f}"
            f"{max(seconds):>10.2f}{answer['peak_mb']:>9.0f}"
        )


def measure(args: argparse.Namespace) -> dict:
    """Return the seconds of every round of a case, and the peak memory of this process in MB."""
    keep_freed_memory()
    rng = np.random.default_rng(0)
    model = build_model(args.model, args.classes, rng)
    run = forward(model, rng) if args.case == "forward" else training_step(model, args.batch, rng)
    seconds = []
    for _ in range(args.rounds + 1):
        begun = time.perf_counter()
        run()
        seconds.append(time.perf_counter() - begun)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024  # Linux counts in KiB
    return {"seconds": seconds[1:], "peak_mb": peak}


def pictures(model: SSD, count: int, rng: np.random.Generator) -> np.ndarray:
    """Draw noise."""
    return rng.integers(0, 256, (count, *[model.spec.image_size] * 2, 3), dtype=np.uint8)


def forward(model: SSD, rng: np.random.Generator):
    """Return what runs one image through the network."""
    model.eval()
    image = pictures(model, 1, rng)
    return lambda: model.forward(model.prepare(image))


def training_step(model: SSD, batch: int, rng: np.random.Generator):
    """Return what does one step: targets, forward, loss, backward, SGD."""
    images = pictures(model, batch, rng)
    corners = np.array([[0.1, 0.1, 0.5, 0.6], [0.4, 0.3, 0.9, 0.9]], np.float32)
    boxes, labels = [corners] * batch, [np.array([1, 2])] * batch
    optimizer = SGD(model.parameters(), 1e-5)

    def run() -> None:
        targets = make_targets(model.default_centers(np), boxes, labels, model.spec)
        model.zero_grad()
        scores, offsets = model.forward(model.prepare(images))
        result = multibox_loss(scores, offsets, targets)
        model.backward(result.d_scores, result.d_offsets)
        optimizer.step()

    return run


if __name__ == "__main__":
    main()
