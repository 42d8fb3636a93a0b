"""Chapter 11: answers that learners give, and words of the hint that each should get."""

import numpy as np

from minissd.boxes import iou, nms


def asking(boxes, scores, threshold, order=None, whom="kept", strict=True, give="rows", limit=None):
    """Greedy suppression with one thing done otherwise."""
    order = np.argsort(-scores, kind="stable") if order is None else order(scores)
    kept, seen, places = [], [], []
    for place, row in enumerate(order):
        others = {"kept": kept, "better": seen, "all": [i for i in order if i != row]}[whom]
        shared = iou(boxes[[row]], boxes[others])
        limit_here = threshold if limit is None else limit
        close = shared > limit_here if strict else shared >= limit_here
        if not close.any():
            kept.append(int(row))
            places.append(place)
        seen.append(int(row))
    return {"rows": kept, "places": places, "sorted": sorted(kept), "worst": kept[::-1]}[give]


def mask(boxes, scores, threshold):
    return np.isin(np.arange(len(boxes)), asking(boxes, scores, threshold))


def wrong(**change):
    return lambda boxes, scores, threshold: asking(boxes, scores, threshold, **change)


def steps(
    boxes,
    table,
    floor,
    threshold,
    top_k,
    most,
    first=1,
    shift=0,
    inclusive=False,
    agnostic=False,
    local=False,
    choose=False,
    silence=True,
    sort=True,
    cut="all",
):
    """The last step with one thing done otherwise."""
    table = np.array(table)
    if choose:
        table[:, 1:] *= table[:, 1:] == table[:, 1:].max(axis=1, keepdims=True)
    answers = []
    for label in range(first, table.shape[1]):
        scores = table[:, label]
        rows = np.flatnonzero(scores >= floor if inclusive else scores > floor)
        rows = rows[np.argsort(-scores[rows], kind="stable")][:top_k]
        kept = nms(boxes[rows], scores[rows], threshold) if silence else np.arange(len(rows))
        answers += [(scores[rows[i]], label - shift, i if local else rows[i]) for i in kept]
        if cut == "each":
            answers = answers[: most * label]
    if agnostic:
        kept = nms(boxes[[a[2] for a in answers]], np.array([a[0] for a in answers]), threshold)
        answers = [answers[i] for i in kept]
    if cut == "early":
        answers = answers[:most]
    answers = sorted(answers, key=lambda one: -one[0]) if sort else sorted(answers)
    return answers[:most] if cut == "all" else answers


def other(**change):
    return lambda *given: steps(*given, **change)


def top_k_after(boxes, table, floor, threshold, top_k, most):
    answers = steps(boxes, table, floor, threshold, None, 1000)
    of = {label: [one for one in answers if one[1] == label] for _, label, _ in answers}
    return [one for one in answers if one in of[one[1]][:top_k]][:most]


def order_of_triples(*given):
    return [(label, score, row) for score, label, row in steps(*given)]


def boxes_in_triples(boxes, *given):
    return [(score, label, boxes[row]) for score, label, row in steps(boxes, *given)]


def not_empty(boxes, scores, threshold):
    return asking(boxes, scores, threshold) if len(boxes) else [scores.argmax()]


def without_top_k(boxes, table, floor, threshold, top_k, most):
    return steps(boxes, table, floor, threshold, None, most)


WRONG = {
    "kept_by_asking": [
        (wrong(order=lambda s: np.arange(len(s))), "nobody has sorted"),
        (wrong(whom="better"), "which is silenced itself"),
        (wrong(strict=False), "exactly the threshold"),
        (wrong(give="places"), "places in the sorted list"),
        (wrong(give="sorted"), "not the best first"),
        (wrong(give="worst"), "worst first"),
        (wrong(limit=0.45), "built in"),
        (wrong(order=lambda s: np.argsort(s, kind="stable")[::-1]), "earlier row"),
        (mask, "True or False"),
        (not_empty, "empty answer"),
        (lambda b, s, t: s[asking(b, s, t)], "look like scores"),
        (lambda b, s, t: [b[row] for row in asking(b, s, t)], "not of boxes"),
    ],
    "three_rows": [
        ([[0], [0, 3], [1, 3]], "Can it silence"),
        ([[0, 2, 4], [0, 2, 4], [1, 3]], "above 0.3"),
        ([[0, 2, 4], [0], [1, 3]], "two boxes, and no more"),
        ([[0, 2, 4], [0, 3], [0, 2, 4]], "from left to right"),
        ([[0, 2, 4], [0, 3], [1, 3, 4]], "neighbours"),
        ([[1, 3, 5], [1, 4], [2, 4]], "counted from 0"),
        ([0, 3, 1], "a list of its own"),
    ],
    "last_step": [
        (other(first=0), "background came back"),
        (other(shift=1), "column 0 holds class 1"),
        (other(agnostic=True), "class 2 is gone"),
        (other(choose=True), "two classes"),
        (other(inclusive=True), "exactly the floor"),
        (other(local=True), "not yet rows"),
        (other(silence=False), "both came back"),
        (other(sort=False), "best first"),
        (without_top_k, "may enter"),
        (top_k_after, "that enter `nms`"),
        (order_of_triples, "in this order"),
        (boxes_in_triples, "not the box itself"),
        (other(cut="each"), "over all classes together"),
        (other(cut="early"), "sort before you cut"),
    ],
    "side_by_side": [
        ([55, 30, 0], "divides by the union"),
        ([45, 70, 0], "how much is shared"),
        ([62.1, 82.4, 0], "how much is shared"),
        ([0.379, 0.176, 0], "not fractions"),
        ([17.6, 37.9, 0], "swapped"),
        ([37.9, 17.6, 37.9], "different classes"),
    ],
}
