"""Chapter 5: answers that learners give, and words of the hint that each should get."""

import numpy as np


def in_order_of_objects(overlaps):
    remaining, boxes = overlaps.copy(), []
    for thing in range(overlaps.shape[1]):
        box = remaining[:, thing].argmax()
        boxes.append(box if remaining[box, thing] > 0 else -1)
        remaining[box] = -1
    return boxes


def without_stop(overlaps):
    remaining, boxes = overlaps.copy(), np.full(overlaps.shape[1], -1)
    for _ in range(overlaps.shape[1]):
        box, thing = np.unravel_index(remaining.argmax(), remaining.shape)
        boxes[thing] = box
        remaining[box] = -1
        remaining[:, thing] = -1
    return boxes


def objects_stay(overlaps):
    """Only the column leaves: a box can be taken again."""
    remaining, boxes = overlaps.copy(), np.full(overlaps.shape[1], -1)
    for _ in range(overlaps.shape[1]):
        box, thing = np.unravel_index(remaining.argmax(), remaining.shape)
        if remaining[box, thing] <= 0:
            break
        boxes[thing] = box
        remaining[:, thing] = -1
    return np.where(boxes == 0, 3, boxes)


WRONG = {
    "one_box": [
        (["A", "-", "B"], "highest of the table"),
        (["B", "-", "-"], "below the threshold, but A"),
        (["B", "A", "B"], "B left the game"),
        ([1, 0, -1], "not the number"),
        (["-", "A", "-"], "somebody gets it"),
        ("BA-", "in one list"),
        (["B", "B", "-"], "two rounds, then"),
    ],
    "no_area": [
        ([0, 1, 1], "the line with `least`"),
        ([0, 0, 0], "only zeros"),
        ([1, 0, 1], "not at least 0.5"),
        ([0, 0, 4], "one round, one pair"),
        ([0, 5, 1], "there is one round"),
        ([0, 1], "three numbers"),
    ],
    "box_of_each": [
        (lambda o: o.argmax(axis=0), "taken its favourite"),
        (in_order_of_objects, "their own order"),
        (without_stop, "got a box all the same"),
        (objects_stay, "answers for two objects"),
        (lambda o: [1, 0, 3, -1], "of each box"),
        (lambda o: [1, 0, -1], "four in all"),
        (lambda o: [1, 0, -1, 2], "outnumber"),
        (lambda o: [2, 0, -1, 1], "by hand"),
        (lambda o: [-1, 0, -1, 2], "know of a threshold"),
    ],
    "labels": [
        (lambda owner, classes: classes[owner], "index -1"),
        (lambda owner, classes: np.where(owner > 0, classes[owner], 0), "number 0"),
        (lambda owner, classes: owner + 1, "plus one"),
        (lambda owner, classes: np.where(owner >= 0, classes[owner], -1), "not -1"),
        (lambda owner, classes: np.where(owner >= 0, classes[owner] + 1, 0), "one too high"),
        (lambda owner, classes: classes, "six in all"),
        (lambda owner, classes: np.array([0, 4, 4, 2, 0, 1]), "one by one"),
    ],
}
