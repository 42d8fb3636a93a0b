"""Solutions of chapter 10."""

import math

import numpy as np


def ignoring_loss(counts, ratio):
    """Positives are background with chance r / (1 + r) to this network, class c with f_c / (1 + r)."""
    shares = np.array([count for count in counts if count], float)
    shares /= shares.sum()
    entropy = -(shares * np.log(shares)).sum()
    return math.log(1 + ratio) + entropy + ratio * math.log((1 + ratio) / ratio)


# P: the class loss falls, the offset loss climbs. Q: all sinks, but at a crawl. R: the gradient swells evenly.
diagnosis = {
    "P": "offsets' gradient with the wrong sign",
    "Q": "learning rate too low",
    "R": "gradients never set to zero",
}


def rate(step, top, warmup, total):
    """A line up to the top, then half a wave of the cosine down to zero."""
    if step < warmup:
        return top * (step + 1) / warmup
    done = (step - warmup) / (total - warmup)
    return top * (1 + math.cos(math.pi * done)) / 2


to_save = [
    "weights",
    "running mean and variance of batch norm",
    "velocity of every weight",
    "number of the step",
    "settings, the seed among them",
]
