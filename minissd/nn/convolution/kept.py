"""Kernels at Winograd's points, kept between calls while a network only predicts."""

from __future__ import annotations

from minissd.backend import Array
from minissd.nn.convolution.winograd import transform_kernels
from minissd.parallel import run_blocks


class KeptKernels:
    """What `transform_kernels` made of a layer's weights, as long as they are the same numbers.

    Whoever changes weights in place tells nobody, so each call compares them, bit by bit, with a copy of those that
    were transformed. Reading both takes a tenth of the time of a transformation. The price is memory: 5 times that of
    the weights. In training, where they change with each step, nothing is kept.
    """

    def __init__(self) -> None:
        self._kept: tuple[Array, Array] | None = (
            None  # replaced as a whole, for callers on two threads
        )

    def of(self, w: Array) -> Array:
        """Return the kernels of weights (3, 3, C, K) at the points."""
        kept = self._kept
        if kept is None or not _same(kept[0], w):
            kept = self._kept = (w.copy(), transform_kernels(w))
        return kept[1]

    def drop(self) -> None:
        """Free the memory."""
        self._kept = None


def _same(one: Array, other: Array) -> bool:
    """Say whether two arrays are the same bits, reading them on all threads."""
    if one.shape != other.shape or one.dtype != other.dtype:
        return False
    bits = f"u{one.itemsize}"
    rows = [array.reshape(-1, array.shape[-1]).view(bits) for array in (one, other)]
    step = max(1, 2**17 // rows[0].shape[1])
    parts = [slice(i, i + step) for i in range(0, len(rows[0]), step)]
    return all(run_blocks(lambda part: bool((rows[0][part] == rows[1][part]).all()), parts))
