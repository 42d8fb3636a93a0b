"""Chapter 12: average precision and what it counts."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from .common import exercise, hint_if, run


def _near(value: float, number: float) -> bool:
    return bool(abs(value - number) < 0.002)


@exercise("write precision and recall under each of the five. Which recalls are reached at all?")
def check_ap_by_hand(answer: Sequence[float]) -> str:
    """AP by area and by eleven points of: right, wrong, duplicate, right, right, with four objects."""
    two = np.asarray(answer, float)
    hint_if(two.shape != (2,), "two numbers are asked for: the area first, then the eleven points.")
    hint_if((two > 1).any(), "an AP is between 0 and 1: these look like per cent, or like sums.")
    area, points = two
    hint_if(
        _near(area, 0.625) or _near(points, 6.75 / 11),
        "the duplicate seems to be left out of the list. It is no difficult object: what does it"
        " do to precision from there on?",
    )
    hint_if(
        _near(area, 0.85),
        "the duplicate seems to count as right. Had its object not been found already?",
    )
    hint_if(
        _near(area, 2.2 / 3) or _near(points, 6 / 8),
        "this is a mean over what is reached. What do the objects, or points, that are never reached add?",
    )
    hint_if(
        _near(area, 0.525),
        "these are the precisions as they stand. At recall one half, does a higher recall have a better one?",
    )
    hint_if(
        _near(area, 6 / 11) and _near(points, 0.55), "both numbers are there, in the other order."
    )
    hint_if(
        not _near(area, 0.55),
        "the area is not right yet: one step of recall for each object found, times the best"
        " precision from there on.",
    )
    hint_if(
        _near(points, 0.6),
        "the sum seems to be divided by ten. How many points are there from 0 to 1?",
    )
    hint_if(
        not _near(points, 6 / 11),
        "the area is right, the eleven points are not: go through 0, 0.1, 0.2, ... and read the"
        " envelope at each.",
    )
    return "one list, two rules, two numbers: whoever quotes an AP must say which."


@exercise("put them in the order of their scores; then keep a set of the objects found so far.")
def check_right_in_rank(answer: Callable[..., Sequence[bool]]) -> str:
    """Which detections of a ranking are right, given which object each is about."""
    scores, about = np.array([0.2, 0.9, 0.5, 0.7, 0.4]), np.array([1, 0, -1, 0, 1])
    got = np.asarray(run(answer, scores, about))
    hint_if(got.shape != (5,), "return one truth value for each of the five detections.")
    got = got.astype(bool).tolist()
    hint_if(
        got == [True, True, False, False, False],
        "this goes through the detections as they are given. Who comes first: the first in the array, or the best?",
    )
    hint_if(
        got == [False, True, False, False, True],
        "the verdicts are right, but stand in the order given; they are wanted by rank, best first.",
    )
    hint_if(
        got == [True, True, False, True, True],
        "an object that was found already counts again: its second detection is a duplicate.",
    )
    hint_if(
        got == [True, False, True, True, False],
        "-1 is no object: a detection about nothing is never right.",
    )
    hint_if(
        got == [True, True, False, False, True] or got[:2] == [False, True],
        "a duplicate is the *later* one: the best scored keeps the object.",
    )
    hint_if(got != [True, False, False, True, False], "try it by hand on three detections.")
    empty = np.asarray(run(answer, np.zeros(0), np.zeros(0, int)))
    hint_if(empty.shape != (0,), "right, but not for a class without any detection.")
    return "this list is all that AP looks at; scores only give its order."


@exercise("for each of the eleven recalls: which detections reach it, and which precision is best?")
def check_eleven_points(answer: Callable[..., float]) -> str:
    """AP by eleven points."""
    recall, precision = np.array([0.5, 0.5, 1.0]), np.array([1.0, 0.5, 2 / 3])
    got = run(answer, recall, precision)
    hint_if(np.ndim(got) != 0, "one number is asked for: the mean of the eleven readings.")
    right = (6 + 5 * 2 / 3) / 11
    hint_if(_near(got, right * 11), "this is the sum of the readings: AP is their mean.")
    hint_if(_near(got, right * 11 / 10), "divided by ten, but from 0 to 1 there are eleven points.")
    hint_if(
        _near(got, (5 + 5 * 2 / 3) / 11),
        "a recall of exactly the point reaches it: larger *or equal*.",
    )
    hint_if(
        not _near(got, right),
        "at each point, take the best precision among all detections whose recall is at least that.",
    )
    dent = run(answer, np.array([0.5, 0.5, 1.0]), np.array([0.4, 0.3, 0.9]))
    hint_if(
        not _near(dent, 0.9),
        "right where precision falls; here it rises in the end: the best at that recall *or a higher one*.",
    )
    partly = run(answer, np.array([0.5]), np.array([1.0]))
    hint_if(
        np.isnan(partly) or not _near(partly, 6 / 11),
        "points that no detection reaches count 0; they are neither nan nor left out.",
    )
    thirds = run(answer, np.array([0.3]), np.array([1.0]))
    hint_if(
        _near(thirds, 3 / 11),
        "three objects of ten have recall 0.3 and should reach that point. Print the eleven points"
        " with all their digits: is the fourth of them really 0.3?",
    )
    hint_if(not _near(thirds, 4 / 11), "try a recall of 0.3 and precision 1: four points reach it.")
    return "also at 0.3, where 3 * 0.1 is a little more than 0.3 and costs an eleventh."


@exercise("which of the three objects are asked for? Which detections are about a difficult one?")
def check_difficult(answer: Sequence[int]) -> str:
    """Right, wrong and objects to find where one of three objects is difficult."""
    three = np.asarray(answer, float)
    hint_if(three.shape != (3,), "three counts are asked for: right, wrong, objects to find.")
    three = three.astype(int).tolist()
    hint_if(three == [2, 2, 3], "this treats the difficult object like any other.")
    hint_if(
        three[2] == 3, "a difficult object is not asked for: it is not among the objects to find."
    )
    hint_if(three[0] == 2, "finding a difficult object earns nothing: it is not counted as right.")
    hint_if(
        three == [1, 3, 2],
        "finding a difficult object costs nothing either: such a detection is not counted at all.",
    )
    hint_if(
        three == [1, 2, 2],
        "one detection too many is wrong. Is a second detection of a difficult object a duplicate,"
        " or is it ignored too?",
    )
    hint_if(
        three != [1, 1, 2], "go through the four one by one: counted as right, as wrong, or not?"
    )
    return "neither earned nor punished. COCO's crowds are treated so too."
