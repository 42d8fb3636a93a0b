"""How much it matters how large an object is, and how wide for its height: average precision of each part of a class.

The objects of a class are sorted by area, or by width over height, and cut at fixed shares into five parts: the lowest
10 percent, the next 20, the middle 40, the next 20 and the highest 10. To compare parts of different numbers of
objects, the precision at recall R with F wrong detections is taken as if there were N objects in every part,

    P_N = R N / (R N + F),

with one N for all parts and classes. Precision as it is would fall with the number of objects alone: the wrong
detections of a class are the same for all of its parts.

Source: Hoiem et al., "Diagnosing Error in Object Detectors", ECCV 2012, section 2; Liu et al. 2016, figure 5.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np

from minissd.boxes.nms import Detections
from minissd.errors import check
from minissd.evaluation.ranking import Objects, Ranking, Truth, image_sizes, rank
from minissd.evaluation.verdicts import RIGHT, WRONG, counted, judge

SIZES = ("XS", "S", "M", "L", "XL")  # extra small ... extra large
ASPECTS = ("XT", "T", "M", "W", "XW")  # extra tall ... extra wide
CUTS = (0.1, 0.3, 0.7, 0.9)  # of the objects of a class


@dataclass(frozen=True)
class Part:
    """How well some objects of a class are found.

    Attributes:
        ap: Normalised average precision AP_N, 0 to 1; nan where there is no object.
        error: Its standard error: the standard deviation of P_N over the objects (of a sample), divided by the root of
            their number; 0 for a single object.
        n_objects: How many there are.
    """

    ap: float
    error: float
    n_objects: int


@dataclass(frozen=True)
class ClassSensitivity:
    """How well the parts of one class are found: all of it, by size, and by width over height."""

    overall: Part
    size: dict[str, Part]
    aspect: dict[str, Part]


@dataclass(frozen=True)
class Sensitivity:
    """How well the parts of every class are found.

    Attributes:
        per_class: Result of each class by name; only classes with objects.
        n_reference: N of the normalised precision.
        iou_threshold: Least overlap of a right detection.
    """

    per_class: dict[str, ClassSensitivity]
    n_reference: float
    iou_threshold: float

    def span(self, characteristic: str) -> tuple[float, float, float]:
        """Return the means over the classes of the worst part's AP_N, of the class's own, and of the best part's.

        The distance from worst to best is how sensitive the detector is; from own to best, how much better it could
        be if it were as good at all parts.

        Args:
            characteristic: "size" or "aspect".
        """
        check(
            characteristic in ("size", "aspect"), "characteristic", "size | aspect", characteristic
        )
        rows = []
        for each in self.per_class.values():
            parts = [part.ap for part in getattr(each, characteristic).values() if part.n_objects]
            rows.append((min(parts), each.overall.ap, max(parts)))
        low, own, high = np.mean(rows, axis=0).tolist() if rows else [math.nan] * 3
        return low, own, high

    def mean(self) -> ClassSensitivity:
        """Return the mean over the classes, part by part; each standard error is that of such a mean."""
        classes = list(self.per_class.values())
        size = {name: _mean([each.size[name] for each in classes]) for name in SIZES}
        aspect = {name: _mean([each.aspect[name] for each in classes]) for name in ASPECTS}
        return ClassSensitivity(_mean([each.overall for each in classes]), size, aspect)

    def format_table(self) -> str:
        """Return AP_N of each part of each class as text of fixed columns."""
        width = max(map(len, ["class", *self.per_class]))
        names = "".join(f"{name:>7}" for name in (*SIZES, "", *ASPECTS))
        head = f"{'class':<{width}}  {'AP_N':>6}{names}"
        lines = [head, "-" * len(head)]
        for name, each in {**self.per_class, "mean": self.mean()}.items():
            size, aspect = (_row(parts) for parts in (each.size, each.aspect))
            lines.append(f"{name:<{width}}  {_shown(each.overall.ap):>6}{size}{'':>7}{aspect}")
        lines.append("-" * len(head))
        for words, key in (("size", "size"), ("width over height", "aspect")):
            low, own, high = map(_shown, self.span(key))
            lines.append(f"by {words}: worst part {low}, whole class {own}, best part {high}")
        lines.append(f"(normalised to N = {self.n_reference:g} objects; means over the classes)")
        return "\n".join(lines)

    def to_json(self) -> dict:
        """Return everything as a dict that JSON can hold; nan becomes None."""
        return _without_nan(asdict(self))


def analyse_sensitivity(
    detections: Sequence[Detections],
    truths: Sequence[Truth],
    class_names: Sequence[str],
    iou_threshold: float = 0.5,
    n_reference: float | None = None,
) -> Sensitivity:
    """Measure how well the objects of each size and of each shape are found.

    Args:
        detections: One an image.
        truths: One an image, in the same order. Where every `size` is known, areas and shapes are those in pixels,
            otherwise those of the fractions, as if all images were equal squares.
        class_names: Name of label 1, 2, ...
        iou_threshold: Least overlap of a right detection.
        n_reference: N of the normalised precision; None for the mean number of objects of the classes that have any.
            (Hoiem et al. take 0.15 times the number of images, which is about that for VOC.)

    Raises:
        ValueError: An argument is not as described; the message names it.
    """
    names = list(class_names)
    check(0 < iou_threshold <= 1, "iou_threshold", "above 0 and at most 1", iou_threshold)
    check(n_reference is None or n_reference > 0, "n_reference", "above 0", n_reference)
    ranking, objects = rank(detections, truths, len(names))
    verdict = judge(ranking, objects, iou_threshold)
    to_find = counted(objects)
    counts = np.bincount(objects.label[to_find], minlength=len(names) + 1)
    if n_reference is None:
        n_reference = float(counts[counts > 0].mean()) if counts.any() else 1.0
    sides = _sides(objects, truths)
    area, shape = sides.prod(axis=1), sides[:, 0] / np.maximum(sides[:, 1], 1e-12)
    per_class = {}
    for label, name in enumerate(names, start=1):
        if not counts[label]:
            continue
        own = to_find & (objects.label == label)
        rows = np.flatnonzero(ranking.label == label)
        of_class = (ranking, verdict, rows, n_reference)
        per_class[name] = ClassSensitivity(
            _part(*of_class, own),
            {key: _part(*of_class, part) for key, part in zip(SIZES, five_parts(area, own))},
            {key: _part(*of_class, part) for key, part in zip(ASPECTS, five_parts(shape, own))},
        )
    return Sensitivity(per_class, n_reference, iou_threshold)


def five_parts(values: np.ndarray, own: np.ndarray) -> list[np.ndarray]:
    """Cut the objects of a class into five parts of 10, 20, 40, 20 and 10 percent by a value; equal ones by order.

    Args:
        values: Shape (M,), float.
        own: Shape (M,), bool: the objects of the class.

    Returns:
        Five arrays of shape (M,), bool, which together are `own`. An object belongs where the middle of its place
        in the order lies: of one object alone, the middle part.
    """
    rows = np.flatnonzero(own)
    place = np.empty(len(rows))
    place[np.argsort(values[rows], kind="stable")] = (np.arange(len(rows)) + 0.5) / max(
        len(rows), 1
    )
    number = np.full(len(values), -1)
    number[rows] = np.searchsorted(CUTS, place, side="right")
    return [number == k for k in range(len(CUTS) + 1)]


def normalised_ap(
    right: np.ndarray, wrong: np.ndarray, n_objects: int, n_reference: float
) -> tuple[float, float]:
    """Compute normalised average precision and its standard error.

    Each object counts with the best normalised precision at the rank where it is found or below, and with 0 if it
    is not found; AP_N is the mean of these.

    Args:
        right: Shape (D,), bool, best scored first: detections that find an object of the part.
        wrong: Shape (D,), bool: wrong detections. What is neither is passed over.
        n_objects: Objects of the part.
        n_reference: N.

    Returns:
        AP_N and its standard error; nan where there is no object.
    """
    if not n_objects:
        return math.nan, math.nan
    hits = np.cumsum(right) / n_objects * n_reference
    precision = hits / np.maximum(hits + np.cumsum(wrong), 1e-12)
    best = np.maximum.accumulate(precision[::-1])[::-1]
    values = np.zeros(n_objects)
    values[: right.sum()] = best[right]
    spread = values.std(ddof=1) if n_objects > 1 else 0.0
    return float(values.mean()), float(spread / math.sqrt(n_objects))


def _mean(parts: Sequence[Part]) -> Part:
    """The mean of parts that have objects, taken as independent of each other."""
    known = [part for part in parts if part.n_objects]
    if not known:
        return Part(math.nan, math.nan, 0)
    error = math.sqrt(sum(part.error**2 for part in known)) / len(known)
    ap = sum(part.ap for part in known) / len(known)
    return Part(ap, error, sum(part.n_objects for part in known))


def _part(
    ranking: Ranking,
    verdict: np.ndarray,
    rows: np.ndarray,
    n_reference: float,
    part: np.ndarray,
) -> Part:
    """Measure one part of a class; `rows` are the detections of the class."""
    right = verdict[rows] == RIGHT
    right[right] = part[ranking.object[rows[right]]]
    n_objects = int(part.sum())
    return Part(*normalised_ap(right, verdict[rows] == WRONG, n_objects, n_reference), n_objects)


def _sides(objects: Objects, truths: Sequence[Truth]) -> np.ndarray:
    """Width and height of every object, shape (M, 2): pixels where all sizes are known, else fractions."""
    sides = (objects.box[:, 2:] - objects.box[:, :2]).astype(np.float64)
    known = all(truth.size is not None for truth in truths)
    return sides * image_sizes(truths)[objects.image] if known else sides


def _row(parts: dict[str, Part]) -> str:
    return "".join(f"{_shown(part.ap):>7}" for part in parts.values())


def _shown(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:.3f}"


def _without_nan(value: object) -> object:
    if isinstance(value, dict):
        return {key: _without_nan(each) for key, each in value.items()}
    return None if isinstance(value, float) and math.isnan(value) else value
