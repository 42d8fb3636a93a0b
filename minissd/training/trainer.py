"""The training step and the loop around it: forward, loss, backward, update, again."""

from __future__ import annotations

import signal
import threading
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple

import numpy as np

from minissd.backend import Array, array_module, to_cpu, to_device
from minissd.datasets.loader import Batch, Loader
from minissd.errors import check
from minissd.models.loss import Targets, make_targets, multibox_loss
from minissd.models.ssd import SSD
from minissd.nn.norm import BatchNorm2d
from minissd.nn.optim import clip_gradients
from minissd.training.communicator import ALONE, Communicator
from minissd.training.config import TrainConfig
from minissd.training.optimizer import make_optimizer


class StepResult(NamedTuple):
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


class Interrupted(Exception):
    """The user asked the training to stop; the step in progress was finished."""


class Trainer:
    """A network, its optimiser, and how far they have come.

    Args:
        model: The network; its parameters are updated in place.
        config: Optimiser, schedule and loss settings.
        total_steps: Steps of the whole run, which the schedule spans.
        communicator: The processes that train together. Each is given its own part of every batch; all begin with
            the weights of process 0, add up their gradients, and so make the same update.

    Attributes:
        step_number: Steps done.
    """

    def __init__(
        self,
        model: SSD,
        config: TrainConfig,
        total_steps: int,
        communicator: Communicator = ALONE,
    ):
        self.communicator = communicator
        communicator.broadcast(model.arrays())
        norms = [layer for _, layer in model.layers() if isinstance(layer, BatchNorm2d)]
        self.shares_norm = communicator.size > 1 and config.sync_norm and bool(norms)
        for layer in norms if self.shares_norm else ():
            layer.across = communicator.added
        self.model = model
        self.config = config
        self.total_steps = total_steps
        self.step_number = 0
        self.parameters = model.parameters()
        self.schedule = config.rates(total_steps)
        self.optimizer = make_optimizer(model, config)

    def step(self, batch: Batch) -> StepResult:
        """Train on one batch, or on this process's part of one: one update of all parameters."""
        self.model.train()
        self.model.zero_grad()
        losses = self.sum_over_processes(self.add_gradients(batch))
        if self.config.clip_norm:
            clip_gradients(self.parameters, self.config.clip_norm)
        lr = self.schedule(self.step_number)
        self.optimizer.step(lr)
        self.step_number += 1
        loss, class_loss, box_loss, n_positives = (float(to_cpu(value)) for value in losses)
        return StepResult(loss, class_loss, box_loss, int(n_positives), lr)

    def add_gradients(self, batch: Batch) -> list[Array]:
        """Add the gradients of a batch, in the parts that the settings ask for, and return its losses.

        The loss is divided by the positives of the whole batch, those of the other processes too, which are counted
        before the first part is computed. So the gradients of all parts add up to those of the batch in one piece,
        wherever images do not see each other (in batch norm they do: those of one part, in all processes if
        `config.sync_norm`).

        Returns:
            Loss, class loss and box loss of this process's part, and number of positives of all, 0-d arrays.
        """
        model, config = self.model, self.config
        xp = array_module(next(iter(self.parameters.values())).value)
        targets = make_targets(model.default_centers(xp), batch.boxes, batch.labels, model.spec)
        n_positives = self.communicator.total((targets.labels > 0).sum())
        sums = None
        for part in self.parts(len(batch)):
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

    def parts(self, n_images: int) -> list[slice]:
        """Return the parts that a batch of this process is computed in, at most `config.accumulate`.

        Raises:
            ValueError: Other processes have another number of parts, whose batch norm would wait for ever.
        """
        parts = parts_of(n_images, self.config.accumulate)
        if self.shares_norm and self.config.accumulate > 1:
            counts = self.communicator.gather(len(parts))
            same = len(set(counts)) == 1
            check(same, "accumulate", "equal numbers of parts in all processes", counts)
        return parts

    def sum_over_processes(self, losses: list[Array]) -> list[Array]:
        """Add up the gradients of all processes, in place, and return the losses added up."""
        if self.communicator.size == 1:
            return losses
        *parts, n_positives = losses
        sums = array_module(*parts).stack(parts)
        self.communicator.sum([*(p.grad for p in self.parameters.values()), sums])
        return [*(sums[i] for i in range(len(parts))), n_positives]

    def average_statistics(self) -> None:
        """Give all processes the mean of their running statistics (each has seen its own images only).

        They are moving averages, so it makes no difference when and how often this is done.
        """
        self.communicator.average(self.model.buffer_arrays())

    def check_same_weights(self) -> None:
        """Raise a `RuntimeError` if the weights of the processes have drifted apart (a fault of one machine, say)."""
        if self.communicator.size == 1:
            return
        digest = 0
        for parameter in self.parameters.values():
            digest = zlib.crc32(np.ascontiguousarray(to_cpu(parameter.value)), digest)
        digests = self.communicator.gather(digest)
        apart = [rank for rank, other in enumerate(digests) if other != digests[0]]
        if apart:
            raise RuntimeError(
                f"after step {self.step_number} the weights of processes {apart} differ from those of process 0"
            )


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
        on_step: Called after each step.
        on_epoch: Called after each whole epoch with its number, from 1.

    Raises:
        Interrupted: Ctrl-C in any of the processes; the step in progress (and its epoch, if that was its last) was
            finished first, and all stop after the same one.
        FloatingPointError: The loss is no longer a number.
    """
    together = trainer.communicator.size > 1
    with stop_requests(STOP_SIGNALS if together else (signal.SIGINT,)) as asked:

        def stop_requested() -> bool:
            return trainer.communicator.any(asked())

        while trainer.step_number < trainer.total_steps:
            epoch, done = divmod(trainer.step_number, len(loader))
            for batch in loader.epoch(epoch, skip=done):
                result = trainer.step(batch)
                if not np.isfinite(result.loss):
                    raise FloatingPointError(
                        f"the loss became {result.loss} in step {trainer.step_number}; "
                        "a smaller learning rate usually cures it"
                    )
                on_step(result, loader)
                if trainer.step_number == trainer.total_steps:
                    break
                if stop_requested() and trainer.step_number % len(loader):
                    raise Interrupted
            if trainer.step_number % len(loader) == 0:
                on_epoch(epoch + 1)
            if stop_requested():
                raise Interrupted


# Where several processes train together, the launcher passes these on; Ctrl-C reaches the launcher only.
STOP_SIGNALS = tuple(
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGUSR1") if hasattr(signal, name)
)


@contextmanager
def stop_requests(
    signals: Sequence[int] = (signal.SIGINT,),
) -> Iterator[Callable[[], bool]]:
    """Within the block, turn the first of some signals into a request that can be asked for; the second acts at once.

    Args:
        signals: Ctrl-C (SIGINT) where not given.
    """
    requested = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield requested.is_set  # signals reach the main thread only
        return
    previous = {}

    def restore() -> None:
        for number, handler in previous.items():
            signal.signal(number, handler)

    def on_signal(_number: int, _frame: object) -> None:
        requested.set()
        restore()

    for number in signals:
        previous[number] = signal.signal(number, on_signal)
    try:
        yield requested.is_set
    finally:
        restore()
