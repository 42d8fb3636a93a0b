"""Chapter 6: answers that learners give, and words of the hint that each should get."""

import numpy as np

SCALES = np.array([0.1, 0.1, 0.2, 0.2])


def box(offsets, default, unit=None, stretch=np.exp):
    unit = default[..., 2:] if unit is None else unit
    center = default[..., :2] + offsets[..., :2] * unit
    half = default[..., 2:] * stretch(offsets[..., 2:]) / 2
    return np.concatenate([center - half, center + half], axis=-1)


def as_centers(offsets, default):
    corners = box(offsets * SCALES, default)
    low, high = corners[..., :2], corners[..., 2:]
    return np.concatenate([(low + high) / 2, high - low], axis=-1)


WRONG = {
    "by_hand": [
        ([-0.5, 0, 0.69, 0], "divisors are missing"),
        ([5, 0, -3.47, 0], "*to* the object"),
        ([-2.5, 0, 3.47, 0], "widths of the object"),
        ([-1, 0, 3.47, 0], "fraction of the picture"),
        ([-15, 0, 3.47, 0], "corner to centre"),
        ([-5, 0, 6.93, 0], "divisor of the size"),
        ([-5, 0, 10, 0], "logarithm"),
        ([-5, 1, 3.47, 0], "look at the others"),
    ],
    "to_box": [
        (box, "divisors are missing"),
        (lambda o, d: box(o / SCALES, d), "*multiplies*"),
        (lambda o, d: box(o * SCALES, d, unit=1), "its unit is"),
        (lambda o, d: box(o * SCALES, d, stretch=lambda s: 1 + s), "no exponential"),
        (as_centers, "these are centers"),
        (lambda o, d: box(o * SCALES, d)[0], "each row"),
    ],
    "forgotten": [
        (2, "with the divisors"),
        (3.47, "is a logarithm"),
        (10, "inside of the exponential"),
        (0.4, "power of what"),
        ([32, 32], "one number"),
    ],
    "slope": [
        (lambda d: d, "everywhere"),
        (np.sign, "slope of |d|"),
        (lambda d: np.where(np.abs(d) < 1, d**2 / 2, np.abs(d) - 0.5), "this is the loss"),
        (lambda d: np.abs(np.clip(d, -1, 1)), "the sign"),
        (lambda d: np.clip(2 * d, -1, 1), "over *two*"),
        (lambda d: np.clip(d, 0, 1), "a ramp"),
    ],
}
