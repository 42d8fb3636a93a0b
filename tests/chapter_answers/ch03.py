"""Chapter 3: answers that learners give, and words of the hint that each should get."""

import numpy as np
from solutions.ch03 import readers, rows


def size_with(reach=None, pad=2, plus=1, up=False):
    def answer(size, kernel, stride, padding, dilation):
        taken = dilation * (kernel - 1) + 1 if reach is None else reach(kernel, dilation)
        room = size + pad * padding - taken
        return (-(-room // stride) if up else room // stride) + plus

    return answer


def not_fitting(size, kernel, stride):
    counts = np.zeros(size, int)
    for start in range(0, size, stride):
        counts[start : start + kernel] += 1
    return counts


def starts(size, kernel, stride):
    return (np.arange(size) <= size - kernel).astype(int)


def column_by_column(x, kernel, stride):
    height, width, _ = x.shape
    return np.stack(
        [
            x[i : i + kernel, j : j + kernel].ravel()
            for j in range(0, width - kernel + 1, stride)
            for i in range(0, height - kernel + 1, stride)
        ]
    )


def channels_first(x, kernel, stride):
    n = x.shape[-1]
    return rows(x, kernel, stride).reshape(-1, kernel * kernel, n).swapaxes(1, 2).reshape(4, -1)


def own_stride(layers):
    seen, apart = 1, 1
    for kernel, stride in layers:
        apart *= stride
        seen += (kernel - 1) * apart
    return seen


def last_stride_only(layers):
    seen, before = 1, 1
    for kernel, stride in layers:
        seen += (kernel - 1) * before
        before = stride
    return seen


WRONG = {
    "map_size": [
        (size_with(plus=0), "steps, or places"),
        (size_with(pad=1), "*both* sides"),
        (size_with(pad=0), "padding is not used"),
        (size_with(reach=lambda k, d: k), "dilation is not used"),
        (size_with(reach=lambda k, d: k * d), "not over six"),
        (size_with(up=True), "rounded up"),
    ],
    "readers": [
        (lambda size, k, s: np.full(size, k), "at the border"),
        (starts, "*starts*"),
        (not_fitting, "must fit"),
        (lambda size, k, s: readers(size, k, 1), "stride is not used"),
        (lambda size, k, s: readers(size, k, s)[:-1], "8 cells"),
    ],
    "rows": [
        (lambda x, k, s: rows(x, k, s).T, "turned around"),
        (lambda x, k, s: rows(x, k, 1), "stride is not used"),
        (column_by_column, "column by column"),
        (channels_first, "change fastest"),
        (lambda x, k, s: rows(x, k, s).reshape(2, 2, -1), "one long list"),
    ],
    "field": [
        (lambda layers: sum(k for k, _ in layers), "overlap"),
        (lambda layers: int(np.prod([k for k, _ in layers])), "not a product"),
        (lambda layers: 1 + sum(k - 1 for k, _ in layers), "two pixels apart"),
        (own_stride, "*own* stride"),
        (last_stride_only, "The strides multiply"),
    ],
}
