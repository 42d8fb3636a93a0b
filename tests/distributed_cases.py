"""The training that one process and several must do alike; a program too, for `mpiexec`.

python tests/distributed_cases.py OUT.npz CASE       what process 0 has at the end
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

from minissd.backend import array_module
from minissd.datasets.loader import Batch, cut
from minissd.models.backbones import Trunk
from minissd.models.build import build_minissd, small_spec
from minissd.models.ssd import SSD
from minissd.nn import Conv2d, ReLU, Sequential
from minissd.training.communicator import ALONE, Communicator
from minissd.training.config import TrainConfig
from minissd.training.trainer import Trainer

STEPS = 4
N_IMAGES = 7  # a global batch that neither 2 nor 4 processes share evenly
CASES = {
    "plain": {"optimizer": "sgd", "lr": 0.01},
    "clipped": {"optimizer": "sgd", "lr": 0.01, "clip_norm": 0.5, "accumulate": 2},
    "adamw": {"optimizer": "adamw", "lr": 0.003},
    "norm": {"optimizer": "sgd", "lr": 0.01},
}


class DoubleSSD(SSD):
    """A network that works in float64."""

    def prepare(self, images):
        return super().prepare(images).astype(np.float64)


def network(with_norm: bool) -> SSD:
    """Return the small SSD, or one of its maps without batch norm; float64."""
    rng = np.random.default_rng(0)
    if with_norm:
        model = build_minissd(3, 96, rng, width=4)
        model.__class__ = DoubleSSD
        return model.astype(np.float64)
    channels, before, segments = (4, 6, 6, 4, 4), 3, []
    for i, after in enumerate(channels):
        layers = [Conv2d(before, after, 3, stride=2, padding=1, rng=rng), ReLU()]
        if i == 0:  # the first map is an eighth of the image
            more = [Conv2d(after, after, 3, stride=2, padding=1, rng=rng), ReLU()]
            layers += more + [Conv2d(after, after, 3, stride=2, padding=1, rng=rng), ReLU()]
        segments.append(Sequential(*layers))
        before = after
    model = DoubleSSD(small_spec(3, 96, 4), Trunk(segments, list(channels)), rng)
    return model.astype(np.float64)


def batch(step: int) -> Batch:
    """Return the global batch of a step; one of its images has no objects."""
    rng = np.random.default_rng([1, step])
    images = rng.integers(0, 256, (N_IMAGES, 96, 96, 3), dtype=np.uint8)
    boxes, labels = [], []
    for i in range(N_IMAGES):
        sides = rng.uniform(0.15, 0.8, (i % 4, 2))
        corners = rng.uniform(0, 1, (i % 4, 2)) * (1 - sides)
        boxes.append(np.concatenate([corners, corners + sides], axis=1).astype(np.float32))
        labels.append(rng.integers(1, 4, i % 4))
    difficult = [np.zeros(len(each), bool) for each in boxes]
    return Batch(images, boxes, labels, difficult, [str(i) for i in range(N_IMAGES)])


def own_part(whole: Batch, communicator: Communicator) -> Batch:
    """Return one process's part of a batch, as the loader cuts it."""
    part = cut(len(whole), communicator.rank, communicator.size)
    return Batch(*(getattr(whole, name)[part] for name in Batch.__dataclass_fields__))


def train(case: str, communicator: Communicator = ALONE, xp=np) -> dict[str, np.ndarray]:
    """Train some steps and return the state of the network and the losses of all steps."""
    config = TrainConfig("", image_size=96, warmup=1, batch_size=N_IMAGES, **CASES[case])
    model = network(case == "norm").to(xp)
    if communicator.rank > 0:  # process 0 gives its weights to all
        for array in model.arrays():
            array *= 0
    trainer = Trainer(model, config, STEPS, communicator)
    results = [trainer.step(own_part(batch(step), communicator)) for step in range(STEPS)]
    trainer.average_statistics()
    trainer.check_same_weights()
    assert array_module(*model.arrays()) is xp
    return {**model.state(), "results": np.array(results)}


def main() -> None:
    from minissd.training.distributed import all_or_none, connect

    communicator = connect("cpu")
    with all_or_none(communicator, "cases"):
        for case in sys.argv[2:]:
            state = train(case, communicator)
            if communicator.leads:
                np.savez(Path(sys.argv[1]) / f"{case}.npz", size=communicator.size, **state)


if __name__ == "__main__":
    main()
