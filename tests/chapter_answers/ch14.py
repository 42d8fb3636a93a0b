"""Chapter 14: answers that learners give, and words of the hint that each should get."""

import numpy as np
from solutions.ch14 import bytes_sent, join, place_of, windows_that_see


def row_not_wrapped(i, h, w, c):
    image, _, column, channel = place_of(i, h, w, c)
    return image, i // c // w, column, channel


def height_first(i, h, w, c):
    pixel = i // c
    return pixel // h // w, pixel // h % w, pixel % h, i % c


def between(addresses, size):
    return max(addresses) // 128 - min(addresses) // 128 + 1


def all_but_last(row, window, step, n):
    first, last = windows_that_see(row, window, step, n)
    return first, last + 1


def spread(weigh_within=True, weigh_between=False, root=False, ddof=0):
    def answer(counts, means, variances):
        mean, variance = join(counts, means, variances)
        weights = counts if weigh_within else None
        if root:
            return mean, variance**0.5
        if ddof:
            return mean, variance * sum(counts) / (sum(counts) - 1)
        between = np.mean((np.array(means) - mean) ** 2) if weigh_between else 0
        return mean, np.average(variances, weights=weights) + between

    return answer


WRONG = {
    "place_of": [
        (lambda i, h, w, c: [place_of(i, h, w, c)[k] for k in (0, 2, 1, 3)], "row before column"),
        (lambda i, h, w, c: place_of(i, h, w, c)[::-1], "image first"),
        (lambda i, h, w, c: (*place_of(i, h, w, c)[:3], i // c), "not the quotient"),
        (lambda i, h, w, c: (i % 2, i // 2 % h, i // 2 // h % w, 0), "next to each other"),
        (height_first, "divide by that first"),
        (row_not_wrapped, "from image to image"),
        (lambda i, h, w, c: (0, *place_of(i, h, w, c)[1:]), "height * width pixels"),
        (lambda i, h, w, c: i, "four numbers"),
    ],
    "lines_touched": [
        (lambda addresses, size: len(addresses), "not reads"),
        (lambda addresses, size: len({a // 32 for a in addresses}), "in bytes"),
        (lambda addresses, size: len(addresses) * size // 129, "as a whole"),
        (lambda addresses, size: -(-len(addresses) * size // 128), "far apart"),
        (between, "lines between"),
        (lambda addresses, size: len({a // 128 for a in addresses}), "end of the line"),
        (lambda addresses, size: {a // 128 for a in addresses} and [1], "one number"),
    ],
    "windows_that_see": [
        (lambda row, k, s, n: windows_that_see(row, k, s, n)[::-1], "other order"),
        (lambda row, k, s, n: (row // s, row // s), "windows overlap"),
        (all_but_last, "behind it"),
        (lambda row, k, s, n: (max(0, (row - k) // s), min(n - 1, row // s)), "rows 2 to 4"),
        (lambda row, k, s, n: (-(-(row - k + 1) // s), min(n - 1, row // s)), "before the first"),
        (lambda row, k, s, n: (max(0, -(-(row - k + 1) // s)), row // s), "0 to 3 only"),
        (lambda row, k, s, n: row // s, "two numbers"),
    ],
    "bytes_sent": [
        (lambda n, count: bytes_sent(n, count) / 4, "four bytes"),
        (lambda n, count: bytes_sent(n, count) / 2, "second turn"),
        (lambda n, count: 2 * 4 * count, "not to n"),
        (lambda n, count: bytes_sent(n, count) * n, "an n-th"),
        (lambda n, count: 4 * count * (n - 1), "everything to everyone"),
        (lambda n, count: [bytes_sent(n, count)], "one number"),
    ],
    "join": [
        (lambda n, m, v: (np.mean(m), np.mean(v)), "weigh the means"),
        (spread(), "spread within"),
        (spread(weigh_within=False), "variances count"),
        (spread(weigh_between=True), "by the number of values"),
        (spread(root=True), "standard deviation"),
        (spread(ddof=1), "less one"),
        (lambda n, m, v: join(n, m, v)[0], "two numbers"),
    ],
}
