"""Chapter 3: sizes, windows and receptive fields."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from .common import exercise, hint_if, run


@exercise("over how many cells does the window reach? How many steps can it take before it leaves?")
def check_map_size(answer: Callable[..., int]) -> str:
    """Cells of a map."""
    got = run(answer, 10, 3, 1, 0, 1)
    hint_if(np.shape(got) != (), "one number is asked for.")
    hint_if(got == 7, "steps, or places? Before its first step the window stands somewhere, too.")
    hint_if(got != 8, "10 cells, a window of 3: write down where it can stand.")
    got = run(answer, 10, 3, 1, 1, 1)
    hint_if(got == 9, "the padding is added on *both* sides.")
    hint_if(got == 8, "the padding is not used.")
    hint_if(got != 10, "with padding 1, a window of 3 keeps the size.")
    got = run(answer, 10, 3, 1, 0, 2)
    hint_if(got == 8, "the dilation is not used.")
    hint_if(got == 5, "three taps, two cells apart, reach over five cells, not over six.")
    hint_if(got != 6, "over how many cells does a window with three taps and dilation 2 reach?")
    got = run(answer, 10, 3, 2, 0, 1)
    hint_if(got == 5, "rounded up: a last window that does not fit is to be left out.")
    hint_if(got != 4, "with stride 2, the window of 3 stands on 0, 2, 4 and 6 of 10 cells.")
    hint_if(isinstance(got, float), "cells are counted in whole numbers: use //.")
    return "the formula that decides whether two maps fit together."


@exercise("let every window go over its cells and count them there.")
def check_readers(answer: Callable[..., np.ndarray]) -> str:
    """How many windows read each cell."""
    got = np.asarray(run(answer, 8, 3, 1))
    hint_if(got.shape != (8,), "one count for each of the 8 cells.")
    hint_if((got == 3).all(), "a cell at the border has fewer windows around it.")
    hint_if(
        np.array_equal(got, [1, 1, 1, 1, 1, 1, 0, 0]),
        "these are the windows' *starts*. Each reads further cells.",
    )
    hint_if(
        np.array_equal(got, [1, 2, 3, 3, 3, 3, 3, 3]),
        "at the right end too, windows must fit: the last starts at cell 5.",
    )
    hint_if(
        not np.array_equal(got, [1, 2, 3, 3, 3, 3, 2, 1]), "count by hand for 8 cells and 3 taps."
    )
    got = np.asarray(run(answer, 8, 3, 2))
    hint_if(np.array_equal(got, [1, 2, 3, 3, 3, 3, 2, 1]), "the stride is not used.")
    hint_if(
        not np.array_equal(got, [1, 1, 2, 1, 2, 1, 1, 0]),
        "with stride 2, windows start at 0, 2 and 4.",
    )
    return "with stride 2 some cells count double: a known cause of checkerboards in gradients."


@exercise("cut out x[i : i + kernel, j : j + kernel], lay it flat, go on by the stride.")
def check_rows(answer: Callable[..., np.ndarray]) -> str:
    """Windows of a map as rows."""
    x = np.arange(5 * 6 * 2.0).reshape(5, 6, 2)
    got = np.asarray(run(answer, x, 3, 2))
    right = np.stack([x[i : i + 3, j : j + 3].ravel() for i in (0, 2) for j in (0, 2)])
    hint_if(
        got.shape == right.shape[::-1], "turned around: one *row* for each window is asked for."
    )
    hint_if(got.shape == (12, 18), "all windows of stride 1: the stride is not used.")
    hint_if(got.shape == (2, 2, 18), "the values are laid out; put the windows into one long list.")
    hint_if(got.shape != right.shape, f"the shape is {got.shape}; how many windows are there?")
    hint_if(
        np.array_equal(got, right[[0, 2, 1, 3]]),
        "the windows come column by column; the row of the map is to come first.",
    )
    channels_first = np.stack(
        [x[i : i + 3, j : j + 3].transpose(2, 0, 1).ravel() for i in (0, 2) for j in (0, 2)]
    )
    hint_if(
        np.array_equal(got, channels_first), "within a row, the *channel* is to change fastest."
    )
    hint_if(not np.array_equal(got, right), "the first row should be x[0:3, 0:3], laid flat.")
    return "with these rows, the convolution is one line: rows @ weights."


@exercise(
    "a cell of the last map sees a window of the map before; how many pixels apart are those?"
)
def check_field(answer: Callable[..., int]) -> str:
    """Receptive field of a chain of layers."""
    got = run(answer, [(3, 1), (3, 1)])
    hint_if(np.shape(got) != (), "one number is asked for.")
    hint_if(got == 6, "the two windows overlap: the second adds two cells, not three.")
    hint_if(got == 9, "not a product: each layer of stride 1 adds kernel - 1.")
    hint_if(got != 5, "two windows of 3 x 3: draw it in one dimension.")
    got = run(answer, [(3, 2), (3, 1), (3, 1)])
    hint_if(
        got == 7, "after a stride of 2, neighbours are two pixels apart: later layers add more."
    )
    own = "a layer's *own* stride does not widen its window; only those before it do."
    hint_if(got == 13, own)
    hint_if(
        got != 11,
        "3, then 2 cells of 2 pixels each, and again: 3 + 4 + 4 = 11. The strides multiply.",
    )
    got = run(answer, [(2, 2), (2, 2), (3, 1)])
    hint_if(got != 12, "1 + 1 + 2 + 8: the strides of all layers before multiply.")
    return "that is how conv4_3 comes to see 92 pixels."
