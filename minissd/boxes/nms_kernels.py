"""Non-maximum suppression by kernels: all images and classes of a batch at once, in five launches.

`nms.py` says what is computed, this how a device does it (the story is told in `nms.cu`): every size follows from the
settings, not from the data, so the host waits for nothing until it asks for the detections. Where these functions
return None there are no kernels for the arrays, and the array code does the work.
"""

from __future__ import annotations

from typing import NamedTuple

from minissd.backend import Array, array_module
from minissd.cuda import BLOCK, Compiled, Kernels

KERNELS = Kernels(__file__, "nms.cu", header="geometry.h")
THREADS, TILE, WARP = 256, 64, 32  # as in nms.cu
MOST = 2048  # candidates of a class, and detections of an image: one word of TILE bits for each lane of a warp
COLUMNS = 6  # of a detection: corners, label, score


class Kept(NamedTuple):
    """The candidates of each group, best first, and which of them are kept.

    Attributes:
        places: (G, most) int32, a candidate's row among the boxes; undefined where there is none.
        scores: (G, most), a kept candidate's score, -infinity for others and where there is none.
    """

    places: Array
    scores: Array


def kept_places(boxes: Array, scores: Array, iou_threshold: float, most: int) -> Array | None:
    """Suppress among the best boxes of one group.

    Args:
        boxes: (M, 4) corners.
        scores: (M,).
        iou_threshold: As of `nms`.
        most: How many boxes enter.

    Returns:
        (most,) int32, kept rows by falling score among -1; or None.
    """
    kernels = _kernels(boxes, scores, most)
    if kernels is None:
        return None
    xp = array_module(boxes)
    scores = xp.ascontiguousarray(scores)[None]
    kept = _suppress(kernels, boxes[None], scores, -float("inf"), iou_threshold, most)
    return xp.where(kept.scores > -xp.inf, kept.places, -1)[0]


def packed_detections(
    boxes: Array,
    scores: Array,
    score_floor: float,
    iou_threshold: float,
    per_class: int,
    limit: int,
) -> Array | None:
    """Find the detections of a batch, class by class.

    Args:
        boxes: (N, K, 4) corners.
        scores: (N, K, C); column c holds class c + 1.
        score_floor: As of `multiclass_nms`.
        iou_threshold: As of `multiclass_nms`.
        per_class: Candidates of a class at most.
        limit: Detections of an image at most.

    Returns:
        (N, limit, 6) on the device: corners, label, score, best first, then rows of zeros; or None.
    """
    kernels = _kernels(boxes, scores, max(per_class, limit))
    if kernels is None:
        return None
    xp, (n, n_boxes, n_classes) = array_module(boxes), scores.shape
    by_class = xp.ascontiguousarray(scores.transpose(0, 2, 1)).reshape(-1, n_boxes)
    per_class = min(per_class, n_boxes)
    kept = _suppress(kernels, boxes, by_class, score_floor, iou_threshold, per_class)
    chosen, counts = _best(kernels, kept.scores.reshape(n, -1), score_floor, limit)
    found = xp.empty((n, limit, COLUMNS), boxes.dtype)
    args = (xp.ascontiguousarray(boxes), kept.places, kept.scores, chosen, counts, found)
    sizes = (n, n_boxes, n_classes, per_class, limit)
    kernels.launch("collect", n * limit, BLOCK, (*args, *sizes))
    return found


def _kernels(boxes: Array, scores: Array, most: int) -> Compiled | None:
    """Return the kernels, or None where there are none for these arrays, or nothing to do."""
    fits = boxes.dtype == scores.dtype and most <= MOST and scores.size > 0
    return KERNELS.of(scores) if fits else None


def _suppress(
    kernels: Compiled,
    boxes: Array,
    scores: Array,
    floor: float,
    iou_threshold: float,
    most: int,
) -> Kept:
    """Suppress in each group: boxes (N, K, 4), scores (G, K) of G / N groups an image."""
    xp, (groups, n) = array_module(boxes), scores.shape
    places, counts = _best(kernels, scores, floor, most)
    words = -(-most // TILE)
    masks = xp.empty((groups, most, words), "uint64")
    sizes = (n, groups // len(boxes), most, words, iou_threshold)
    args = (xp.ascontiguousarray(boxes), places, counts, masks, *sizes)
    kernels.launch("silences", (groups, words, words), TILE, args)
    kept = xp.empty((groups, most), scores.dtype)
    args = (scores, places, counts, masks, kept, n, most, words)
    kernels.launch("sweep", (groups,), WARP, args)
    return Kept(places, kept)


def _best(kernels: Compiled, scores: Array, floor: float, most: int) -> tuple[Array, Array]:
    """Return the places (G, most) of the best scores (G, n) above the floor, and how many there are (G,)."""
    xp, (groups, n) = array_module(scores), scores.shape
    places, counts = xp.empty((groups, most), "int32"), xp.empty(groups, "int32")
    shared = most * (scores.itemsize + places.itemsize)
    args = (scores, places, counts, n, most, floor)
    kernels.launch("best_above", (groups,), THREADS, args, shared=shared)
    return places, counts
