"""Chapter 6: offsets and their loss."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from .common import exercise, hint_if, run


@exercise("where is the object's centre, and how wide is it? Then measure both in default boxes.")
def check_by_hand(answer: Sequence[float]) -> str:
    """Offsets of an object from a default box."""
    got = np.asarray(answer, float)
    hint_if(got.shape != (4,), "four numbers are asked for: x, y, w, h.")
    right = np.array([-5, 0, np.log(2) / 0.2, 0])
    hint_if(np.allclose(got, right * [0.1, 0.1, 0.2, 0.2], atol=0.02), "the divisors are missing.")
    hint_if(
        np.allclose(got, -right, atol=0.05),
        "the other way round: from the default box *to* the object.",
    )
    hint_if(
        np.isclose(got[0], -2.5, atol=0.02),
        "x was measured in widths of the object; the default box's own width is the unit.",
    )
    hint_if(
        np.isclose(got[0], -1, atol=0.02),
        "x is a fraction of the picture, divided by 0.1: the width of the default box is missing.",
    )
    hint_if(
        np.isclose(got[0], -15, atol=0.05),
        "x goes from centre to centre, not from corner to centre.",
    )
    hint_if(np.isclose(got[2], np.log(2) / 0.1, atol=0.05), "the divisor of the size is 0.2.")
    hint_if(np.isclose(got[2], 10) or np.isclose(got[2], 5), "w: is the logarithm missing?")
    hint_if(not np.isclose(got[0], -5, atol=0.02), "x: (0.4 - 0.5), in widths of 0.2, then / 0.1.")
    hint_if(not np.allclose(got, right, atol=0.05), "x is right; look at the others once more.")
    return "half a default box to the left, and twice as wide."


@exercise("undo encode step by step: times the divisors, then move and stretch, then corners.")
def check_to_box(answer: Callable[..., np.ndarray]) -> str:
    """Decode offsets."""
    default = np.array([[0.5, 0.4, 0.2, 0.4], [0.3, 0.3, 0.1, 0.1]])
    offsets = np.array([[-5, 1.0, 2.0, -1.0], [1.0, -2.0, 0.5, 3.0]])
    got = np.asarray(run(answer, offsets, default), float)
    hint_if(got.shape != (2, 4), "one box, four numbers, for each row of offsets.")

    def box(o: np.ndarray, unit: np.ndarray, stretch: Callable = np.exp) -> np.ndarray:
        center = default[:, :2] + o[:, :2] * unit
        half = default[:, 2:] * stretch(o[:, 2:]) / 2
        return np.concatenate([center - half, center + half], axis=1)

    scaled, sides = offsets * [0.1, 0.1, 0.2, 0.2], default[:, 2:]
    right = box(scaled, sides)
    hint_if(np.allclose(got, box(offsets, sides)), "the divisors are missing: multiply by them.")
    hint_if(
        np.allclose(got, box(offsets / [0.1, 0.1, 0.2, 0.2], sides)),
        "divided once more; decoding *multiplies* by what encoding divided by.",
    )
    hint_if(
        np.allclose(got, box(scaled, np.ones((2, 2)))),
        "the centre was moved in fractions of the picture; its unit is the default box.",
    )
    hint_if(
        np.allclose(got, box(scaled, sides, lambda s: 1 + s)),
        "1 + w is no exponential: for w = -6 the box would have no width left.",
    )
    centers = np.concatenate(
        [default[:, :2] + scaled[:, :2] * sides, sides * np.exp(scaled[:, 2:])], axis=1
    )
    hint_if(np.allclose(got, centers), "these are centers; corners are asked for.")
    hint_if(not np.allclose(got, right), "try it with offsets of zero: the default box comes out.")
    return "and it is the inverse of `encode`."


@exercise(
    "decoding without the divisors is exp(3.47). What was 3.47 the logarithm of 2 divided by?"
)
def check_forgotten(answer: float) -> str:
    """How wide a box is that was decoded without the divisors."""
    hint_if(np.shape(answer) != (), "one number is asked for.")
    hint_if(np.isclose(answer, 2, atol=0.05), "that is with the divisors: exp(3.47 * 0.2).")
    hint_if(
        np.isclose(answer, 3.47, atol=0.05) or np.isclose(answer, 4.47, atol=0.05),
        "the offset is a logarithm; decoding takes its exponential.",
    )
    hint_if(
        np.isclose(answer, 10, atol=0.3), "the 0.2 stands inside of the exponential, not before."
    )
    hint_if(not 31 < answer < 33, "exp(3.47) = exp(log(2) / 0.2) = 2 to the power of what?")
    return "2 to the fifth power: a star as wide as the picture, and no error message."


@exercise("inside of 1 the loss is a parabola, outside a line. What are their slopes?")
def check_slope(answer: Callable[[np.ndarray], np.ndarray]) -> str:
    """Slope of smooth L1."""
    d = np.array([-20.0, -1.0, -0.5, 0.0, 0.25, 3.0])
    got = np.asarray(run(answer, d), float)
    hint_if(got.shape != d.shape, "one slope is asked for each difference.")
    hint_if(
        np.allclose(got, d),
        "this is the slope of the parabola everywhere; outside of 1 it is a line.",
    )
    hint_if(
        np.allclose(got, np.sign(d)),
        "this is the slope of |d|; near 0 it is a parabola, and gentle.",
    )
    inner = np.minimum(np.abs(d), 1)
    hint_if(
        np.allclose(got, inner * (np.abs(d) - inner / 2)),
        "this is the loss; its slope is asked for.",
    )
    hint_if(
        np.allclose(got, np.abs(np.clip(d, -1, 1))),
        "where d is negative, a larger answer makes the loss *smaller*: the sign.",
    )
    hint_if(
        np.allclose(got, np.clip(2 * d, -1, 1)) or np.isclose(got[2], -1),
        "the parabola is d squared over *two*.",
    )
    hint_if(not np.allclose(got, np.clip(d, -1, 1)), "draw it: a ramp from -1 to 1.")
    return "never steeper than 1, and 0 at rest."
