"""Chapter 4: default boxes."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np

from minissd.boxes import FeatureMap, centers_to_corners, iou

from .common import exercise, hint_if, run


@exercise(
    "two squares first. Then for each ratio a wide box and a high one, both of the small area."
)
def check_cell_shapes(answer: Callable[..., Sequence[Sequence[float]]]) -> str:
    """Width and height of the default boxes of a cell."""
    got = np.asarray(run(answer, 30.0, 60.0, (2.0, 3.0)), float)
    hint_if(got.ndim != 2 or got.shape[1] != 2, "a list of pairs is asked for: width and height.")
    hint_if(len(got) == 4, "some boxes are missing: each ratio brings a wide *and* a high box.")
    hint_if(
        len(got) == 5, "two squares are asked for: the small one, and the one between the maps."
    )
    hint_if(len(got) != 6, "six boxes are asked for two ratios: two squares and four oblong ones.")
    middle = math.sqrt(1800)
    hint_if(
        np.isclose(got, 45).all(axis=1).any(),
        "the second square is the *geometric* mean of the two sizes: the root of their product.",
    )
    hint_if(np.isclose(got, 60).all(axis=1).any(), "the second square is not max_size itself.")
    areas = got[:, 0] * got[:, 1]
    hint_if(
        np.allclose(got[2], [60, 30]),
        "w = min_size * ratio doubles the area. Share the stretching: by the root.",
    )
    hint_if(np.isclose(got, [60, 15]).all(axis=1).any(), "60 x 15 has the area, but ratio 4.")
    hint_if(not np.allclose(got[:2], [[30, 30], [middle, middle]]), "the two squares come first.")
    wide, high = 30 * math.sqrt(2), 30 / math.sqrt(2)
    hint_if(
        np.allclose(got[2], [high, wide]), "wide comes before high: a ratio is width over height."
    )
    hint_if(not np.allclose(got[2], [wide, high]), "the third box should be wide, of ratio 2.")
    hint_if(
        not np.allclose(got[3], [high, wide]),
        "after each ratio comes its reciprocal: 2, 1/2, 3, 1/3.",
    )
    hint_if(
        not np.allclose(areas[4:], 900), "the boxes of ratio 3 have the area of the square too."
    )
    return "in the order that published weights expect."


@exercise("how many boxes has one cell? And how many cells has a map?")
def check_count(answer: Callable[[Sequence[tuple[int, int]]], int]) -> str:
    """How many default boxes a network has."""
    got = run(answer, [(10, 2)])
    hint_if(np.shape(got) != (), "one number is asked for.")
    hint_if(got == 60, "cells in one row only: a map of 10 cells a side has how many?")
    hint_if(got == 400, "each ratio brings two boxes, a wide one and a high one.")
    hint_if(got == 500, "there are two squares a cell: one of min_size, one between the maps.")
    hint_if(got == 200, "these are the squares; the oblong boxes are missing.")
    hint_if(got != 600, "10 x 10 cells with six boxes each.")
    ssd300 = [(38, 1), (19, 2), (10, 2), (5, 2), (3, 1), (1, 1)]
    got = run(answer, ssd300)
    hint_if(got == 4, "this is the last map alone: add them up.")
    hint_if(got != 8732, "right for one map, wrong for six.")
    return "8732, and no trust in comments needed."


@exercise("where is the centre of the last cell of a row? Then count rows and columns.")
def check_outside(answer: Callable[..., int]) -> str:
    """How many cells have their centre outside of the picture."""
    got = run(answer, 10, 32, 300)
    hint_if(np.shape(got) != (), "one number is asked for.")
    hint_if(got == 1, "one row *and* one column of cells: count all cells in them.")
    hint_if(got == 20, "the cell in the corner was counted twice.")
    hint_if(got == 10, "to the right, or below: both sides of the picture have a border.")
    hint_if(
        got == 0, "the centre of a cell lies half a step behind its left border: where is the last?"
    )
    hint_if(got == 100, "outside means beyond the picture's side, in pixels.")
    hint_if(got != 19, "the last row has ten cells, the last column nine more.")
    hint_if(run(answer, 5, 60, 300) != 0, "with step = image / map, no centre lies outside.")
    hint_if(run(answer, 4, 100, 300) != 7, "right for 10 cells; try 4 cells with step 100.")
    return "19 cells with six boxes each: the 114 of the chapter."


@exercise("count what stands before it: whole maps, then whole rows, then cells, then shapes.")
def check_row_of(answer: Callable[..., int]) -> str:
    """Place of one default box in the network's order."""
    maps = [(3, 4), (2, 6)]
    got = run(answer, maps, 0, 1, 2, 3)
    hint_if(np.shape(got) != (), "one number is asked for.")
    hint_if(got == 24, "rows are counted from 0: nothing stands before the first box.")
    hint_if(
        got == (2 * 3 + 1) * 4 + 3, "the row comes before the column: a whole row, then the next."
    )
    hint_if(
        got == 3 * 9 + 3 + 2, "the boxes of one cell stand together: the shape is counted last."
    )
    hint_if(got == 5, "a cell has several boxes: how many stand before this cell?")
    hint_if(got != 23, "on the first map, of 3 x 3 cells with 4 boxes each, it is wrong already.")
    got = run(answer, maps, 1, 1, 0, 2)
    hint_if(got == 14, "the maps before this one come first: all of their boxes.")
    hint_if(got == 26, "a map has cells in both directions: how many boxes has the first map?")
    hint_if(got == 36 + 10, "each map has its own number of boxes a cell.")
    hint_if(got == 36 + 20, "each map has its own number of cells a row.")
    hint_if(got != 50, "right on the first map, wrong on the second.")
    return "the same number finds the box, its scores and its offsets."


@exercise("which square fits 12, which 24? There are two squares: min_size, and the root of both.")
def check_small_sizes(answer: Sequence[float]) -> str:
    """Sizes of the first map for objects of 12 to 24 pixels."""
    given = np.asarray(answer, float)
    hint_if(given.shape != (2,), "two numbers are asked for: min_size and max_size.")
    low, high = given
    hint_if(low <= 0, "sizes are above 0.")
    hint_if(high <= low, "max_size must be above min_size.")
    reached = {size: _reached(low, high, size) for size in (12, 16, 24)}
    words = ", ".join(f"{size}: {value:.2f}" for size, value in reached.items())
    hint_if(
        reached[12] < 0.5 and reached[24] < 0.5,
        f"neither the small ones nor the large ones are reached ({words}).",
    )
    hint_if(reached[12] < 0.5, f"too large for the 12 pixels ({words}).")
    hint_if(reached[24] < 0.5, f"too small for the 24 pixels ({words}).")
    hint_if(reached[16] < 0.5, f"the middle is not reached ({words}).")
    return f"{words}. The step of 8 pixels sets the limit now."


def _reached(low: float, high: float, size: float) -> float:
    """Return the best IoU with a square object of this size, the mean over places."""
    places = np.random.default_rng(0).uniform(0.1, 0.9, (200, 2))
    sides = np.full((200, 2), size / 300)
    objects = centers_to_corners(np.concatenate([places, sides], axis=1))
    defaults = centers_to_corners(FeatureMap(38, 8, low, high, (2.0,)).centers(300))
    return float(iou(objects, defaults).max(axis=1).mean())
