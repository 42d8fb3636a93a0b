"""The MultiBox loss by kernels: four launches, the host waits for none of them.

`loss.py` calls this where `loss_kernels` finds kernels; its array code says what they compute.
"""

from __future__ import annotations

from minissd.backend import Array, array_module
from minissd.boxes.mining import mine_hard_negatives
from minissd.cuda import BLOCK, Compiled, Kernels

KERNELS = Kernels(__file__, "loss.cu")
MOST_PARTS = 1024  # blocks that add up losses


def loss_kernels(scores: Array, offsets: Array, labels: Array, targets: Array) -> Compiled | None:
    """Return the kernels for predictions and targets, or None where types or sizes are not what they are made for."""
    one_type = scores.dtype == offsets.dtype == targets.dtype and str(labels.dtype) == "int64"
    return KERNELS.of(scores) if one_type and scores.size else None


def losses_of_boxes(kernels: Compiled, scores: Array, labels: Array) -> tuple[Array, Array]:
    """Return the cross-entropy (N, K) of scores (N, K, C + 1), and which boxes are positive (N, K)."""
    xp = array_module(scores)
    losses, positives = xp.empty(labels.shape, scores.dtype), xp.empty(labels.shape, bool)
    args = (scores, xp.ascontiguousarray(labels), losses, positives, labels.size, scores.shape[-1])
    kernels.launch("box_losses", 32 * labels.size, BLOCK, args)
    return losses, positives


def device_loss(
    kernels: Compiled,
    scores: Array,
    offsets: Array,
    targets: tuple[Array, Array, Array | None],
    mining: tuple[float, int],
    mined: Array | None,
    n_positives: Array | None,
) -> tuple[Array, ...]:
    """Do what `loss.multibox_loss` says; returns the fields of its result.

    Args:
        kernels: From `loss_kernels`.
        scores: As there.
        offsets: As there.
        targets: Labels, offsets and candidates.
        mining: Ratio of negatives to positives, and their least number.
        mined: As there.
        n_positives: As there.
    """
    xp, (labels, wanted, candidates) = array_module(scores), targets
    scores, offsets, labels, wanted = map(xp.ascontiguousarray, (scores, offsets, labels, wanted))
    losses, positives = losses_of_boxes(kernels, scores, labels)
    if mined is None:
        mined = mine_hard_negatives(losses, positives, *mining, candidates)
    if n_positives is None:
        n_positives = positives.sum()
    count = xp.asarray(n_positives, "int64")
    d_scores, d_offsets = (
        xp.empty(scores.shape, scores.dtype),
        xp.empty(offsets.shape, scores.dtype),
    )
    blocks = min(MOST_PARTS, -(-32 * labels.size // BLOCK))
    parts, sums = xp.empty((blocks, 2), scores.dtype), xp.empty(3, scores.dtype)
    args = (scores, offsets, labels, wanted, losses, xp.ascontiguousarray(mined), count)
    args += (d_scores, d_offsets, parts, labels.size, scores.shape[-1])
    kernels.launch("box_gradients", (blocks,), BLOCK, args)
    kernels.launch("loss_sums", (1,), BLOCK, (parts, sums, blocks))
    return sums[0], sums[1], sums[2], n_positives, mined, d_scores, d_offsets
