"""The checks that name the argument, what was expected, what came, and which row or file.

Every error that a user can cause is a `ValueError`; one that a *file* causes is an `InputError`, which the command
line shows as one line with exit code 2.
"""

from __future__ import annotations

import operator
from typing import Any


class InputError(ValueError):
    """A file, folder or setting given by the user cannot be used; the message names it and the fault."""


class DeviceError(ValueError):
    """A device was asked for that this machine does not offer."""


USER_ERRORS = (ValueError, OSError, MemoryError, FloatingPointError)  # told in one line


def one_line(error: BaseException) -> str:
    """Return the message of an error without line breaks; the name of its kind where it says nothing."""
    return " ".join(str(error).split()) or type(error).__name__


def check(condition: bool, argument: str, expected: str, got: Any) -> None:
    """Raise a `ValueError` that names the argument unless the condition holds.

    Args:
        condition: What must be true.
        argument: Name of the argument, as its caller wrote it.
        expected: What would have been right, in words.
        got: What came instead.
    """
    if not condition:
        raise ValueError(f"{argument}: expected {expected}, got {got!r}")


def check_shape(array: Any, expected: tuple[int | str | None, ...], argument: str) -> None:
    """Raise a `ValueError` unless an array has the expected shape.

    Args:
        array: Anything with a `shape`.
        expected: One entry an axis: a number that must match, or a letter (or None) that matches any length.
        argument: Name of the argument.
    """
    shape = tuple(array.shape)
    fits = len(shape) == len(expected) and all(
        want == have for want, have in zip(expected, shape) if isinstance(want, int)
    )
    if not fits:
        wanted = ", ".join("any" if want is None else str(want) for want in expected)
        raise ValueError(f"{argument}: expected shape ({wanted}), got {shape}")


def check_positive_int(value: Any, argument: str, minimum: int = 1) -> int:
    """Return `value` as an int; raise a `ValueError` unless it is a whole number of at least `minimum`."""
    is_truth = isinstance(value, bool) or str(getattr(value, "dtype", "")) == "bool"  # NumPy's too
    try:
        number = None if is_truth else operator.index(value)
    except TypeError:
        number = None
    check(number is not None, argument, "a whole number", value)
    check(number >= minimum, argument, f"at least {minimum}", value)
    return number
