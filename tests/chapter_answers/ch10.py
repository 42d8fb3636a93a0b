"""Chapter 10: answers that learners give, and words of the hint that each should get."""

import math

import numpy as np


def entropy(counts):
    shares = np.array([count for count in counts if count], float) / sum(counts)
    return float(-(shares * np.log(shares)).sum())


def whole(counts, ratio):
    return math.log(1 + ratio) + entropy(counts) + ratio * math.log((1 + ratio) / ratio)


def unsafe(counts, ratio):
    with np.errstate(all="ignore"):
        shares = np.array(counts, float) / sum(counts)
        return whole([1], ratio) - (shares * np.log(shares)).sum()


def line(step, top, warmup, total):
    if step < warmup:
        return top * (step + 1) / warmup
    return top * (total - step) / (total - warmup)


def wave(step, top, warmup, total, begin):
    return top * (1 + math.cos(math.pi * (step - begin) / (total - begin))) / 2


def quarter_wave(step, top, warmup, total):
    if step < warmup:
        return top * (step + 1) / warmup
    return top * math.cos(math.pi * (step - warmup) / (total - warmup))


def found(p, q, r):
    return {"P": p, "Q": q, "R": r}


HIGH, LOW, PILED = (
    "learning rate too high",
    "learning rate too low",
    "gradients never set to zero",
)
SIGN, PLACE = "offsets' gradient with the wrong sign", "boxes in the wrong place"
ALL = [
    "weights",
    "running mean and variance of batch norm",
    "velocity of every weight",
    "number of the step",
    "settings, the seed among them",
]

WRONG = {
    "ignoring_loss": [
        (lambda counts, ratio: entropy(counts), "Who tells it"),
        (lambda counts, ratio: math.log(1 + ratio) + entropy(counts), "not free"),
        (lambda counts, ratio: whole(counts, ratio) / (1 + ratio), "by what does SSD divide"),
        (lambda counts, ratio: whole(counts, ratio) / math.log(2), "in bits"),
        (lambda counts, ratio: whole([1] * len(counts), ratio), "not equally frequent"),
        (lambda counts, ratio: whole(counts, 3.0), "built in"),
        (unsafe, "never seen"),
    ],
    "diagnosis": [
        (found(SIGN, LOW, HIGH), "adds up"),
        (found(PLACE, LOW, PILED), "still have an offset"),
        (found(SIGN, PLACE, PILED), "hang at the dotted line"),
        (found("boxes that match nothing", LOW, PILED), "look at the positives"),
        (found("nan", LOW, PILED), "not on the list"),
        (found(LOW, SIGN, PILED), "column by column"),
    ],
    "rate": [
        (lambda s, top, w, t: top * s / w if s < w else wave(s, top, w, t, w), "teach nothing"),
        (lambda s, top, w, t: wave(s, top, w, t, 0), "where is the warm-up"),
        (
            lambda s, top, w, t: top * (s + 1) / w if s < w else wave(s, top, w, t, 0),
            "not at step 0",
        ),
        (line, "straight line down"),
        (quarter_wave, "never is"),
    ],
    "to_save": [
        (ALL[:2] + ALL[3:], "start from rest"),
        (["weights", "number of the step", "learning rate"], "follows from something else"),
        ([*ALL, "gradients"], "first of all"),
        ([ALL[0], *ALL[2:]], "other statistics"),
        (ALL[:3] + ALL[4:], "which pictures are next"),
        (ALL[:4], "What decides that"),
    ],
}
