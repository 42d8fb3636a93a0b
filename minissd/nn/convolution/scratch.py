"""Working memory of the convolution algorithms: one piece a thread, kept and used again, of limited size.

Memory fresh from the system costs a page fault every 4 kB, and it is never in the cache. A thread that works block by
block therefore writes into the same memory each time. What it keeps between calls is at most `LIMIT` bytes.
"""

from __future__ import annotations

import math
import threading

import numpy as np

LIMIT = 16 * 2**20  # bytes that a thread keeps; blocks are cut so that they need no more
_ALIGNMENT = 64  # bytes: a line of the cache, and the widest vector of the processor


class _Memory(threading.local):
    """The calling thread's own piece."""

    data: np.ndarray | None = None


_memory = _Memory()


def scratch(*shapes: tuple[int, ...], dtype: np.dtype | type = np.float32) -> list[np.ndarray]:
    """Return arrays of these shapes that lie one behind the other in the calling thread's memory.

    They hold whatever was there before, and are good until the same thread calls again: nothing that outlives a block
    may be a view of them.
    """
    dtype = np.dtype(dtype)
    sizes = [_aligned(math.prod(shape) * dtype.itemsize) for shape in shapes]
    memory = _get(sum(sizes))
    arrays, start = [], 0
    for shape, size in zip(shapes, sizes):
        end = start + math.prod(shape) * dtype.itemsize
        arrays.append(memory[start:end].view(dtype).reshape(shape))
        start += size
    return arrays


def kept_bytes() -> int:
    """Return how many bytes the calling thread keeps."""
    return 0 if _memory.data is None else _memory.data.nbytes


def _get(size: int) -> np.ndarray:
    """Return at least `size` aligned bytes; more than the limit are made for this once."""
    kept = _memory.data
    if kept is None or kept.nbytes < size + _ALIGNMENT:
        kept = np.empty(size + _ALIGNMENT, np.uint8)
        if kept.nbytes <= LIMIT:
            _memory.data = kept
    return kept[-kept.ctypes.data % _ALIGNMENT :]


def _aligned(size: int) -> int:
    return -(-size // _ALIGNMENT) * _ALIGNMENT
