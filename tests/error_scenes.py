"""Detections as a real detector makes them: objects found well, badly, twice, under another name, or not at all."""

from __future__ import annotations

import numpy as np

from minissd.boxes.nms import Detections
from minissd.evaluation import Truth
from minissd.evaluation.errors import VOC_SIMILAR

NAMES = [
    "aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow", "diningtable", "dog",
    "horse", "motorbike", "person", "pottedplant", "sheep", "sofa", "train", "tvmonitor",
]  # fmt: skip


def lifelike(
    n_images: int = 300, seed: int = 0, names: list[str] = NAMES
) -> tuple[list[Detections], list[Truth]]:
    """Detections and objects of pictures: small objects are missed more often, and the sure ones are mostly right."""
    rng = np.random.default_rng(seed)
    answers, truths = [], []
    for number in range(n_images):
        size = (500, int(rng.choice([333, 375, 500])))
        count = int(rng.integers(1, 5))
        side = np.exp(rng.uniform(np.log(0.06), np.log(0.8), (count, 1)))
        sides = np.clip(side * np.exp(rng.normal(0, 0.35, (count, 2))), 0.03, 0.97)
        low = rng.uniform(0, 1 - sides)
        boxes = np.concatenate([low, low + sides], axis=1)
        labels = rng.integers(1, len(names) + 1, count)
        truths.append(Truth(boxes, labels, rng.random(count) < 0.1, size, f"{number:06d}"))
        rows = [_guesses(rng, box, label, names) for box, label in zip(boxes, labels)]
        rows.append(_background(rng, len(names)))
        parts = [np.concatenate(part) for part in zip(*rows)]
        order = np.argsort(-parts[2], kind="stable")
        answers.append(Detections(*(part[order] for part in parts)))
    return answers, truths


def _guesses(rng, box, label, names):
    """What a detector says of one object: the better seen (larger), the surer and the closer."""
    seen = np.clip(0.35 + 0.9 * np.sqrt((box[2:] - box[:2]).prod()), 0, 0.97)
    count = int(rng.integers(1, 4)) if rng.random() < seen else int(rng.random() < 0.4)
    noise = rng.choice([0.04, 0.12, 0.25], (count, 1), p=[0.6, 0.25, 0.15])
    boxes = box + rng.normal(0, 1, (count, 4)) * noise * np.tile(box[2:] - box[:2], 2)
    boxes = np.clip(
        np.concatenate([boxes[:, :2], np.maximum(boxes[:, 2:], boxes[:, :2] + 0.01)], 1), 0, 1
    )
    labels = np.full(count, label)
    for i in np.flatnonzero(rng.random(count) < 0.25):
        labels[i] = _mistaken(rng, names[label - 1], names)
    sure = seen - 1.2 * noise[:, 0] - 0.35 * (labels != label) + rng.normal(0, 0.12, count)
    return boxes, labels, np.clip(sure, 0.01, 0.999)


def _mistaken(rng, name, names):
    """Another class, most often a similar one."""
    similar = [n for group in VOC_SIMILAR.values() if name in group for n in group if n in names]
    return 1 + names.index(str(rng.choice(similar if similar and rng.random() < 0.7 else names)))


def _background(rng, n_classes):
    count = int(rng.integers(2, 25))
    side = rng.uniform(0.03, 0.4, (count, 2))
    low = rng.uniform(0, 1 - side)
    scores = rng.beta(0.6, 8, count).clip(0.01, 1)
    return np.concatenate([low, low + side], 1), rng.integers(1, n_classes + 1, count), scores
