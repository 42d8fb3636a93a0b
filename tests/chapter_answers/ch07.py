"""Chapter 7: answers that learners give, and words of the hint that each should get."""

import numpy as np


def naive_loss(scores, labels):
    e = np.exp(scores)
    return -np.log(e[np.arange(len(e)), labels] / e.sum(axis=1))


def softmax(scores):
    e = np.exp(scores - scores.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


def log_of_stable_softmax(scores, labels):
    return -np.log(softmax(scores)[np.arange(len(scores)), labels])


def clipped_loss(scores, labels):
    return -np.log(np.maximum(softmax(scores)[np.arange(len(scores)), labels], 1e-12))


def one_maximum_for_all(scores, labels):
    """As in the most copied code: the maximum of the whole batch."""
    top = scores.max()
    total = np.log(np.maximum(np.exp(scores - top).sum(axis=1), 1e-300)) + top
    return total - scores[np.arange(len(scores)), labels]


def two_sorts(losses, positives, ratio, hide=True, cap=True):
    hardness = np.where(positives, -np.inf, losses) if hide else losses
    rank = np.argsort(np.argsort(-hardness, axis=1, kind="stable"), axis=1)
    count = (ratio * positives.sum(axis=1, keepdims=True)).astype(int)
    if cap:
        count = np.minimum(count, (~positives).sum(axis=1, keepdims=True))
    return rank < count


def over_the_batch(losses, positives, ratio):
    flat = two_sorts(losses.reshape(1, -1), positives.reshape(1, -1), ratio)
    return flat.reshape(losses.shape)


def easiest(losses, positives, ratio):
    return two_sorts(np.where(positives, np.inf, -losses), positives, ratio)


def last_slice(losses, positives, ratio):
    mined = np.zeros(losses.shape, bool)
    for row, positive, chosen in zip(losses, positives, mined):
        count = int(ratio * positive.sum())
        chosen[np.argsort(np.where(positive, -np.inf, row))[-count:]] = True
    return mined


def any_of_the_ties(losses, positives, ratio):
    mined = np.zeros(losses.shape, bool)
    for row, positive, chosen in zip(losses, positives, mined):
        count = min(int(ratio * positive.sum()), int((~positive).sum()))
        hardness = np.where(positive, -np.inf, row)
        chosen[np.argpartition(hardness, len(row) - count - 1)[len(row) - count :]] = True
    return mined


def at_the_cut(losses, positives, ratio, strict=False):
    mined = np.zeros(losses.shape, bool)
    for row, positive, chosen in zip(losses, positives, mined):
        count = min(int(ratio * positive.sum()), int((~positive).sum()))
        if count:
            hardness = np.where(positive, -np.inf, row)
            cut = np.sort(hardness)[-count]
            if strict and (hardness == cut).sum() > 1:
                chosen[:] = hardness > cut
            else:
                chosen[:] = hardness >= cut
    return mined


def each_by_its_own(losses, positives, mined):
    """A divisor for every picture, in place of one for the batch."""
    return ((losses * (positives | mined)).sum(axis=1) / np.maximum(1, positives.sum(axis=1))).sum()


WRONG = {
    "safe_loss": [
        (naive_loss, "nan at logits of 1e4"),
        (log_of_stable_softmax, "rounded to 0"),
        (clipped_loss, "clipped"),
        (one_maximum_for_all, "of what is your maximum"),
        (lambda s, y: log_of_stable_softmax(s, y).mean(), "a loss of its own"),
        (lambda s, y: -log_of_stable_softmax(s, y), "the sign"),
        (lambda s, y: log_of_stable_softmax(s, y) - s.max(axis=1), "no longer cancel"),
        (lambda s, y: log_of_stable_softmax(s - s.max(axis=0), y), "one row alone"),
        (lambda s, y: softmax(s)[np.arange(len(s)), y], "before any log"),
    ],
    "mine_batch": [
        (lambda losses, p, r: two_sorts(losses, p, r, hide=False), "a positive was mined"),
        (over_the_batch, "one picture takes from the other"),
        (easiest, "easiest"),
        (last_slice, "-0"),
        (lambda losses, p, r: two_sorts(losses, p, r, cap=False), "positives were taken instead"),
        (at_the_cut, "reaches the cut"),
        (any_of_the_ties, "the first ones win"),
        (lambda losses, p, r: at_the_cut(losses, p, r, strict=True), "above* the cut"),
        (lambda losses, p, r: two_sorts(losses, p, 3), "built in"),
        (lambda losses, p, r: two_sorts(losses, p, r).astype(np.uint8), "dtype bool"),
        (lambda losses, p, r: losses[two_sorts(losses, p, r)], "a mask of the shape"),
    ],
    "three_gradients": [
        ([1 / 6, 1 / 6, -1 / 3], "with which weight"),
        ([0, 1 / 3, -2 / 3], "left out"),
        ([0, -1 / 6, 1 / 3], "Which sign"),
        ([0, 1 / 24, -1 / 12], "all boxes that count"),
        ([0, -1 / 3, -1 / 3], "labelled background"),
        ([0, 1 / 6, 1 / 6], "its own class"),
    ],
    "how_many": [
        ([0, 6, 15, 4, 6, 15], "15 are wanted"),
        ([0, 6, 12, 4, 6, 12], "all of them negatives"),
        ([3, 6, 7, 4, 6, 7], "three times nothing"),
        ([0, 6, 7, 0, 6, 7], "just this case"),
        ([0, 6, 7, 4, 10, 7], "not added"),
        ([0, 6, 7, 4, 4, 4], "no greatest"),
    ],
    "class_loss": [
        (lambda x, p, m: x[p | m].sum() / np.float64(p.sum()), "0 / 0"),
        (lambda x, p, m: x[p | m].mean(), "positives only"),
        (each_by_its_own, "divided by its own"),
        (lambda x, p, m: x[p | m].sum() / x.size, "all boxes"),
        (lambda x, p, m: x[p].sum() / max(1, p.sum()), "only the positives"),
        (lambda x, p, m: x.sum() / max(1, p.sum()), "nobody mined"),
        (lambda x, p, m: x[p | m].sum() / p.sum() if p.any() else 0.0, "they should count"),
        (lambda x, p, m: np.float64(x[p | m].sum()) / p.sum() if m.any() else 0.0, "is inf"),
    ],
}
