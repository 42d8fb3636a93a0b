"""Chapter 13: operations, bytes, points and threads."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction

import numpy as np

from .common import exercise, hint_if, run


@exercise("how many weights does one output value meet? And how many output values are there?")
def check_count_layer(answer: Callable[..., tuple[int, int]]) -> str:
    """Operations and bytes of a layer."""
    got = run(answer, 10, 20, 8, 16)
    hint_if(np.shape(got) != (2,), "two numbers are asked for: operations and bytes.")
    flop, size = got
    right = 2 * 10 * 20 * 9 * 8 * 16
    whole = 4 * (10 * 20 * (8 + 16) + 9 * 8 * 16)
    hint_if((flop, size) == (whole, right), "in the other order: operations first.")
    hint_if(2 * flop == right, "each weight costs a multiplication *and* an addition.")
    hint_if(9 * flop == right, "a window has nine cells.")
    hint_if(8 * flop == right, "every output value sums over all channels of the input.")
    hint_if(16 * flop == right, "that is one filter; there are as many as channels out.")
    hint_if(flop != right, "operations: 2 for each output cell, filter, window cell and channel.")
    hint_if(4 * size == whole, "those are numbers; one of float32 has four bytes.")
    hint_if(size == whole - 4 * 9 * 8 * 16, "the weights are read, too.")
    hint_if(size == whole - 4 * 10 * 20 * 16, "the output is written, too.")
    hint_if(size == whole - 4 * 10 * 20 * 8, "the input is read, too.")
    hint_if(size != whole, "bytes: input, output and weights once each, four bytes a number.")
    return "operations over bytes tell on which side of the roof's edge a layer lies."


class Counted:
    """A number that counts how often something made of d was multiplied with something made of w."""

    multiplications = 0

    def __init__(self, value: Fraction | int, made_of: str = ""):
        self.value, self.made_of = Fraction(value), frozenset(made_of)

    def __repr__(self) -> str:
        return f"Counted({self.value})"

    def _join(self, other: object, value: Fraction) -> Counted:
        return Counted(value, "".join(self.made_of | _known(other).made_of))

    def __add__(self, other: object) -> Counted:
        return self._join(other, self.value + _known(other).value)

    def __sub__(self, other: object) -> Counted:
        return self._join(other, self.value - _known(other).value)

    def __rsub__(self, other: object) -> Counted:
        return self._join(other, _known(other).value - self.value)

    def __neg__(self) -> Counted:
        return self._join(0, -self.value)

    def __mul__(self, other: object) -> Counted:
        known = _known(other)
        if self.made_of and known.made_of:
            Counted.multiplications += 1
        return self._join(known, self.value * known.value)

    def __truediv__(self, other: object) -> Counted:
        return self._join(other, self.value / _known(other).value)

    __radd__, __rmul__ = __add__, __mul__


def _known(number: object) -> Counted:
    return number if isinstance(number, Counted) else Counted(Fraction(number))


@exercise("begin with the point 0: the first product of the picture is (d0 - d2) * w0.")
def check_two_outputs(answer: Callable[..., list]) -> str:
    """A short convolution with four multiplications."""
    for values, weights in (([1, 2, 3, 4], [2, 1, 3]), ([5, -1, 4, 7], [1, 6, -2])):
        d = [Counted(value, "d") for value in values]
        w = [Counted(value, "w") for value in weights]
        Counted.multiplications = 0
        got = run(answer, d, w)
        count = Counted.multiplications
        hint_if(np.shape(got) != (2,), "two outputs are asked for, in a list.")
        numbers = [_known(each).value for each in got]
        right = [sum(values[i + j] * weights[j] for j in range(3)) for i in (0, 1)]
        hint_if(numbers == right[::-1], "the two outputs are in the wrong order.")
        hint_if(
            numbers[0] == right[0] and numbers[1] != right[1],
            "the first output is right. In the second, the point -1 counts with -1: look at OUTPUT.",
        )
        hint_if(
            numbers[1] == right[1] and numbers[0] != right[0],
            "the second output is right. Which products does the first row of OUTPUT take?",
        )
        hint_if(
            numbers != right,
            "neither output is right: compare your four products with the column V * U; are the halves there?",
        )
        hint_if(count == 6, "right, but that is the direct way with 6 multiplications.")
        hint_if(count > 4, f"right, but with {count} multiplications: form each product once.")
    return "four instead of six. The halves belong to w or d alone, so they are prepared only once."


@exercise("how many tiles cover the map, and how many inputs does a tile see?")
def check_multiplications(answer: Callable[..., int]) -> str:
    """Multiplications at the points."""
    got = run(answer, 8, 4)
    hint_if(np.shape(got) != (), "one number is asked for.")
    hint_if(got == 36, "that is one tile.")
    hint_if(got == 4 * 144, "that is the direct way: 9 for each output.")
    hint_if(got == 4 * 16, "a tile has as many points as *inputs* that it sees, not as outputs.")
    hint_if(got == 4 * 49, "4 outputs of a window of 3 see 6 inputs, not 7.")
    hint_if(got == 12, "in one dimension, yes; a map has two.")
    hint_if(got != 4 * 36, "a map of 8 has two tiles of 4 a side; each sees 6 x 6 inputs.")
    got = run(answer, 5, 4)
    hint_if(got == 36, "the fifth row and column need tiles as well: round up.")
    hint_if(got == 25 / 16 * 36, "there are no fractions of tiles: round up.")
    hint_if(got != 4 * 36, "5 cells need two tiles of 4 a side.")
    hint_if(run(answer, 12, 6) != 4 * 64, "a tile of 6 sees 8 x 8 inputs.")
    return "on 38 cells tiles of 6 need fewest, on 19 tiles of 4: fewer of them hang over."


@exercise("how many bytes are the windows of one row of the map, laid out?")
def check_band_rows(answer: Callable[..., int]) -> str:
    """Rows that fit the cache."""
    got = run(answer, 100, 32, 3)
    hint_if(np.shape(got) != (), "one number is asked for.")
    hint_if(got == 2**20 // (100 * 32 * 4), "each cell is laid out k x k times.")
    hint_if(got == 2**20 // (100 * 32 * 3 * 4), "a window has k x k cells, not k.")
    hint_if(got == 2**20 // (100 * 32 * 9), "those are numbers; one of float32 has four bytes.")
    hint_if(int(got) == 9 and got != 9, "whole rows are asked for: use //.")
    hint_if(got != 9, "a row of windows has 100 * 9 * 32 numbers of four bytes.")
    got = run(answer, 300, 512, 3)
    hint_if(got == 0, "a band without rows would never get done: at least one.")
    hint_if(got != 1, "where one row is too much already, a band is one row.")
    return "the library's bands are cut by this figure."


@exercise("what is the time with these threads, if one thread needs 1?")
def check_times_faster(answer: Callable[..., float]) -> str:
    """Amdahl's law."""
    got = run(answer, 0.2, 4)
    hint_if(np.shape(got) != (), "one number is asked for.")
    hint_if(np.isclose(got, 4), "a fifth of the work is not shared.")
    hint_if(np.isclose(got, 0.4), "that is the time; how many times as fast is that?")
    hint_if(
        np.isclose(got, 3.2), "add *times*, not speeds: the part alone, and a share of the rest."
    )
    hint_if(
        np.isclose(got, 1 / (0.2 / 4 + 0.8)), "the other way around: it is the rest that is shared."
    )
    hint_if(not np.isclose(got, 2.5), "the time is 0.2 + 0.8 / 4 of what it was.")
    hint_if(
        not np.isclose(run(answer, 0.0, 2), 2), "with everything shared, two threads take half."
    )
    hint_if(not np.isclose(run(answer, 1.0, 8), 1), "with nothing shared, threads do not help.")
    return "a fifth alone, and even a thousand threads are not five times as fast."
