"""What the stored runs of chapters 11 and 12 share: the training of the demo, and the first losses it is known by."""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from itertools import islice
from pathlib import Path

import numpy as np

from minissd.commands.common import open_detector
from minissd.datasets.shapes import write_shapes
from minissd.models.detector import Detector
from minissd.training.config import TrainConfig
from minissd.training.run import TrainingRun


def trained(words: str, folder: str, epochs: int) -> Detector:
    """Read the command line, train where there is no finished run, and return the detector.

    Args:
        words: What the script does, for its help.
        folder: The run folder where the command line names no other.
        epochs: Passes over the pictures.
    """
    parser = argparse.ArgumentParser(description=words)
    parser.add_argument("--data", default="data/shapes", help="where the pictures are drawn")
    parser.add_argument("--run", default=folder, help="run folder")
    options = parser.parse_args()
    demo = [sys.executable, "-m", "minissd", "demo", "--data", options.data, "--out", options.run]
    subprocess.run([*demo, "--epochs", str(epochs)], check=True)
    return open_detector(options.run, "cpu")[0]


def first_losses(epochs: int, steps: int = 3) -> np.ndarray:
    """Return the losses of the first steps of the same training on a few pictures: the run's fingerprint."""
    with tempfile.TemporaryDirectory() as folder:
        write_shapes(Path(folder) / "shapes", n_trainval=32, n_test=1, workers=1)
        config = TrainConfig(str(Path(folder) / "shapes"), augment="flip", epochs=epochs)
        run = TrainingRun.start(config, Path(folder) / "run", "cpu")
        batches = (batch for epoch in range(steps) for batch in run.loader.epoch(epoch))
        return np.array([run.trainer.step(batch).loss for batch in islice(batches, steps)])
