"""Chapter 12: answers that learners give, and words of the hint that each should get."""

import numpy as np


def verdicts(scores, about, duplicates=False, nothing=False, sort=True, back=False):
    order = np.argsort(-scores, kind="stable") if sort else np.arange(len(scores))
    found, right = set(), np.zeros(len(scores), bool)
    for rank, row in enumerate(order):
        real = nothing or about[row] >= 0
        right[row if back else rank] = real and (duplicates or about[row] not in found)
        found.add(about[row])
    return right


def read_at(points, divisor=11, reach=np.greater_equal, rest=0.0):
    def ap(recall, precision):
        readings = [precision[reach(recall, p)].max(initial=rest) for p in points]
        return sum(readings) / divisor

    return ap


EXACT = [k / 10 for k in range(11)]


def first_that_reaches(recall, precision):
    return sum(precision[recall >= p][:1].sum() for p in EXACT) / 11


def only_what_is_reached(recall, precision):
    return np.mean([precision[recall >= p].max() for p in EXACT if (recall >= p).any()])


WRONG = {
    "ap_by_hand": [
        ([0.625, 6.75 / 11], "left out of the list"),
        ([0.85, 0.85], "count as right"),
        ([2.2 / 3, 6 / 11], "never reached"),
        ([0.525, 0.5], "as they stand"),
        ([6 / 11, 0.55], "other order"),
        ([0.55, 0.6], "divided by ten"),
        ([0.55, 0.55], "the eleven points are not"),
        ([55, 54.5], "per cent"),
    ],
    "right_in_rank": [
        (lambda s, a: verdicts(s, a, sort=False), "as they are given"),
        (lambda s, a: verdicts(s, a, duplicates=True), "counts again"),
        (lambda s, a: verdicts(s, a, back=True), "by rank"),
        (lambda s, a: verdicts(s, a, nothing=True), "no object"),
        (lambda s, a: int(verdicts(s, a).sum()), "one truth value"),
    ],
    "eleven_points": [
        (read_at(np.arange(11) * 0.1), "all their digits"),
        (read_at(EXACT, divisor=10), "eleven points"),
        (read_at(EXACT, divisor=1), "sum of the readings"),
        (read_at(EXACT, reach=np.greater), "or equal"),
        (only_what_is_reached, "nor left out"),
        (first_that_reaches, "a higher one"),
        (lambda r, p: [p[r >= q].max(initial=0) for q in EXACT], "one number"),
    ],
    "difficult": [
        ([2, 2, 3], "like any other"),
        ([1, 3, 2], "costs nothing"),
        ([1, 2, 2], "one detection too many"),
        ([2, 1, 2], "earns nothing"),
        ([1, 1, 3], "not asked for"),
    ],
}
