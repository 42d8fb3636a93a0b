"""Chapter 4: answers that learners give, and words of the hint that each should get."""

import math

from solutions.ch04 import cell_shapes, outside, row_of


def shapes_with(low, high, ratios, root=math.sqrt, middle=None, turned=False):
    middle = math.sqrt(low * high) if middle is None else middle
    boxes = [(low, low), (middle, middle)]
    for ratio in ratios:
        pair = [(low * root(ratio), low / root(ratio)), (low / root(ratio), low * root(ratio))]
        boxes += pair[::-1] if turned else pair
    return boxes


def doubled_area(low, high, ratios):
    boxes = cell_shapes(low, high, ratios)[:2]
    return boxes + [pair for r in ratios for pair in ((low * r, low), (low, low * r))]


def all_wide_first(low, high, ratios):
    a, b, wide, high_one, wide3, high3 = cell_shapes(low, high, ratios)
    return [a, b, wide, wide3, high_one, high3]


def without_half(size, step, image):
    inside = sum(place * step <= image for place in range(size))
    return size * size - inside * inside


def both_counted(size, step, image):
    beyond = sum((place + 0.5) * step > image for place in range(size))
    return 2 * beyond * size


def column_first(maps, map_index, row, column, shape):
    return row_of(maps, map_index, column, row, shape)


def shape_first(maps, map_index, row, column, shape):
    size = maps[map_index][0]
    return shape * size * size + row * size + column


def this_map_alone(maps, map_index, row, column, shape):
    return row_of(maps[map_index:], 0, row, column, shape)


WRONG = {
    "cell_shapes": [
        (lambda low, high, r: shapes_with(low, high, r, middle=(low + high) / 2), "*geometric*"),
        (lambda low, high, r: shapes_with(low, high, r, middle=high), "not max_size itself"),
        (lambda low, high, r: shapes_with(low, high, r, turned=True), "wide comes before high"),
        (doubled_area, "doubles the area"),
        (lambda low, high, r: shapes_with(low, high, r, root=lambda x: x), "but ratio 4"),
        (lambda low, high, r: cell_shapes(low, high, r)[1:], "two squares are asked for"),
        (lambda low, high, r: cell_shapes(low, high, r)[:2] * 2, "a wide *and* a high"),
        (all_wide_first, "its reciprocal"),
    ],
    "count": [
        (lambda maps: sum(s * (2 + 2 * r) for s, r in maps), "one row only"),
        (lambda maps: sum(s * s * (2 + r) for s, r in maps), "brings two boxes"),
        (lambda maps: sum(s * s * (1 + 2 * r) for s, r in maps), "two squares a cell"),
        (lambda maps: maps[-1][0] ** 2 * (2 + 2 * maps[-1][1]), "add them up"),
        (lambda maps: 600, "wrong for six"),
    ],
    "outside": [
        (without_half, "half a step"),
        (both_counted, "counted twice"),
        (
            lambda s, step, image: sum((p + 0.5) * step > image for p in range(s)),
            "all cells in them",
        ),
        (lambda s, step, image: s * sum((p + 0.5) * step > image for p in range(s)), "or below"),
        (lambda s, step, image: outside(10, 32, 300), "no centre lies outside"),
    ],
    "row_of": [
        (column_first, "before the column"),
        (shape_first, "counted last"),
        (this_map_alone, "the maps before"),
        (lambda *place: row_of(*place) + 1, "counted from 0"),
        (lambda maps, k, row, column, shape: row * maps[k][0] + column, "several boxes"),
        (lambda maps, k, r, c, s: 36 * k + (r * maps[k][0] + c) * maps[0][1] + s, "boxes a cell"),
    ],
    "small_sizes": [
        ([50, 60], "neither"),
        ([20, 30], "too large for the 12"),
        ([10, 16], "too small for the 24"),
        ([24, 14], "above min_size"),
        ([14], "two numbers"),
    ],
}
