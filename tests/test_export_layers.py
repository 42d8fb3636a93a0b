"""ONNX export of single layers: what ONNX Runtime answers is what the layer answers."""

from __future__ import annotations

import numpy as np
import onnx_cases as cases
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from onnx_cases import assert_equal, inverted_residual, maps

from minissd.export.onnx_graph import Graph, Port
from minissd.nn import (
    BatchNorm2d,
    Conv2d,
    Dropout,
    GlobalAvgPool,
    L2Normalize,
    Layer,
    Linear,
    MaxPool2d,
    ReLU,
    ReLU6,
    Residual,
    Sequential,
)

few = settings(deadline=None, max_examples=40)
pair = st.tuples(st.integers(1, 3), st.integers(1, 3))
border = st.tuples(st.integers(0, 2), st.integers(0, 2))
sides = st.tuples(st.integers(1, 9), st.integers(1, 9))


def convolution(*args, **settings):
    return lambda rng: Conv2d(*args, rng=rng, **settings)


def mobile_stack(rng):
    shrink = [Conv2d(4, 12, 3, (2, 1), (1, 0), groups=4, bias=False, rng=rng), BatchNorm2d(12)]
    return Sequential(
        inverted_residual(rng), inverted_residual(rng), *shrink, ReLU6(), Dropout(0.5, rng)
    )


LAYERS = {
    "1x1": convolution(4, 3, 1),
    "oblong": convolution(4, 5, (2, 3), (3, 2), (1, 2), (2, 1)),
    "dilated": convolution(4, 6, 3, padding=6, dilation=6),
    "grouped": convolution(4, 6, 3, padding=1, groups=2, bias=False),
    "depthwise": convolution(4, 8, 3, stride=2, padding=1, groups=4),
    "linear": lambda rng: Linear(4, 3, rng=rng),
    "linear without bias": lambda rng: Linear(4, 5, bias=False, rng=rng),
    "batch norm": lambda rng: BatchNorm2d(4, eps=1e-3),
    "relu": lambda rng: ReLU(),
    "relu6": lambda rng: ReLU6(),
    "dropout": lambda rng: Dropout(0.9, rng),
    "global average": lambda rng: GlobalAvgPool(),
    "l2 inside": lambda rng: L2Normalize(4, eps=0.3),
    "l2 outside": lambda rng: L2Normalize(4, eps=0.3, rule="outside"),
    "l2 floor": lambda rng: L2Normalize(4, eps=1.5, rule="floor"),
    "empty": lambda rng: Sequential(),
    "inverted residuals": mobile_stack,
    "residual of nothing": lambda rng: Sequential(Residual(), ReLU()),
}


@pytest.mark.parametrize("shape", [(2, 9, 7, 4), (1, 5, 12, 4)])
@pytest.mark.parametrize("kind", LAYERS)
def test_a_layer_answers_as_ours_does(rng, kind, shape):
    layer = cases.odd(LAYERS[kind](rng), rng)
    x = 3 * maps(rng, *shape)
    x[0, 0] = 0  # a row of pixels without length
    assert_equal(cases.run_layer(layer, x), layer.forward(x))


@given(sides, pair, pair, border, st.booleans())
@few
def test_pooling_of_any_shape(size, kernel, stride, padding, ceil_mode):
    assume(all(s + 2 * p >= k for s, k, p in zip(size, kernel, padding)))
    assume(all(2 * p <= k for p, k in zip(padding, kernel)))
    layer = MaxPool2d(kernel, stride, padding, ceil_mode)
    x = maps(np.random.default_rng(sum(size)), 2, *size, 3) - 5  # a border of 0 would win
    np.testing.assert_array_equal(cases.run_layer(layer, x), layer.forward(x))


@given(sides, pair, pair, border, pair, st.sampled_from([1, 2]))
@few
def test_convolution_of_any_shape(size, kernel, stride, padding, dilation, groups):
    reach = [d * (k - 1) + 1 for d, k in zip(dilation, kernel)]
    assume(all(s + 2 * p >= r for s, p, r in zip(size, padding, reach)))
    rng = np.random.default_rng(sum(size))
    layer = Conv2d(2, 4, kernel, stride, padding, dilation, groups, rng=rng)
    x = maps(rng, 2, *size, 2)
    assert_equal(cases.run_layer(cases.odd(layer, rng), x), layer.forward(x))


class Mish(Layer):
    def forward(self, x):
        return x * np.tanh(np.log1p(np.exp(x)))


class Leaky(ReLU):
    def forward(self, x):
        return np.maximum(x, 0.1 * x)


@pytest.mark.parametrize("kind", [Mish, Leaky])
def test_a_layer_without_translation_is_named(rng, kind):
    """A kind with a `forward` of its own is not taken for its parent."""
    stack = Sequential(ReLU(), Residual(Conv2d(4, 4, 1, rng=rng), kind()))
    wanted = rf"layer\.1\.body\.1: a layer of kind {kind.__name__} cannot be written as ONNX; known .*ReLU6"
    with pytest.raises(ValueError, match=wanted):
        cases.run_layer(stack, maps(rng, 1, 3, 3, 4))


@pytest.mark.parametrize("kind", ["grouped", "linear", "batch norm", "l2 floor"])
def test_a_map_of_other_channels_is_refused(rng, kind):
    layer = Sequential(ReLU(), LAYERS[kind](rng))
    with pytest.raises(ValueError, match=r"layer\.1: expected a map of 4 channels, got 5"):
        cases.run_layer(layer, maps(rng, 1, 3, 3, 5))


def test_a_wrong_graph_is_refused():
    graph = Graph()
    graph.node("Relu", "nowhere", name="y")
    with pytest.raises(ValueError, match="name: expected one that is not in the graph yet"):
        graph.node("Relu", "nowhere", name="y")
    port = Port("x", np.float32, ("N",), "")
    with pytest.raises(ValueError, match="does not make a valid ONNX graph"):
        graph.model([port], {"y": port})
