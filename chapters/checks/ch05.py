"""Chapter 5: which default box answers for which object."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from .common import exercise, hint_if, run


@exercise("find the highest number of the whole table first. Who leaves the game then?")
def check_one_box(answer: Sequence[str]) -> str:
    """Owners of three boxes that two objects want."""
    hint_if(
        isinstance(answer, str) or np.shape(answer) != (3,),
        "three owners are asked for, in one list: one for each box.",
    )
    given = [str(each).strip().upper() for each in answer]
    strange = [each for each in given if each not in ("A", "B", "-")]
    hint_if(strange, 'write "A", "B" or "-" for each box, not the number of the object.')
    hint_if(given[0] == "A", "box 1: which of its two overlaps is the highest of the table?")
    hint_if(given[0] == "-", "box 1 overlaps both objects well; somebody gets it.")
    hint_if(
        given[2] == "B",
        "box 3 for B? B left the game in round 1, and 0.20 is below the threshold.",
    )
    hint_if(
        given[1] == "-",
        "box 2 is below the threshold, but A has no box yet: is it out of the game after round 1?",
    )
    hint_if(given != ["B", "A", "-"], "go through it once more: two rounds, then the threshold.")
    return "A's favourite is gone, so it takes the next best, at 0.30, below the threshold."


@exercise("go through the three functions of this chapter with a column of zeros in your head.")
def check_no_area(answer: Sequence[int]) -> str:
    """How many boxes answer for an object that nothing overlaps, under three rules."""
    given = np.asarray(answer)
    hint_if(given.shape != (3,), "three numbers are asked for: one for each rule.")
    alone, rounds, without_stop = given
    hint_if(alone != 0, "threshold alone: 0 is not at least 0.5.")
    hint_if(
        rounds == 1,
        "one-to-one: look at the line with `least`. Is a pair without overlap matched?",
    )
    hint_if(rounds != 0, "one-to-one: a round matches one pair, and here there is one round.")
    hint_if(
        without_stop == 0,
        "without the stop: what does argmax say of a column that holds only zeros?",
    )
    hint_if(without_stop != 1, "without the stop: one object, one round, one pair.")
    return "only the rule without the stop gives it a box, and that box lies anywhere."


MATRIX = np.array(
    [[0.6, 0.7, 0.0, 0.1], [0.3, 0.55, 0.0, 0.0], [0.1, 0.2, 0.0, 0.6], [0.0, 0.05, 0.0, 0.5]]
)


@exercise("take the highest number of the whole matrix. Its row and its column are done; go on.")
def check_box_of_each(answer: Callable[..., np.ndarray]) -> str:
    """The rounds: for each object the row of its box, or -1."""
    got = np.asarray(run(answer, MATRIX))
    hint_if(got.shape != (4,), "one number is asked for each object, four in all.")
    best = MATRIX.argmax(axis=0)
    hint_if(
        np.array_equal(got, best),
        "each object has taken its favourite, so two of them share box 0. Who has to leave the game?",
    )
    hint_if(
        np.array_equal(got[:2], [0, 1]),
        "the objects have chosen in their own order; the best pair *of all* comes first.",
    )
    hint_if(
        np.array_equal(got, [1, 0, 3, 2]),
        "object 2 overlaps nothing, and has got a box all the same: when are the rounds to stop?",
    )
    hint_if(len(set(got[got >= 0])) < (got >= 0).sum(), "one box answers for two objects.")
    by_box = np.array_equal(got, [1, 0, 3, -1])
    hint_if(by_box, "this is the object of each box. The box of each object is asked for.")
    hint_if(
        np.array_equal(got, [-1, 0, -1, 2]),
        "object 0 overlaps a free box by 0.3, and got none: do the rounds know of a threshold?",
    )
    hint_if(
        not np.array_equal(got, [1, 0, -1, 2]),
        "try it by hand on the matrix `hard` of this chapter: its rounds are (0, 1), then (1, 0).",
    )
    wide = np.array([[0.9, 0.8, 0.3]])
    got = np.asarray(run(answer, wide))
    hint_if(
        not np.array_equal(got, [0, -1, -1]),
        "right for that matrix, wrong where objects outnumber the boxes.",
    )
    return "in rounds, best pair first, and nobody gets what does not overlap."


@exercise("what does classes[owner] give where owner is -1? And which number is background?")
def check_labels(answer: Callable[..., np.ndarray]) -> str:
    """Class of each box, 0 for background."""
    owner, classes = np.array([-1, 0, 0, 1, -1, 2]), np.array([4, 2, 5])
    got = np.asarray(run(answer, owner, classes))
    hint_if(got.shape != (6,), "one class is asked for each box, six in all.")
    hint_if(
        np.array_equal(got, classes[owner]),
        "in NumPy, index -1 is the last entry: background boxes have got the class of the last object.",
    )
    hint_if(
        np.array_equal(got, np.where(owner > 0, classes[owner], 0)),
        "object number 0 has become background. It is an object like any other.",
    )
    hint_if(
        np.array_equal(got, owner + 1),
        "these are the numbers of the objects, plus one. Their *classes* are asked for.",
    )
    hint_if((got < 0).any(), "background is class 0 here, not -1.")
    hint_if(
        np.array_equal(got, [0, 5, 5, 3, 0, 6]),
        "all are one too high: the classes that were given begin at 1 already.",
    )
    hint_if(not np.array_equal(got, [0, 4, 4, 2, 0, 5]), "compare it with the owners one by one.")
    nobody = np.asarray(run(answer, np.array([-1, -1]), np.array([3])))
    hint_if((nobody != 0).any(), "where no box has an owner, all are background.")
    return "the two kinds of zero are kept apart."
