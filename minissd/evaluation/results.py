"""What an evaluation answers, and how it is shown: never a number without the settings it was measured with."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, eq=False)
class ClassResult:
    """How well one class is found.

    Attributes:
        ap: Average precision, 0 to 1; nan where there is no object to find.
        n_objects: Objects to find: without difficult ones.
        n_difficult: Difficult objects, which count neither way.
        n_detections: Detections that count (right or wrong), D.
        n_right: Right ones among them.
        precision, recall: Shape (D,), float64, after each detection, best scored first; recall is nan where there is
            no object.
        scores: Shape (D,), float64, falling.
    """

    ap: float
    n_objects: int
    n_difficult: int
    n_detections: int
    n_right: int
    precision: np.ndarray
    recall: np.ndarray
    scores: np.ndarray

    def to_json(self) -> dict:
        """Return the numbers (without the curves) as a dict that JSON can hold; nan becomes None."""
        return {
            "ap": _json_number(self.ap),
            "n_objects": self.n_objects,
            "n_difficult": self.n_difficult,
            "n_detections": self.n_detections,
            "n_right": self.n_right,
        }


@dataclass(frozen=True, eq=False)
class SizeResult:
    """How well the objects of one size range are found.

    Attributes:
        low, high: Limits of the size, the square root of the box's share of the image: low <= size < high (None: no
            upper limit).
        mean_ap: Mean over the classes that have objects of this size; nan where none has.
        n_objects: Objects to find.
        ap: Average precision of each class by name; nan where it has no object of this size.
    """

    low: float
    high: float | None
    mean_ap: float
    n_objects: int
    ap: dict[str, float]

    def to_json(self) -> dict:
        """Return a dict that JSON can hold; nan becomes None."""
        return {
            "low": self.low,
            "high": self.high,
            "mean_ap": _json_number(self.mean_ap),
            "n_objects": self.n_objects,
            "ap": {name: _json_number(ap) for name, ap in self.ap.items()},
        }


@dataclass(frozen=True, eq=False)
class Evaluation:
    """The average precision of a detector over a set of images, with the settings it was measured with.

    Attributes:
        per_class: Result of each class by name, in the order of the class names.
        mean_ap: Mean over the classes that have objects; nan where none has.
        pooled: The detections of all classes in one ranking (each still has to name the right class).
        by_size: Result of each size range by name.
        settings: IoU threshold, method, score floor, counts of images, objects and detections, and whatever the
            caller added.
    """

    per_class: dict[str, ClassResult]
    mean_ap: float
    pooled: ClassResult
    by_size: dict[str, SizeResult]
    settings: dict[str, object]

    @property
    def missing(self) -> list[str]:
        """Names of the classes without objects, which are not in the mean."""
        return [name for name, result in self.per_class.items() if result.n_objects == 0]

    def format_table(self) -> str:
        """Return AP by class, the mean, AP by size and the settings as text of fixed columns."""
        blocks = [self._class_lines(), self._size_lines(), self._setting_lines()]
        return "\n\n".join("\n".join(block) for block in blocks if block)

    def to_json(self) -> dict:
        """Return everything but the curves as a dict that JSON can hold; nan becomes None."""
        return {
            "mean_ap": _json_number(self.mean_ap),
            "per_class": {name: result.to_json() for name, result in self.per_class.items()},
            "pooled": self.pooled.to_json(),
            "by_size": {name: result.to_json() for name, result in self.by_size.items()},
            "missing": self.missing,
            "settings": dict(self.settings),
        }

    def _class_lines(self) -> list[str]:
        n_classes = len(self.per_class)
        mean = f"mean of {n_classes - len(self.missing)} classes"
        pooled = "all classes in one ranking"
        width = max(map(len, (*self.per_class, mean, pooled)))
        head = f"{'class':<{width}}  {'AP':>6}  {'objects':>8}  {'difficult':>9}  {'right':>8}  {'wrong':>9}"
        lines = [head, "-" * len(head)]
        for name, result in self.per_class.items():
            lines.append(f"{name:<{width}}  {_counts(result)}")
        lines += ["-" * len(head), f"{mean:<{width}}  {_ap(self.mean_ap)}"]
        lines.append(f"{pooled:<{width}}  {_counts(self.pooled)}")
        if self.missing:
            lines.append(f"not in the mean, because without objects: {', '.join(self.missing)}")
        return lines

    def _size_lines(self) -> list[str]:
        if not self.by_size:
            return []
        width = max(len("size"), *map(len, self.by_size))
        lines = [f"{'size':<{width}}  {'range':<13}  {'mAP':>6}  {'objects':>8}"]
        for name, result in self.by_size.items():
            limits = (
                f"{result.low:.2f} to {result.high:.2f}"
                if result.high
                else f"from {result.low:.2f}"
            )
            lines.append(
                f"{name:<{width}}  {limits:<13}  {_ap(result.mean_ap)}  {result.n_objects:>8,}"
            )
        lines.append("(size: square root of the box's share of the image)")
        return lines

    def _setting_lines(self) -> list[str]:
        shown = {key: value for key, value in self.settings.items() if key != "size_bins"}
        return ["settings: " + ", ".join(f"{_words(key)} {_value(v)}" for key, v in shown.items())]


def mean_of_known(values: Mapping[str, float]) -> float:
    """Return the mean of the values that are not nan; nan where there are none."""
    known = [value for value in values.values() if not math.isnan(value)]
    return float(np.mean(known)) if known else math.nan


def _json_number(value: float) -> float | None:
    return None if math.isnan(value) else value


def _counts(result: ClassResult) -> str:
    return (
        f"{_ap(result.ap)}  {result.n_objects:>8,}  {result.n_difficult:>9,}  "
        f"{result.n_right:>8,}  {result.n_detections - result.n_right:>9,}"
    )


def _ap(value: float) -> str:
    return f"{'-':>6}" if math.isnan(value) else f"{value:6.4f}"


def _words(key: str) -> str:
    return key.replace("_", " ").replace("iou", "IoU")


def _value(value: object) -> str:
    if value is None:
        return "none"
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)
