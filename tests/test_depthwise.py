"""Depthwise convolution against im2col, which the plain loops hold."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from minissd.backend import to_cpu
from minissd.nn import Conv2d
from minissd.nn.convolution import depthwise, im2col
from minissd.nn.convolution.im2col import ConvShape

pair = st.tuples(st.integers(1, 3), st.integers(1, 3))
border = st.tuples(st.integers(0, 3), st.integers(0, 3))
size = st.tuples(st.integers(1, 3), st.integers(1, 9), st.integers(1, 9), st.integers(1, 5))


@given(size, pair, pair, border, pair)
@settings(deadline=None, max_examples=80)
def test_all_three_directions_are_those_of_im2col(size, kernel, stride, padding, dilation):
    shape = ConvShape(kernel, stride, padding, dilation, groups=size[-1])
    assume(min(shape.output_size(*size[1:3])) > 0)
    rng = np.random.default_rng(sum(size))
    x = rng.standard_normal(size)
    w = rng.standard_normal((*kernel, 1, size[-1]))
    y = depthwise.forward(x, w, shape)
    dy = rng.standard_normal(y.shape)
    close = {"rtol": 0, "atol": 1e-12}
    np.testing.assert_allclose(y, im2col.forward(x, w, shape), **close)
    dw = depthwise.weight_gradient(x, dy, shape)
    np.testing.assert_allclose(dw, im2col.weight_gradient(x, dy, shape), **close)
    dx = depthwise.input_gradient(dy, w, shape, x.shape)
    np.testing.assert_allclose(dx, im2col.input_gradient(dy, w, shape, x.shape), **close)


@pytest.mark.parametrize(
    ("channels", "out_channels", "groups", "algorithm"),
    [(6, 6, 6, depthwise), (6, 12, 6, im2col), (6, 6, 3, im2col), (6, 6, 1, im2col)],
)
def test_who_is_asked(channels, out_channels, groups, algorithm, rng):
    layer = Conv2d(channels, out_channels, 3, groups=groups, rng=rng)
    assert layer.algorithm_for(np.zeros((1, 3, 3, channels))) is algorithm


def test_one_channel_is_the_business_of_matrices_too(rng):
    """Of a map with one channel both algorithms say the same."""
    layer = Conv2d(1, 1, 3, padding=1, rng=rng)
    x = rng.standard_normal((2, 4, 5, 1)).astype(np.float32)
    expected = im2col.forward(x, layer.weight.value, layer.shape)
    np.testing.assert_allclose(layer.forward(x), expected, atol=1e-6)


@pytest.mark.parametrize("stride", [1, 2])
def test_many_images_in_many_blocks(stride, xp, rng):
    """A batch that is cut into blocks and shared out gives what one block gives, and neither input changes."""
    shape = ConvShape((3, 3), (stride, stride), (1, 1), groups=24)
    x = xp.asarray(rng.standard_normal((9, 31, 30, 24)).astype(np.float32))
    w = xp.asarray(rng.standard_normal((3, 3, 1, 24)).astype(np.float32))
    before = to_cpu(x).copy(), to_cpu(w).copy()
    y = depthwise.forward(x, w, shape)
    one_by_one = [to_cpu(depthwise.forward(x[i : i + 1], w, shape)) for i in range(9)]
    np.testing.assert_array_equal(to_cpu(y), np.concatenate(one_by_one))
    dx = depthwise.input_gradient(y, w, shape, x.shape)
    last = depthwise.input_gradient(y[8:], w, shape, (1, *x.shape[1:]))
    np.testing.assert_array_equal(to_cpu(dx)[8:], to_cpu(last))
    dw = to_cpu(depthwise.weight_gradient(x, y, shape))
    np.testing.assert_array_equal(dw, to_cpu(depthwise.weight_gradient(x, y, shape)))
    expected = im2col.weight_gradient(before[0].astype(np.float64), to_cpu(y), shape)
    np.testing.assert_allclose(dw, expected, rtol=1e-4, atol=1e-2)
    np.testing.assert_array_equal(to_cpu(x), before[0])
    np.testing.assert_array_equal(to_cpu(w), before[1])
