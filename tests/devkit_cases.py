"""Random detection sets in VOC's pixels, as ours in fractions, and their AP by the devkit's rule in loops."""

from __future__ import annotations

import math

import numpy as np
from oracles_ap import all_points, devkit_curve, eleven_points

from minissd.boxes.nms import Detections
from minissd.boxes.pixels import pixels_to_fractions
from minissd.evaluation import Truth

CLASSES = ("cat", "dog", "cow", "unicorn")  # no image shows the last one
METHODS = {"11-point": eleven_points, "all-point": all_points}


def random_boxes(rng: np.random.Generator, count: int, width: int, height: int) -> np.ndarray:
    """Inclusive pixel boxes, 1-based, in whole numbers."""
    x = np.sort(rng.integers(1, width + 1, (count, 2)), axis=1)
    y = np.sort(rng.integers(1, height + 1, (count, 2)), axis=1)
    return np.stack([x[:, 0], y[:, 0], x[:, 1], y[:, 1]], axis=1)


def shaken(rng: np.random.Generator, box: np.ndarray, width: int, height: int) -> np.ndarray:
    """The box with its corners moved by up to a fifth of its sides, still in the picture."""
    side = np.tile(box[2:] - box[:2] + 1, 2)
    moved = box + np.round(rng.uniform(-0.2, 0.2, 4) * side).astype(int)
    moved = np.clip(moved, 1, [width, height] * 2)
    return np.concatenate([np.minimum(moved[:2], moved[2:]), np.maximum(moved[:2], moved[2:])])


def random_set(seed: int) -> tuple[list, list]:
    """Images as (width, height, [(label, box, difficult)]) and detections as (image, label, score, box) in file order.

    There are images without objects, exact copies, duplicates, scores that tie within and across images, difficult
    objects that are found twice, and detections of a class that is never there.
    """
    rng = np.random.default_rng(seed)
    images, detections = [], []
    for number in range(rng.integers(1, 12)):
        width, height = (int(side) for side in rng.integers(1, 501, 2))
        objects = [
            (int(rng.integers(1, 4)), box, bool(rng.random() < 0.25))
            for box in random_boxes(rng, int(rng.integers(0, 5)), width, height)
        ]
        images.append((width, height, objects))
        for label, box, _ in objects:
            for _ in range(rng.integers(0, 4)):
                guess = box if rng.random() < 0.3 else shaken(rng, box, width, height)
                named = label if rng.random() < 0.8 else int(rng.integers(1, 5))
                detections.append((number, named, round(float(rng.random()), 1), guess))
        for box in random_boxes(rng, int(rng.integers(0, 4)), width, height):
            detections.append((number, int(rng.integers(1, 5)), round(float(rng.random()), 1), box))
    return images, detections


def as_ours(images: list, detections: list) -> tuple[list[Detections], list[Truth]]:
    answers, truths = [], []
    for number, (width, height, objects) in enumerate(images):
        mine = [d for d in detections if d[0] == number]
        boxes = [np.array([d[3] for d in mine]), np.array([box for _, box, _ in objects])]
        boxes = [pixels_to_fractions(b.reshape(-1, 4), width, height) for b in boxes]
        labels, scores = np.array([d[1] for d in mine], int), np.array([d[2] for d in mine], float)
        answers.append(Detections(boxes[0], labels, scores))
        known = [np.array([o[k] for o in objects], kind) for k, kind in ((0, int), (2, bool))]
        truths.append(Truth(boxes[1], *known, (width, height), f"{number:06d}"))
    return answers, truths


def devkit_ap(images: list, detections: list, label: int, method: str, last_pixel: int) -> float:
    """AP of one class by the loops; `last_pixel` 1 as the devkit has it, 0 where it is no part of the box."""
    cut = np.array([0, 0, 1 - last_pixel, 1 - last_pixel])  # the loops add one to every side
    objects = [[(box - cut, hard) for own, box, hard in each[2] if own == label] for each in images]
    own = [(image, score, box - cut) for image, named, score, box in detections if named == label]
    recall, precision, n_objects = devkit_curve(own, objects)
    return METHODS[method](recall, precision) if n_objects else math.nan
