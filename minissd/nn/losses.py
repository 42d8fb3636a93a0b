"""Losses: a value for every row or number, and its gradient, side by side.

Nothing is summed or averaged here. Whoever adds the values up, with whatever weights, multiplies the gradients by the
same weights. The softmax is stable row by row: logits of +-1e4 give finite answers.
"""

from __future__ import annotations

import numpy as np

from minissd.backend import Array, array_module
from minissd.cuda import BLOCK, Kernels
from minissd.errors import check, check_shape
from minissd.parallel import over_batch

SHORT_ROW = 100  # numbers

KERNELS = Kernels(__file__, "losses.cu")


def softmax(logits: Array) -> Array:
    """Turn scores into probabilities that sum to one over the last axis.

    Args:
        logits: (..., C), any float dtype.

    Returns:
        (..., C), same dtype.
    """
    xp = array_module(logits)
    kernels = KERNELS.of(logits) if logits.size else None
    if kernels is not None:
        probabilities, classes = xp.empty(logits.shape, logits.dtype), logits.shape[-1]
        rows = logits.size // classes
        args = (xp.ascontiguousarray(logits), probabilities, rows, classes)
        kernels.launch("softmax", 32 * rows, BLOCK, args)
        return probabilities
    probabilities = xp.exp(logits - logits.max(axis=-1, keepdims=True))
    probabilities /= probabilities.sum(axis=-1, keepdims=True)
    return probabilities


def log_softmax(logits: Array) -> Array:
    """Return the logarithm of `softmax`, finite also where the probability itself is too small to hold.

    Args:
        logits: (..., C), any float dtype.

    Returns:
        (..., C), same dtype.
    """
    xp = array_module(logits)
    shifted = logits - logits.max(axis=-1, keepdims=True)
    shifted -= xp.log(xp.exp(shifted).sum(axis=-1, keepdims=True))
    return shifted


def softmax_cross_entropy(logits: Array, labels: Array) -> tuple[Array, Array]:
    """Compute -log(softmax(logits)[label]) of every row, and its gradient softmax(logits) - one_hot(label).

    Args:
        logits: (M, C), any float dtype.
        labels: (M,) integers in 0..C-1. On the host this is checked; on a device the check would have to wait for
            the data, and a label out of range gives an undefined answer.

    Returns:
        losses (M,) and their gradients (M, C), each row's for its own loss, in the dtype of the logits.

    Raises:
        ValueError: Shapes do not fit, or a label is out of range; the message names the row.

    Source: Liu et al. 2016, equation 3.
    """
    xp = array_module(logits, labels)
    check_shape(logits, ("M", "C"), "logits")
    check_shape(labels, (logits.shape[0],), "labels")
    if xp is np:
        _check_labels(labels, logits.shape[1])
    losses, gradient = xp.empty(logits.shape[0], logits.dtype), xp.empty(logits.shape, logits.dtype)
    kernels = KERNELS.of(logits) if logits.size and labels.dtype == np.int64 else None
    if kernels is not None:
        rows, classes = logits.shape
        arrays = (xp.ascontiguousarray(logits), xp.ascontiguousarray(labels))
        kernels.launch(
            "cross_entropy", 32 * rows, BLOCK, (*arrays, losses, gradient, rows, classes)
        )
        return losses, gradient

    def block(rows: slice) -> None:
        losses[rows] = _row_losses(logits[rows], labels[rows], gradient[rows])

    over_batch(block, logits)
    return losses, gradient


def _row_losses(logits: Array, labels: Array, gradient: Array) -> Array:
    """Return the cross-entropy of rows (M, C) and write its gradient."""
    xp = array_module(logits)
    rows = xp.arange(logits.shape[0])
    xp.subtract(logits, _row_maxima(logits)[:, None], out=gradient)
    chosen = gradient[rows, labels]
    xp.exp(gradient, out=gradient)
    # A product, 15 times as fast as a sum of short rows.
    total = gradient @ xp.ones(gradient.shape[1], gradient.dtype)
    gradient *= (1 / total)[:, None]
    gradient[rows, labels] -= 1
    return xp.log(total) - chosen


def _row_maxima(x: Array) -> Array:
    """Return the maximum of each row of (M, C): in NumPy column by column, as it begins every short row anew."""
    if array_module(x) is not np or x.shape[1] > SHORT_ROW:
        return x.max(axis=1)
    maxima = x[:, 0].copy()
    for column in range(1, x.shape[1]):
        np.maximum(maxima, x[:, column], out=maxima)
    return maxima


def _check_labels(labels: np.ndarray, n_classes: int) -> None:
    wrong = (labels < 0) | (labels >= n_classes)
    if wrong.any():
        row = int(wrong.argmax())
        raise ValueError(
            f"labels: expected classes 0..{n_classes - 1}, got {labels[row]} in row {row}"
        )


def smooth_l1(prediction: Array, target: Array, beta: float = 1.0) -> tuple[Array, Array]:
    """Compute the smooth L1 distance of every number and its gradient with respect to the prediction.

    With d = prediction - target: d^2 / (2 beta) where |d| < beta, and |d| - beta / 2 beyond.

    Args:
        prediction: Any shape and float dtype.
        target: Same shape.
        beta: Where the parabola becomes a line, > 0; 1 in the paper.

    Returns:
        Values and gradients, in the shape of the prediction. The slope never exceeds 1.

    Source: Girshick 2015 ("Fast R-CNN"), equation 3; Liu et al. 2016, equation 2.
    """
    xp = array_module(prediction, target)
    check(beta > 0, "beta", "a number above 0", beta)
    check_shape(target, tuple(prediction.shape), "target")
    beta = float(beta)
    kernels = KERNELS.of(prediction) if prediction.dtype == target.dtype else None
    if kernels is not None:
        count = prediction.size
        values, gradient = (xp.empty(prediction.shape, prediction.dtype) for _ in range(2))
        arrays = (xp.ascontiguousarray(prediction), xp.ascontiguousarray(target))
        kernels.launch("smooth_l1", count, BLOCK, (*arrays, values, gradient, beta, count))
        return values, gradient
    difference = prediction - target
    distance = xp.abs(difference)
    inner = xp.minimum(distance, beta)  # both branches in one product; a huge d is never squared
    values = inner * (distance - 0.5 * inner) / beta
    return values, xp.clip(difference / beta, -1, 1)
