"""All detections in one row, the best scored first, and which object of its class each overlaps most.

Boxes of the VOC devkit are pixels, 1-based and inclusive, so it adds one to every width and height. Read as fractions,
xmin = (x - 1) / W and xmax = x / W, the same boxes need no such correction: the plain IoU of `minissd.boxes` is the
devkit's (a test holds the two equal). Programs that leave the one out measure boxes a pixel narrower and lower; the
pixel rule "exclusive" does as they do, so that their numbers can be met.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from minissd.backend import to_cpu
from minissd.boxes.geometry import area, iou
from minissd.boxes.nms import Detections
from minissd.errors import check, check_shape

PIXEL_RULES = ("inclusive", "exclusive")  # width xmax - xmin + 1 in VOC's pixels, or xmax - xmin


class Truth(NamedTuple):
    """The objects that are in one image, and what is known of the image itself.

    Attributes:
        boxes: Shape (M, 4), float, corners as fractions of the image; M may be 0.
        labels: Shape (M,), int, 1 to n_object_classes.
        difficult: Shape (M,), bool: finding it earns nothing and costs nothing (VOC's difficult objects, COCO's
            crowds); None for no such object.
        size: Width and height of the image, pixels; None where it is not known. Result files, COCO's areas and the
            pixel rule "exclusive" need it.
        image_id: Name of the image within its data set.
        area: Shape (M,), float, pixels that each object covers, as COCO states it; None for those of its box.
    """

    boxes: np.ndarray
    labels: np.ndarray
    difficult: np.ndarray | None = None
    size: tuple[int, int] | None = None
    image_id: str = ""
    area: np.ndarray | None = None


class Objects(NamedTuple):
    """The objects of all images in one row, image by image.

    Attributes:
        label: Shape (M,), int64.
        difficult: Shape (M,), bool.
        size: Shape (M,), float64, square root of the box's share of the image.
        image: Shape (M,), int64, which image.
        box: Shape (M, 4), float, corners as fractions.
    """

    label: np.ndarray
    difficult: np.ndarray
    size: np.ndarray
    image: np.ndarray
    box: np.ndarray


class Ranking(NamedTuple):
    """The detections of all images in one row, best scored first; equal scores by image, then by index.

    Attributes:
        image: Shape (D,), int64, which image.
        index: Shape (D,), int64, which detection of that image.
        label: Shape (D,), int64.
        score: Shape (D,), float64.
        size: Shape (D,), float64, square root of the box's share of the image.
        object: Shape (D,), int64, the row in `Objects` of the object of its class that it overlaps most (the first of
            equal ones), -1 where the image has none of that class.
        iou: Shape (D,), float64, that overlap.
        box: Shape (D, 4), float, corners as fractions.
    """

    image: np.ndarray
    index: np.ndarray
    label: np.ndarray
    score: np.ndarray
    size: np.ndarray
    object: np.ndarray
    iou: np.ndarray
    box: np.ndarray


def rank(
    detections: Sequence[Detections],
    truths: Sequence[Truth],
    n_object_classes: int | None = None,
    score_floor: float | None = None,
    pixel_rule: str = "inclusive",
    tie_order: Sequence[np.ndarray] | None = None,
) -> tuple[Ranking, Objects]:
    """Put the detections of all images in order and find the object that each overlaps most.

    Args:
        detections: One an image.
        truths: One an image, in the same order.
        n_object_classes: If given, labels above it are refused.
        score_floor: Detections that do not score above it are left out; None keeps all.
        pixel_rule: "inclusive" (VOC: the last pixel is part of the box) or "exclusive", which needs sizes.
        tie_order: For each image shape (D,), numbers that put detections of equal scores in order, such as the lines
            of a result file; None for by image, then by index.

    Raises:
        ValueError: The two do not have one entry an image each, or an array has a wrong shape, a label out of range
            or a number that is not finite; the message names the image.
    """
    check(len(detections) == len(truths), "detections", f"{len(truths)} images", len(detections))
    check(pixel_rule in PIXEL_RULES, "pixel_rule", " | ".join(PIXEL_RULES), pixel_rule)
    found = [_checked(d, "detections", i, n_object_classes) for i, d in enumerate(detections)]
    known = [_checked(t, "truths", i, n_object_classes) for i, t in enumerate(truths)]
    boxes, label, score, image, index = _in_a_row(found)
    object_boxes, object_label, difficult, object_image, _ = _in_a_row(known)
    if pixel_rule == "exclusive":
        pixel = 1 / image_sizes(truths)
        boxes, object_boxes = (
            _narrowed(boxes, pixel[image]),
            _narrowed(object_boxes, pixel[object_image]),
        )
    best, overlap = _best_objects(boxes, label, image, object_boxes, object_label, object_image)
    order = np.argsort(-score, kind="stable")
    if tie_order is not None:
        order = np.lexsort((np.concatenate([np.zeros(0), *tie_order]), -score))
    if score_floor is not None:
        order = order[score[order] > score_floor]
    columns = (image, index, label, score, np.sqrt(area(boxes)), best, overlap, boxes)
    size = np.sqrt(area(object_boxes))
    objects = Objects(object_label, difficult.astype(bool), size, object_image, object_boxes)
    return Ranking(*(column[order] for column in columns)), objects


def _checked(
    item: Detections | Truth, name: str, image: int, n_object_classes: int | None
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return boxes, labels and scores (or `difficult`) of one image on the host, or say what is wrong with them."""
    boxes, labels, last = (None if part is None else to_cpu(part) for part in item[:3])
    where = f"{name}[{image}]"
    check_shape(boxes, ("M", 4), f"{where}.boxes")
    check_shape(labels, (len(boxes),), f"{where}.labels")
    last = np.zeros(len(boxes), bool) if last is None else last
    check_shape(last, (len(boxes),), f"{where}.{item._fields[2]}")
    if len(boxes):
        top = np.inf if n_object_classes is None else n_object_classes
        allowed = "1 or more" if n_object_classes is None else f"1 to {n_object_classes}"
        check(labels.dtype.kind in "iu", f"{where}.labels", "whole numbers", str(labels.dtype))
        _check_rows(np.isfinite(boxes).all(axis=1), boxes, f"{where}.boxes", "finite numbers")
        _check_rows((labels >= 1) & (labels <= top), labels, f"{where}.labels", allowed)
        _check_rows(np.isfinite(last), last, f"{where}.{item._fields[2]}", "finite numbers")
    return boxes, labels, last


def _check_rows(good: np.ndarray, values: np.ndarray, argument: str, expected: str) -> None:
    if not good.all():
        row = int(good.argmin())
        check(False, f"{argument}: row {row}", expected, values[row].tolist())


def image_sizes(truths: Sequence[Truth]) -> np.ndarray:
    """Return width and height of every image.

    Returns:
        Shape (N, 2), float64, pixels.

    Raises:
        ValueError: A size is not known; the message names the image.
    """
    for i, truth in enumerate(truths):
        check(truth.size is not None, f"truths[{i}].size", "width and height in pixels", None)
    return np.array([truth.size for truth in truths], float).reshape(-1, 2)


def _narrowed(boxes: np.ndarray, pixel: np.ndarray) -> np.ndarray:
    """Take one pixel (N, 2) off the width and the height of boxes; none becomes less than empty."""
    low = np.minimum(boxes[:, :2] + pixel, boxes[:, 2:])
    return np.concatenate([low, boxes[:, 2:]], axis=1)


def _in_a_row(items: list[tuple]) -> tuple[np.ndarray, ...]:
    """Join the arrays of all images; add the number of the image and the index within it."""
    counts = np.array([len(labels) for _, labels, _ in items], np.int64)
    image = np.repeat(np.arange(len(items)), counts)
    index = np.arange(len(image)) - np.repeat(np.cumsum(counts) - counts, counts)
    empty = (np.zeros((0, 4)), np.zeros(0, np.int64), np.zeros(0))
    boxes, labels, last = (np.concatenate(parts) for parts in zip(empty, *items))
    return boxes, labels.astype(np.int64), last, image, index


def _best_objects(
    boxes: np.ndarray,
    label: np.ndarray,
    image: np.ndarray,
    object_boxes: np.ndarray,
    object_label: np.ndarray,
    object_image: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """Return the row of the object of its class that each detection overlaps most, or -1, and the overlap."""
    best, overlap = np.full(len(boxes), -1, np.int64), np.zeros(len(boxes))
    for number in np.unique(object_image):
        rows = slice(*np.searchsorted(image, [number, number + 1]))
        objects = slice(*np.searchsorted(object_image, [number, number + 1]))
        ious = iou(boxes[rows], object_boxes[objects])  # (D, M) of this image
        ious[label[rows, None] != object_label[objects]] = -1
        chosen = ious.argmax(axis=1)
        overlap[rows] = ious[np.arange(len(chosen)), chosen]
        best[rows] = chosen + objects.start
    best[overlap < 0] = -1
    return best, np.maximum(overlap, 0)
