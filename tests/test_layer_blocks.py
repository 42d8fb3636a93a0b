"""Layers worked through in blocks: where the cuts fall changes nothing, and a number that is none stays one."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minissd import parallel
from minissd.nn import MaxPool2d, ReLU, Residual, pool
from minissd.nn.activation import ReLU6


def plain_pool(x: np.ndarray, layer: MaxPool2d, dy: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Pool window by window; the first pixel that holds the maximum gets the gradient."""
    y, dx = np.empty(dy.shape), np.zeros(x.shape)
    (kh, kw), (sh, sw), (ph, pw) = layer.shape.kernel, layer.shape.stride, layer.shape.padding
    for n, i, j, c in np.ndindex(dy.shape):
        rows, columns = range(i * sh - ph, i * sh - ph + kh), range(j * sw - pw, j * sw - pw + kw)
        cells = [
            (n, a, b, c)
            for a, b in product(rows, columns)
            if 0 <= a < x.shape[1] and 0 <= b < x.shape[2]
        ]
        best = max(cells, key=lambda cell: x[cell])  # the first of equals
        y[n, i, j, c] = x[best]
        dx[best] += dy[n, i, j, c]
    return y, dx


@given(
    st.tuples(st.integers(1, 3), st.integers(3, 9), st.integers(3, 9)),
    st.tuples(st.integers(1, 3), st.integers(1, 3)),
    st.tuples(st.integers(1, 4), st.integers(1, 4)),
    st.booleans(),
    st.booleans(),
    st.sampled_from([1, 500, 2**20]),
)
@settings(deadline=None, max_examples=80)
def test_pooling_is_that_of_the_plain_loop(size, kernel, stride, bordered, ceil_mode, block):
    border = tuple(k // 2 for k in kernel) if bordered else 0
    layer = MaxPool2d(kernel, stride, border, ceil_mode)
    draw = np.random.default_rng(0)
    x = draw.integers(0, 3, (*size, 2)).astype(np.float64)  # with many equals
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pool, "BLOCK_BYTES", block)
        y = layer.forward(x)
        dy = draw.standard_normal(y.shape)
        dx = layer.backward(dy)
    for found, expected in zip((y, dx), plain_pool(x, layer, dy)):
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("make", [ReLU, ReLU6, lambda: MaxPool2d(2), lambda: MaxPool2d(3, 1, 1)])
def test_a_number_that_is_none_stays_one(make, rng):
    x = rng.standard_normal((1, 8, 8, 16)).astype(np.float32)
    x[0, 3, 3, 5] = np.nan
    assert np.isnan(make().forward(x)).any()


@pytest.mark.parametrize(
    "make",
    [ReLU, ReLU6, lambda: MaxPool2d(2), lambda: MaxPool2d(3, 1, 1), lambda: Residual(ReLU())],
)
def test_the_bits_are_the_same_with_any_number_of_threads(make, rng):
    before = parallel.thread_count()
    x = rng.standard_normal((2, 75, 76, 40)).astype(np.float32)
    results = []
    try:
        for count in (1, 2, 3):
            parallel.set_threads(count)
            layer = make()
            y = layer.forward(x)
            results.append((y, layer.backward(np.sin(y))))
    finally:
        parallel.set_threads(before)
    for y, dx in results[1:]:
        np.testing.assert_array_equal(y, results[0][0])
        np.testing.assert_array_equal(dx, results[0][1])


def test_one_image_is_shared_out_among_the_threads():
    x = np.zeros((1, 300, 300, 64), np.float32)
    layer = MaxPool2d(2)
    assert len(pool._blocks(x, layer.forward(x), 2)) > 4
