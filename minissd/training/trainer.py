"""The training step and the loop around it: forward, loss, backward, update, again."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from typing import NamedTuple

import numpy as np

from minissd.backend import Array, array_module, to_cpu, to_device
from minissd.datasets.loader import Batch, Loader
from minissd.models.loss import Targets, make_targets, multibox_loss
from minissd.models.ssd import SSD
from minissd.nn.optim import clip_gradients
from minissd.training.config import TrainConfig
from minissd.training.optimizer import make_optimizer
from minissd.training.upload import upload_ahead

READ_EVERY = 10  # steps on a device between two readings of the loss


class StepNumbers(NamedTuple):
    """What one step reports, as plain numbers.

    Attributes:
        loss: Class and box loss together.
        class_loss, box_loss: The two parts.
        n_positives: Matched default boxes of the batch.
        lr: Learning rate of the step.
    """

    loss: float
    class_loss: float
    box_loss: float
    n_positives: int
    lr: float


class StepResult(Sequence):
    """What one step reports: the fields of `StepNumbers`, copied to the host when the first of them is asked for.

    On a device that waits until the step is done, so whoever wants the next steps to be queued meanwhile asks later.

    Args:
        losses: Loss, class loss, box loss and number of positives, 0-d arrays.
        lr: Learning rate of the step.
        step_number: Steps done, this one included.
    """

    def __init__(self, losses: Sequence[Array], lr: float, step_number: int):
        self._losses = array_module(*losses).stack([each.astype(np.float64) for each in losses])
        self.lr, self.step_number = lr, step_number

    @cached_property
    def numbers(self) -> StepNumbers:
        """Return plain numbers; this is where a device is waited for."""
        loss, class_loss, box_loss, n_positives = to_cpu(self._losses).tolist()
        return StepNumbers(loss, class_loss, box_loss, int(n_positives), self.lr)

    loss = property(lambda self: self.numbers.loss)
    class_loss = property(lambda self: self.numbers.class_loss)
    box_loss = property(lambda self: self.numbers.box_loss)
    n_positives = property(lambda self: self.numbers.n_positives)

    def __getitem__(self, index: int) -> float:
        return self.numbers[index]

    def __len__(self) -> int:
        return len(self.numbers)


class Interrupted(Exception):
    """The user asked the training to stop; the step in progress was finished."""


class Trainer:
    """A network, its optimiser, and how far they have come.

    Args:
        model: The network; its parameters are updated in place.
        config: Optimiser, schedule and loss settings.
        total_steps: Steps of the whole run, which the schedule spans.

    Attributes:
        step_number: Steps done.
    """

    def __init__(self, model: SSD, config: TrainConfig, total_steps: int):
        self.model = model
        self.config = config
        self.total_steps = total_steps
        self.step_number = 0
        self.parameters = model.parameters()
        self.schedule = config.rates(total_steps)
        self.optimizer = make_optimizer(model, config)

    def step(self, batch: Batch) -> StepResult:
        """Train on one batch: one update of all parameters."""
        self.model.train()
        self.model.zero_grad()
        losses = self.add_gradients(batch)
        if self.config.clip_norm:
            clip_gradients(self.parameters, self.config.clip_norm)
        lr = self.schedule(self.step_number)
        self.optimizer.step(lr)
        self.step_number += 1
        return StepResult(losses, lr, self.step_number)

    @property
    def must_read(self) -> bool:
        """Whether the losses of the newest steps are to be read now: on a CPU always, on a device now and then.

        There it is done every tenth step, at the end of the run, and before a checkpoint.
        """
        on_cpu = isinstance(next(iter(self.parameters.values())).value, np.ndarray)
        steps = (READ_EVERY, self.config.save_every, self.total_steps)
        return on_cpu or any(self.step_number % n == 0 for n in steps)

    def add_gradients(self, batch: Batch) -> list[Array]:
        """Add the gradients of a batch, in the parts that the settings ask for, and return its losses.

        The loss is divided by the positives of the whole batch, which are counted before the first part is computed.
        So the parts' gradients add up to those of the batch in one piece, wherever images do not see each other (in
        batch norm they do).

        Returns:
            Loss, class loss, box loss and number of positives, 0-d arrays.
        """
        model, config = self.model, self.config
        xp = array_module(next(iter(self.parameters.values())).value)
        targets = make_targets(model.default_centers(xp), batch.boxes, batch.labels, model.spec)
        n_positives = (targets.labels > 0).sum()
        sums = None
        for part in parts_of(len(batch), config.accumulate):
            scores, offsets = model.forward(model.prepare(to_device(batch.images[part], xp)))
            own = Targets(*(each[part] for each in targets))
            result = multibox_loss(
                scores,
                offsets,
                own,
                config.negative_ratio,
                model.spec.min_negatives,
                n_positives=n_positives,
            )
            model.backward(result.d_scores, result.d_offsets)
            sums = result[:3] if sums is None else [a + b for a, b in zip(sums, result)]
        return [*sums, n_positives]


def parts_of(n_images: int, n_parts: int) -> list[slice]:
    """Cut a batch into parts of equal size (the last may be smaller), at most `n_parts`."""
    size = -(-n_images // n_parts)
    return [slice(start, start + size) for start in range(0, n_images, size)]


def run_epochs(
    trainer: Trainer,
    loader: Loader,
    on_step: Callable[[StepResult, Loader], None],
    on_epoch: Callable[[int], None],
) -> None:
    """Train from the trainer's step to its last, which may lie in the middle of an epoch.

    The order of images and their random numbers follow from the step's number alone, so a trainer that was loaded
    in the middle of an epoch continues exactly there.

    Args:
        trainer: What is trained.
        loader: Batches, by epoch.
        on_step: Called after each step; on a device, for the steps since the last time when these are read.
        on_epoch: Called after each whole epoch with its number, from 1.

    Raises:
        Interrupted: Ctrl-C; the step in progress (and its epoch, if that was its last) was finished first.
        FloatingPointError: The loss is no longer a number.
    """
    xp = array_module(next(iter(trainer.parameters.values())).value)
    unread: list[StepResult] = []
    with stop_requests() as stop_requested:
        while trainer.step_number < trainer.total_steps:
            epoch, done = divmod(trainer.step_number, len(loader))
            for batch in upload_ahead(loader.epoch(epoch, skip=done), xp):
                unread.append(trainer.step(batch))
                if trainer.must_read or trainer.step_number % len(loader) == 0:
                    report(unread, loader, on_step)
                if trainer.step_number == trainer.total_steps:
                    break
                if stop_requested() and trainer.step_number % len(loader):
                    report(unread, loader, on_step)
                    raise Interrupted
            if trainer.step_number % len(loader) == 0:
                on_epoch(epoch + 1)
            if stop_requested():
                raise Interrupted


def report(
    unread: list[StepResult], loader: Loader, on_step: Callable[[StepResult, Loader], None]
) -> None:
    """Read the results of steps, hand them over in order, and empty the list.

    Raises:
        FloatingPointError: A loss is not a number.
    """
    results = unread[:]
    unread.clear()
    for result in results:
        if not np.isfinite(result.loss):
            raise FloatingPointError(
                f"the loss became {result.loss} in step {result.step_number}; "
                "a smaller learning rate usually cures it"
            )
        on_step(result, loader)


@contextmanager
def stop_requests() -> Iterator[Callable[[], bool]]:
    """Within the block, turn the first Ctrl-C into a request that can be asked for; the second stops at once."""
    requested = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield requested.is_set  # signals reach the main thread only
        return

    def on_signal(_number: int, _frame: object) -> None:
        requested.set()
        signal.signal(signal.SIGINT, previous)

    previous = signal.signal(signal.SIGINT, on_signal)
    try:
        yield requested.is_set
    finally:
        signal.signal(signal.SIGINT, previous)
