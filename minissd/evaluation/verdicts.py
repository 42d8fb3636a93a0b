"""Which detections are right: each goes to the object of its class that it overlaps most, the best scored first.

This is the rule of the VOC devkit.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from minissd.boxes.nms import Detections
from minissd.evaluation.ranking import Objects, Ranking, Truth, rank

RIGHT, WRONG, IGNORED = 1, 0, -1

# Fractions of the image are rounded where pixels are whole, and an IoU of just 0.5 would be lost by it. Two boxes of
# whole pixels in an image of 500 x 500 that fall short of 0.5 do so by at least 1 / (2 * 500 * 500) = 2e-6.
ROUNDING = 1e-6


def judge(
    ranking: Ranking,
    objects: Objects,
    iou_threshold: float = 0.5,
    size_range: tuple[float, float | None] | None = None,
) -> np.ndarray:
    """Say of each detection whether it is right, wrong or to be ignored.

    A detection that overlaps its object by at least the threshold is right if it is the first to do so and wrong if it
    is a duplicate; if that object is difficult, it is ignored. One that overlaps no object enough is wrong.

    With a size range, objects outside it are treated like difficult ones, and so is a detection without an object
    whose own size is outside. A duplicate counts where its object counts. Ranges that together cover every size
    therefore share out the right and the wrong detections: each counts in exactly one range.

    Args:
        ranking: Detections, from `rank`.
        objects: Objects, from `rank`.
        iou_threshold: Least overlap, inclusive (up to rounding: 1e-6).
        size_range: Sizes that count, lower limit included, upper excluded (None: no upper limit).

    Returns:
        Shape (D,), int8: RIGHT, WRONG or IGNORED.
    """
    hit = (ranking.object >= 0) & (ranking.iou >= iou_threshold - ROUNDING)
    verdict = np.full(len(hit), WRONG, np.int8)
    hits = np.flatnonzero(hit)
    _, first = np.unique(ranking.object[hits], return_index=True)
    verdict[hits[first]] = RIGHT
    verdict[hits[~counted(objects, size_range)[ranking.object[hits]]]] = IGNORED
    verdict[~hit & ~in_range(ranking.size, size_range)] = IGNORED
    return verdict


def counted(objects: Objects, size_range: tuple[float, float | None] | None = None) -> np.ndarray:
    """Say which objects count: those that are not difficult and whose size is in the range.

    Returns:
        Shape (M,), bool.
    """
    return ~objects.difficult & in_range(objects.size, size_range)


def in_range(size: np.ndarray, size_range: tuple[float, float | None] | None) -> np.ndarray:
    """Say which sizes lie in a range (lower limit included, upper excluded; None: all of them)."""
    if size_range is None:
        return np.ones(len(size), bool)
    low, high = size_range
    return (size >= low) & (size < (np.inf if high is None else high))


def judge_images(
    detections: Sequence[Detections], truths: Sequence[Truth], iou_threshold: float = 0.5
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Judge the detections of each image, for pictures and for looking at mistakes.

    Args:
        detections: One an image.
        truths: One an image, in the same order.
        iou_threshold: Least overlap, inclusive (up to rounding: 1e-6).

    Returns:
        For each image the verdicts, shape (D,), int8, and which object of that image each detection is about, shape
        (D,), int64, -1 where it overlaps none enough; both in the order of that image's detections.
    """
    ranking, objects = rank(detections, truths)
    verdict = judge(ranking, objects, iou_threshold)
    start = np.cumsum([0, *(len(truth.labels) for truth in truths)], dtype=np.int64)
    about = np.where(
        ranking.iou >= iou_threshold - ROUNDING, ranking.object - start[ranking.image], -1
    )
    order = np.lexsort((ranking.index, ranking.image))
    verdict, about = verdict[order], about[order]
    ends = np.cumsum([len(found.labels) for found in detections], dtype=np.int64)
    rows = [slice(end - len(found.labels), end) for found, end in zip(detections, ends)]
    return [(verdict[row], about[row]) for row in rows]
