"""Can it learn at all? Real loss, matching, mining and detector on a few pictures, until they are known by heart."""

import numpy as np
import pytest

from minissd.datasets.augment import Resize
from minissd.datasets.loader import collate
from minissd.datasets.voc import VocDataset
from minissd.evaluation.average_precision import Truth, evaluate
from minissd.models.build import build_minissd
from minissd.models.detector import Detector
from minissd.training.config import TrainConfig
from minissd.training.trainer import Trainer


def overfit(dataset, count, steps, image_size=128, width=16):
    """Train on the first `count` pictures as one batch, and return the evaluation on the same pictures."""
    samples = [Resize(image_size)(dataset[i]) for i in range(count)]
    batch = collate(samples)
    rng = np.random.default_rng(0)
    model = build_minissd(len(dataset.class_names), image_size, rng, width)
    config = TrainConfig("", optimizer="adamw", lr=0.004, warmup=10, weight_decay=0.0)
    trainer = Trainer(model, config, steps)
    losses = [trainer.step(batch).loss for _ in range(steps)]
    found = Detector(model, dataset.class_names).detect(batch.images)
    truths = [Truth(*parts) for parts in zip(batch.boxes, batch.labels, batch.difficult)]
    return losses, evaluate(found, truths, dataset.class_names)


def test_eight_drawn_pictures_are_learnt_by_heart(tiny_shapes):
    losses, evaluation = overfit(VocDataset(tiny_shapes, "trainval"), count=8, steps=80)
    assert losses[-1] < 0.15 * losses[0]
    assert evaluation.mean_ap >= 0.9


@pytest.mark.slow
def test_sixteen_photographs_are_learnt_by_heart(voc_root):
    """With the real loss, on all twenty classes; difficult objects are trained on and not evaluated, as always."""
    dataset = VocDataset(voc_root, "trainval")
    losses, evaluation = overfit(dataset, count=16, steps=150)
    assert losses[-1] < 0.15 * losses[0]
    assert evaluation.mean_ap >= 0.9
