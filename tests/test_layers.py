"""What layers compute, against plain loops; that their gradients are right is shown in test_gradcheck.py."""

from __future__ import annotations

import numpy as np
import oracles_nn as oracles
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from strict_array import strict

from minissd.backend import to_cpu
from minissd.nn import (
    BatchNorm2d,
    Conv2d,
    Dropout,
    GlobalAvgPool,
    L2Normalize,
    Linear,
    MaxPool2d,
    ReLU,
    ReLU6,
)
from minissd.nn.gradcheck import randomize_parameters

few = settings(deadline=None, max_examples=60)
pair = st.tuples(st.integers(1, 3), st.integers(1, 3))
border = st.tuples(st.integers(0, 2), st.integers(0, 2))
size = st.tuples(st.integers(1, 2), st.integers(1, 8), st.integers(1, 8))


def odd(layer, rng, dtype=np.float64):
    """Give the layer odd parameters, so that ones and zeros hide nothing."""
    randomize_parameters(layer.astype(dtype), rng)
    return layer


# Pooling


@given(size, pair, pair, border, st.booleans())
@few
def test_pooling_is_that_of_the_plain_loop(shape, kernel, stride, padding, ceil_mode):
    assume(all(s + 2 * p >= k for s, k, p in zip(shape[1:], kernel, padding)))
    assume(all(2 * p <= k for p, k in zip(padding, kernel)))
    x = np.random.default_rng(sum(shape)).standard_normal((*shape, 2))
    expected = oracles.max_pool2d(x, kernel, stride, padding, ceil_mode)
    layer = MaxPool2d(kernel, stride, padding, ceil_mode)
    assert np.array_equal(layer.forward(x), expected)
    assert layer.output_size(*shape[1:]) == expected.shape[1:3]
    dx = layer.backward(np.ones(expected.shape))
    assert dx.shape == x.shape
    assert dx.sum() == expected.size  # each window hands its gradient on exactly once


@pytest.mark.parametrize(
    ("size_in", "arguments", "size_out"),
    [
        (75, (2, 2, 0, True), 38),  # SSD300: Caffe rounds up
        (75, (2, 2, 0, False), 37),
        (63, (2, 2, 0, True), 32),
        (19, (3, 1, 1, True), 19),  # pool5
        (5, (2, 2, 1, True), 3),
        (4, (2, 2, 1, True), 3),
        (3, (2, 3, 1, True), 2),
        (2, (2, 3, 1, True), 1),  # a further window would begin in the right border
        (1, (2, 2, 0, True), 1),
    ],
)
def test_sizes_of_pooled_maps(size_in, arguments, size_out):
    layer = MaxPool2d(*arguments)
    assert layer.output_size(size_in, size_in) == (size_out, size_out)
    assert layer.forward(np.zeros((1, size_in, size_in, 1))).shape == (1, size_out, size_out, 1)


def test_of_equal_pixels_the_first_gets_the_gradient(xp):
    layer = MaxPool2d(2)
    y = layer.forward(xp.ones((1, 2, 4, 1), np.float32))
    dx = to_cpu(layer.backward(5 * y))
    assert dx[0, :, :, 0].tolist() == [[5, 0, 5, 0], [0, 0, 0, 0]]


def test_the_border_of_a_pool_never_wins(xp):
    layer = MaxPool2d(3, 2, 1, ceil_mode=True)
    x = xp.full((1, 4, 4, 1), -7, np.float32)
    y = layer.forward(x)
    assert y.shape == (1, 3, 3, 1)
    assert (to_cpu(y) == -7).all()
    dx = to_cpu(layer.backward(xp.ones(y.shape, np.float32)))
    assert dx.sum() == 9


def test_padding_beyond_half_the_window_is_refused():
    with pytest.raises(ValueError, match=r"padding: expected at most \(1, 1\)"):
        MaxPool2d(2, padding=2)


def test_a_map_smaller_than_the_window_is_refused():
    with pytest.raises(ValueError, match="x: expected a map no smaller than the window"):
        MaxPool2d(3).forward(np.zeros((1, 2, 5, 1)))


def test_global_average(xp, rng):
    x = rng.standard_normal((2, 3, 4, 5))
    layer = GlobalAvgPool()
    y = layer.forward(xp.asarray(x))
    assert np.allclose(to_cpu(y), [[[x[n].sum(axis=(0, 1)) / 12]] for n in range(2)])
    assert np.allclose(to_cpu(layer.backward(y)), np.broadcast_to(to_cpu(y) / 12, x.shape))


# Normalisation


def test_batch_norm_is_that_of_the_plain_loop_and_keeps_running_statistics(xp, rng):
    layer = odd(BatchNorm2d(3, eps=1e-3, momentum=0.2), rng).to(xp)
    gamma, beta = to_cpu(layer.gamma.value), to_cpu(layer.beta.value)
    mean, var = np.zeros(3), np.ones(3)
    for _ in range(3):
        x = 2 * rng.standard_normal((5, 3, 2, 3)) + 1
        expected, batch_mean, batch_var = oracles.batch_norm(x, gamma, beta, 1e-3)
        assert np.allclose(to_cpu(layer.forward(xp.asarray(x))), expected, rtol=0, atol=1e-12)
        mean = 0.8 * mean + 0.2 * batch_mean
        var = 0.8 * var + 0.2 * batch_var * 30 / 29  # unbiased
    assert np.allclose(to_cpu(layer.running_mean), mean)
    assert np.allclose(to_cpu(layer.running_var), var)
    layer.eval()
    y = layer.forward(xp.asarray(x))
    assert np.allclose(to_cpu(y), (x - mean) / np.sqrt(var + 1e-3) * gamma + beta)
    assert np.allclose(to_cpu(layer.running_mean), mean)  # evaluation changes nothing


def test_batch_norm_of_one_pixel_and_of_a_constant_channel():
    layer = BatchNorm2d(2)
    y = layer.forward(np.array([[[[3.0, -1e4]]]], np.float32))
    assert y.tolist() == [[[[0, 0]]]]
    assert np.isfinite(layer.running_var).all()
    assert np.isfinite(layer.backward(np.ones_like(y))).all()


def test_batch_norm_with_a_mean_far_from_zero():
    """Mean of squares minus square of mean would lose every digit of the variance here."""
    x = (1e4 + np.random.default_rng(0).standard_normal((4, 8, 8, 2))).astype(np.float32)
    y = BatchNorm2d(2).forward(x)
    assert np.abs(y.mean(axis=(0, 1, 2))).max() < 1e-2
    assert np.allclose(y.std(axis=(0, 1, 2)), 1, atol=1e-2)


@pytest.mark.parametrize("rule, eps", [("inside", 1e-10), ("outside", 1e-10), ("floor", 1.5)])
def test_l2_normalize_is_that_of_the_plain_loop(xp, rng, rule, eps):
    layer = odd(L2Normalize(4, eps=eps, rule=rule), rng).to(xp)
    x = rng.standard_normal((2, 3, 2, 4))  # lengths about 2: some are below the floor of 1.5
    x[0, 1] = 0
    expected = oracles.l2_normalize(x, to_cpu(layer.scale.value), eps, rule)
    assert np.allclose(to_cpu(layer.forward(xp.asarray(x))), expected, rtol=0, atol=1e-12)
    assert np.isfinite(to_cpu(layer.backward(xp.asarray(x)))).all()


@pytest.mark.parametrize(
    "rule, eps, length",
    [("inside", 11, 6), ("outside", 11, 16), ("floor", 11, 11), ("floor", 1, 5)],
)
def test_where_the_epsilon_of_l2_normalize_stands(rule, eps, length):
    """The vector (3, 4), worked by hand."""
    y = L2Normalize(2, scale=1, eps=eps, rule=rule).forward(np.array([[[[3.0, 4.0]]]]))
    np.testing.assert_allclose(y[0, 0, 0], [3 / length, 4 / length], rtol=1e-12)


@pytest.mark.parametrize("rule, eps", [("inside", 1e-10), ("outside", 1e-10), ("floor", 1e-12)])
def test_l2_normalize_of_a_tiny_pixel_has_a_finite_gradient(rule, eps):
    for size in (0, 1e-25, 1e-15, 1e-8, 1e10):
        layer = L2Normalize(3, eps=eps, rule=rule)
        y = layer.forward(np.full((1, 1, 1, 3), size, np.float32))
        dx = layer.backward(np.array([[[[1, 2, 3]]]], np.float32))
        assert np.isfinite(y).all()
        assert np.isfinite(dx).all()


def test_l2_normalize_refuses_an_unknown_rule():
    with pytest.raises(ValueError, match=r"rule: expected inside \| outside \| floor, got 'caffe'"):
        L2Normalize(3, rule="caffe")


def test_l2_normalize_starts_at_length_twenty(rng):
    y = L2Normalize(64).forward(rng.standard_normal((1, 2, 2, 64)).astype(np.float32))
    assert np.linalg.norm(y, axis=-1) == pytest.approx(20, rel=1e-5)
    zero = L2Normalize(3)
    assert not zero.forward(np.zeros((1, 1, 1, 3), np.float32)).any()
    assert np.isfinite(zero.backward(np.ones((1, 1, 1, 3), np.float32))).all()


@pytest.mark.parametrize(
    "layer", [BatchNorm2d(3), L2Normalize(3)], ids=["BatchNorm2d", "L2Normalize"]
)
def test_normalisations_check_their_channels(layer):
    with pytest.raises(ValueError, match=r"x: expected 3 channels, got \(1, 2, 2, 4\)"):
        layer.forward(np.zeros((1, 2, 2, 4)))


# Activations, linear, dropout


def test_activations(xp):
    x = xp.asarray(np.array([-1e4, -1, 0, 0.5, 6, 7, 1e4], np.float32))
    dy = xp.full(7, 2, np.float32)
    relu, relu6 = ReLU(), ReLU6()
    assert to_cpu(relu.forward(x)).tolist() == [0, 0, 0, 0.5, 6, 7, 1e4]
    assert to_cpu(relu.backward(dy)).tolist() == [0, 0, 0, 2, 2, 2, 2]
    assert to_cpu(relu6.forward(x)).tolist() == [0, 0, 0, 0.5, 6, 6, 6]
    assert to_cpu(relu6.backward(dy)).tolist() == [0, 0, 0, 2, 0, 0, 0]


def test_linear(xp, rng):
    layer = odd(Linear(3, 2, rng=rng), rng).to(xp)
    weight, bias = to_cpu(layer.weight.value), to_cpu(layer.bias.value)
    x = rng.standard_normal((2, 4, 3))
    y = to_cpu(layer.forward(xp.asarray(x)))
    for place in np.ndindex(y.shape):
        *row, k = place
        total = bias[k] + sum(x[(*row, c)] * weight[c, k] for c in range(3))
        assert y[place] == pytest.approx(total)
    assert layer.backward(xp.asarray(y)).shape == x.shape
    with pytest.raises(ValueError, match="x: expected 3 features"):
        layer.forward(xp.zeros((2, 4)))


def test_dropout(xp):
    layer = Dropout(0.25, np.random.default_rng(3))
    x = xp.ones((50, 40), np.float32)
    y = layer.forward(x)
    host = to_cpu(y)
    assert y.dtype == np.float32
    assert set(np.unique(host)) == {0, np.float32(4 / 3)}
    assert np.mean(host) == pytest.approx(1, abs=0.05)
    assert np.array_equal(to_cpu(layer.backward(x)), host)  # the same mask on the way back
    assert not np.array_equal(to_cpu(layer.forward(x)), host)  # and another one next time
    layer.eval()
    assert np.array_equal(to_cpu(layer.forward(x)), to_cpu(x))
    assert np.array_equal(to_cpu(layer.backward(y)), host)


@pytest.mark.parametrize("p", [-0.1, 1.0, 2.0])
def test_dropout_checks_its_probability(p, rng):
    with pytest.raises(ValueError, match="p: expected a probability"):
        Dropout(p, rng)


# What all layers have in common


def all_layers(rng):
    return [
        Conv2d(4, 4, 3, padding=1, rng=rng),
        Conv2d(4, 4, 3, padding=1, groups=4, bias=False, rng=rng),
        MaxPool2d(2, ceil_mode=True),
        MaxPool2d(3, 1, 1),
        GlobalAvgPool(),
        ReLU(),
        ReLU6(),
        Linear(4, 4, rng=rng),
        BatchNorm2d(4),
        BatchNorm2d(4).eval(),
        L2Normalize(4),
        Dropout(0.5, rng),
        Dropout(0.5, rng).eval(),
    ]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("scale", [1, 1e4])
def test_layers_work_in_the_dtype_of_their_input_and_leave_it_alone(xp, dtype, scale, rng):
    for layer in all_layers(rng):
        layer.astype(dtype).to(xp)
        host = scale * rng.standard_normal((2, 5, 3, 4)).astype(dtype)
        x = xp.asarray(host.copy())
        y = layer.forward(x)
        dy_host = rng.standard_normal(y.shape).astype(dtype)
        dy = xp.asarray(dy_host.copy())
        dx = layer.backward(dy)
        name = type(layer).__name__
        assert y.dtype == dx.dtype == dtype, name
        assert dx.shape == x.shape, name
        assert np.isfinite(to_cpu(y)).all(), name
        assert np.isfinite(to_cpu(dx)).all(), name
        assert np.array_equal(to_cpu(x), host), name
        assert np.array_equal(to_cpu(dy), dy_host), name
        assert all(p.grad.dtype == dtype for p in layer.parameters().values()), name


def test_no_layer_waits_for_the_device_and_only_dropout_moves_data_to_it(counted, rng):
    for layer in all_layers(rng):
        layer.to(strict)
        x = strict.asarray(rng.standard_normal((2, 5, 3, 4)).astype(np.float32))
        counted.reset()
        layer.backward(layer.forward(x))
        sends_mask = isinstance(layer, Dropout) and layer.training
        moved = (counted.to_host, counted.to_device, counted.syncs)
        assert moved == (0, int(sends_mask), 0), type(layer).__name__


def test_a_batch_is_its_images_one_by_one(rng):
    """However a batch is cut into blocks; statistics of a batch are the exception."""
    x = rng.standard_normal((9, 5, 3, 4))
    for layer in all_layers(rng):
        if layer.training and isinstance(layer, (BatchNorm2d, Dropout)):
            continue
        layer.astype(np.float64)
        y = layer.forward(x)
        dx = layer.backward(y)
        grads = {name: p.grad.copy() for name, p in layer.parameters().items()}
        layer.zero_grad()
        for n in range(9):
            one = layer.forward(x[n : n + 1])
            assert np.allclose(one, y[n : n + 1], rtol=0, atol=1e-12)
            assert np.allclose(layer.backward(one), dx[n : n + 1], rtol=0, atol=1e-12)
        for name, parameter in layer.parameters().items():
            assert np.allclose(parameter.grad, grads[name], rtol=1e-10, atol=1e-10)


def test_the_order_in_memory_does_not_matter(xp, rng):
    """Views come from padded pools and flips: turned, stepped, and read from the end."""
    host = rng.standard_normal((3, 10, 5, 4)).astype(np.float32)
    for layer in all_layers(np.random.default_rng(0)):
        layer.to(xp)
        if isinstance(layer, Dropout):
            continue
        view = xp.asarray(host).transpose(0, 2, 1, 3)[:, ::-1, ::2]
        plain = xp.ascontiguousarray(view)
        y = layer.forward(plain)
        dx = layer.backward(y)
        dy_view = xp.ascontiguousarray(y.transpose(2, 1, 0, 3)).transpose(2, 1, 0, 3)
        assert np.allclose(to_cpu(layer.forward(view)), to_cpu(y), rtol=1e-5, atol=1e-5)
        assert np.allclose(to_cpu(layer.backward(dy_view)), to_cpu(dx), rtol=1e-5, atol=1e-5)
