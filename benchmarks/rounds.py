"""What our side does in a round, wherever its arrays live, and what it is done with."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType

import numpy as np

from minissd.backend import Array
from minissd.models.loss import make_targets, multibox_loss
from minissd.models.ssd import SSD
from minissd.nn.optim import SGD

Round = Callable[[], object]
OBJECTS = np.array([[0.1, 0.1, 0.5, 0.6], [0.4, 0.3, 0.9, 0.9], [0.2, 0.7, 0.3, 0.8]], np.float32)
RATE = 1e-5  # of learning: the weights hardly move


def objects(batch: int) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Return boxes and labels: the same three objects in every picture."""
    return [OBJECTS] * batch, [np.array([1, 2, 3])] * batch


def training_step(model: SSD, images: Array, xp: ModuleType = np) -> Round:
    """Targets (objects come from the host, as from a loader), forward, loss, backward, update."""
    boxes, labels = objects(len(images))
    optimizer = SGD(model.parameters(), RATE, momentum=0.9, weight_decay=5e-4)
    model.train()

    def step() -> None:
        targets = make_targets(model.default_centers(xp), boxes, labels, model.spec)
        model.zero_grad()
        scores, offsets = model.forward(model.prepare(images))
        result = multibox_loss(scores, offsets, targets)
        model.backward(result.d_scores, result.d_offsets)
        optimizer.step()

    return step


def plausible_output(model: SSD, batch: int) -> tuple[np.ndarray, np.ndarray]:
    """Return scores and offsets in which a few boxes of each class stand out, as after training."""
    rng = np.random.default_rng(1)
    k, n_classes = model.spec.n_default_boxes, model.n_classes
    scores = rng.normal(0, 1, (batch, k, n_classes)).astype(np.float32)
    scores[..., 0] += 9
    chosen = rng.choice(k, min(k, 300), replace=False)
    scores[:, chosen, rng.integers(1, n_classes, len(chosen))] += 10
    return scores, rng.normal(0, 1, (batch, k, 4)).astype(np.float32)
