"""The loop around the training step: epoch after epoch, until all steps are done or somebody asks to stop."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import NoReturn

import numpy as np

from minissd.backend import array_module
from minissd.datasets.loader import Loader
from minissd.errors import check
from minissd.training.trainer import StepResult, Trainer
from minissd.training.upload import upload_ahead

# Where several processes train together, the launcher passes these on; Ctrl-C reaches the launcher only.
STOP_SIGNALS = tuple(
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGUSR1") if hasattr(signal, name)
)


class Interrupted(Exception):
    """The user asked the training to stop; the step in progress was finished."""


class OutOfTime(Interrupted):
    """The time that the training was given is over; the step in progress was finished."""


def time_limit(
    minutes: float | None, clock: Callable[[], float] = time.monotonic
) -> Callable[[], bool]:
    """Return a function that says whether so much time has passed since now.

    Args:
        minutes: How long; None: for ever.
        clock: Gives seconds.

    Raises:
        ValueError: The time is not above 0.
    """
    if minutes is None:
        return lambda: False
    check(minutes > 0, "minutes", "a number above 0", minutes)
    end = clock() + 60 * minutes
    return lambda: clock() >= end


FOR_EVER = time_limit(None)


def run_epochs(
    trainer: Trainer,
    loader: Loader,
    on_step: Callable[[StepResult, Loader], None],
    on_epoch: Callable[[int], None],
    time_is_over: Callable[[], bool] = FOR_EVER,
) -> None:
    """Train from the trainer's step to its last, which may lie in the middle of an epoch.

    The order of images and their random numbers follow from the step's number alone, so a trainer that was loaded
    in the middle of an epoch continues exactly there.

    Args:
        trainer: What is trained.
        loader: Batches, by epoch.
        on_step: Called after each step; on a device, for the steps since the last time when these are read.
        on_epoch: Called after each whole epoch with its number, from 1.
        time_is_over: Asked after each step; once it says so in any of the processes, the training stops as after
            Ctrl-C.

    Raises:
        Interrupted: Ctrl-C in any of the processes; the step in progress (and its epoch, if that was its last) was
            finished first, and all stop after the same one.
        OutOfTime: The time is over, and nobody pressed Ctrl-C.
        FloatingPointError: The loss is no longer a number.
    """
    xp = array_module(next(iter(trainer.parameters.values())).value)
    unread: list[StepResult] = []
    together = trainer.communicator.size > 1
    with stop_requests(STOP_SIGNALS if together else (signal.SIGINT,)) as asked:

        def stop_requested() -> bool:
            return trainer.communicator.any(asked() or time_is_over())

        def stop() -> NoReturn:
            raise Interrupted if trainer.communicator.any(asked()) else OutOfTime

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
                    stop()
            if trainer.step_number % len(loader) == 0:
                on_epoch(epoch + 1)
            if stop_requested():
                stop()


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
