"""The stored trainings of chapter 10: one is sound, eight have a fault; all on the same pictures from the same seed.

    python chapters/runs/ch10_trainings.py      writes ch10_trainings.json beside this file, in about ten minutes

The library is sound; every fault is put in from outside, in `FAULTS`: into the batch, the settings or the network.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np

from minissd.boxes.nms import Detections
from minissd.datasets.augment import Augment
from minissd.datasets.loader import Batch, Loader
from minissd.datasets.sample import Sample
from minissd.datasets.shapes import SHAPE_CLASSES, draw_scene
from minissd.evaluation.average_precision import Truth, evaluate
from minissd.models.detector import Detector
from minissd.models.ssd import SSD
from minissd.training.config import TrainConfig
from minissd.training.trainer import Trainer

FILE = Path(__file__).with_suffix(".json")
SIDE, STEPS, BATCH, N_TRAIN, N_TEST = 128, 1000, 16, 3000, 200
SHORT = 200  # steps of the trainings that an exercise asks about
SEEN_AT = (
    0,
    50,
    100,
    200,
    300,
    400,
    500,
    600,
    700,
    800,
    900,
    1000,
)  # after these steps, look at picture
SHOWN = 11  # of the tests
LAYERS_AT = (1, 10, 30, 100, 300, 1000)  # steps after which every layer is measured
SWEEP, SWEEP_STEPS = (0.0002, 0.0006, 0.002, 0.006, 0.02, 0.06, 0.2, 0.6, 2.0), 60
CONFIG = TrainConfig(
    "",
    image_size=SIDE,
    width=16,
    batch_size=BATCH,
    iterations=STEPS,
    optimizer="sgd",
    lr=0.02,
    momentum=0.9,
    weight_decay=5e-4,
    schedule="cosine",
    warmup=30,
    clip_norm=0.0,
    augment="flip",
)


class Fault(NamedTuple):
    """What is changed in a training: the batch, the settings, the network; None for nothing."""

    batch: Callable[[Batch], Batch] | None = None
    settings: Mapping[str, Any] = MappingProxyType({})
    model: Callable[[SSD], None] | None = None


def change(part: str, to: Callable[[np.ndarray], np.ndarray]) -> Callable[[Batch], Batch]:
    """Return what changes one part, boxes or labels, of every picture of a batch."""
    return lambda batch: dataclasses.replace(batch, **{part: [to(a) for a in getattr(batch, part)]})


def next_picture(batch: Batch) -> Batch:
    """Give every picture of a batch the boxes and labels of the one after it."""
    boxes, labels = (each[1:] + each[:1] for each in (batch.boxes, batch.labels))
    return dataclasses.replace(batch, boxes=boxes, labels=labels)


def never_zero(model: SSD) -> None:
    """Let gradients pile up: the line that sets them to zero is forgotten."""
    model.zero_grad = lambda: None


def climb(model: SSD) -> None:
    """Give the offsets' gradient the wrong sign."""
    backward = model.backward
    model.backward = lambda d_scores, d_offsets: backward(d_scores, -d_offsets)


FAULTS = {
    "sound": Fault(),
    "rate_too_high": Fault(settings={"lr": 30 * CONFIG.lr}),
    "boxes_in_pixels": Fault(batch=change("boxes", lambda boxes: boxes * np.float32(SIDE))),
    "annotations_of_the_next_picture": Fault(batch=next_picture),
    "labels_from_zero": Fault(batch=change("labels", lambda labels: labels - 1)),
    "x_and_y_swapped": Fault(batch=change("boxes", lambda boxes: boxes[:, [1, 0, 3, 2]])),
}
UNNAMED = {  # for the exercise
    "gradients_not_zeroed": Fault(model=never_zero),
    "rate_too_low": Fault(settings={"lr": CONFIG.lr / 100}),
    "offsets_with_wrong_sign": Fault(model=climb),
}
LETTERS = {  # under which the chapter shows them, so that its code does not give the answers away
    "A": "boxes_in_pixels",
    "B": "annotations_of_the_next_picture",
    "C": "sound",
    "D": "labels_from_zero",
    "E": "rate_too_high",
    "P": "offsets_with_wrong_sign",
    "Q": "rate_too_low",
    "R": "gradients_not_zeroed",
}


class Pictures(Sequence):
    """Drawn pictures, each made when it is asked for.

    Args:
        n: How many.
        part: 0 for training, 1 for testing: other pictures.
    """

    def __init__(self, n: int, part: int):
        self.n, self.part = n, part

    def __len__(self) -> int:
        return self.n

    def __getitem__(self, index: int) -> Sample:
        if not 0 <= index < self.n:
            raise IndexError(index)
        rng = np.random.default_rng([self.part, index])
        sample = draw_scene(rng, (SIDE, SIDE), n_objects=2, scale=(0.3, 0.7))
        return sample.replace(image_id=f"{self.part}-{index}")


def train(
    fault: Fault,
    samples: Sequence[Sample],
    steps: int = STEPS,
    on_step: Callable[[Trainer], None] = lambda trainer: None,
) -> tuple[SSD, dict[str, list]]:
    """Train with a fault.

    Args:
        fault: What is wrong.
        samples: Pictures to train on.
        steps: How many of the run's steps; the schedule spans the whole run in any case.
        on_step: Called before the first and after every step.

    Returns:
        The network, and for every step class_loss, box_loss, positives (an image) and gradient (its length).
    """
    config = dataclasses.replace(CONFIG, **fault.settings)
    model = config.build(len(SHAPE_CLASSES), np.random.default_rng(config.seed))
    if fault.model:
        fault.model(model)
    trainer = Trainer(model, config, STEPS)
    loader = Loader(samples, BATCH, Augment.named(config.augment, SIDE), seed=0, workers=0)
    log = {name: [] for name in ("class_loss", "box_loss", "positives", "gradient")}
    on_step(trainer)
    while trainer.step_number < steps:
        epoch, done = divmod(trainer.step_number, len(loader))
        for batch in loader.epoch(epoch, skip=done):
            result = trainer.step(fault.batch(batch) if fault.batch else batch)
            log["class_loss"].append(result.class_loss)
            log["box_loss"].append(result.box_loss)
            log["positives"].append(result.n_positives / len(batch))
            log["gradient"].append(float(np.linalg.norm(list(lengths(trainer, "grad").values()))))
            on_step(trainer)
            if trainer.step_number == steps or not np.isfinite(result.loss):
                return model, log
    return model, log


def lengths(trainer: Trainer, what: str) -> dict[str, float]:
    """Return the length of every parameter's `grad` or `value`, or of its last update (`velocity`), by name."""
    if what == "velocity":
        state = trainer.optimizer.state()
        return {n: float(np.linalg.norm(state[f"velocity.{n}"])) for n in trainer.parameters}
    parameters = trainer.parameters.items()
    return {name: float(np.linalg.norm(getattr(p, what))) for name, p in parameters}


def by_layer(trainer: Trainer) -> dict[str, list]:
    """Return, for the weights of every convolution from the input on, gradient and update against value."""
    names = [n for n in trainer.parameters if trainer.parameters[n].value.ndim == 4]
    grad, value, update = (lengths(trainer, what) for what in ("grad", "value", "velocity"))
    return {
        "gradient": [number(grad[name]) for name in names],
        "update": [number(update[name] / value[name]) for name in names],
    }


def number(value: float) -> float | None:
    """Return a number with four digits, None where it is not finite, since JSON has no nan."""
    return float(f"{value:.4g}") if np.isfinite(value) else None


def mean_ap(model: SSD, tests: Sequence[Sample]) -> float:
    """Return the mean average precision on pictures that were not trained on."""
    images = np.stack([sample.image for sample in tests])
    with np.errstate(all="ignore"):
        found = Detector(model, SHAPE_CLASSES).detect(images)
    truths = [Truth(s.boxes, s.labels, s.difficult, s.image_id, s.size) for s in tests]
    return evaluate(found, truths, SHAPE_CLASSES).mean_ap


def seen(model: SSD, image: np.ndarray) -> dict[str, list]:
    """Return the twelve best detections of a picture that the network is sure of by a quarter at least."""
    found: Detections = Detector(model, SHAPE_CLASSES).detect_one(image)
    keep = np.flatnonzero(found.scores >= 0.25)[:12]
    return {
        "boxes": [[number(v) for v in box] for box in found.boxes[keep].tolist()],
        "labels": found.labels[keep].tolist(),
        "scores": [number(v) for v in found.scores[keep].tolist()],
    }


def record(name: str, fault: Fault, samples: Sequence[Sample], tests: Sequence[Sample]) -> dict:
    """Train with a fault and return its curves, what its layers did, and its mean average precision."""
    layers: dict[str, dict] = {}
    views: dict[str, dict] = {}

    def look(trainer: Trainer) -> None:
        if trainer.step_number in LAYERS_AT:
            layers[str(trainer.step_number)] = by_layer(trainer)
        if name == "sound" and trainer.step_number in SEEN_AT:
            views[str(trainer.step_number)] = seen(trainer.model, tests[SHOWN].image)

    with np.errstate(all="ignore"):
        model, log = train(fault, samples, STEPS if name in FAULTS else SHORT, look)
    run: dict[str, Any] = {key: [number(v) for v in values] for key, values in log.items()}
    run |= {"layers": layers, "mean_ap": number(mean_ap(model, tests))}
    print(
        name, len(log["gradient"]), {k: v[-1] for k, v in log.items()}, run["mean_ap"], flush=True
    )
    return run | ({"seen": views} if views else {})


def sweep(samples: Sequence[Sample]) -> dict[str, float | None]:
    """Return the mean loss of the last ten of a few steps at each of several constant learning rates."""
    ends = {}
    for rate in SWEEP:
        settings = {"lr": rate, "warmup": 0, "schedule": "steps", "milestones": (STEPS - 1,)}
        with np.errstate(all="ignore"):
            _, log = train(Fault(settings=settings), samples, SWEEP_STEPS)
        losses = np.add(log["class_loss"], log["box_loss"])
        ends[f"{rate:g}"] = number(losses[-10:].mean()) if len(losses) == SWEEP_STEPS else None
    return ends


def main() -> None:
    """Do all trainings and store their curves."""
    samples, tests = Pictures(N_TRAIN, 0), Pictures(N_TEST, 1)
    faults = (FAULTS | UNNAMED).items()
    runs = {name: record(name, fault, samples, tests) for name, fault in faults}
    model = CONFIG.build(len(SHAPE_CLASSES), np.random.default_rng(0))
    layers = [n for n, p in model.parameters().items() if p.value.ndim == 4]
    content = {"settings": json.loads(CONFIG.to_json()), "pictures": N_TRAIN, "layers": layers}
    content |= {"letters": LETTERS, "sweep": sweep(samples), "runs": runs}
    FILE.write_text(json.dumps(content, separators=(",", ":")) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
