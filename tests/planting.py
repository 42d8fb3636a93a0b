"""How faults are planted: a sound case of the table goes in, the same case with a faulty layer or loss comes out.

A faulty layer is a subclass with one method replaced. It names the case in which it is to be caught, and takes the
place of the sound layer there; `self.x` and `self.y` are input and output of its last forward.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass, replace

from minissd.nn import Layer
from minissd.nn.gradcheck_cases import Case, FunctionCase, LayerCase

BLIND = False  # an all-ones upstream gradient does not see the fault
ONLY_BY_ROUNDING = (
    None  # dx is zero up to rounding, and the rounding may or may not differ between passes
)


@dataclass(frozen=True)
class Fault:
    """One fault: its name, the layer and case where it is planted, and what to put there."""

    name: str
    layer: str
    case: str
    plant: Callable[[Case], Case]
    seen_by_ones: bool | None


FAULTS: list[Fault] = []


def planted(case: str, seen_by_ones: bool | None = True) -> Callable:
    """Register a faulty layer class; its direct base is the sound class."""

    def register(faulty: type[Layer]) -> type[Layer]:
        sound, forward = faulty.__bases__[0], faulty.forward

        def remember(self, x):
            self.x, self.y = x, forward(self, x)
            return self.y

        faulty.forward = remember

        def plant(target: LayerCase) -> LayerCase:
            layer = copy.deepcopy(target.layer)
            next(part for _, part in layer.layers() if type(part) is sound).__class__ = faulty
            return replace(target, layer=layer)

        FAULTS.append(Fault(faulty.__name__, sound.__name__, case, plant, seen_by_ones))
        return faulty

    return register


def planted_function(layer: str, case: str, function: Callable, seen_by_ones: bool | None = True):
    """Register a faulty function, in the form that `check_function` takes."""

    def register(fault: Callable) -> Callable:
        def plant(target: FunctionCase) -> FunctionCase:
            return replace(target, function=function(fault))

        FAULTS.append(Fault(fault.__name__, layer, case, plant, seen_by_ones))
        return fault

    return register
