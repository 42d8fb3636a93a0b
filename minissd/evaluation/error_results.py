"""What the analysis of errors answers, and how it is shown: shares of the five kinds, by class and by group."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

KINDS = ("Cor", "Loc", "Sim", "Oth", "BG")
COR, LOC, SIM, OTH, BG = range(5)


@dataclass(frozen=True, eq=False)
class ClassErrors:
    """The detections of one class, each with its kind.

    Attributes:
        n_objects: Objects to find, N: without difficult ones.
        kinds: Shape (D,), int8, the place in `KINDS` of each detection that counts, best scored first.
        weakly_found: Shape (D,), bool: the first detection to overlap its object by the weak threshold.
        scores: Shape (D,), float64, falling.
    """

    n_objects: int
    kinds: np.ndarray
    weakly_found: np.ndarray
    scores: np.ndarray

    def top(self, multiple: float) -> int:
        """Return how many detections the best `multiple` times N are: at least 1, at most all there are."""
        return min(max(round(multiple * self.n_objects), 1), len(self.kinds))

    def shares(self, multiple: float = 1.0) -> np.ndarray:
        """Return the share of each kind among the best `multiple` times N detections.

        Returns:
            Shape (5,), float64, of sum 1; nan where there is no detection or no object.
        """
        if not len(self.kinds) or not self.n_objects:
            return np.full(len(KINDS), np.nan)
        return _shares(self.kinds[: self.top(multiple)])

    def recall(self, multiple: float = 1.0, weak: bool = False) -> float:
        """Return the share of objects that the best `multiple` times N detections find.

        Args:
            multiple: How many detections, in numbers of objects.
            weak: An object counts as found from an overlap of 0.1, instead of 0.5.
        """
        if not self.n_objects:
            return math.nan
        found = self.weakly_found if weak else self.kinds == COR
        return int(found[: self.top(multiple)].sum()) / self.n_objects

    def wrong_shares(self, count: int) -> np.ndarray:
        """Return the share of Loc, Sim, Oth and BG among the best scored `count` wrong detections.

        Returns:
            Shape (4,), float64, of sum 1; nan where none is wrong. Where there are fewer, all of them.
        """
        wrong = self.kinds[self.kinds != COR]
        return _shares(wrong[:count])[1:] if len(wrong) else np.full(len(KINDS) - 1, np.nan)


@dataclass(frozen=True, eq=False)
class ErrorAnalysis:
    """The errors of a detector by class, and by group of classes.

    Attributes:
        per_class: Result of each class by name.
        groups: The classes of each group that is shown together.
        settings: Thresholds and the sets of similar classes.
    """

    per_class: dict[str, ClassErrors]
    groups: dict[str, tuple[str, ...]]
    settings: dict[str, object]

    def members(self, group: str) -> list[ClassErrors]:
        """Return the classes of a group that have objects."""
        return [
            self.per_class[name] for name in self.groups[group] if self.per_class[name].n_objects
        ]

    def shares(self, group: str, multiple: float = 1.0) -> np.ndarray:
        """Return the shares of the kinds, shape (5,), as the mean over the classes of a group that have detections."""
        return _mean([each.shares(multiple) for each in self.members(group)], len(KINDS))

    def recall(self, group: str, multiple: float = 1.0, weak: bool = False) -> float:
        """Return the mean recall over the classes of a group."""
        return float(_mean([[each.recall(multiple, weak)] for each in self.members(group)], 1)[0])

    def wrong_shares(self, group: str, count: int) -> np.ndarray:
        """Return the shares of Loc, Sim, Oth and BG, shape (4,), as the mean over the classes of a group."""
        return _mean([each.wrong_shares(count) for each in self.members(group)], len(KINDS) - 1)

    def format_table(self) -> str:
        """Return the kinds among the best N detections of each class and group as text of fixed columns."""
        width = max(map(len, ["group (mean)", *self.per_class, *self.groups]))
        columns = "".join(f"{kind:>7}" for kind in KINDS)
        head = f"{'class':<{width}}  {'objects':>8}{columns}  {'found':>6}  {'weakly':>6}"
        lines = [head, "-" * len(head)]
        for name, each in self.per_class.items():
            numbers = _numbers(each.shares(), each.recall(), each.recall(weak=True))
            lines.append(f"{name:<{width}}  {each.n_objects:>8,}{numbers}")
        lines += ["-" * len(head), "group (mean)"]
        for name in self.groups:
            recalls = self.recall(name), self.recall(name, weak=True)
            n_objects = sum(each.n_objects for each in self.members(name))
            lines.append(f"{name:<{width}}  {n_objects:>8,}{_numbers(self.shares(name), *recalls)}")
        lines += [
            "(of each class the best N detections, N its objects; found: of the objects, by IoU"
            f" {self.settings['iou_threshold']:g}, weakly: by {self.settings['weak_threshold']:g})"
        ]
        return "\n".join(lines)

    def to_json(self) -> dict:
        """Return what the table shows as a dict that JSON can hold; nan becomes None."""
        rows = {
            name: {
                "n_objects": each.n_objects,
                **{kind: _known(share) for kind, share in zip(KINDS, each.shares())},
                "recall": _known(each.recall()),
                "weak_recall": _known(each.recall(weak=True)),
            }
            for name, each in self.per_class.items()
        }
        groups = {name: list(classes) for name, classes in self.groups.items()}
        return {"per_class": rows, "groups": groups, "settings": dict(self.settings)}


def _shares(kinds: np.ndarray) -> np.ndarray:
    return np.bincount(kinds, minlength=len(KINDS)) / len(kinds)


def _mean(rows: Sequence[np.ndarray | list[float]], width: int) -> np.ndarray:
    """Mean of rows without those of nan; nan where none is left."""
    known = [row for row in rows if not np.isnan(row).any()]
    return np.mean(known, axis=0) if known else np.full(width, np.nan)


def _known(value: float) -> float | None:
    return None if math.isnan(value) else float(value)


def _numbers(shares: np.ndarray, recall: float, weak: float) -> str:
    columns = [f"{'-':>7}" if math.isnan(share) else f"{share:7.1%}" for share in shares]
    recalls = [f"{'-':>6}" if math.isnan(each) else f"{each:6.1%}" for each in (recall, weak)]
    return "".join(columns) + "  " + "  ".join(recalls)
