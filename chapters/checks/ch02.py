"""Chapter 2: ways forward and back."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from .common import Unsolved, exercise, hint_if, run


@exercise("forward is one line. Then ask for scale, shift and x: where was each of them used?")
def check_ScaleShift(answer: Callable[[int], Any]) -> str:
    """A layer with a scale and a shift for each channel."""
    hint_if(not callable(answer), "a class is asked for: keep the line that begins with class.")
    rng = np.random.default_rng(0)
    layer = answer(3)
    if layer is None or layer is Ellipsis:
        raise Unsolved
    layer.scale, layer.shift = rng.uniform(1, 2, 3), rng.uniform(-1, 1, 3)
    x, dy = rng.standard_normal((5, 3)), rng.standard_normal((5, 3))
    y = layer.forward(x.copy())
    if y is None or y is Ellipsis:
        raise Unsolved
    hint_if(
        np.shape(y) != x.shape or not np.allclose(y, x * layer.scale + layer.shift),
        "forward: each number times the scale of its channel, plus the shift of its channel.",
    )
    dx = layer.backward(dy.copy())
    if dx is None or dx is Ellipsis:
        raise Unsolved
    hint_if(np.shape(dx) != x.shape, "backward returns dx, which has the shape of x.")
    hint_if(
        np.allclose(dx, dy),
        "dx: if an x grows by one, its output grows by the scale, not by one.",
    )
    hint_if(not np.allclose(dx, dy * layer.scale), "dx is not what nudging x measures.")
    _check_gathered(layer, x, dy)
    layer.backward(dy.copy())
    doubled = np.allclose(layer.dscale, 2 * (dy * x).sum(axis=0))
    hint_if(not doubled, "a second backward overwrites the first; gradients are to *add* up.")
    return "and a second backward has added to the first, as it should."


def _check_gathered(layer: Any, x: np.ndarray, dy: np.ndarray) -> None:
    """Stop with a hint where the gradients of scale and shift are not the sums that they should be."""
    dscale, dshift = np.asarray(layer.dscale), np.asarray(layer.dshift)
    hint_if(
        dscale.shape != (3,) or dshift.shape != (3,),
        "dscale and dshift have one number a channel: what happens to the rows?",
    )
    hint_if(
        np.allclose(dscale, (dy * x).mean(axis=0)),
        "dscale is a mean over the rows. Each row's loss counts in full: what is it, then?",
    )
    hint_if(
        np.allclose(dscale, (dy * (x * layer.scale + layer.shift)).sum(axis=0)),
        "dscale: the scale was multiplied with the *input*, not with the output.",
    )
    hint_if(
        not np.allclose(dscale, (dy * x).sum(axis=0)),
        "dscale is not what nudging the scale measures.",
    )
    hint_if(
        not np.allclose(dshift, dy.sum(axis=0)), "dshift is not what nudging the shift measures."
    )


@exercise("for each, write the true line and the faulty line with dy = 1. Do they give the same?")
def check_found_by_ones(answer: Sequence[bool]) -> str:
    """Which of four faults a check with an all-ones upstream gradient finds."""
    hint_if(np.shape(answer) != (4,), "four answers are asked for, True or False each.")
    a, b, c, d = (bool(each) for each in answer)
    hint_if(
        not a,
        "a) with ones, `dy @ w.T` gives the sums of the rows of w, `dy @ w` those of its columns. Are they"
        " equal for a w that is not symmetric?",
    )
    hint_if(not b, "b) a gradient N times too small: does it matter what dy is?")
    hint_if(c, "c) if all rows of dy are equal, what is N times the first row?")
    hint_if(d, "d) after *one* backward from zero, what is the difference between = and +=?")
    return "c needs rows that differ, and d a second backward: the library's judge does both."


@exercise("two values of the function, at x + h and at x - h. How far apart are the two points?")
def check_central(answer: Callable[..., float]) -> str:
    """Slope from both sides."""
    got = run(answer, _cube, 2.0, 0.1)
    hint_if(np.shape(got) != (), "one number is asked for.")
    hint_if(
        np.isclose(got, (_cube(2.1) - _cube(2.0)) / 0.1),
        "this looks to one side only: its error falls with h, not with its square.",
    )
    hint_if(
        np.isclose(got, (_cube(2.1) - _cube(1.9)) / 0.1),
        "twice too large: how far is it from x - h to x + h?",
    )
    hint_if(
        np.isclose(got, (_cube(2.1) - _cube(1.9)) / 2 * 0.1),
        "in Python, a / 2 * h is (a / 2) * h. Parentheses help.",
    )
    hint_if(np.isclose(got, 12, atol=1e-3), "the step h that was given is not used.")
    hint_if(not np.isclose(got, 12.01), "try it by hand for the cube of x at 2 with h = 0.1.")
    return "and for the cube, the error is exactly the square of h."


def _cube(x: float) -> float:
    return x * x * x


@exercise("which of the two numbers went through? Only that one can change the output.")
def check_maximum_backward(answer: Callable[..., tuple[np.ndarray, np.ndarray]]) -> str:
    """Gradients of the larger of two numbers."""
    a, b = np.array([1.0, 5.0, 2.0, -1.0]), np.array([3.0, 4.0, 2.0, -2.0])
    dy = np.array([10.0, 20.0, 30.0, -40.0])
    got = run(answer, a, b, dy)
    hint_if(np.shape(got) != (2, 4), "two arrays are asked for, da and db, each of the shape of a.")
    da, db = np.asarray(got, float)
    hint_if(
        np.allclose(da, dy) and np.allclose(db, dy),
        "both get all of it. But nudging the smaller number changes nothing.",
    )
    hint_if(
        np.allclose(db, dy * (a >= b)) and not np.allclose(da, db),
        "exchanged: this gives the gradient to the smaller one.",
    )
    hint_if(set(da) | set(db) <= {0.0, 1.0}, "these are doors, open or shut. What goes through?")
    hint_if(da[2] + db[2] == 0, "where both are equal, nobody has the gradient.")
    hint_if(da[2] + db[2] == 60, "where both are equal, both have it: it counts twice.")
    hint_if(da[2] == 0, "where both are equal, a should have it.")
    right = np.allclose(da, dy * (a >= b)) and np.allclose(db, dy * (a < b))
    hint_if(not right, "try it by hand for a = (1, 5), b = (3, 4).")
    return "this is max pooling of a window of two: the next chapter has windows of any size."
