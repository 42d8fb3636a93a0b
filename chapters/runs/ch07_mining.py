"""Train the small SSD for a thousand steps and record, on the scene, what the loss of chapter 7 sees.

    python chapters/runs/ch07_mining.py

writes `ch07_mining.npz` beside this file, in about ten minutes on one core. The network never learns from the scene: at
the steps below the scene takes the first place of a batch whose other pictures were kept apart for this, and a copy of
the network answers for it as it would in training. The copy is then thrown away.
"""

from __future__ import annotations

import copy
import itertools
import sys
from pathlib import Path
from typing import NamedTuple

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from course import SIDE, scene

from minissd.datasets.augment import Augment
from minissd.datasets.geometric import resize
from minissd.datasets.loader import Batch, Loader, collate
from minissd.datasets.sample import Sample
from minissd.datasets.shapes import SHAPE_CLASSES, draw_scene
from minissd.models.loss import Targets, make_targets, multibox_loss
from minissd.models.ssd import SSD
from minissd.training.config import TrainConfig
from minissd.training.trainer import StepResult, Trainer

STEPS = 1000
KEPT = (0, 3, 10, 30, 60, 100, 200, 300, 500, 700, 1000)  # all answers on the scene are stored
MINED = tuple(range(0, 100, 2)) + tuple(range(100, STEPS + 1, 10))  # the mined set is stored
N_PICTURES = 5000
CONFIG = TrainConfig("", augment="flip", iterations=STEPS)  # otherwise as `python -m minissd demo`
FILE = Path(__file__).with_suffix(".npz")


class Drawn:
    """Pictures drawn like the scene, when they are asked for, at the network's size; none is the scene."""

    def __init__(self, side: int, start: int, count: int):
        self.side, self.start, self.count = side, start, count

    def __len__(self) -> int:
        """How many there are."""
        return self.count

    def __getitem__(self, index: int) -> Sample:
        """Draw one."""
        rng = np.random.default_rng([7, self.start + index])
        return resize(draw_scene(rng, size=(SIDE, SIDE)), self.side)


class Seen(NamedTuple):
    """What the loss sees on the scene: scores (K, C + 1), offsets (K, 4), mined (K,), class and box loss."""

    scores: np.ndarray
    offsets: np.ndarray
    mined: np.ndarray
    losses: tuple[float, float]


def look(model: SSD, batch: Batch, targets: Targets) -> Seen:
    """Let a copy of the network answer a batch as in training, and compute the loss of its first picture."""
    probe = copy.deepcopy(model)
    probe.train()
    scores, offsets = (part[:1] for part in probe.forward(probe.prepare(batch.images)))
    result = multibox_loss(scores, offsets, targets)
    return Seen(
        scores[0], offsets[0], result.mined[0], (float(result.class_loss), float(result.box_loss))
    )


def record(steps: int = STEPS) -> dict[str, np.ndarray]:
    """Train and record.

    Args:
        steps: Stop after so many; the schedule is that of the whole run.
    """
    model = CONFIG.build(len(SHAPE_CLASSES), np.random.default_rng(CONFIG.seed))
    side, trainer = model.spec.image_size, Trainer(model, CONFIG, STEPS)
    others = Drawn(side, N_PICTURES, CONFIG.batch_size - 1)
    batch = collate([resize(scene(), side), *(others[i] for i in range(len(others)))])
    targets = make_targets(model.default_centers(), batch.boxes[:1], batch.labels[:1], model.spec)
    transform = Augment.named(CONFIG.augment, side)
    pictures = Drawn(side, 0, N_PICTURES)
    loader = Loader(pictures, CONFIG.batch_size, transform, seed=CONFIG.seed, workers=0)
    stream = (each for epoch in itertools.count() for each in loader.epoch(epoch))
    seen, training = {}, []
    for step in range(steps + 1):
        if step in KEPT or step in MINED:
            seen[step] = look(model, batch, targets)
        if step < steps:
            training.append(trainer.step(next(stream)))
    return as_arrays(seen, training)


def as_arrays(seen: dict[int, Seen], training: list[StepResult]) -> dict[str, np.ndarray]:
    """Return the arrays that are stored."""
    kept = [step for step in seen if step in KEPT]
    mined = [step for step in seen if step in MINED]
    return {
        "steps": np.array(kept),
        "scores": np.stack([seen[step].scores for step in kept]).astype(np.float16),
        "offsets": np.stack([seen[step].offsets for step in kept]).astype(np.float16),
        "losses": np.array([seen[step].losses for step in kept], np.float32),
        "mined_steps": np.array(mined),
        "mined": np.packbits(np.stack([seen[step].mined for step in mined]), axis=1),
        "training": np.array([each[:4] for each in training], np.float32),
    }


if __name__ == "__main__":
    np.savez_compressed(FILE, **record())
    print(f"{FILE.name}: {FILE.stat().st_size / 1000:.0f} kB")
