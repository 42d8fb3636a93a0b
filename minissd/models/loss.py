"""MultiBox loss: smooth L1 on the offsets of matched boxes, softmax cross-entropy on them and on mined negatives."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from minissd.backend import Array, array_module, to_device
from minissd.boxes.coding import encode
from minissd.boxes.geometry import centers_to_corners, inside_image
from minissd.boxes.matching import match
from minissd.boxes.mining import mine_hard_negatives
from minissd.models.spec import DetectorSpec
from minissd.nn.losses import smooth_l1, softmax_cross_entropy


class Targets(NamedTuple):
    """What every default box should answer.

    Attributes:
        labels: (N, K) int64, 0 for background.
        offsets: (N, K, 4), 0 for background.
        candidates: (N, K) bool, the background boxes that may be mined as negatives; None for all.
    """

    labels: Array
    offsets: Array
    candidates: Array | None = None


class MultiBoxResult(NamedTuple):
    """The loss and its gradients.

    Attributes:
        loss: Class and box loss together, a 0-d array.
        class_loss, box_loss: The two parts.
        n_positives: Matched default boxes of the (whole) batch, a 0-d array.
        mined: (N, K) bool, the negatives that were trained on.
        d_scores, d_offsets: Gradients of `loss`, shaped like the predictions.
    """

    loss: Array
    class_loss: Array
    box_loss: Array
    n_positives: Array
    mined: Array
    d_scores: Array
    d_offsets: Array


def make_targets(
    default_centers: Array, boxes: Sequence[Array], labels: Sequence[Array], spec: DetectorSpec
) -> Targets:
    """Match the objects of each image to default boxes and encode them.

    Args:
        default_centers: (K, 4) centre form.
        boxes: For each image (M, 4) corners; host or device arrays.
        labels: For each image (M,) classes from 1.
        spec: Gives the matching rule, its threshold, the scales of the offsets, and whether default boxes that cross
            the border of the image are left out.

    Returns:
        Targets on the device of the default boxes, in their dtype.

    Source: Liu et al. 2016, section 2.2, "Matching strategy".
    """
    xp = array_module(default_centers)
    default_corners = centers_to_corners(default_centers)
    n, k = len(boxes), len(default_centers)
    target_labels = xp.zeros((n, k), np.int64)
    target_offsets = xp.zeros((n, k, 4), default_centers.dtype)
    inside = usable_boxes(default_corners, spec)
    default_corners = xp.where(inside[:, None], default_corners, 0)  # no area: overlaps nothing
    candidates = xp.broadcast_to(inside, (n, k)).copy()
    scales = spec.center_scale, spec.size_scale
    for i, (image_boxes, image_labels) in enumerate(zip(boxes, labels)):
        if len(image_boxes) == 0:
            continue  # every box is background
        objects = to_device(image_boxes, xp).astype(default_centers.dtype)
        found = match(default_corners, objects, spec.match_iou, spec.matching)
        matched = (found.object_index >= 0) & inside
        nearest = xp.maximum(found.object_index, 0)
        classes = to_device(image_labels, xp).astype(np.int64)
        target_labels[i] = xp.where(matched, classes[nearest], 0)
        if (
            xp is np
        ):  # a hundred boxes of thousands; on a device, picking them out would make the host wait
            rows = np.flatnonzero(matched)
            target_offsets[i, rows] = encode(objects[nearest[rows]], default_centers[rows], *scales)
        else:
            offsets = encode(objects[nearest], default_centers, *scales)
            target_offsets[i] = xp.where(matched[:, None], offsets, 0)
        candidates[i] &= ~matched & (found.iou < spec.negative_iou)
    return Targets(target_labels, target_offsets, candidates)


def usable_boxes(default_corners: Array, spec: DetectorSpec) -> Array:
    """Tell which default boxes take part in training and detection.

    Args:
        default_corners: (K, 4) corners.
        spec: Says whether those that cross the border of the image do.

    Returns:
        (K,) bool.
    """
    if spec.ignore_border:
        return inside_image(default_corners)
    return array_module(default_corners).ones(len(default_corners), bool)


def multibox_loss(
    scores: Array,
    offsets: Array,
    targets: Targets,
    negative_ratio: float = 3.0,
    min_negatives: int = 0,
    mined: Array | None = None,
    n_positives: Array | None = None,
) -> MultiBoxResult:
    """Compute the loss of a batch and its gradients.

    loss = (cross-entropy over positives and mined negatives + smooth L1 over positives) / max(1, positives)

    Args:
        scores: (N, K, C + 1) before softmax.
        offsets: (N, K, 4) predicted.
        targets: From `make_targets`.
        negative_ratio: Mined negatives to positives, at most, image by image.
        min_negatives: Negatives mined in an image with fewer positives (0 in the paper).
        mined: (N, K) bool to hold the mined set fixed (gradient checks); chosen by loss where not given.
        n_positives: 0-d array, positives of the whole batch, where this is only a part of it: the losses and gradients
            of all parts then add up to those of the whole. Counted here where not given.

    Returns:
        Loss, its parts, the mined set and the gradients.

    Source: Liu et al. 2016, equations 1 to 3 and "Hard negative mining". The loss of an unlabelled box is judged by
    the same cross-entropy against background; mining passes no gradient.
    """
    xp = array_module(scores, offsets)
    n, k, n_classes = scores.shape
    losses, d_scores = softmax_cross_entropy(
        scores.reshape(n * k, n_classes), targets.labels.reshape(-1)
    )
    losses, d_scores = losses.reshape(n, k), d_scores.reshape(n, k, n_classes)
    positives = targets.labels > 0
    if mined is None:
        mined = mine_hard_negatives(
            losses, positives, negative_ratio, min_negatives, targets.candidates
        )
    n_positives = positives.sum() if n_positives is None else n_positives
    norm = (1 / xp.maximum(n_positives, 1)).astype(scores.dtype)

    weight = (positives | mined).astype(scores.dtype) * norm  # (N, K)
    class_loss = (losses * weight).sum()
    d_scores *= weight[..., None]

    distance, d_offsets = smooth_l1(offsets, targets.offsets)
    box_weight = (positives.astype(scores.dtype) * norm)[..., None]
    box_loss = (distance * box_weight).sum()
    d_offsets *= box_weight
    return MultiBoxResult(
        class_loss + box_loss, class_loss, box_loss, n_positives, mined, d_scores, d_offsets
    )
