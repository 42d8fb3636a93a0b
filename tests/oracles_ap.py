"""The rule of the VOC devkit written out in loops, on its own pixel boxes: 1-based, inclusive, in whole numbers.

Slow on purpose, and without a line of the library: it is what the fast version is held against.
"""

from __future__ import annotations

import math


def devkit_overlap(a: tuple, b: tuple) -> float:
    """Return the IoU of two inclusive pixel boxes (xmin, ymin, xmax, ymax), or minus infinity if they do not touch."""
    width = min(a[2], b[2]) - max(a[0], b[0]) + 1
    height = min(a[3], b[3]) - max(a[1], b[1]) + 1
    if width <= 0 or height <= 0:
        return -math.inf
    area_a = (a[2] - a[0] + 1) * (a[3] - a[1] + 1)
    area_b = (b[2] - b[0] + 1) * (b[3] - b[1] + 1)
    return width * height / (area_a + area_b - width * height)


def devkit_curve(
    detections: list[tuple[int, float, tuple]],
    objects: list[list[tuple[tuple, bool]]],
    threshold: float = 0.5,
) -> tuple[list[float], list[float], int]:
    """Rank the detections of one class and follow recall and precision.

    `detections` are (image, score, box), equal scores in the order given; `objects` has a list of (box, difficult)
    for each image. Returns recall, precision (both an entry a detection, ignored ones included, as the devkit has
    it) and the number of objects.
    """
    n_objects = 0
    for image in objects:
        for _, difficult in image:
            n_objects += not difficult
    taken = [[False] * len(image) for image in objects]
    right = wrong = 0
    recall, precision = [], []
    for image, _, box in sorted(detections, key=lambda detection: -detection[1]):
        best, chosen = -math.inf, -1
        for number, (other, _) in enumerate(objects[image]):
            overlap = devkit_overlap(box, other)
            if overlap > best:
                best, chosen = overlap, number
        if best < threshold:
            wrong += 1
        elif not objects[image][chosen][1]:
            if taken[image][chosen]:
                wrong += 1
            else:
                right += 1
                taken[image][chosen] = True
        recall.append(right / n_objects if n_objects else math.nan)
        precision.append(right / (right + wrong) if right + wrong else 0.0)
    return recall, precision, n_objects


def eleven_points(recall: list[float], precision: list[float]) -> float:
    """Mean over the recalls 0, 0.1, ... 1 of the best precision at that recall or a higher one."""
    total = 0.0
    for tenth in range(11):
        best = 0.0
        for r, p in zip(recall, precision):
            if r >= tenth / 10 and p > best:
                best = p
        total += best
    return total / 11


def all_points(recall: list[float], precision: list[float]) -> float:
    """Area under the curve after every precision is raised to the best one to its right."""
    total, before = 0.0, 0.0
    for i, r in enumerate(recall):
        total += (r - before) * max(precision[i:])
        before = r
    return total
