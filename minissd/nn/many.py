"""One launch over many arrays: what is done to every parameter of a network, done to all of them at once.

A network has some hundred parameters, and most are small: launched one by one, the host would need longer to ask for
the work than the device to do it. A kernel that gets a table of addresses does all in one go. The table follows from
the addresses alone, so it is made (and copied to the device) once, and again only when arrays move.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from types import ModuleType
from typing import Any

import numpy as np

from minissd.backend import Array, array_module, to_device
from minissd.cuda import BLOCK, Compiled, Kernels

KERNELS = Kernels(__file__, "many.cu")
STRETCH = 4096  # numbers of a block: small enough that blocks are many, large enough that their table is small

Arrays = Sequence[Array]


def kernels_for(*groups: Arrays) -> Compiled | None:
    """Return the kernels for groups of arrays, or None: they must be of one type and lie in line on a device.

    Args:
        groups: Arrays of all parameters: values, or gradients, and so on; each group in the same order and shapes.
    """
    if not groups[0] or isinstance(groups[0][0], np.ndarray):
        return None
    arrays = [array for group in groups for array in group]
    dtype = arrays[0].dtype
    fits = all(array.dtype == dtype and array.flags.c_contiguous for array in arrays)
    return KERNELS.of(arrays[0]) if fits else None


def table(*groups: Arrays) -> Array:
    """Return the table of all stretches: rows of length, number of the array in its group, and one address a group."""
    addresses = tuple(tuple(int(array.data.ptr) for array in group) for group in groups)
    sizes = tuple(array.size for array in groups[0])
    return _table(array_module(groups[0][0]), addresses, sizes, groups[0][0].dtype.itemsize)


@lru_cache(maxsize=32)
def _table(
    xp: ModuleType, addresses: tuple[tuple[int, ...], ...], sizes: tuple[int, ...], itemsize: int
) -> Array:
    starts = [np.arange(0, size, STRETCH, dtype=np.uint64) for size in sizes]
    owner = np.repeat(np.arange(len(sizes)), [len(own) for own in starts]).astype(np.uint64)
    start = np.concatenate(starts)
    length = np.minimum(np.array(sizes, np.uint64)[owner] - start, np.uint64(STRETCH))
    begin = start * np.uint64(itemsize)
    columns = [np.array(group, np.uint64)[owner] + begin for group in addresses]
    return to_device(np.ascontiguousarray(np.stack([length, owner, *columns], axis=1)), xp)


@lru_cache(maxsize=32)
def constants(xp: ModuleType, numbers: tuple[Any, ...], dtype: str) -> Array:
    """Return a tuple (of tuples) of numbers as an array on a device, copied there once."""
    return to_device(np.array(numbers, dtype), xp)


def fill_zero(arrays: Arrays) -> bool:
    """Set all numbers of many arrays to zero, and say so; or do nothing, where there are no kernels for them."""
    kernels = kernels_for(arrays)
    if kernels is None:
        return False
    rows = table(arrays)
    kernels.launch("fill_zero", (len(rows),), BLOCK, (rows,))
    return True


def shorten(kernels: Compiled, arrays: Arrays, most: float) -> Array:
    """Scale arrays down together so that their common length is at most `most`; return the length before, 0-d."""
    xp, dtype, rows = array_module(arrays[0]), arrays[0].dtype, table(arrays)
    parts, norm = xp.empty(len(rows), dtype), xp.empty(2, dtype)
    kernels.launch("squares", (len(rows),), BLOCK, (rows, parts))
    kernels.launch("length_and_scale", (1,), BLOCK, (parts, norm, most, len(rows)))
    kernels.launch("multiply", (len(rows),), BLOCK, (rows, norm[1:]))
    return norm[0]
