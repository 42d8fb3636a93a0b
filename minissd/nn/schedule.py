"""Schedules: the learning rate of every step of a run.

A schedule is called with the number of the step and keeps nothing, so a resumed run goes on with the very same rates.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from minissd.errors import check, check_positive_int


@dataclass(frozen=True)
class StepSchedule:
    """A learning rate that drops at given steps.

    Attributes:
        lr: Rate of the first step.
        milestones: Steps (counted from 0) from which on the rate is multiplied once more.
        factor: The multiplier.
        warmup: Steps over which the rate first climbs in a line to `lr`.

    Source: Liu et al. 2016, section 3.1 (VOC: 1e-3 for 40k steps, then 10k at 1e-4 and 10k at 1e-5).
    """

    lr: float
    milestones: tuple[int, ...]
    factor: float = 0.1
    warmup: int = 0

    def __post_init__(self):
        object.__setattr__(self, "milestones", tuple(self.milestones))
        check(self.lr > 0, "lr", "a number above 0", self.lr)
        check(list(self.milestones) == sorted(self.milestones), "milestones", "rising steps", self)
        check_positive_int(self.warmup, "warmup", minimum=0)

    def __call__(self, step: int) -> float:
        """Return the rate of a step, counted from 0."""
        drops = sum(step >= milestone for milestone in self.milestones)
        return self.lr * self.factor**drops * _warming(step, self.warmup)


@dataclass(frozen=True)
class WarmupCosine:
    """A learning rate that climbs in a line and then falls along half a cosine wave.

    Attributes:
        lr: Highest rate, reached at the end of the warm-up.
        total: Steps of the whole run; after them the rate stays at `final`.
        warmup: Steps of the climb; step 0 has rate lr / warmup.
        final: Rate at the end.

    Source: Loshchilov and Hutter 2017 ("SGDR"), equation 5, without restarts.
    """

    lr: float
    total: int
    warmup: int = 0
    final: float = 0.0

    def __post_init__(self):
        check(self.lr > 0, "lr", "a number above 0", self.lr)
        check(0 <= self.final <= self.lr, "final", "a rate between 0 and lr", self.final)
        check_positive_int(self.total, "total")
        check_positive_int(self.warmup, "warmup", minimum=0)

    def __call__(self, step: int) -> float:
        """Return the rate of a step, counted from 0."""
        if step < self.warmup:
            return self.lr * _warming(step, self.warmup)
        done = min(1.0, (step - self.warmup) / max(1, self.total - self.warmup))
        return self.final + (self.lr - self.final) * (1 + math.cos(math.pi * done)) / 2


def _warming(step: int, warmup: int) -> float:
    return min(1.0, (step + 1) / warmup) if warmup else 1.0
