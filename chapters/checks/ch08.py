"""Chapter 8: heads, the order of rows, map sizes, L2 normalisation."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from .common import exercise, hint_if, run


@exercise("what must one default box be able to say? Count it, then count the boxes of a cell.")
def check_head_channels(answer: Callable[[int, int], int]) -> str:
    """Filters of a head."""
    got = run(answer, 20, 6)
    hint_if(np.shape(got) != (), "one number is asked for.")
    hint_if(got == 6 * 24, "there is a class that you do not count: a box may be *nothing*.")
    hint_if(got == 6 * 21, "these are the scores. Where should each box be moved?")
    hint_if(
        got == 6 * 21 + 4, "the offsets belong to each box: four for each of them, not four in all."
    )
    hint_if(got == 25, "this is one box. How many stand on a cell?")
    hint_if(got != 6 * 25, "try it for one class and one box: then it is six.")
    hint_if(run(answer, 3, 4) != 4 * 8, "right for 20 classes and 6 boxes; are those built in?")
    return "150 filters for VOC's classes and six boxes: the paper's (c + 4) k."


MAPS = [(5, 4), (3, 6), (1, 2)]


@exercise("first find the map: whose rows is k among? Then divide by the boxes of a cell.")
def check_place_of(answer: Callable[..., Sequence[int]]) -> str:
    """Map, row, column, shape of a row of the predictions."""
    got = np.asarray(run(answer, 53, MAPS))
    hint_if(got.shape != (4,), "four numbers are asked for: map, row, column, shape.")
    right = [0, 2, 3, 1]
    hint_if(
        np.array_equal(got, [0, 3, 2, 1]),
        "row and column are exchanged: along a row of the map, the *column* grows.",
    )
    hint_if(
        np.array_equal(got[1:], [0, 3, 2]) or got[3] >= 4,
        "the shape changes fastest: the rows of one cell stand side by side.",
    )
    hint_if(np.array_equal(got, [1, 3, 4, 2]), "counted from 1; all four count from 0.")
    hint_if(
        not np.array_equal(got, right), "right would be row 2, column 3 for row 53 of 5 x 5 x 4."
    )
    got = np.asarray(run(answer, 100 + 17, MAPS))
    hint_if(got[0] == 0, "row 117 is not of the first map, which has 100 rows.")
    hint_if(
        not np.array_equal(got, [1, 0, 2, 5]),
        "wrong on the second map: are the rows of the first taken off, and are its own numbers used?",
    )
    last = np.asarray(run(answer, 100 + 54 + 1, MAPS))
    hint_if(not np.array_equal(last, [2, 0, 0, 1]), "right on two maps, wrong on the last one.")
    return "divide by shapes, then by cells a side: `divmod` is made for it."


@exercise("halve 321 three times, rounding up each time; that is the first map.")
def check_sides_321(answer: Sequence[int]) -> str:
    """Map sides of SSD300 at 321 pixels."""
    got = np.asarray(answer)
    hint_if(got.shape != (6,), "six numbers are asked for, one a map.")
    hint_if(
        got[0] == 40 and got[1] == 20,
        "rounded down: Caffe's poolings round up.",
    )
    hint_if(got[0] == 161 or got[0] == 81, "the first map comes after *three* poolings.")
    hint_if(got[0] != 41, "the first map: 321, then halved three times.")
    hint_if(got[1] != 21, "the second map: 41, halved and rounded up.")
    hint_if(
        got[2] == 10,
        "stride 2 with padding 1: (21 + 2 - 3) // 2 + 1. The padding counts on both sides.",
    )
    hint_if(got[2] != 11 or got[3] != 6, "third and fourth: (side + 2 - 3) // 2 + 1, twice.")
    hint_if(
        got[4] in (3, 6),
        "the last two have no stride and no padding: what does a 3 x 3 window lose at the border?",
    )
    hint_if(got[4] != 4 or got[5] != 2, "the last two: side - 2, and once more.")
    return "so SSD300 at 321 pixels ends with 2 x 2 cells, for which it has no default boxes."


@exercise("how does y change if x gets longer, but keeps its direction? And what if it turns?")
def check_l2_backward(answer: Callable[..., np.ndarray]) -> str:
    """Gradient of the input of an L2 normalisation."""
    rng = np.random.default_rng(4)
    x, scale, dy = rng.standard_normal((5, 3)), rng.uniform(1, 3, 3), rng.standard_normal((5, 3))
    got = np.asarray(run(answer, x, scale, dy), float)
    hint_if(got.shape != x.shape, "dx has the shape of x.")
    length = np.sqrt((x * x).sum(axis=1, keepdims=True))
    unit = x / length

    def without_scale(g: np.ndarray) -> np.ndarray:
        return (g - unit * (g * unit).sum(axis=1, keepdims=True)) / length

    right = without_scale(dy * scale)
    hint_if(
        np.allclose(got, dy * scale / length),
        "as if the length were a constant. But it grows with x: what points along x must go.",
    )
    hint_if(np.allclose(got, without_scale(dy)), "the scale is missing: y has it, so dy meets it.")
    hint_if(
        np.allclose(got, right * length),
        "the direction is right, the size is not: a long x turns less when it is nudged.",
    )
    hint_if(
        np.allclose(got, scale * without_scale(dy)),
        "the scale comes too late: dy passes it first, on its way back.",
    )
    along = np.abs((got * x).sum(axis=1)).max()
    hint_if(along > 1e-9, "something is left that points along x; moving along x changes nothing.")
    hint_if(not np.allclose(got, right), "compare it with nudging, as in chapter 2.")
    return "what is left stands at a right angle to x: a projection."
