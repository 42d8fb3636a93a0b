"""Chapter 11: from scores to detections."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from .common import Hint, exercise, hint_if, run

# Boxes in a row, each 0.4 wide: neighbours overlap by 0.6, the next but one by 1/3.
ROW = np.array([[x, 0.2, x + 0.4, 0.6] for x in (0.0, 0.1, 0.2)])
FAR = np.array([0.7, 0.7, 0.9, 0.9])


def _rows(got: Any) -> list[int]:
    if isinstance(got, (list, tuple)) and any(np.ndim(one) for one in got):
        raise Hint("one list of row numbers is asked for, not of boxes or of lists.")
    array = np.asarray(got)
    if array.dtype == bool:
        raise Hint("numbers of rows are asked for, best first, not a True or False for each box.")
    hint_if(array.ndim != 1, "return one list of row numbers.")
    hint_if(
        array.size and array.dtype.kind not in "iu",
        "row numbers are asked for; these look like scores.",
    )
    return array.tolist()


@exercise("go through the boxes by falling score. Which question does a box ask those kept so far?")
def check_kept_by_asking(answer: Callable[..., Sequence[int]]) -> str:
    """Greedy suppression in which each box asks the boxes kept before it."""
    three, scores = np.stack([ROW[0], ROW[1], FAR]), np.array([0.3, 0.9, 0.6])
    got = _rows(run(answer, three, scores, 0.45))
    hint_if(
        got == [0, 2],
        "of two boxes on one object the worse one was kept: nobody has sorted by score.",
    )
    hint_if(
        got == [0, 1],
        "these are places in the sorted list. Which rows of the given arrays stand there?",
    )
    hint_if(got == [1], "a box that overlaps nothing is gone: whom does each box ask?")
    hint_if(
        set(got) == {0, 1, 2}, "all are kept, though two overlap by 0.6 at a threshold of 0.45."
    )
    hint_if(got == [2, 1], "the right rows, but the worst first.")
    hint_if(got != [1, 2], f"boxes 1 and 2 should stay, in this order; yours keeps {got}.")
    chain = _rows(run(answer, ROW, np.array([0.9, 0.8, 0.7]), 0.45))
    hint_if(
        chain == [0],
        "in a chain the third box was dropped for the sake of the second, which is silenced itself.",
    )
    hint_if(chain != [0, 2], f"a chain of three boxes should keep 0 and 2; yours keeps {chain}.")
    got = _rows(run(answer, np.stack([FAR, ROW[0]]), np.array([0.3, 0.8]), 0.45))
    hint_if(got == [0, 1], "the right rows, but not the best first.")
    got = _rows(run(answer, ROW, np.array([0.9, 0.8, 0.7]), 0.7))
    hint_if(got != [0, 1, 2], "right at a threshold of 0.45, wrong at 0.7: is yours built in?")
    halves = np.array([[0, 0, 1, 1], [0, 0, 1, 0.5]])
    got = _rows(run(answer, halves, np.array([0.9, 0.8]), 0.5))
    hint_if(got == [0], "an IoU of exactly the threshold silences nobody: it must be above it.")
    got = _rows(run(answer, ROW[[0, 0]], np.array([0.8, 0.8]), 0.45))
    hint_if(got == [1], "equal scores: the earlier row should win. Look at how you sort.")
    try:
        got = _rows(run(answer, np.zeros((0, 4)), np.zeros(0), 0.45))
    except (IndexError, ValueError):
        got = None
    hint_if(got != [], "nearly: but no boxes at all should give an empty answer, not an error.")
    return "the same answer as the loop above: silencing and asking are two sides of one rule."


@exercise("write the order by score first; then keep, strike out whom it silences, and go on.")
def check_three_rows(answer: Sequence[Sequence[int]]) -> str:
    """Who is kept of five boxes in a row, in three settings."""
    hint_if(not isinstance(answer, (list, tuple)), "three lists are asked for, in one list.")
    hint_if(len(answer) != 3, "three lists are asked for, one for each of a, b and c.")
    hint_if(
        not all(isinstance(each, (list, tuple)) for each in answer),
        "each of a, b and c is a list of its own, even where it holds one box only.",
    )
    a, b, c = (sorted(int(row) for row in each) for each in answer)
    hint_if(
        a == [1, 3, 5] or 5 in a + b + c, "the boxes are counted from 0: the last one is number 4."
    )
    hint_if(
        a == [0],
        "a: box 1 is silenced by box 0. Can it silence box 2 all the same?",
    )
    hint_if(
        a != [0, 2, 4],
        f"a: at 0.45 only neighbours silence each other; you keep {a}. Begin with box 0.",
    )
    hint_if(b == a, "b: the same as a? Boxes next but one overlap by a third, which is above 0.3.")
    hint_if(
        b == [0],
        "b: box 0 silences two boxes, and no more. Who is the best of those that are left?",
    )
    hint_if(b != [0, 3], f"b: you keep {b}. Box 0 silences 1 and 2; go on from there.")
    hint_if(
        c == [0, 2, 4], "c: this goes from left to right. The best score begins, and that is box 1."
    )
    hint_if(c == [1, 3, 4], "c: boxes 3 and 4 are neighbours, and the better one is there first.")
    hint_if(c != [1, 3], f"c: you keep {c}. Box 1 begins; whom does it silence?")
    return "the same five boxes, and three different answers: order and threshold decide together."


def _answers(got: Any) -> list[tuple[float, int, int]]:
    got = got.tolist() if isinstance(got, np.ndarray) else list(got)
    hint_if(
        any(not hasattr(one, "__len__") or len(one) != 3 for one in got),
        "return a list of triples (score, label, row).",
    )
    hint_if(
        any(np.ndim(part) for one in got for part in one),
        "a triple holds three plain numbers: the row of the box, not the box itself.",
    )
    hint_if(
        any(float(label) % 1 or float(row) % 1 for _, label, row in got),
        "each triple is (score, label, row), in this order: label and row are whole numbers.",
    )
    return [(round(float(score), 4), int(label), int(row)) for score, label, row in got]


@exercise("one class at a time: its column, its rows above the floor, the best of them, then nms.")
def check_last_step(answer: Callable[..., list]) -> str:
    """All classes: floor, best candidates, suppression, the best of all."""
    boxes = np.stack([FAR, ROW[0], ROW[1]])
    table = np.array([[0.98, 0.01, 0.01], [0.2, 0.3, 0.5], [0.15, 0.6, 0.25]])
    settings = {"floor": 0.01, "threshold": 0.45, "top_k": 400, "most": 200}
    got = _answers(run(answer, boxes, table, *settings.values()))
    hint_if(
        any(label == 0 and score > 0.9 for score, label, _ in got),
        "background came back as a detection: it is column 0, and nobody's answer.",
    )
    hint_if(
        any(label == 0 for _, label, _ in got),
        "a label 0: once background's column is gone, column 0 holds class 1.",
    )
    hint_if(
        any(row == 0 and score == 0.01 for score, _, row in got),
        "a score of exactly the floor does not pass: it must be above it.",
    )
    hint_if(
        got == [(0.6, 1, 2)],
        "class 2 is gone: a kept box of one class silenced those of the other.",
    )
    hint_if(
        sorted(got)[-1:] == [(0.6, 1, 1)] or any(row == 0 for _, _, row in got),
        "the boxes are wrong: rows among those above the floor are not yet rows of `boxes`.",
    )
    hint_if(
        len(got) > 2,
        "two boxes of one class overlap by 0.6, and both came back.",
    )
    hint_if(
        sorted(got) == [(0.5, 2, 1), (0.6, 1, 2)] and got[0][0] < got[1][0],
        "the right answers, but not the best first.",
    )
    hint_if(got != [(0.6, 1, 2), (0.5, 2, 1)], f"two answers are right here; yours gives {got}.")
    both = np.array([[0.2, 0.45, 0.35]])
    got = _answers(run(answer, boxes[:1], both, *settings.values()))
    hint_if(
        got == [(0.45, 1, 0)],
        "one box may answer for two classes: do not choose the best class of each box first.",
    )
    spread = np.array([[0.0, 0.3, 0.7], [0.2, 0.6, 0.2], [0.1, 0.5, 0.4]])
    apart = np.stack([FAR, ROW[0], FAR - 0.5])
    got = _answers(run(answer, apart, spread, 0.25, 0.45, 2, 200))
    hint_if(
        any(label == 1 and row == 0 for _, label, row in got),
        "of class 1 only the best `top_k` may enter, here two.",
    )
    ranked = np.array([[0.4, 0.6, 0.0], [0.5, 0.5, 0.0], [0.6, 0.4, 0.0]])
    got = _answers(run(answer, boxes[[1, 2, 0]], ranked, 0.01, 0.45, 2, 200))
    hint_if(
        got == [(0.6, 1, 0), (0.4, 1, 2)],
        "`top_k` counts the boxes that enter `nms`, not those that come out of it.",
    )
    got = _answers(run(answer, apart, spread, 0.25, 0.45, 400, 2))
    hint_if(len(got) > 2, "at most `most` come back, counted over all classes together.")
    hint_if(
        got != [(0.7, 2, 0), (0.6, 1, 1)],
        "the best two of all classes are asked for: sort before you cut.",
    )
    return "this is the whole way from scores to detections, and what the library does faster."


@exercise("chapter 1: a box of width w that is slid by s keeps (w - s) / (w + s). Solve it for s.")
def check_side_by_side(answer: Sequence[float]) -> str:
    """How far two equal objects must be apart to be both kept: at 0.45, at 0.7, and of different classes."""
    three = np.asarray(answer, float)
    hint_if(three.shape != (3,), "three numbers are asked for, in one list.")
    mild, late, other = three
    hint_if((three < 1).all() and mild > 0, "pixels are asked for, not fractions of the width.")
    hint_if(
        abs(mild - 55) < 0.6,
        "55 pixels leave 45 of 100 shared, but IoU divides by the union, which is more than 100.",
    )
    hint_if(
        min(abs(mild - 45), abs(mild - 100 * 0.9 / 1.45)) < 0.6,
        f"{mild:g} pixels: is that not how much is shared, in place of how far it slid?",
    )
    right_mild, right_late = 100 * 0.55 / 1.45, 100 * 0.3 / 1.7
    hint_if(
        abs(mild - right_late) < 0.6, "these two seem swapped: a high threshold is the patient one."
    )
    hint_if(abs(mild - right_mild) > 0.6, f"at 0.45: at {mild:g} pixels IoU is not 0.45.")
    hint_if(abs(late - right_late) > 0.6, f"at 0.7: at {late:g} pixels IoU is not 0.7.")
    hint_if(other != 0, "different classes: whom does a box silence, when each class is by itself?")
    return "a crowd of one class stands closer than that. NMS knows only boxes, and must lose some."
