"""Non-maximum suppression: of many boxes on one object, keep the best.

The best-scored box stays and silences every other that overlaps it too much; then the next best that is left; and so
on. SSD does this class by class. Each choice depends on the ones before it, so this code runs on the host: arrays of
a device are copied over once, and the answer is copied back. Where a device offers kernels (`nms_kernels.py`) they
give the same answer there, ties included.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from minissd.backend import Array, array_module, to_cpu
from minissd.boxes.geometry import iou
from minissd.boxes.nms_kernels import kept_places, packed_detections
from minissd.errors import check, check_positive_int, check_shape

BLOCK = 128  # boxes decided together; 64 to 256 take about the same time


class Detections(NamedTuple):
    """The objects found in one image, best first.

    Attributes:
        boxes: Shape (D, 4), float, corners as fractions of the image.
        labels: Shape (D,), int64, 1 to n_object_classes.
        scores: Shape (D,), float, falling.
    """

    boxes: Array
    labels: Array
    scores: Array


def nms(
    boxes: Array, scores: Array, iou_threshold: float = 0.45, top_k: int | None = None
) -> Array:
    """Choose boxes so that no two kept ones overlap by more than a threshold.

    Args:
        boxes: Shape (M, 4), float, corners.
        scores: Shape (M,), float.
        iou_threshold: A box is dropped where its IoU with a kept, better one is above this.
        top_k: Only the best `top_k` boxes by score enter. None: all.

    Returns:
        Shape (D,), int64, the kept rows by falling score; equal scores in the order given.

    Raises:
        ValueError: Shapes or numbers are off.
    """
    check_shape(boxes, ("M", 4), "boxes")
    check_shape(scores, (boxes.shape[0],), "scores")
    check(0 <= iou_threshold <= 1, "iou_threshold", "a number in [0, 1]", iou_threshold)
    if top_k is not None:
        check_positive_int(top_k, "top_k")
    xp = array_module(boxes, scores)
    most = len(boxes) if top_k is None else min(top_k, len(boxes))
    places = kept_places(boxes, scores, iou_threshold, most)
    if places is not None:
        rows = to_cpu(places)
        return xp.asarray(rows[rows >= 0].astype(np.int64))
    host_boxes, host_scores = to_cpu(boxes), to_cpu(scores)
    order = _best(host_scores, -np.inf, top_k)
    group = np.zeros(len(order), dtype=np.int64)
    kept = _suppress(host_boxes[order], group, iou_threshold, limit=None)
    return xp.asarray(order[kept])


def multiclass_nms(
    boxes: Array,
    scores: Array,
    score_floor: float = 0.01,
    iou_threshold: float = 0.45,
    candidates_per_class: int = 400,
    max_detections: int = 200,
    class_agnostic: bool = False,
) -> Detections:
    """Turn the scores of all boxes and classes into the detections of one image.

    Of each class the best candidates above the floor enter; a kept box silences the overlapping ones of its class;
    the best `max_detections` of all classes come back. Equal scores go by class, then by row.

    Args:
        boxes: Shape (K, 4), float, corners; one box for all classes.
        scores: Shape (K, n_object_classes), float; column c holds class c + 1, and background has no column.
        score_floor: Scores must be above this.
        iou_threshold: A box is dropped where its IoU with a kept, better one is above this.
        candidates_per_class: How many boxes of a class enter at most.
        max_detections: How many detections come back at most.
        class_agnostic: Whether a kept box silences those of the other classes too.

    Returns:
        `Detections` on the device of the input.

    Raises:
        ValueError: Shapes or numbers are off.

    Source: section 2.1 of the paper (a final non-maximum suppression), numbers in section 3.
    """
    check_shape(boxes, ("K", 4), "boxes")
    check_shape(scores, (boxes.shape[0], "n_object_classes"), "scores")
    _check_numbers(iou_threshold, candidates_per_class, max_detections)
    xp = array_module(boxes, scores)
    numbers = score_floor, iou_threshold, candidates_per_class, max_detections
    packed = None if class_agnostic else packed_detections(boxes[None], scores[None], *numbers)
    if packed is not None:
        labels = to_cpu(packed[0, :, 4])  # how many there are, the host must know
        return unpack_detections(packed[0, : int((labels > 0).sum())])
    row, column, score = _candidates(to_cpu(scores), score_floor, candidates_per_class)
    candidate_boxes = to_cpu(boxes)[row]
    group = np.zeros_like(column) if class_agnostic else column
    kept = _suppress(candidate_boxes, group, iou_threshold, limit=max_detections)
    answer = candidate_boxes[kept], column[kept] + 1, score[kept]
    return Detections(*(xp.asarray(part) for part in answer))


def batched_nms(
    boxes: Array,
    scores: Array,
    score_floor: float = 0.01,
    iou_threshold: float = 0.45,
    candidates_per_class: int = 400,
    max_detections: int = 200,
) -> list[Detections]:
    """Do `multiclass_nms` for all images of a batch; from a device, with one copy to the host where it has kernels.

    Args:
        boxes: Shape (N, K, 4), float, corners.
        scores: Shape (N, K, n_object_classes), float.
        score_floor: As of `multiclass_nms`, like all that follow.
        iou_threshold: See there.
        candidates_per_class: See there.
        max_detections: See there.

    Returns:
        For each image its `Detections`, NumPy arrays.

    Raises:
        ValueError: Shapes or numbers are off.
    """
    check_shape(boxes, ("N", "K", 4), "boxes")
    check_shape(scores, (*boxes.shape[:2], "n_object_classes"), "scores")
    _check_numbers(iou_threshold, candidates_per_class, max_detections)
    numbers = score_floor, iou_threshold, candidates_per_class, max_detections
    packed = packed_detections(boxes, scores, *numbers)
    if packed is None:
        images = zip(to_cpu(boxes), to_cpu(scores))
        return [multiclass_nms(*image, *numbers) for image in images]
    rows = to_cpu(packed)
    return [unpack_detections(image[image[:, 4] > 0]) for image in rows]


def unpack_detections(rows: Array) -> Detections:
    """Return `Detections` of rows (D, 6): corners, label, score."""
    return Detections(rows[:, :4], rows[:, 4].astype(np.int64), rows[:, 5])


def _check_numbers(iou_threshold: float, candidates_per_class: int, max_detections: int) -> None:
    check(0 <= iou_threshold <= 1, "iou_threshold", "a number in [0, 1]", iou_threshold)
    check_positive_int(candidates_per_class, "candidates_per_class")
    check_positive_int(max_detections, "max_detections")


def _best(scores: np.ndarray, floor: float, count: int | None) -> np.ndarray:
    """Return the rows of the `count` best scores above the floor, best first; ties by row."""
    rows = np.flatnonzero(scores > floor)
    if count is not None and len(rows) > count:
        # Sorting thousands to keep hundreds is slow: first drop what lies below the count-th best.
        least = np.partition(scores[rows], -count)[-count]
        rows = rows[scores[rows] >= least]
    return rows[np.argsort(-scores[rows], kind="stable")[:count]]


def _candidates(
    scores: np.ndarray, floor: float, per_class: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return row, column and score of the candidates of all classes, best first."""
    by_class = np.ascontiguousarray(scores.T)  # (C, K)
    rows = [_best(of_class, floor, per_class) for of_class in by_class]
    column = np.repeat(np.arange(len(rows)), [len(each) for each in rows])
    row = np.concatenate([np.empty(0, dtype=np.int64), *rows])
    score = by_class[column, row]
    order = np.argsort(-score, kind="stable")
    return row[order], column[order], score[order]


def _suppress(
    boxes: np.ndarray, group: np.ndarray, iou_threshold: float, limit: int | None
) -> np.ndarray:
    """Return the positions that survive, at most `limit`.

    The boxes (M, 4) stand best first, and a box is silenced only by one of its own group. Going through all groups
    together gives what one run for each would; but here the search can stop at the limit, since all that could still
    be kept scores less. Overlaps are computed block by block: first with the boxes kept so far, then within.
    """

    def silences(one: np.ndarray, other: np.ndarray) -> np.ndarray:
        same_group = group[one][:, None] == group[other]
        return same_group & (iou(boxes[one], boxes[other]) > iou_threshold)

    kept = np.empty(0, dtype=np.int64)
    for start in range(0, len(boxes), BLOCK):
        block = np.arange(start, min(start + BLOCK, len(boxes)))
        block = block[~silences(block, kept).any(axis=1)]
        silenced_by = silences(block, block)
        silent = np.zeros(len(block), dtype=bool)
        keep = []
        for i in range(len(block)):
            if not silent[i]:
                keep.append(i)
                silent |= silenced_by[i]
        kept = np.concatenate([kept, block[keep]])
        if limit is not None and len(kept) >= limit:
            return kept[:limit]
    return kept
