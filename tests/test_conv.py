from __future__ import annotations

import numpy as np
import oracles_nn as oracles
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from minissd.backend import to_cpu
from minissd.nn import Conv2d
from minissd.nn.gradcheck import randomize_parameters

few = settings(deadline=None, max_examples=60)
pair = st.tuples(st.integers(1, 3), st.integers(1, 3))
border = st.tuples(st.integers(0, 2), st.integers(0, 2))
size = st.tuples(st.integers(1, 2), st.integers(1, 8), st.integers(1, 8))


def fits(shape, kernel, padding, dilation=(1, 1)):
    return all(s + 2 * p > d * (k - 1) for s, k, p, d in zip(shape[1:], kernel, padding, dilation))


@given(
    size, pair, pair, border, pair, st.sampled_from([(1, 2, 3), (2, 2, 4), (3, 1, 2), (3, 1, 1)])
)
@few
def test_convolution_is_that_of_the_plain_loop(shape, kernel, stride, padding, dilation, channels):
    assume(fits(shape, kernel, padding, dilation))
    groups, per_group, out_per_group = channels
    draw = np.random.default_rng(len(str((shape, kernel, stride))))
    x = draw.standard_normal((*shape, groups * per_group))
    walk = (stride, padding, dilation, groups)
    layer = Conv2d(x.shape[-1], groups * out_per_group, kernel, *walk, rng=draw)
    randomize_parameters(layer.astype(np.float64), draw)
    expected = oracles.conv2d(x, layer.weight.value, layer.bias.value, *walk)
    y = layer.forward(x)
    assert y.shape == expected.shape
    assert np.allclose(y, expected, rtol=0, atol=1e-12)
    assert layer.backward(y).shape == x.shape


@pytest.mark.parametrize("groups", [1, 2, 4])
def test_convolution_on_every_backend(xp, groups, rng):
    host = Conv2d(4, 8, 3, stride=2, padding=1, groups=groups, rng=rng)
    x = rng.standard_normal((2, 5, 6, 4)).astype(np.float32)
    dy = rng.standard_normal((2, 3, 3, 8)).astype(np.float32)
    y, dx = host.forward(x), host.backward(dy)
    state, dw = host.state(), host.weight.grad.copy()
    device = Conv2d(4, 8, 3, stride=2, padding=1, groups=groups, rng=rng).to(xp)
    device.load_state(state)
    assert np.allclose(to_cpu(device.forward(xp.asarray(x))), y, atol=1e-5)
    assert np.allclose(to_cpu(device.backward(xp.asarray(dy))), dx, atol=1e-5)
    assert np.allclose(to_cpu(device.weight.grad), dw, atol=1e-4)
    assert np.allclose(to_cpu(device.bias.grad), dy.sum(axis=(0, 1, 2)), atol=1e-5)


def test_a_depthwise_convolution_keeps_its_channels_apart(rng):
    layer = Conv2d(3, 3, 3, padding=1, groups=3, bias=False, rng=rng)
    x = np.zeros((1, 4, 4, 3), np.float32)
    x[..., 1] = rng.standard_normal((1, 4, 4))
    y = layer.forward(x)
    assert y[..., 1].any()
    assert not y[..., [0, 2]].any()


def test_fc6_of_ssd_keeps_the_size_of_the_map(rng):
    layer = Conv2d(2, 3, 3, padding=6, dilation=6, rng=rng)
    assert layer.forward(np.zeros((1, 19, 19, 2), np.float32)).shape == (1, 19, 19, 3)


def test_one_pixel_is_enough_where_padding_helps(rng):
    x = rng.standard_normal((1, 1, 1, 2)).astype(np.float32)
    layer = Conv2d(2, 3, 3, padding=1, rng=rng)
    expected = x[0, 0, 0] @ layer.weight.value[1, 1] + layer.bias.value
    assert np.allclose(layer.forward(x)[0, 0, 0], expected, atol=1e-6)


def test_the_first_layer_may_do_without_an_input_gradient(rng):
    layer = Conv2d(2, 3, 3, rng=rng)
    layer.input_gradient = False
    y = layer.forward(rng.standard_normal((1, 4, 4, 2)).astype(np.float32))
    assert layer.backward(y) is None
    assert layer.weight.grad.any()


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"in_channels": 0}, "in_channels"),
        ({"kernel_size": 0}, "kernel_size"),
        ({"kernel_size": (3, 3, 3)}, "kernel_size: expected one whole number or a pair"),
        ({"stride": 0}, "stride"),
        ({"stride": 1.5}, "stride: expected a whole number, got 1.5"),
        ({"padding": -1}, "padding"),
        ({"dilation": 0}, "dilation"),
        ({"groups": 3}, "groups: expected a divisor of in_channels=4, got 3"),
        ({"groups": 4}, "groups: expected a divisor of out_channels=6, got 4"),
    ],
)
def test_convolution_checks_its_settings(options, text, rng):
    settings_ = {"in_channels": 4, "out_channels": 6, "kernel_size": 3, **options}
    with pytest.raises(ValueError, match=text):
        Conv2d(**settings_, rng=rng)


@pytest.mark.parametrize(
    ("shape", "text"),
    [
        ((1, 5, 5, 3), "x: expected 2 channels"),
        ((1, 2, 5, 2), "smaller"),
        ((5, 5, 2), "x: expected a map"),
    ],
)
def test_convolution_checks_its_input(shape, text, rng):
    with pytest.raises(ValueError, match=text):
        Conv2d(2, 3, 3, rng=rng).forward(np.zeros(shape, np.float32))
