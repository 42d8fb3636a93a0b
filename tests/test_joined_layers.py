"""Two layers in one pass over memory do what they do one after the other: forward, backward, and to the parameters."""

from __future__ import annotations

import numpy as np
import pytest

from minissd.nn import BatchNorm2d, Conv2d, MaxPool2d, ReLU, ReLU6, Sequential


def joining_layers(rng):
    yield Conv2d(16, 16, 3, padding=1, algorithm="winograd", rng=rng)
    yield Conv2d(16, 16, 3, padding=1, algorithm="winograd", bias=False, rng=rng)
    yield Conv2d(16, 24, 3, stride=2, algorithm="bands", rng=rng)
    yield Conv2d(16, 24, 1, algorithm="pointwise", rng=rng)
    yield Conv2d(16, 16, 3, groups=16, algorithm="depthwise", rng=rng)
    yield Conv2d(16, 8, 3, algorithm="im2col", rng=rng)
    yield BatchNorm2d(16)
    yield BatchNorm2d(16).eval()


@pytest.mark.parametrize("activation", [ReLU, ReLU6])
@pytest.mark.parametrize("number", range(8))
def test_layers_that_join_do_the_same_as_one_after_the_other(rng, number, activation):
    layer, after = list(joining_layers(rng))[number], activation()
    for parameter in layer.parameters().values():
        parameter.value[...] = 2 * rng.standard_normal(parameter.value.shape)
    assert layer.joins(after)
    x = 3 * rng.standard_normal((3, 21, 18, 16), np.float32)
    expected = after.forward(layer.forward(x))
    dy = rng.standard_normal(expected.shape, np.float32)
    layer.zero_grad()
    dx = layer.backward(after.backward(dy))
    gradients = [parameter.grad.copy() for parameter in layer.parameters().values()]
    given = x.copy(), dy.copy()
    layer.zero_grad()
    pair = Sequential(layer, after)
    np.testing.assert_array_equal(pair.forward(x), expected)
    np.testing.assert_allclose(pair.backward(dy), dx, rtol=1e-5, atol=1e-5)
    for parameter, gradient in zip(layer.parameters().values(), gradients):
        close = {"rtol": 1e-5, "atol": 1e-5 * np.abs(gradient).max()}
        np.testing.assert_allclose(parameter.grad, gradient, **close)
    np.testing.assert_array_equal(x, given[0])
    np.testing.assert_array_equal(dy, given[1])
    assert (expected == 0).any()
    assert expected.max() == 6 or activation is ReLU


def test_only_an_activation_joins(rng):
    conv = Conv2d(2, 2, 3, rng=rng)
    assert not conv.joins(BatchNorm2d(2))
    assert not MaxPool2d(2).joins(ReLU())
    assert not ReLU().joins(ReLU())


def test_a_subclass_that_goes_its_own_way_is_left_alone(rng):
    class Doubled(Conv2d):
        def forward(self, x):
            return 2 * super().forward(x)

    class Shifted(ReLU):
        def forward(self, x):
            return super().forward(x - 1)

    conv = Doubled(2, 3, 1, rng=rng)
    x = rng.standard_normal((1, 4, 4, 2), np.float32)
    assert not conv.joins(ReLU())
    assert not Conv2d(2, 2, 1, rng=rng).joins(Shifted())
    y = Sequential(conv, ReLU()).forward(x)
    np.testing.assert_array_equal(y, np.maximum(conv.forward(x), 0))


def test_an_activation_joins_one_layer_only(rng):
    conv, first, second = Conv2d(2, 2, 1, rng=rng), ReLU6(), ReLU()
    x = 9 * rng.standard_normal((2, 5, 5, 2), np.float32)
    y = Sequential(conv, first, second).forward(x)
    np.testing.assert_array_equal(y, np.clip(conv.forward(x), 0, 6))
