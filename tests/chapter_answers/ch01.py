"""Chapter 1: answers that learners give, and words of the hint that each should get."""

import numpy as np


def inclusive_forgotten(box, width, height):
    return [
        (box[0] - 1) / width,
        (box[1] - 1) / height,
        (box[2] - 1) / width,
        (box[3] - 1) / height,
    ]


WRONG = {
    "half_by_sliding": [
        ([0.4, 0.2, 0.8, 0.6], "half of the object is covered"),
        ([0.2, 0.2, 0.4, 0.6], "keep the size"),
        ([60, 60, 180, 180], "pixels"),
        ([0.3, 0.3, 0.7, 0.7], "up or down"),
        ([0.3, 0.2, 0.4, 0.1], "width and height"),
        ([0.25, 0.2, 0.65, 0.6], "too high"),
    ],
    "borderline": [
        ([0.5, 1, 0], "share an edge"),
        ([0, 1, 1], "without width"),
        ([0, 1, np.nan], "0 / 0"),
    ],
    "voc_to_fractions": [
        (lambda box, w, h: np.array(box) / [w, h, w, h], "only divided"),
        (inclusive_forgotten, "part of the box"),
        (
            lambda box, w, h: np.array([box[0] - 1, box[1] - 1, box[2], box[3]]) / w,
            "by which side",
        ),
        (lambda box, w, h: [0, 0, 1, 1], "inside of it"),
    ],
    "objects_found": [
        (lambda o, t: int((o >= t).sum()), "pairs that match"),
        (lambda o, t: int((o >= t).any(axis=1).sum()), "the other axis"),
        (lambda o, t: int((o > t).any(axis=0).sum()), "exactly the threshold"),
        (lambda o, t: int((o >= 0.5).any(axis=0).sum()), "built in"),
        (lambda o, t: (o >= t).any(axis=0), "one number"),
    ],
}
