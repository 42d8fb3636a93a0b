"""TrainConfig: every setting of a training run, kept with the run so that it can be repeated and resumed."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from minissd.datasets.augment import AUGMENTATIONS
from minissd.errors import InputError, check, check_positive_int
from minissd.models.build import build_model, model_spec
from minissd.models.ssd import SSD

OPTIMIZERS = ("sgd", "adamw")


@dataclass(frozen=True)
class TrainConfig:
    """Settings of one training run; the same settings and seed give the same weights on the same machine.

    Attributes:
        data: Folder of the data set, in VOC layout.
        split: Image set to train on.
        eval_split: Image set to evaluate on, or None.
        eval_limit: Evaluate on its first so many images only (0: all).
        classes: Names of the object classes, in label order; empty: those found in the annotations.
        skip_empty: Leave out training images without any object of these classes.
        model: Which network, see `build_model`.
        init: File with weights of its body, trained elsewhere; empty: it starts from random ones.
        body_rate: Learning rate of a loaded body as a share of the others'.
        image_size: Side of the network's square input, pixels; None: the model's own.
        width: Channels of the first layer of the small SSD; the network's size goes with it.
        epochs: Passes over the training images.
        batch_size: Images a step.
        optimizer: sgd (momentum 0.9) or adamw.
        lr: Highest learning rate, reached after the warm-up and brought to zero along a cosine.
        warmup: Steps over which the learning rate rises.
        weight_decay: Of the weights (not of biases and normalisation).
        clip_norm: Longest gradient allowed, over all parameters (0: no limit).
        augment: paper (the full recipe), moderate, light (crops and flips), flip or none; see `Augment.named`.
        negative_ratio: Mined negatives to positives.
        seed: Of weights, order and augmentation.
        workers: Threads that load images.
        eval_every: Epochs between evaluations (0: only at the end).
    """

    data: str
    split: str = "trainval"
    eval_split: str | None = "test"
    eval_limit: int = 0
    classes: tuple[str, ...] = ()
    skip_empty: bool = False
    model: str = "minissd"
    init: str = ""
    body_rate: float = 1.0
    image_size: int | None = None
    width: int = 32
    epochs: int = 8
    batch_size: int = 16
    optimizer: str = "adamw"
    lr: float = 0.003
    warmup: int = 100
    weight_decay: float = 0.01
    clip_norm: float = 10.0
    augment: str = "light"
    negative_ratio: float = 3.0
    seed: int = 0
    workers: int = 2
    eval_every: int = 0

    def __post_init__(self) -> None:
        """Check what can be checked without the data."""
        for name in ("epochs", "batch_size", "width"):
            check_positive_int(getattr(self, name), name)
        model_spec(
            self.model, 1, image_size=self.image_size, width=self.width
        )  # says what is wrong
        for name in ("warmup", "workers", "eval_every", "eval_limit", "seed"):
            check_positive_int(getattr(self, name), name, minimum=0)
        check(self.lr > 0, "lr", "a number above 0", self.lr)
        check(self.body_rate > 0, "body_rate", "a number above 0", self.body_rate)
        for name in ("weight_decay", "clip_norm", "negative_ratio"):
            check(getattr(self, name) >= 0, name, "0 or more", getattr(self, name))
        check(self.optimizer in OPTIMIZERS, "optimizer", " | ".join(OPTIMIZERS), self.optimizer)
        check(self.augment in AUGMENTATIONS, "augment", " | ".join(AUGMENTATIONS), self.augment)

    def build(self, n_object_classes: int, rng: np.random.Generator) -> SSD:
        """Build the network of the run with fresh weights."""
        return build_model(
            self.model, n_object_classes, rng, image_size=self.image_size, width=self.width
        )

    def to_json(self) -> str:
        """Return the settings as JSON text."""
        return json.dumps(dataclasses.asdict(self), indent=2)

    @classmethod
    def from_json(cls, text: str, source: str | Path) -> TrainConfig:
        """Read settings back.

        Args:
            text: What `to_json` wrote.
            source: File it came from, for the error.

        Raises:
            InputError: It is not JSON, or has other settings than this version knows.
        """
        try:
            fields = json.loads(text)
            fields["classes"] = tuple(fields["classes"])
            return cls(**fields)
        except (ValueError, TypeError, KeyError) as error:
            raise InputError(f"{source}: not the settings of a training run ({error})") from error
