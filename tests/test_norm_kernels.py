"""The kernels of batch norm, L2 normalisation and the activations are their array code."""

import numpy as np
import pytest

from minissd.backend import to_cpu
from minissd.cuda import use_kernels
from minissd.nn import BatchNorm2d, L2Normalize, ReLU, ReLU6, Sequential, device_norm
from minissd.nn.gradcheck import check_layer
from minissd.nn.l2_norm import L2_RULES

CHANNELS = (
    1,
    3,
    4,
    7,
    21,
    81,
    132,
)  # one thread, odd, whole packs, and more than a block has columns for
TOLERANCE = {"float32": 3e-5, "float64": 1e-11}
ACTIVATIONS = {"alone": [], "relu": [ReLU], "relu6": [ReLU6]}


def some_norm(channels, dtype, rng, after=()):
    layer = BatchNorm2d(channels, dtype=dtype)
    layer.gamma.value[...] = rng.standard_normal(channels)
    layer.beta.value[...] = rng.standard_normal(channels)
    layer.running_mean[...] = rng.standard_normal(channels)
    layer.running_var[...] = rng.uniform(0.5, 2, channels)
    return Sequential(layer, *(kind() for kind in after))


def all_results(layer, x, dy, module):
    """Return output, input's gradient, the parameters' gradients and the state after one way there and back."""
    layer.to("cpu" if module is np else module).zero_grad()
    y = layer.forward(module.asarray(x))
    dx = layer.backward(module.asarray(dy))
    gradients = [parameter.grad for parameter in layer.parameters().values()]
    return [to_cpu(a) for a in (y, dx, *gradients)] + list(layer.state().values())


def same(got, expected, dtype):
    for a, b in zip(got, expected, strict=True):
        assert a.dtype == b.dtype == dtype
        size = max(1, np.abs(b).max())
        np.testing.assert_allclose(a, b, rtol=TOLERANCE[dtype], atol=TOLERANCE[dtype] * size)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("training", [True, False], ids=["training", "evaluation"])
@pytest.mark.parametrize("channels", CHANNELS)
def test_batch_norm_equals_its_array_code(channels, training, dtype, device, rng):
    layer = some_norm(channels, dtype, rng).train(training)
    state, x = layer.state(), (3 * rng.standard_normal((2, 5, 7, channels)) + 2).astype(dtype)
    dy = rng.standard_normal(x.shape).astype(dtype)
    expected = all_results(layer, x, dy, np)
    layer.load_state(state)
    same(all_results(layer, x, dy, device), expected, dtype)


@pytest.mark.parametrize("training", [True, False], ids=["training", "evaluation"])
@pytest.mark.parametrize("after", ["relu", "relu6"])
@pytest.mark.parametrize("channels", [4, 7])
def test_a_joined_activation_equals_its_array_code(channels, after, training, device, rng):
    layer = some_norm(channels, "float64", rng, ACTIVATIONS[after])
    layer.steps[0].gamma.value *= 4
    layer.train(training)
    state, x = layer.state(), 3 * rng.standard_normal((3, 6, 5, channels))
    dy = rng.standard_normal(x.shape)
    expected = all_results(layer, x, dy, np)
    y = expected[0]
    assert (y == 0).any()
    assert (y == 6).any() or after == "relu"
    layer.load_state(state)
    same(all_results(layer, x, dy, device), expected, "float64")


def test_many_pixels_are_shared_out_among_blocks(device, rng, monkeypatch):
    """Shares of pixels of several blocks, the last ones empty, are put together right."""
    x, dy = rng.standard_normal((2, 3, 23, 23, 40))
    monkeypatch.setattr(device_norm, "LANE_PIXELS", 1)
    for channels in (40, 5):
        layer = some_norm(channels, "float64", rng)
        state, map_x, map_dy = (
            layer.state(),
            x.reshape(-1, 1, 1, channels),
            dy.reshape(-1, 1, 1, channels),
        )
        expected = all_results(layer, map_x, map_dy, np)
        layer.load_state(state)
        same(all_results(layer, map_x, map_dy, device), expected, "float64")
    pixels = device.zeros((9, 1, 1, 4))
    monkeypatch.setattr(device_norm, "BLOCK", 1)
    monkeypatch.setattr(device_norm, "MOST_GROUPS", 8)
    assert device_norm._walk(pixels, 4) == ((1, 8), (1, 1))  # 8 shares of 2 pixels: three are empty
    layer = some_norm(4, "float64", rng)
    state, x, dy = layer.state(), *rng.standard_normal((2, 9, 1, 1, 4))
    expected = all_results(layer, x, dy, np)
    layer.load_state(state)
    same(all_results(layer, x, dy, device), expected, "float64")


@pytest.mark.parametrize("mean", [1e3, 1e5])
def test_a_large_mean_does_not_destroy_the_variance(mean, device, rng):
    x = (mean + rng.standard_normal((4, 9, 9, 3))).astype(np.float32)
    layer = BatchNorm2d(3).to(device)
    layer.forward(device.asarray(x))
    kept = layer._statistics
    exact = x.astype(np.float64)
    np.testing.assert_allclose(to_cpu(kept.mean), exact.mean(axis=(0, 1, 2)), rtol=3e-7)
    rounding = 2e-7 * mean  # of a number of that size; the variance is about 1
    np.testing.assert_allclose(to_cpu(kept.var), exact.var(axis=(0, 1, 2)), rtol=1e-5 + rounding)


def test_numbers_whose_squares_do_not_fit_float32_still_have_a_variance(device, rng):
    x = (1e22 * (1 + 1e-5 * rng.standard_normal((2, 5, 5, 3)))).astype(np.float32)
    layer = BatchNorm2d(3).to(device)
    layer.forward(device.asarray(x))
    expected = x.astype(np.float64).var(axis=(0, 1, 2))
    np.testing.assert_allclose(to_cpu(layer._statistics.var), expected, rtol=0.05)


def test_at_both_ends_of_the_activation_the_gradient_is_0(device):
    layer = Sequential(BatchNorm2d(3, dtype="float64"), ReLU6()).eval().to(device)
    layer.steps[0].beta.value[...] = device.asarray([0.0, 3.0, 6.0])
    y = layer.forward(device.zeros((1, 1, 1, 3)))
    np.testing.assert_array_equal(to_cpu(y).ravel(), [0, 3, 6])
    dx = to_cpu(layer.backward(device.ones((1, 1, 1, 3))))
    np.testing.assert_array_equal(dx.ravel() > 0, [False, True, False])


def test_one_pixel_in_training_is_its_own_mean(device, rng):
    layer = some_norm(4, "float64", rng)
    state, x = layer.state(), rng.standard_normal((1, 1, 1, 4))
    expected = all_results(layer, x, np.ones_like(x), np)
    layer.load_state(state)
    same(all_results(layer, x, np.ones_like(x), device), expected, "float64")


def test_a_channel_with_a_nan_is_nan_and_no_other(device, rng):
    x = rng.standard_normal((2, 4, 4, 5))
    x[1, 2, 3, 3] = np.nan
    layer = some_norm(5, "float64", rng, [ReLU6])
    y, dx, *_ = all_results(layer, x, np.ones_like(x), device)
    for found in (y, dx):
        assert np.isnan(found[..., 3]).all()
        assert np.isfinite(np.delete(found, 3, axis=-1)).all()


def test_runs_repeat_bit_for_bit_and_the_way_back_is_that_of_the_way_there(device, rng):
    x, dy = rng.standard_normal((2, 2, 8, 8, 6)).astype(np.float32)
    layer = some_norm(6, "float32", rng, [ReLU])
    state = layer.state()
    first = all_results(layer, x, dy, device)
    layer.load_state(state)
    layer.zero_grad()
    y = layer.forward(device.asarray(x))
    with use_kernels(False):
        dx = layer.backward(device.asarray(dy))  # what was kept decides, not the switch
    np.testing.assert_array_equal(to_cpu(y), first[0])
    np.testing.assert_array_equal(to_cpu(dx), first[1])


def test_half_precision_evaluates_and_does_not_train(device, rng):
    layer = some_norm(4, "float32", rng, [ReLU]).eval()
    x = rng.standard_normal((2, 3, 3, 4)).astype(np.float16)
    expected = layer.forward(x.astype(np.float32))
    layer.astype(np.float16).to(device)
    half = layer.forward(device.asarray(x))
    assert half.dtype == np.float16
    np.testing.assert_allclose(to_cpu(half), expected, rtol=4e-3, atol=4e-3)
    assert device_norm.batch_kernels(half, half.dtype, training=True) is None


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("rule", L2_RULES)
@pytest.mark.parametrize("channels", CHANNELS)
def test_l2_normalisation_equals_its_array_code(channels, rule, dtype, device, rng):
    # With the large one, the floor is above some pixels and below others.
    eps = 0.5 if channels < 5 else 1e-10
    layer = L2Normalize(channels, rule=rule, eps=eps, dtype=dtype)
    layer.scale.value[...] = rng.standard_normal(channels)
    x, dy = rng.standard_normal((2, 2, 3, 5, channels)).astype(dtype)
    x[0, 0] = 0
    expected = all_results(layer, x, dy, np)
    same(all_results(layer, x, dy, device), expected, dtype)


@pytest.mark.parametrize("dtype", ["float32", "float64", "float16"])
@pytest.mark.parametrize("kind", [ReLU, ReLU6])
@pytest.mark.parametrize("shape", [(2, 3, 3, 4), (1, 3, 5, 7), (5,)])
def test_activations_equal_their_array_code(shape, kind, dtype, device, rng):
    x = (6 * rng.standard_normal(shape)).astype(dtype)
    x.flat[:5] = np.nan, np.inf, -np.inf, 0, 6
    dy = rng.standard_normal(shape).astype(dtype)
    for got, expected in zip(all_results(kind(), x, dy, device), all_results(kind(), x, dy, np)):
        np.testing.assert_array_equal(got, expected)
        assert got.dtype == dtype


@pytest.mark.parametrize(
    "layer",
    [
        BatchNorm2d(3),
        BatchNorm2d(4),
        BatchNorm2d(4).eval(),
        Sequential(BatchNorm2d(3), ReLU6()),
        L2Normalize(3, rule="inside"),
        L2Normalize(4, rule="outside", eps=0.1),
        L2Normalize(3, rule="floor", eps=0.1),
        ReLU(),
    ],
    ids=lambda layer: type(layer).__name__,
)
def test_gradients_of_the_kernels_are_right(layer, device, rng):
    channels = next((p.value.size for p in layer.parameters().values()), 4)
    x = rng.permutation(2 * 3 * 2 * channels).reshape(2, 3, 2, channels) / 7.0 - 2.05
    report = check_layer(layer.to(device), device.asarray(x), rng)
    assert report.passed, report.describe()


@pytest.mark.parametrize("layer", [BatchNorm2d(3).eval(), L2Normalize(3), ReLU()], ids=repr)
def test_an_empty_batch_launches_nothing(layer, device):
    empty = device.zeros((0, 4, 4, 3), np.float32)
    layer.to(device)
    assert layer.forward(empty).shape == layer.backward(empty).shape == empty.shape


def test_no_layer_sends_or_reads_anything(device, counted, rng):
    layers = [some_norm(5, "float32", rng, [ReLU]), L2Normalize(5), ReLU6()]
    x = device.asarray(rng.standard_normal((2, 3, 3, 5)).astype(np.float32))
    for layer in layers:
        layer.to(device)
        counted.reset()
        layer.backward(layer.forward(x))
        assert (counted.to_device, counted.to_host, counted.syncs) == (0, 0, 0)
