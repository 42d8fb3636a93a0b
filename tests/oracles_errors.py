"""The kinds of errors and normalised average precision written out in loops, without a line of the library."""

from __future__ import annotations

import math


def overlap(a, b) -> float:
    """IoU of two boxes given as fractions."""
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    if width <= 0 or height <= 0:
        return 0.0
    shared = width * height
    return shared / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - shared)


def ranked(detections, label: int) -> list[tuple]:
    """(score, image, box) of one class, best first, equal scores by image and index."""
    rows = []
    for image, found in enumerate(detections):
        for box, own, score in zip(found.boxes, found.labels, found.scores):
            if own == label:
                rows.append((float(score), image, [float(x) for x in box]))
    return sorted(rows, key=lambda row: -row[0])


def matches(detections, truths, label: int, threshold: float) -> list[tuple[str, int, int]]:
    """For each detection of a class "right", "wrong" or "ignored", its image, and the object that it is about."""
    taken, answers = set(), []
    for _, image, box in ranked(detections, label):
        best, chosen = 0.0, -1
        for k, (other, own) in enumerate(zip(truths[image].boxes, truths[image].labels)):
            if own == label and overlap(box, other) > best:
                best, chosen = overlap(box, other), k
        if best < threshold:
            answers.append(("wrong", image, chosen))
        elif truths[image].difficult[chosen]:
            answers.append(("ignored", image, chosen))
        else:
            fresh = (image, chosen) not in taken
            answers.append(("right" if fresh else "wrong", image, chosen))
            taken.add((image, chosen))
    return answers


def kinds_of(detections, truths, label: int, similar: set[tuple[int, int]]) -> list[str]:
    """Kind of each detection of a class that counts, best first; `similar` has pairs of labels, both ways."""
    answers = []
    verdicts = matches(detections, truths, label, 0.5)
    for (verdict, image, _), (_, _, box) in zip(verdicts, ranked(detections, label)):
        if verdict == "ignored":
            continue
        own = sim = other = False
        for box_of_object, named in zip(truths[image].boxes, truths[image].labels):
            if overlap(box, box_of_object) >= 0.1:
                if named == label:
                    own = True
                elif (label, int(named)) in similar:
                    sim = True
                else:
                    other = True
        if verdict == "right":
            answers.append("Cor")
        elif own:
            answers.append("Loc")
        elif sim:
            answers.append("Sim")
        elif other:
            answers.append("Oth")
        else:
            answers.append("BG")
    return answers


def normalised(detections, truths, label: int, part: set[tuple[int, int]], n: float) -> float:
    """AP_N of the objects (image, index) of a class that are in a part."""
    right = wrong = 0
    points = []  # (precision, found an object of the part)
    for verdict, image, chosen in matches(detections, truths, label, 0.5):
        mine = verdict == "right" and (image, chosen) in part
        right += mine
        wrong += verdict == "wrong"
        scaled = right / len(part) * n
        points.append((scaled / (scaled + wrong) if scaled + wrong else 0.0, mine))
    total = 0.0
    for i, (_, mine) in enumerate(points):
        if mine:
            total += max(precision for precision, _ in points[i:])
    return total / len(part) if part else math.nan
