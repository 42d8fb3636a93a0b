"""Tensors that still lie in their file: views of it, checked against its length, read when they are needed.

All readers end here. A file is mapped into memory, not read, and a tensor is a window on the map; a damaged or hostile
header can therefore name what sizes it likes: nothing is allocated for a number that the file does not hold.
"""

from __future__ import annotations

import math
import mmap
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from minissd.errors import InputError

# How each kind of number lies in a file, little-endian. NumPy has no bfloat16: its bits are the upper half of a
# float32's, so they are read as whole numbers and shifted.
STORED_AS = {
    "float64": "<f8",
    "float32": "<f4",
    "float16": "<f2",
    "bfloat16": "<u2",
    "int64": "<i8",
    "int32": "<i4",
    "int16": "<i2",
    "int8": "<i1",
    "uint8": "<u1",
    "bool": "<u1",
}
MOST_AXES = 8
MOST_NUMBERS = (
    1 << 40
)  # of one tensor, as its shape has it: far above any network, far below an overflow


@dataclass(frozen=True)
class StoredTensor:
    """A tensor as it lies in a file.

    Attributes:
        raw: View of the file, in the stored dtype and axes.
        kind: What the numbers are: a key of `STORED_AS`.
    """

    raw: np.ndarray
    kind: str

    @property
    def shape(self) -> tuple[int, ...]:
        """Lengths of the axes, as stored."""
        return self.raw.shape

    @property
    def size(self) -> int:
        """How many numbers the tensor has."""
        return math.prod(self.raw.shape)

    def numpy(self) -> np.ndarray:
        """Read the numbers: a new array in the machine's byte order; bfloat16 becomes float32."""
        if self.kind == "bfloat16":
            return (self.raw.astype(np.uint32) << 16).view(np.float32)
        return self.raw.astype(self.raw.dtype.newbyteorder("="))


@dataclass
class WeightFile:
    """What a reader found in a file.

    Attributes:
        path: The file.
        format: What it is, in words: "PyTorch, zip container".
        tensors: By the name they have in the file, in its order.
        skipped: What else stood there and was left aside, in words.
        metadata: Text that came with the tensors (safetensors only).
    """

    path: Path
    format: str
    tensors: dict[str, StoredTensor]
    skipped: list[str] = field(default_factory=list)
    metadata: dict[str, str] = field(default_factory=dict)


def map_file(path: str | Path) -> mmap.mmap:
    """Map a file into memory for reading.

    Raises:
        InputError: There is no such file, it is a folder, or it is empty.
    """
    path = Path(path)
    if path.is_dir():
        raise InputError(f"{path}: is a folder; a file of weights is needed")
    try:
        with path.open("rb") as file:
            return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    except ValueError as error:  # mmap's word for it
        raise InputError(f"{path}: the file is empty") from error
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror or error})") from error


def view(
    buffer: mmap.mmap,
    kind: str,
    shape: Sequence[int],
    start: int,
    strides: Sequence[int] | None = None,
    end: int | None = None,
    big_endian: bool = False,
) -> StoredTensor:
    """Return a tensor as a view of a mapped file.

    Args:
        buffer: The file.
        kind: A key of `STORED_AS`.
        shape: Lengths of the axes.
        start: Byte of the first number.
        strides: Steps along the axes, counted in numbers; None: one after another, last axis fastest.
        end: Byte behind the last that belongs to the tensor's storage (None: the end of the file).
        big_endian: Whether each number's high byte comes first.

    Raises:
        ValueError: The shape is not one, or the tensor would reach beyond the storage or the file.
    """
    dtype = np.dtype(STORED_AS[kind])
    end = len(buffer) if end is None else end
    steps = contiguous(shape) if strides is None else strides
    check_layout(shape, steps)
    last = sum((n - 1) * step for n, step in zip(shape, steps))
    if not 0 <= start <= end <= len(buffer):
        raise ValueError(f"its data would lie at bytes {start} to {end} of {len(buffer)}")
    if all(shape) and start + (last + 1) * dtype.itemsize > end:
        raise ValueError(
            f"shape {tuple(shape)} with strides {tuple(steps)} reaches {last + 1:,} numbers far, but only "
            f"{(end - start) // dtype.itemsize:,} are there"
        )
    if big_endian:
        dtype = dtype.newbyteorder(">")
    if not all(shape):
        return StoredTensor(np.empty(tuple(shape), dtype), kind)
    in_bytes = tuple(step * dtype.itemsize for step in steps)
    return StoredTensor(np.ndarray(tuple(shape), dtype, buffer, start, in_bytes), kind)


def contiguous(shape: Sequence[int]) -> tuple[int, ...]:
    """Return the strides, counted in numbers, of an array whose last axis is the fastest."""
    steps = [1]
    for n in reversed(shape[1:]):
        steps.append(steps[-1] * n)
    return tuple(reversed(steps)) if shape else ()


def is_count(value: object) -> bool:
    """Say whether something is a whole number from 0 on."""
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def check_layout(shape: Sequence[int], strides: Sequence[int]) -> None:
    """Raise a `ValueError` unless shape and strides are whole numbers from 0 on that fit each other."""
    numbers = [*shape, *strides]
    whole = all(is_count(n) for n in numbers)
    if not whole or len(shape) != len(strides):
        raise ValueError("its shape or strides are not whole numbers from 0 on")
    if len(shape) > MOST_AXES or max(numbers, default=0) > MOST_NUMBERS:
        raise ValueError("its shape or strides are larger than those of any network")
    if math.prod(shape) > MOST_NUMBERS:
        raise ValueError(f"its shape {tuple(shape)} is larger than that of any network")
