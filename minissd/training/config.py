"""TrainConfig: every setting of a training run, kept with the run so that it can be repeated and resumed."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from minissd.datasets.augment import AUGMENTATIONS
from minissd.errors import InputError, check, check_positive_int
from minissd.models.build import build_from_spec, model_spec
from minissd.models.spec import DetectorSpec
from minissd.models.ssd import SSD
from minissd.models.variants import vary
from minissd.nn.schedule import StepSchedule, WarmupCosine

OPTIMIZERS = ("sgd", "adamw")
SCHEDULES = ("cosine", "steps")


@dataclass(frozen=True)
class TrainConfig:
    """Settings of one training run; the same settings and seed give the same weights on the same machine.

    Attributes:
        data: The data set, as `open_dataset` takes it: a folder, or several with commas between.
        split: Image set to train on; of several folders one name for all or one for each.
        eval_split: Image set to evaluate on, or None.
        eval_limit: Evaluate on its first so many images only (0: all).
        classes: Names of the object classes, in label order; empty: those found in the annotations.
        skip_empty: Leave out training images without any object of these classes.
        recipe: Name of the recipe that the settings began with, see `recipes.RECIPES`; empty: none.
        model: Which network, see `build_model`.
        variant: What an ablation changes in it, see `variants.VARIANTS`; empty: nothing.
        init: File with weights of its body, trained elsewhere; empty: it starts from random ones.
        body_rate: Learning rate of a loaded body as a share of the others'.
        image_size: Side of the network's square input, pixels; None: the model's own.
        width: Channels of the first layer of the small SSD; the network's size goes with it.
        epochs: Passes over the training images.
        iterations: Steps of the whole run, instead of `epochs` (0: as many as the epochs have).
        batch_size: Images a step, of all processes together.
        accumulate: Parts that a batch is computed in, one after another, where memory is short; the gradients add up
            to those of the whole batch (but batch norm sees the images of one part only). Where several processes
            share the batch, each computes its own share in so many parts.
        sync_norm: Where several processes share a batch, let batch norm see the images of all of them, as in one
            process; otherwise each process's batch norm sees its own images only.
        optimizer: sgd or adamw.
        momentum: Of sgd.
        lr: Highest learning rate, reached after the warm-up.
        schedule: cosine (to zero, along half a wave) or steps (a tenth from each of the milestones on).
        milestones: Steps, counted from 0, from which on the rate is a tenth of what it was.
        warmup: Steps over which the learning rate rises.
        weight_decay: Of the weights (not of biases and normalisation).
        bias_rate: Learning rate of biases as a multiple of the weights' (2 in the authors' solver).
        norm_decay: Whether the learnt scale of an L2 normalisation decays like a weight (so in the authors' solver).
        clip_norm: Longest gradient allowed, over all parameters (0: no limit).
        augment: How pictures are varied, from paper (everything) to none; see `Augment.named`.
        negative_ratio: Mined negatives to positives.
        seed: Of weights, order and augmentation.
        workers: Threads that load images.
        eval_every: Epochs between evaluations (0: only at the end).
        save_every: Steps between checkpoints; there is one after each epoch in any case.
    """

    data: str
    split: str = "trainval"
    eval_split: str | None = "test"
    eval_limit: int = 0
    classes: tuple[str, ...] = ()
    skip_empty: bool = False
    recipe: str = ""
    model: str = "minissd"
    variant: str = ""
    init: str = ""
    body_rate: float = 1.0
    image_size: int | None = None
    width: int = 32
    epochs: int = 8
    iterations: int = 0
    batch_size: int = 16
    accumulate: int = 1
    sync_norm: bool = True
    optimizer: str = "adamw"
    momentum: float = 0.9
    lr: float = 0.003
    schedule: str = "cosine"
    milestones: tuple[int, ...] = ()
    warmup: int = 100
    weight_decay: float = 0.01
    bias_rate: float = 1.0
    norm_decay: bool = False
    clip_norm: float = 10.0
    augment: str = "light"
    negative_ratio: float = 3.0
    seed: int = 0
    workers: int = 2
    eval_every: int = 0
    save_every: int = 1000

    def __post_init__(self) -> None:
        """Check what can be checked without the data."""
        for name in ("epochs", "batch_size", "width", "accumulate", "save_every"):
            check_positive_int(getattr(self, name), name)
        self.spec(1)  # says what is wrong
        for name in ("warmup", "workers", "eval_every", "eval_limit", "seed", "iterations"):
            check_positive_int(getattr(self, name), name, minimum=0)
        for name in ("lr", "body_rate", "bias_rate"):
            check(getattr(self, name) > 0, name, "a number above 0", getattr(self, name))
        for name in ("weight_decay", "clip_norm", "negative_ratio"):
            check(getattr(self, name) >= 0, name, "0 or more", getattr(self, name))
        for name, choices in CHOICES.items():
            check(getattr(self, name) in choices, name, " | ".join(choices), getattr(self, name))
        parts = f"at most the {self.batch_size} images of a batch"
        check(self.accumulate <= self.batch_size, "accumulate", parts, self.accumulate)
        self.rates(self.iterations or None)

    def spec(self, n_object_classes: int) -> DetectorSpec:
        """Return the numbers of the run's network."""
        spec = model_spec(
            self.model, n_object_classes, image_size=self.image_size, width=self.width
        )
        return vary(spec, self.variant)

    def build(self, n_object_classes: int, rng: np.random.Generator) -> SSD:
        """Build the network of the run with fresh weights."""
        return build_from_spec(self.spec(n_object_classes), rng)

    def rates(self, total: int | None) -> StepSchedule | WarmupCosine:
        """Return the schedule of the learning rate.

        Args:
            total: Steps of the whole run; None where they are not known yet.

        Raises:
            ValueError: The milestones do not rise, are missing, stand beside another schedule, or are not reached.
        """
        given = self.milestones
        if self.schedule == "cosine":
            check(not given, "milestones", "none beside the cosine schedule", given)
            return WarmupCosine(self.lr, total or 1, warmup=self.warmup)
        check(len(given) > 0, "milestones", "at least one step number", given)
        for step in given:
            check_positive_int(step, "milestones")
        rising = list(given) == sorted(set(given))
        check(rising, "milestones", "rising step numbers", given)
        reached = total is None or given[-1] < total
        check(reached, "milestones", f"steps before the run's end at {total}", given)
        return StepSchedule(self.lr, given, warmup=self.warmup)

    def to_json(self) -> str:
        """Return the settings as JSON text."""
        return json.dumps(dataclasses.asdict(self), indent=2)

    @classmethod
    def from_json(cls, text: str, source: str | Path) -> TrainConfig:
        """Read settings back; those that an older version did not have yet get their defaults.

        Args:
            text: What `to_json` wrote.
            source: File it came from, for the error.

        Raises:
            InputError: It is not JSON, or has other settings than this version knows.
        """
        try:
            fields = json.loads(text)
            for name in ("classes", "milestones"):
                fields[name] = tuple(fields.get(name, ()))
            return cls(**fields)
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise InputError(f"{source}: not the settings of a training run ({error})") from error


CHOICES = {"optimizer": OPTIMIZERS, "schedule": SCHEDULES, "augment": AUGMENTATIONS}
