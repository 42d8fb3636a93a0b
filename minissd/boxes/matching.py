"""Matching: which default boxes are responsible for which object during training.

A default box that overlaps an object well enough is asked to predict it. So that no object is left without a box,
a first step hands boxes to objects whatever their overlap; the published codes differ in how, and both ways are here.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from minissd.backend import Array, array_module, to_cpu
from minissd.boxes.geometry import check_boxes, iou
from minissd.cuda import BLOCK, Kernels
from minissd.errors import check, check_shape

KERNELS = Kernels(__file__, "matching.cu", header="geometry.h")
THREADS = 256  # as in matching.cu
MOST_DEFAULTS = 2**18  # of the kernels: one bit for each lies in a block's shared memory
NO_OBJECT = -1  # label of the rows that fill up an image's objects
RULES = ("one-to-one", "overwrite")
LEAST_IOU = 1e-6  # a pair that overlaps no more than this is never matched one-to-one (Caffe)


class Matching(NamedTuple):
    """What each default box is matched with.

    Attributes:
        object_index: Shape (K,), int64, row of the object, or -1 for background.
        forced: Shape (K,), bool, matched because the object had to get a box, not by the threshold.
        iou: Shape (K,), float, overlap with the matched object; for background the best with any object (0 if none).
    """

    object_index: Array
    forced: Array
    iou: Array


def match(
    default_corners: Array, boxes: Array, threshold: float = 0.5, rule: str = "one-to-one"
) -> Matching:
    """Match default boxes with objects.

    "one-to-one" (Caffe, this project's default): in rounds, the pair of default box and object that overlaps most is
    matched and both leave the game, until every object has a box or no pair overlaps. An object that overlaps
    nothing (one without area, say) stays unmatched. Then every default box that is left goes to the object it
    overlaps most, if IoU >= threshold.

    "overwrite" (torchvision, ssd.pytorch): the threshold comes first, then each object takes the default box it
    overlaps most, whatever that had, even at IoU 0. Where two objects want the same box, the later one gets it and
    the earlier may end with none.

    Ties go to the default box and to the object that come first.

    Args:
        default_corners: Shape (K, 4), float, corners.
        boxes: Shape (M, 4), float, corners of the objects; M may be 0, then all is background.
        threshold: Least IoU of a match that is not forced, in (0, 1].
        rule: "one-to-one" or "overwrite".

    Returns:
        A `Matching` for the K default boxes.

    Raises:
        ValueError: Shapes, threshold or rule are off, or a box is not finite or reversed (its row is named).

    Source: section 2.2 of the paper, "Matching strategy".
    """
    check(rule in RULES, "rule", " | ".join(RULES), rule)
    check(0 < threshold <= 1, "threshold", "a number in (0, 1]", threshold)
    check_shape(default_corners, ("K", 4), "default_corners")
    check_boxes(boxes, "boxes")
    xp = array_module(default_corners, boxes)
    n_defaults = default_corners.shape[0]
    if boxes.shape[0] == 0 or n_defaults == 0:
        nothing = xp.full(n_defaults, -1, dtype=xp.int64)
        return Matching(nothing, nothing >= 0, xp.zeros(n_defaults, default_corners.dtype))
    if can_match_packed(default_corners) and boxes.dtype == default_corners.dtype:
        labels = xp.ones((boxes.shape[0], 1), boxes.dtype)
        objects = xp.concatenate([boxes, labels], axis=1)[None]
        return Matching(
            *(part[0] for part in match_packed(default_corners, objects, threshold, rule))
        )
    overlap = iou(boxes, default_corners)  # (M, K)
    owner = _one_to_one(overlap) if rule == "one-to-one" else _overwrite(overlap)
    forced = owner >= 0
    best_iou, best_object = overlap.max(axis=0), overlap.argmax(axis=0)
    object_index = xp.where(best_iou >= threshold, best_object, -1)
    object_index = xp.where(forced, owner, object_index)
    forced_iou = xp.take_along_axis(overlap, xp.maximum(owner, 0)[None], axis=0)[0]
    return Matching(object_index, forced, xp.where(forced, forced_iou, best_iou))


def _one_to_one(overlap: Array) -> Array:
    """Return the object that each default box got in the rounds, or -1: overlap (M, K) -> (K,)."""
    xp = array_module(overlap)
    n_objects, n_defaults = overlap.shape
    owner = xp.full(n_defaults, -1, dtype=xp.int64)
    remaining = overlap.copy()
    for _ in range(n_objects):
        # Indices stay arrays of length 1 on the device: the host never waits to hear which pair won.
        pair = remaining.argmax()[None]
        winner, default = pair // n_defaults, pair % n_defaults
        overlaps = remaining[winner, default] > LEAST_IOU
        owner[default] = xp.where(overlaps, winner, owner[default])
        remaining[winner] = -1
        remaining[:, default] = -1
    return owner


def _overwrite(overlap: Array) -> Array:
    """Return the last object that prefers each default box, or -1: overlap (M, K) -> (K,)."""
    xp = array_module(overlap)
    n_objects, n_defaults = overlap.shape
    favourite = overlap.argmax(axis=1)[:, None]  # (M, 1)
    wants = favourite == xp.arange(n_defaults)  # (M, K)
    return xp.where(wants, xp.arange(n_objects)[:, None], -1).max(axis=0)


def pack_objects(boxes: Sequence[Array], labels: Sequence[Array], dtype: np.dtype) -> np.ndarray:
    """Put the objects of all images into one array, so that one copy brings them to a device.

    Args:
        boxes: For each of N images (M, 4) corners.
        labels: For each image (M,) classes.
        dtype: Of the result.

    Returns:
        Shape (N, most objects of an image, at least 1, 5): corners and label, then rows of label `NO_OBJECT`.

    Raises:
        ValueError: A box is not finite or reversed (its row is named).
    """
    boxes, labels = [to_cpu(each) for each in boxes], [to_cpu(each) for each in labels]
    most = max((len(each) for each in boxes), default=0)
    packed = np.zeros((len(boxes), max(most, 1), 5), dtype)
    packed[..., 4] = NO_OBJECT
    for image, image_boxes, image_labels in zip(packed, boxes, labels):
        if len(image_boxes):
            check_boxes(image_boxes, "boxes")
            image[: len(image_boxes), :4] = image_boxes
            image[: len(image_boxes), 4] = image_labels
    return packed


def can_match_packed(default_corners: Array) -> bool:
    """Say whether there are kernels that match these default boxes."""
    fits = 0 < len(default_corners) <= MOST_DEFAULTS
    return fits and KERNELS.of(default_corners) is not None


def match_packed(default_corners: Array, objects: Array, threshold: float, rule: str) -> Matching:
    """Do `match` for all images of a batch, on a device that has kernels (see `can_match_packed`).

    Args:
        default_corners: Shape (K, 4), float, corners.
        objects: Shape (N, M, 5), same dtype, from `pack_objects`.
        threshold: As of `match`.
        rule: As of `match`.

    Returns:
        A `Matching` whose parts have shape (N, K).
    """
    xp, (n, rows, _) = array_module(default_corners, objects), objects.shape
    kernels, k = KERNELS.of(default_corners), len(default_corners)
    default_corners, objects = xp.ascontiguousarray(default_corners), xp.ascontiguousarray(objects)
    best, place = xp.empty((n, rows), objects.dtype), xp.empty((n, rows), "int32")
    given = xp.empty((n, rows), "int32")
    args = (default_corners, objects, best, place, given, k, rows)
    kernels.launch("prefer", (rows, n), THREADS, (*args, rule == "overwrite"))
    if rule == "one-to-one":
        bits = 4 * -(-k // 32)
        kernels.launch("in_rounds", (n,), THREADS, (*args, LEAST_IOU), shared=bits)
    index, forced = xp.empty((n, k), "int64"), xp.empty((n, k), "bool")
    overlap = xp.empty((n, k), objects.dtype)
    args = (default_corners, objects, given, index, forced, overlap, n, k, rows, threshold)
    kernels.launch("assign", n * k, BLOCK, args)
    return Matching(index, forced, overlap)
