"""Hard-negative mining: which background boxes take part in the class loss.

Of thousands of default boxes a handful show an object. If all the others counted, "background" would drown the rest;
so each image keeps only the negatives that the network gets most wrong, a few for each positive.
"""

from __future__ import annotations

import numpy as np

from minissd.backend import Array, array_module
from minissd.cuda import Compiled, Kernels
from minissd.errors import check, check_shape

KERNELS = Kernels(__file__, "mining.cu")
# Of a block: the kernel's table has DIGITS places, a thread for each.
DIGITS, MOST_THREADS = 256, 1024


def mine_hard_negatives(
    losses: Array,
    positives: Array,
    ratio: float = 3.0,
    min_negatives: int = 0,
    candidates: Array | None = None,
) -> Array:
    """Choose the negatives with the highest loss, image by image.

    An image gets max(int(ratio * its positives), min_negatives) negatives, or all it has where those are fewer.
    Equal losses go to the box that comes first. On a device nothing is copied to the host.

    Args:
        losses: Shape (N, K), float, class loss of each default box; for negatives, that of answering "background".
        positives: Shape (N, K), bool, the matched boxes.
        ratio: Negatives for each positive.
        min_negatives: Least number for an image, so that one without objects can teach something too.
        candidates: Shape (N, K), bool, boxes that may be chosen (never a positive, whatever this says). None: all
            that are not positive.

    Returns:
        Shape (N, K), bool, True for the chosen negatives.

    Raises:
        ValueError: Shapes do not fit, a mask is not of bools, or a number is negative.

    Source: section 2.2 of the paper, "Hard negative mining".
    """
    check_shape(losses, ("N", "K"), "losses")
    _check_mask(positives, losses.shape, "positives")
    check(ratio >= 0, "ratio", "a number of at least 0", ratio)
    check(min_negatives >= 0, "min_negatives", "a number of at least 0", min_negatives)
    if candidates is not None:
        _check_mask(candidates, losses.shape, "candidates")
    xp = array_module(losses, positives)
    kernels = KERNELS.of(losses) if losses.size else None
    if kernels is not None:
        return _launch(kernels, losses, positives, candidates, ratio, min_negatives)
    negatives = ~positives
    if candidates is not None:
        negatives = negatives & candidates
    wanted = xp.maximum((ratio * positives.sum(axis=1)).astype(xp.int64), min_negatives)
    count = xp.minimum(wanted, negatives.sum(axis=1))[:, None]  # (N, 1)
    return _largest(xp.where(negatives, losses, -xp.inf), count)


def _launch(
    kernels: Compiled,
    losses: Array,
    positives: Array,
    candidates: Array | None,
    ratio: float,
    min_negatives: int,
) -> Array:
    """Do what `mine_hard_negatives` says with a kernel, one block an image."""
    xp, (n, k) = array_module(losses, positives), losses.shape
    mined = xp.empty((n, k), bool)
    allowed = positives if candidates is None else candidates
    arrays = map(xp.ascontiguousarray, (losses, positives, allowed))
    args = (*arrays, candidates is not None, mined, ratio, min_negatives, k)
    threads = min(MOST_THREADS, max(DIGITS, -(-k // 32) * 32))
    kernels.launch("mine", (n,), threads, args)
    return mined


def _check_mask(mask: Array, shape: tuple[int, ...], name: str) -> None:
    """Refuse also whole numbers: `~` turns 1 into 254 or -2, which count as true, and positives would be mined."""
    check_shape(mask, shape, name)
    check(mask.dtype == np.bool_, name, "dtype bool", str(mask.dtype))


def _largest(values: Array, count: Array) -> Array:
    """Mark the `count` (N, 1) largest of each row of `values` (N, K); ties go to the first."""
    xp = array_module(values, count)
    n_columns = values.shape[1]
    if n_columns == 0:
        return values > 0
    # The count-th largest value of a row is a threshold: all above it are in, and of those equal to it, the first
    # few, as many as are still missing. One sort of plain values costs a fraction of two argsorts.
    place = xp.maximum(n_columns - count, 0)
    place = xp.minimum(place, n_columns - 1)  # count 0: any place will do, none is missing
    threshold = xp.take_along_axis(xp.sort(values, axis=1), place, axis=1)
    above = values > threshold
    equal = values == threshold
    missing = count - above.sum(axis=1, keepdims=True)
    return above | (equal & (xp.cumsum(equal, axis=1) <= missing))
