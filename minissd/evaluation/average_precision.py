"""Average precision as PASCAL VOC measures it: by class, by object size, and over all classes in one ranking.

A number of this kind means little without its settings, so `evaluate` returns both together.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from types import MappingProxyType

import numpy as np

from minissd.boxes.nms import Detections
from minissd.errors import check, check_shape
from minissd.evaluation.ranking import Objects, Ranking, Truth, rank
from minissd.evaluation.results import ClassResult, Evaluation, SizeResult, mean_of_known
from minissd.evaluation.verdicts import IGNORED, RIGHT, counted, judge

__all__ = [
    "METHODS",
    "SIZE_BINS",
    "ClassResult",
    "Evaluation",
    "SizeResult",
    "Truth",
    "average_precision",
    "envelope",
    "evaluate",
]

METHODS = ("11-point", "all-point")

RECALL_POINTS = np.arange(11) / 10  # each is the float nearest to k / 10, as a recall of k / 10 is

# Square root of the box's share of the image: lower limit included, upper excluded.
SIZE_BINS: Mapping[str, tuple[float, float | None]] = MappingProxyType(
    {"small": (0.0, 0.16), "medium": (0.16, 0.40), "large": (0.40, None)}
)


def average_precision(recall: np.ndarray, precision: np.ndarray, method: str = "11-point") -> float:
    """Compute the average precision of one ranking.

    "11-point" is the mean over the recalls 0, 0.1, ... 1 of the best precision at that recall or a higher one.
    "all-point" is the whole area under that envelope. The eleven points are exact decimals here: three objects of ten
    reach the point 0.3, which they miss where the points are computed as 3 * 0.1 = 0.30000000000000004.

    Args:
        recall: Shape (D,), float, after each detection, best scored first: never falling.
        precision: Shape (D,), float, likewise.
        method: "11-point" (VOC2007) or "all-point" (from VOC2010).

    Returns:
        0 to 1; 0 for an empty ranking.

    Raises:
        ValueError: The method is another one, or the arrays do not have one length.

    Source: Everingham et al., "The PASCAL Visual Object Classes (VOC) Challenge", IJCV 2010, section 4.2; the
        development kits of VOC2007 and VOC2010.
    """
    check(method in METHODS, "method", " | ".join(METHODS), method)
    recall, precision = np.asarray(recall), np.asarray(precision)
    check_shape(recall, ("D",), "recall")
    check_shape(precision, recall.shape, "precision")
    if method == "11-point":
        return float(envelope(recall, precision, RECALL_POINTS).mean())
    steps = np.diff(recall, prepend=0)
    return float(np.sum(steps * envelope(recall, precision, recall)))


def envelope(recall: np.ndarray, precision: np.ndarray, at: np.ndarray) -> np.ndarray:
    """Return the best precision at given recalls or higher ones: the curve without its dents.

    Args:
        recall: Shape (D,), float, never falling.
        precision: Shape (D,), float.
        at: Shape (P,), float, recalls to ask for.

    Returns:
        Shape (P,), float64; 0 at a recall that is never reached.
    """
    best = np.maximum.accumulate(precision[::-1])[::-1]
    return np.append(best, 0.0)[np.searchsorted(recall, at)]


def evaluate(
    detections: Sequence[Detections],
    truths: Sequence[Truth],
    class_names: Sequence[str],
    iou_threshold: float = 0.5,
    method: str = "11-point",
    score_floor: float | None = None,
    size_bins: Mapping[str, tuple[float, float | None]] = SIZE_BINS,
    details: Mapping[str, object] | None = None,
    pixel_rule: str = "inclusive",
    tie_order: Sequence[np.ndarray] | None = None,
) -> Evaluation:
    """Measure how well detections answer the objects of a set of images.

    By the rule of `minissd.evaluation.verdicts.judge`: a detection is about the object of its class that it overlaps
    most, the first to reach the threshold is right, later ones are duplicates and wrong, and difficult objects count
    neither way. A class without objects has AP nan and is not in the mean; one without detections has AP 0.

    Args:
        detections: One an image.
        truths: One an image, in the same order.
        class_names: Name of label 1, 2, ...
        iou_threshold: Least overlap of a right detection, inclusive (up to rounding: 1e-6), above 0 and at most 1.
        method: "11-point" or "all-point".
        score_floor: Leave out detections that do not score above it; None keeps all.
        size_bins: Ranges by name for the result by object size; empty for none.
        details: Further settings to show with the result, such as those of the detector's NMS.
        pixel_rule: "inclusive", as the devkit: the last pixel is part of the box, its width xmax - xmin + 1; or
            "exclusive", xmax - xmin, as programs have it that leave the one out. The latter needs `Truth.size`.
        tie_order: For each image shape (D,), numbers that put detections of equal scores in order; None for by
            image, then by index.

    Returns:
        The results and the settings.

    Raises:
        ValueError: An argument is not as described; the message names it and, where there is one, the image.
    """
    check(method in METHODS, "method", " | ".join(METHODS), method)
    check(0 < iou_threshold <= 1, "iou_threshold", "above 0 and at most 1", iou_threshold)
    names = list(class_names)
    check(len(set(names)) == len(names) > 0, "class_names", "different names, at least one", names)
    ranking, objects = rank(detections, truths, len(names), score_floor, pixel_rule, tie_order)
    verdict = judge(ranking, objects, iou_threshold)
    per_class = _by_class(ranking, objects, verdict, names, method, None)
    pooled = _result(verdict, ranking.score, counted(objects), objects.difficult, method)
    by_size = {
        name: _of_size(ranking, objects, limits, names, iou_threshold, method)
        for name, limits in size_bins.items()
    }
    settings = {
        "iou_threshold": iou_threshold,
        "method": method,
        "score_floor": score_floor,
        "images": len(truths),
        "objects": pooled.n_objects,
        "difficult": pooled.n_difficult,
        "detections": len(ranking.score),
        "pixel_rule": pixel_rule,
        "size_bins": {name: list(limits) for name, limits in size_bins.items()},
    }
    mean_ap = mean_of_known({name: result.ap for name, result in per_class.items()})
    return Evaluation(per_class, mean_ap, pooled, by_size, {**settings, **(details or {})})


def _of_size(
    ranking: Ranking,
    objects: Objects,
    limits: tuple[float, float | None],
    names: list[str],
    iou_threshold: float,
    method: str,
) -> SizeResult:
    verdict = judge(ranking, objects, iou_threshold, limits)
    results = _by_class(ranking, objects, verdict, names, method, limits)
    ap = {name: result.ap for name, result in results.items()}
    n_objects = sum(result.n_objects for result in results.values())
    return SizeResult(*limits, mean_of_known(ap), n_objects, ap)


def _by_class(
    ranking: Ranking,
    objects: Objects,
    verdict: np.ndarray,
    names: list[str],
    method: str,
    size_range: tuple[float, float | None] | None,
) -> dict[str, ClassResult]:
    to_find = counted(objects, size_range)
    results = {}
    for label, name in enumerate(names, start=1):
        rows, own = ranking.label == label, objects.label == label
        results[name] = _result(
            verdict[rows], ranking.score[rows], to_find[own], objects.difficult[own], method
        )
    return results


def _result(
    verdict: np.ndarray,
    scores: np.ndarray,
    to_find: np.ndarray,
    difficult: np.ndarray,
    method: str,
) -> ClassResult:
    """Turn the verdicts of one ranking into its curve and AP."""
    counts = verdict != IGNORED
    right = np.cumsum(verdict[counts] == RIGHT)
    n_objects, n_detections = int(to_find.sum()), len(right)
    precision = right / np.arange(1, n_detections + 1)
    recall = right / n_objects if n_objects else np.full(n_detections, np.nan)
    return ClassResult(
        ap=average_precision(recall, precision, method) if n_objects else math.nan,
        n_objects=n_objects,
        n_difficult=int(difficult.sum()),
        n_detections=n_detections,
        n_right=int(right[-1]) if n_detections else 0,
        precision=precision,
        recall=recall,
        scores=scores[counts],
    )
