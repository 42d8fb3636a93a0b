"""The training step: forward, loss, backward, update; what it reports is read when it is asked for."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from functools import cached_property
from typing import NamedTuple

import numpy as np

from minissd.backend import Array, array_module, to_cpu, to_device
from minissd.datasets.loader import Batch
from minissd.errors import check
from minissd.models.loss import Targets, make_targets, multibox_loss
from minissd.models.ssd import SSD
from minissd.nn.norm import BatchNorm2d
from minissd.nn.optim import clip_gradients
from minissd.training.communicator import ALONE, Communicator
from minissd.training.config import TrainConfig
from minissd.training.optimizer import make_optimizer

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
