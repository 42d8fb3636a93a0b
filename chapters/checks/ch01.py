"""Chapter 1: boxes and their overlap."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from .common import exercise, hint_if, run


def _shared_and_union(a: Sequence[float], b: Sequence[float]) -> tuple[float, float]:
    wide = max(min(a[2], b[2]) - max(a[0], b[0]), 0)
    high = max(min(a[3], b[3]) - max(a[1], b[1]), 0)
    areas = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1])
    return wide * high, areas - wide * high


@exercise("call the slip s and the width w. How wide is what both share, how wide what they cover?")
def check_half_by_sliding(answer: Sequence[float]) -> str:
    """A box of the object's size, slid to the right, whose IoU with it is one half."""
    box, target = np.asarray(answer, float), np.array([0.2, 0.2, 0.6, 0.6])
    hint_if(box.shape != (4,), "four numbers are asked for: xmin, ymin, xmax, ymax.")
    hint_if((box > 1).any(), "these look like pixels: the object is given in fractions.")
    hint_if(
        (box[2:] <= box[:2]).any(),
        "the third and fourth number are the far corner, not width and height.",
    )
    sides = np.allclose(box[2:] - box[:2], 0.4)
    hint_if(not sides, "keep the size: this box is wider or narrower, or higher or lower.")
    hint_if(
        not np.isclose(box[1], target[1]), "it also moved up or down: slide it only to the right."
    )
    hint_if(box[0] < target[0], "this one went to the left.")
    shared, union = _shared_and_union(box, target)
    ratio = shared / union
    hint_if(
        np.isclose(shared, 0.08),
        f"half of the object is covered, but IoU is {ratio:.2f}: what does the box add to the union?",
    )
    hint_if(ratio > 0.5 + 1e-6, f"IoU is still {ratio:.3f}: too high.")
    hint_if(ratio < 0.5 - 1e-6, f"IoU is only {ratio:.3f}: too far.")
    return "a box may slip by a third of its width, and no further, to keep one half."


@exercise("for each pair: which area is shared, which is covered? And what is 0 / 0 to be?")
def check_borderline(answer: Sequence[float]) -> str:
    """IoU of touching squares, of a box with itself, of a box without width with itself."""
    three = np.asarray(answer, float)
    hint_if(three.shape != (3,), "three numbers are asked for, in one list.")
    touching, itself, flat = three
    hint_if(touching != 0, "the squares share an edge. Which *area* is that?")
    hint_if(itself != 1, "a box and itself share all that they cover. What is the ratio then?")
    hint_if(
        np.isnan(flat),
        "0 / 0 is nan in plain NumPy; the library promises that it never answers so. Look at Checks.",
    )
    hint_if(
        flat != 0,
        "without width, the shared area is nothing, though the boxes are equal. Run the last line of"
        " the first cell of Checks once more.",
    )
    return "a box without area matches nothing, not even itself, and nothing ever becomes nan."


@exercise("where does pixel number 1 begin, as a length from the border? And where does it end?")
def check_voc_to_fractions(answer: Callable[..., Sequence[float]]) -> str:
    """VOC's box (1-based, inclusive, pixels) as fractions."""
    got = np.asarray(run(answer, (1, 1, 500, 375), 500, 375), float)
    hint_if(got.shape != (4,), "return four numbers: xmin, ymin, xmax, ymax.")
    plain = np.array([1, 1, 500, 375]) / [500, 375, 500, 375]
    hint_if(
        np.allclose(got, plain, atol=1e-4),
        "only divided: the box should begin at 0, at the border.",
    )
    hint_if(
        np.allclose(got, [0, 0, 499 / 500, 374 / 375], atol=1e-4),
        "the last pixel is part of the box: measure to its far side.",
    )
    hint_if(
        not np.allclose(got[[0, 2]], [0, 1]), "x does not run from 0 to 1 for the whole picture."
    )
    hint_if(
        not np.allclose(got[[1, 3]], [0, 1]),
        "y does not run from 0 to 1 for the whole picture: by which side is it divided?",
    )
    got = np.asarray(run(answer, (101, 31, 150, 75), 200, 100), float)
    right = np.allclose(got, [100 / 200, 30 / 100, 150 / 200, 75 / 100])
    hint_if(not right, "right for a box that fills the picture, wrong for one inside of it.")
    return "that one pixel matters: it is a fifth of the width of a box five pixels wide."


@exercise("which axis holds the objects? Ask each of them whether any box reaches the threshold.")
def check_objects_found(answer: Callable[..., int]) -> str:
    """How many objects at least one box matches."""
    crowded = np.array([[0.9, 0.1, 0.0], [0.8, 0.0, 0.0], [0.7, 0.2, 0.6], [0.6, 0.0, 0.3]])
    got = run(answer, crowded, 0.5)
    hint_if(np.shape(got) != (), "one number is asked for, not one for each object.")
    hint_if(
        got == 5, "these are the pairs that match. One object with four boxes is still one object."
    )
    hint_if(got == 4, "these are the boxes that match something: the other axis is asked for.")
    hint_if(got != 2, "try it on a matrix of four boxes and three objects that you write by hand.")
    edge = run(answer, np.array([[0.5, 0.49]]), 0.5)
    hint_if(edge != 1, "an IoU of exactly the threshold: does it count? Read the docstring again.")
    other = run(answer, crowded, 0.65)
    hint_if(other != 1, "right at 0.5, wrong at another threshold: is yours built in?")
    return "counted by objects: this is what is called recall, once it is divided by how many there are."
