"""The kernels of pooling are their array code: the same maxima, winners, gradients, and rules for ties and NaN."""

import numpy as np
import pytest

from minissd import cuda
from minissd.backend import to_cpu
from minissd.cuda import use_kernels
from minissd.nn import GlobalAvgPool, MaxPool2d
from minissd.nn.gradcheck import check_layer

CASES = [  # input, kernel, stride, padding, ceil_mode
    ((2, 7, 5, 3), 2, 2, 0, True),
    ((2, 7, 5, 4), 2, 2, 0, False),
    ((1, 6, 9, 8), 3, 1, 1, False),
    ((3, 8, 6, 2), 3, 2, 1, True),
    ((1, 9, 7, 1), (3, 2), (1, 3), (1, 0), True),
    ((1, 5, 5, 4), 2, 3, 1, False),  # pixels that no window sees
]


def both(layer, x, dy_of, module):
    """Return the output and the input's gradient of the array code on the host, then of the kernels."""
    results = []
    for xp in (np, module):
        y = layer.forward(xp.asarray(x))
        results.append((to_cpu(y), to_cpu(layer.backward(xp.asarray(dy_of(y.shape))))))
    return results


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("case", CASES, ids=str)
def test_max_pooling_equals_its_array_code(case, dtype, device, rng):
    shape, *walk = case
    x = rng.integers(-3, 4, shape).astype(dtype)  # many ties
    x.flat[::17] = -np.inf
    dy = rng.standard_normal((100, 100, 100)).astype(dtype)
    expected, got = both(
        MaxPool2d(*walk), x, lambda size: np.resize(dy, size).astype(dtype), device
    )
    np.testing.assert_array_equal(got[0], expected[0])
    np.testing.assert_allclose(got[1], expected[1], rtol=1e-6 if dtype == "float32" else 1e-14)
    assert got[0].dtype == got[1].dtype == dtype


def test_places_of_64_bits_are_the_same_places(device, rng, monkeypatch):
    monkeypatch.setattr(cuda, "NARROW_SIZE", 0)
    expected, got = both(MaxPool2d(3, 2, 1), rng.standard_normal((2, 5, 7, 4)), np.ones, device)
    for a, b in zip(got, expected):
        np.testing.assert_array_equal(a, b)


def test_a_window_with_a_nan_gives_nan_and_nobody_its_gradient(device, rng):
    x = rng.standard_normal((1, 4, 4, 4))
    x[0, 1, 1, 2] = np.nan
    x[0, :2, 2:, 1] = -np.inf  # all equal: the first one wins
    (y, dx), (device_y, device_dx) = both(MaxPool2d(2), x, np.ones, device)
    np.testing.assert_array_equal(device_y, y)
    np.testing.assert_array_equal(device_dx, dx)
    assert np.isnan(device_y[0, 0, 0, 2])
    assert not device_dx[0, :2, :2, 2].any()
    assert device_dx[0, 0, 2, 1] == 1


def test_half_precision_pools_to_the_same_numbers(device, rng):
    x = rng.standard_normal((2, 5, 5, 4)).astype(np.float16)
    layer = MaxPool2d(3, 2, 1)
    np.testing.assert_array_equal(to_cpu(layer.forward(device.asarray(x))), layer.forward(x))


def test_a_window_too_large_for_a_byte_runs_the_array_code(device, rng):
    x = rng.standard_normal((1, 17, 16, 2))
    y, dx = (to_cpu(a) for a in both(MaxPool2d((16, 16), 1), x, np.ones, device)[1])
    assert y[0, 0, 0, 0] == x[0, :16, :, 0].max()
    assert dx.sum() == y.size


def test_the_way_back_is_that_of_the_way_there(device, rng):
    x = device.asarray(rng.standard_normal((1, 4, 4, 1)))
    dy = device.ones((1, 2, 2, 1))
    layer = MaxPool2d(2)
    layer.forward(x)
    with use_kernels(False):
        after_kernels = to_cpu(layer.backward(dy))  # what was kept decides, not the switch
        layer.forward(x)
    np.testing.assert_array_equal(to_cpu(layer.backward(dy)), after_kernels)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("shape", [(2, 3, 4, 5), (1, 1, 1, 40), (3, 7, 5, 32)])
def test_the_mean_over_a_map_equals_its_array_code(shape, dtype, device, rng):
    x = rng.standard_normal(shape).astype(dtype)
    expected, got = both(GlobalAvgPool(), x, lambda size: np.ones(size, dtype), device)
    tolerance = 1e-6 if dtype == "float32" else 1e-14
    for a, b in zip(got, expected):
        np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize(
    "layer", [MaxPool2d(2), MaxPool2d(3, 2, 1, True), GlobalAvgPool()], ids=lambda x: repr(type(x))
)
def test_gradients_of_the_kernels_are_right(layer, device, rng):
    x = rng.permutation(2 * 5 * 4 * 4).reshape(2, 5, 4, 4) / 10.0  # no two alike
    report = check_layer(layer, device.asarray(x), rng)
    assert report.passed, report.describe()


@pytest.mark.parametrize("shape", [(0, 4, 4, 3), (2, 4, 4, 0)])
def test_empty_maps_launch_nothing(shape, device):
    layer = MaxPool2d(2)
    assert layer.forward(device.zeros(shape)).shape == (shape[0], 2, 2, shape[3])
    assert layer.backward(device.zeros((shape[0], 2, 2, shape[3]))).shape == shape
