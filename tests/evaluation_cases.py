"""Detections and true objects for the tests of evaluation."""

from __future__ import annotations

import numpy as np

from minissd.boxes.nms import Detections
from minissd.evaluation import Truth

BOX = (0.1, 0.1, 0.5, 0.5)  # size 0.4
NEAR = (0.1, 0.1, 0.5, 0.45)  # IoU 0.875 with BOX
FAR = (0.6, 0.6, 0.9, 0.9)  # size 0.3


def truth(*boxes, labels=None, difficult=None) -> Truth:
    n = len(boxes)
    return Truth(
        np.array(boxes, float).reshape(n, 4),
        np.array(labels if labels is not None else [1] * n, np.int64),
        np.array(difficult if difficult is not None else [False] * n, bool),
    )


def found(*boxes, scores=None, labels=None) -> Detections:
    n = len(boxes)
    return Detections(
        np.array(boxes, float).reshape(n, 4),
        np.array(labels if labels is not None else [1] * n, np.int64),
        np.array(scores if scores is not None else np.linspace(0.9, 0.1, n), float),
    )


def random_scene(rng: np.random.Generator, n_images=40, n_classes=3):
    detections, truths = [], []
    for _ in range(n_images):
        m, d = rng.integers(0, 5), rng.integers(0, 12)
        size = rng.uniform(0.05, 0.6, (m, 2))
        low = rng.uniform(0, 1 - size)
        boxes = np.concatenate([low, low + size], 1)
        labels = rng.integers(1, n_classes + 1, m)
        truths.append(truth(*boxes, labels=labels, difficult=rng.random(m) < 0.2))
        size = rng.uniform(0.05, 0.6, (d, 2))
        low = rng.uniform(0, 1 - size)
        guess, guess_labels = (
            np.concatenate([low, low + size], 1),
            rng.integers(1, n_classes + 1, d),
        )
        if m:
            copies = rng.integers(0, m, d // 2 * 2)[: d // 2]
            guess[: d // 2] = boxes[copies] + rng.normal(0, 0.02, (d // 2, 4))
            guess_labels[: d // 2] = labels[copies]
        detections.append(found(*guess, labels=guess_labels, scores=rng.random(d).round(1)))
    return detections, truths
