"""Chapter 14: places, lines, windows, rings and joined statistics."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from .common import exercise, hint_if, run


@exercise("which axis changes from one number in memory to the next? Begin with that one.")
def check_place_of(answer: Callable[..., tuple]) -> str:
    """From a thread's number to a place in a map."""
    height, width, channels = 3, 5, 4
    i = ((1 * height + 2) * width + 3) * channels + 2
    got = run(answer, i, height, width, channels)
    hint_if(np.shape(got) != (4,), "four numbers are asked for: image, row, column, channel.")
    got = tuple(got)
    hint_if(got == (1, 3, 2, 2), "row before column.")
    hint_if(got[::-1] == (1, 2, 3, 2), "the other way around: the image first, the channel last.")
    hint_if(got[3] == i // channels, "the channel is the remainder, not the quotient.")
    hint_if(got[3] != 2, "channels lie next to each other: the channel is i % channels.")
    pixel = i // channels
    hint_if(got[2] == pixel % height, "a row has `width` pixels: divide by that first.")
    hint_if(got[2] != 3, "the column is the remainder of the pixel's number by the width.")
    hint_if(got[1] == pixel // width, "rows go on from image to image: take the remainder.")
    hint_if(got[1] != 2, "the row: pixel // width, and of that the remainder by the height.")
    hint_if(got[0] != 1, "an image has height * width pixels.")
    hint_if(any(int(n) != n for n in got), "whole numbers are asked for: use //.")
    return (
        "two divisions and remainders; integer divisions are slow on a card, but memory is slower."
    )


@exercise("in which line does an address lie? And how many different ones are there?")
def check_lines_touched(answer: Callable[..., int]) -> str:
    """Lines of memory that a warp's reads bring."""
    apart = [128 * t for t in range(32)]
    got = run(answer, [4 * t for t in range(32)], 4)
    hint_if(np.shape(got) != (), "one number is asked for.")
    hint_if(got == 32, "32 neighbours share one line: count different lines, not reads.")
    hint_if(got == 4, "addresses are in bytes here, and a line is 128 of them.")
    hint_if(got == 0, "a line that is read in part must come as a whole.")
    hint_if(got != 1, "all 32 reads lie in the bytes 0 to 127.")
    got = run(answer, apart, 4)
    hint_if(got == 1, "that is right for 128 bytes in a row, but here reads are far apart.")
    hint_if(got != 32, "reads that are 128 bytes apart are in 32 lines.")
    got = run(answer, [4000, 0, 4000], 4)
    hint_if(got == 32, "lines between the reads need not come.")
    hint_if(got != 2, "two threads that read the same place share a line.")
    got = run(answer, [64 + 4 * t for t in range(32)], 4)
    hint_if(got == 1, "the reads begin in the middle of a line: 128 bytes, but of two lines.")
    hint_if(got != 2, "bytes 64 to 191 lie in the lines 0 and 1.")
    got = run(answer, [120], 16)
    hint_if(got == 1, "16 bytes from address 120 on reach over the end of the line.")
    hint_if(got != 2, "a read touches the line of its first byte and that of its last.")
    return "that last case is why reads of 16 bytes must begin at a multiple of 16."


@exercise("window r sees the rows from r * step to r * step + window - 1.")
def check_windows_that_see(answer: Callable[..., tuple]) -> str:
    """The windows that collect for one row."""
    got = run(answer, 6, 3, 2, 10)
    hint_if(np.shape(got) != (2,), "two numbers are asked for: the first and the last window.")
    got = tuple(got)
    hint_if(got == (3, 2), "in the other order: first, last.")
    hint_if(got == (3, 3), "windows overlap: window 2 sees the rows 4 to 6.")
    hint_if(got[1] == 4, "the last window is included in the answer, not the one behind it.")
    hint_if(got == (1, 3), "window 1 sees the rows 2 to 4, not row 6.")
    hint_if(got != (2, 3), "row 6 is seen by the windows 2 (rows 4 to 6) and 3 (rows 6 to 8).")
    got = tuple(run(answer, 1, 3, 1, 10))
    hint_if(got[0] < 0, "there is no window before the first.")
    hint_if(got != (0, 1), "row 1 is seen by the windows 0 and 1.")
    got = tuple(run(answer, 8, 3, 2, 4))
    hint_if(got[1] == 4, "there are windows 0 to 3 only.")
    hint_if(got != (3, 3), "row 8 is seen by window 3 alone, if that is the last.")
    for row, window, step in ((7, 3, 2), (5, 2, 2), (9, 5, 3), (10, 5, 3)):
        right = [r for r in range(9) if r * step <= row < r * step + window]
        got = tuple(run(answer, row, window, step, 9))
        words = f"windows of {window}, step {step}: row {row} is seen by {right[0]} to {right[-1]}."
        hint_if(got != (right[0], right[-1]), words)
    return "so a thread looks at a handful of windows, instead of all."


@exercise("how large is a piece, how many rounds are there, and what is sent in each?")
def check_bytes_sent(answer: Callable[..., float]) -> str:
    """Bytes that a ring asks of one process."""
    got = run(answer, 4, 1000)
    hint_if(np.shape(got) != (), "one number is asked for.")
    hint_if(got == 1500, "those are numbers; one of float32 has four bytes.")
    hint_if(got == 3000, "the sums must also come round to all: a second turn.")
    hint_if(got == 8000, "a piece goes to n - 1 neighbours, not to n.")
    hint_if(got == 24000, "only one piece is sent at a time, an n-th of the whole.")
    hint_if(
        got == 12000, "that is everything to everyone. In a ring, a process sends one piece a turn."
    )
    hint_if(got != 6000, "2 (n - 1) messages of a quarter of 4000 bytes.")
    hint_if(run(answer, 1, 1000) != 0, "one process alone sends nothing.")
    hint_if(run(answer, 2, 1000) != 4000, "with two processes: two messages of half the bytes.")
    return "with many processes it is nearly twice the array, and never more."


@exercise("the mean first: how much does each process's mean count?")
def check_join(answer: Callable[..., tuple]) -> str:
    """Mean and variance of parts, joined."""
    one, other = np.array([1.0, 2, 3]), np.array([7.0, 8, 8, 9, 10, 6])
    both = np.concatenate([one, other])
    parts = [[len(p) for p in (one, other)], [p.mean() for p in (one, other)]]
    parts.append([p.var() for p in (one, other)])
    got = run(answer, *parts)
    hint_if(np.shape(got) != (2,), "two numbers are asked for: mean and variance.")
    mean, variance = got
    plain = np.mean(parts[1])
    hint_if(np.isclose(mean, plain), "the processes saw different counts: weigh the means.")
    hint_if(
        not np.isclose(mean, both.mean()), "the mean: sum of count times mean, over all counts."
    )
    within = np.average(parts[2], weights=parts[0])
    hint_if(
        np.isclose(variance, within),
        "that is the spread within the parts. Their means differ from the mean of all, too.",
    )
    hint_if(
        np.isclose(variance, np.mean(parts[2])),
        "variances count by the number of values as well; and the means are apart, too.",
    )
    hint_if(np.isclose(variance, np.sqrt(both.var())), "that is its root: the standard deviation.")
    hint_if(
        np.isclose(variance, within + np.mean((np.array(parts[1]) - both.mean()) ** 2)),
        "the distances between the means count by the number of values, too.",
    )
    hint_if(
        np.isclose(variance, both.var(ddof=1)), "divide by the count, not by the count less one."
    )
    right = both.var()
    hint_if(not np.isclose(variance, right), "mean of the squares, less the square of the mean.")
    return "one short message a layer, and batch norm is that of the whole batch."
