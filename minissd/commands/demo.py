"""Train a small SSD on generated pictures and show what it sees.

Draws the shapes data set, trains on 2 processor cores in about five minutes, measures the average
precision on pictures that were not trained on, and draws the detections before and after. Seed and
number of steps are fixed. Called again, it goes on where it was stopped, and a finished run is only
shown again.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Folders and, for the curious, the length."""
    from minissd.commands.common import add_device

    parser.add_argument("--data", default="data/shapes", help="where the pictures are drawn")
    parser.add_argument("--out", default="runs/demo", help="run folder")
    parser.add_argument("--epochs", type=int, default=EPOCHS, help="passes over the pictures")
    add_device(parser)


EPOCHS = 4  # of 5000 pictures: what two cores do in five minutes


def run(args: argparse.Namespace) -> int:
    """Draw, train, evaluate, tell."""
    from minissd.datasets.shapes import write_shapes
    from minissd.datasets.shapes_writing import N_TEST, N_TRAINVAL
    from minissd.machine import keep_freed_memory
    from minissd.training.checkpoint import LAST
    from minissd.training.config import TrainConfig
    from minissd.training.run import TrainingRun

    keep_freed_memory()
    start = time.perf_counter()
    print(f"1. pictures: python -m minissd shapes {args.data}")
    made = write_shapes(args.data)
    how = "there already" if made.reused else f"drawn in {made.seconds:.0f} s"
    print(f"   {N_TRAINVAL} to train on, {N_TEST} to test on, {how}")

    out = Path(args.out)
    options = f"--augment flip --epochs {args.epochs} --out {out}"
    print(f"2. training: python -m minissd train {args.data} {options}")
    if (out / LAST).exists():
        training = TrainingRun.resume(out, args.device)
    else:
        config = TrainConfig(str(args.data), augment="flip", epochs=args.epochs)
        training = TrainingRun.start(config, out, args.device)
    if training.finished:
        print(f"   {out} is trained already (delete the folder to train again)")
    code = training.run()
    if code:
        return code
    print(f"3. look at {out}/before.png and after.png, loss.png and precision_recall.png")
    print(f"   ({time.perf_counter() - start:.0f} s in all)")
    print("next: draw such forms on paper, photograph them, and try")
    print(f"   python -m minissd detect your_picture.jpg --weights {out}")
    return 0
