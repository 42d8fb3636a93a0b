"""Chapter 8: answers that learners give, and words of the hint that each should get."""

import numpy as np


def unit_and_length(x):
    length = np.sqrt((x * x).sum(axis=1, keepdims=True))
    return x / length, length


def projected(x, g):
    unit, _ = unit_and_length(x)
    return g - unit * (g * unit).sum(axis=1, keepdims=True)


def exchanged(k, maps):
    cell, shape = divmod(k, maps[0][1])
    row, column = divmod(cell, maps[0][0])
    return 0, column, row, shape


def first_map_only(k, maps):
    cell, shape = divmod(k, maps[0][1])
    return (0, *divmod(cell, maps[0][0]), shape)


def shape_first(k, maps):
    size, _ = maps[0]
    shape, cell = divmod(k, size * size)
    return (0, *divmod(cell, size), shape)


def numbers_of_the_first(k, maps):
    size, shapes = maps[0]
    number, rest = divmod(k, size * size * shapes)
    cell, shape = divmod(rest, shapes)
    return (number, *divmod(cell, size), shape)


def from_one(k, maps):
    return tuple(n + 1 for n in first_map_only(k, maps))


WRONG = {
    "head_channels": [
        (lambda c, b: b * (c + 4), "may be *nothing*"),
        (lambda c, b: b * (c + 1), "Where should each box"),
        (lambda c, b: b * (c + 1) + 4, "not four in all"),
        (lambda c, b: c + 1 + 4, "this is one box"),
        (lambda c, b: 150, "built in"),
    ],
    "place_of": [
        (exchanged, "exchanged"),
        (shape_first, "changes fastest"),
        (first_map_only, "not of the first map"),
        (numbers_of_the_first, "wrong on the second map"),
        (from_one, "counted from 1"),
        (lambda k, maps: first_map_only(k, maps)[1:], "four numbers"),
    ],
    "sides_321": [
        ([40, 20, 10, 5, 3, 1], "rounded down"),
        ([161, 81, 41, 21, 11, 6], "*three* poolings"),
        ([41, 21, 10, 5, 3, 1], "on both sides"),
        ([41, 21, 11, 6, 6, 6], "lose at the border"),
        ([41, 21, 11, 6, 4, 4], "and once more"),
        ([41, 20, 10, 5, 3, 1], "the second map"),
    ],
    "l2_backward": [
        (lambda x, s, dy: dy * s / unit_and_length(x)[1], "were a constant"),
        (lambda x, s, dy: projected(x, dy) / unit_and_length(x)[1], "scale is missing"),
        (lambda x, s, dy: projected(x, dy * s), "turns less"),
        (lambda x, s, dy: s * projected(x, dy) / unit_and_length(x)[1], "too late"),
        (lambda x, s, dy: dy * s, "points along x; moving"),
    ],
}
