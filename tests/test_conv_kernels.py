"""The kernels of convolution are the plain algorithm: im2col's array code is the specification of every one."""

from __future__ import annotations

import numpy as np
import pytest

from minissd import cuda
from minissd.backend import to_cpu
from minissd.cuda import use_kernels
from minissd.nn import Conv2d, MaxPool2d, ReLU, ReLU6, Sequential
from minissd.nn.convolution import (
    choice,
    depthwise,
    device_depthwise,
    device_im2col,
    device_winograd,
    im2col,
    points,
    sums,
)
from minissd.nn.convolution.im2col import ConvShape
from minissd.nn.gradcheck import check_layer

TOLERANCE = {"float64": 1e-10, "float32": 2e-5}

WALKS = [  # input, filters, walk
    ((2, 5, 7, 3), 4, ConvShape((3, 3), (1, 1), (1, 1))),
    ((2, 6, 5, 4), 3, ConvShape((3, 2), (2, 1), (1, 0))),
    ((1, 9, 8, 4), 8, ConvShape((3, 3), (2, 2), (1, 1), (2, 1))),
    ((3, 4, 4, 8), 4, ConvShape((1, 1))),
    ((2, 5, 5, 4), 4, ConvShape((1, 1), (2, 2))),
    ((2, 5, 4, 8), 4, ConvShape((3, 3), (1, 1), (1, 1), groups=2)),
    ((1, 5, 4, 6), 3, ConvShape((2, 3), (1, 2), (1, 2), groups=3)),
    ((1, 4, 4, 2), 2, ConvShape((1, 1), (1, 1), (1, 1))),  # outputs of the border alone
]

WINOGRAD = [
    ((2, 8, 8, 3), 4, ConvShape((3, 3), (1, 1), (1, 1))),
    ((1, 7, 10, 4), 5, ConvShape((3, 3), (1, 1), (0, 2))),  # tiles that hang over the border
    ((1, 9, 7, 2), 3, ConvShape((3, 3), (1, 1), (2, 3), (2, 3))),  # dilated: phases
    ((2, 13, 13, 2), 2, ConvShape((3, 3), (1, 1), (6, 6), (6, 6))),  # fc6 of VGG16
]

DEPTHWISE = [
    ((2, 5, 7, 4), ConvShape((3, 3), (1, 1), (1, 1), groups=4)),
    ((2, 7, 6, 3), ConvShape((3, 3), (2, 2), (1, 1), groups=3)),
    ((1, 9, 8, 8), ConvShape((3, 2), (2, 1), (0, 1), (2, 1), groups=8)),
    ((3, 40, 20, 1), ConvShape((3, 3), (1, 1), (1, 1), groups=1)),  # several shares of pixels
]


def all_ways(algorithm, xp, x, w, dy, bias, shape):
    """Return the four answers of an algorithm as host arrays."""
    x, w, dy, bias = (xp.asarray(a) for a in (x, w, dy, bias))
    answers = (
        algorithm.forward(x, w, shape),
        algorithm.forward(x, w, shape, bias, 0.7),
        algorithm.forward(x, w, shape, None, np.inf),
        algorithm.weight_gradient(x, dy, shape),
        algorithm.input_gradient(dy, w, shape, x.shape),
    )
    return [to_cpu(answer) for answer in answers]


def some_case(shape_in, filters, shape, dtype, rng):
    x = rng.standard_normal(shape_in)
    w = rng.standard_normal((*shape.kernel, shape_in[-1] // shape.groups, filters)) / 3
    dy = rng.standard_normal((shape_in[0], *shape.output_size(*shape_in[1:3]), filters))
    return [a.astype(dtype) for a in (x, w, dy, rng.standard_normal(filters))]


def compare(algorithm, device, shape_in, filters, shape, dtype, rng):
    arrays = some_case(shape_in, filters, shape, dtype, rng)
    expected = all_ways(im2col, np, *arrays, shape)
    got = all_ways(algorithm, device, *arrays, shape)
    for a, b in zip(got, expected):
        assert a.dtype == dtype
        np.testing.assert_allclose(a, b, rtol=TOLERANCE[dtype], atol=TOLERANCE[dtype])


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("case", WALKS, ids=str)
def test_im2col_equals_its_array_code(case, dtype, device, rng):
    compare(device_im2col, device, *case, dtype, rng)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("case", WINOGRAD, ids=str)
def test_winograd_equals_im2col(case, dtype, device, rng):
    compare(device_winograd, device, *case, dtype, rng)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("case", DEPTHWISE, ids=str)
def test_depthwise_equals_im2col(case, dtype, device, rng):
    shape_in, shape = case
    compare(device_depthwise, device, shape_in, shape_in[-1], shape, dtype, rng)


@pytest.mark.parametrize("algorithm", [device_im2col, device_winograd, device_depthwise])
def test_places_of_64_bits_are_the_same_places(algorithm, device, rng, monkeypatch):
    monkeypatch.setattr(cuda, "NARROW_SIZE", 0)
    shape = ConvShape((3, 3), (1, 1), (1, 1), groups=4 if algorithm is device_depthwise else 1)
    compare(algorithm, device, (2, 7, 5, 4), 4, shape, "float64", rng)


@pytest.mark.parametrize("algorithm", [device_im2col, device_winograd])
def test_a_small_workspace_gives_the_same_answers(algorithm, device, rng, monkeypatch):
    monkeypatch.setattr(algorithm, "WORKSPACE", 1)  # image by image
    compare(algorithm, device, (3, 8, 8, 3), 4, ConvShape((3, 3), (1, 1), (1, 1)), "float64", rng)


def test_an_empty_batch_has_empty_answers_and_no_gradient(device):
    shape = ConvShape((3, 3), (1, 1), (1, 1))
    x, w = device.zeros((0, 5, 5, 2), "float32"), device.ones((3, 3, 2, 4), "float32")
    for algorithm in (device_im2col, device_winograd):
        y = algorithm.forward(x, w, shape)
        assert y.shape == (0, 5, 5, 4)
        assert algorithm.input_gradient(y, w, shape, x.shape).shape == x.shape
        assert not to_cpu(algorithm.weight_gradient(x, y, shape)).any()


def test_half_precision_sums_in_float32(device, rng):
    x, w, _, bias = some_case((1, 5, 5, 8), 8, WALKS[0][2], "float16", rng)
    wide = [a.astype(np.float32) for a in (x, w, bias)]
    y = device_im2col.forward(
        device.asarray(x), device.asarray(w), WALKS[0][2], device.asarray(bias), 6.0
    )
    assert y.dtype == np.float16
    expected = im2col.forward(wide[0], wide[1], WALKS[0][2], wide[2], 6.0)
    np.testing.assert_allclose(to_cpu(y), expected, atol=0.01)
    shape = ConvShape((3, 3), (1, 1), (1, 1), groups=8)
    w = w[:, :, :1]
    y = device_depthwise.forward(device.asarray(x), device.asarray(w), shape)
    expected = depthwise.forward(wide[0], w.astype(np.float32), shape).astype(np.float16)
    np.testing.assert_allclose(to_cpu(y), expected, rtol=1e-3)


@pytest.mark.parametrize("rows, columns", [(1, 3), (700, 40), (5000, 2), (300_000, 1)])
def test_channel_sums_equal_those_of_the_array_code(rows, columns, device, rng):
    x = rng.standard_normal((1, rows, 1, columns))
    np.testing.assert_allclose(
        to_cpu(sums.channel_sums(device.asarray(x))), x.sum((0, 1, 2)), rtol=1e-10, atol=1e-10
    )


def test_no_layer_waits_for_the_device_or_moves_data(device, rng, counted):
    layers = Sequential(
        *(Conv2d(16, 16, 3, padding=1, rng=rng), ReLU(), MaxPool2d(2)),  # Winograd
        *(Conv2d(16, 16, 3, padding=1, groups=16, rng=rng), ReLU6(), Conv2d(16, 4, 1, rng=rng)),
    ).to(device)
    x = device.asarray(rng.standard_normal((1, 16, 16, 16)).astype(np.float32))
    dy = device.ones((1, 8, 8, 4), "float32")
    assert layers.steps[0].algorithm_for(x) is device_winograd
    counted.reset()
    layers.forward(x)
    layers.backward(dy)
    assert (counted.to_host, counted.to_device, counted.syncs) == (0, 0, 0)


def test_sums_repeat_bit_for_bit(device, rng):
    layer = Conv2d(16, 16, 3, padding=1, rng=rng).to(device)
    x, dy = (device.asarray(rng.standard_normal((2, 16, 16, 16)).astype("float32")) for _ in "ab")
    gradients = []
    for _ in range(2):
        layer.zero_grad()
        layer.forward(x)
        dx = layer.backward(dy)
        gradients.append([to_cpu(a) for a in (dx, layer.weight.grad, layer.bias.grad)])
    for a, b in zip(*gradients):
        np.testing.assert_array_equal(a, b)


def test_nan_stays_nan_under_an_activation(device):
    x = np.full((1, 4, 4, 4), np.nan)
    for algorithm, w, groups in (
        (device_im2col, np.ones((3, 3, 4, 4)), 1),
        (device_winograd, np.ones((3, 3, 4, 4)), 1),
        (device_depthwise, np.ones((3, 3, 1, 4)), 4),
    ):
        shape = ConvShape((3, 3), (1, 1), (1, 1), groups=groups)
        y = algorithm.forward(device.asarray(x), device.asarray(w), shape, None, 6.0)
        assert np.isnan(to_cpu(y)).all()


def test_the_numbers_in_the_source_are_the_matrices_of_the_points(device):
    """Unit kernels and unit gradients, taken to the points and back, are the rows and columns of the matrices."""
    unit = np.zeros((3, 3, 1, 9))
    unit.reshape(9, 9)[np.arange(9), np.arange(9)] = 1
    values = to_cpu(device_winograd._kernels_at_points(device.asarray(unit), False))
    expected = np.einsum("ai,bj->abij", points.KERNEL, points.KERNEL).reshape(36, 1, 9)
    np.testing.assert_allclose(values, expected, rtol=1e-14)
    turned = to_cpu(device_winograd._kernels_at_points(device.asarray(unit), True))
    np.testing.assert_allclose(turned[:, ::-1, 0], expected[:, 0], rtol=1e-14)


def to_tf32(device, array):
    """Round float32 numbers to 10 bits of mantissa, ties to even, as tensor cores read them."""
    bits = to_cpu(array).view(np.uint32)
    rounded = (bits + 0xFFF + (bits >> 13 & 1)) & np.uint32(0xFFFFE000)
    return device.asarray(rounded.view(np.float32))


def test_tf32_costs_winograd_four_times_what_it_costs_im2col(device, rng, monkeypatch):
    """The two errors that `device_winograd` states, on products whose operands were rounded here."""
    shape = ConvShape((3, 3), (1, 1), (1, 1))
    x = np.maximum(rng.standard_normal((1, 16, 16, 64)), 0).astype(np.float32)
    w = (rng.standard_normal((3, 3, 64, 64)) / 17).astype(np.float32)
    true = im2col.forward(x.astype(np.float64), w.astype(np.float64), shape)

    def error(y):
        return np.sqrt(((to_cpu(y) - true) ** 2).mean() / (true**2).mean())

    x, w = device.asarray(x), device.asarray(w)
    plain = device_im2col.forward(to_tf32(device, x), to_tf32(device, w), shape)
    matmul = device.matmul
    monkeypatch.setattr(
        device, "matmul", lambda a, b: matmul(to_tf32(device, a), to_tf32(device, b))
    )
    by_points = device_winograd.forward(x, w, shape)
    assert 2.5e-4 < error(plain) < 3.3e-4
    assert 1.0e-3 < error(by_points) < 1.4e-3


@pytest.mark.parametrize(
    "shape, filters, dtype, expected",
    [
        (ConvShape((3, 3), padding=(1, 1)), 16, "float32", device_winograd),
        (ConvShape((3, 3), padding=(1, 1)), 16, "float64", device_im2col),
        (ConvShape((3, 3), padding=(1, 1)), 16, "float16", device_im2col),
        (ConvShape((3, 3), padding=(1, 1)), 4, "float32", device_im2col),
        (ConvShape((1, 1)), 16, "float32", device_im2col),
        (ConvShape((3, 3), padding=(1, 1), groups=16), 16, "float32", device_depthwise),
        (ConvShape((3, 3), padding=(1, 1), groups=2), 16, "float32", device_im2col),
    ],
)
def test_the_rule_on_a_device(shape, filters, dtype, expected, device):
    x = device.zeros((1, 16, 16, 16), dtype)
    assert choice.choose(shape, x, filters) is expected
    with choice.use_winograd(False):
        assert choice.choose(shape, x, filters) is not device_winograd
    with use_kernels(False):
        plain = depthwise if expected is device_depthwise else im2col
        assert choice.choose(shape, x, filters) is plain


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("name", choice.ALGORITHMS)
def test_an_algorithm_by_name_is_that_of_the_device(name, training, device, rng):
    kernel, groups = (1 if name == "pointwise" else 3), (4 if name == "depthwise" else 1)
    args = (4, 4, kernel, 1, kernel // 2, 1, groups)
    layer = Conv2d(*args, algorithm=name, rng=rng).train(training)
    x, dy = rng.standard_normal((2, 2, 6, 5, 4)).astype(np.float32)
    expected = [layer.forward(x), layer.backward(dy), layer.weight.grad]
    layer.to(device).zero_grad()
    x, dy = device.asarray(x), device.asarray(dy)
    got = [layer.forward(x), layer.backward(dy), layer.weight.grad]
    assert layer.algorithm_for(x) is choice.ON_DEVICE[name]
    for a, b in zip(got, expected):
        np.testing.assert_allclose(to_cpu(a), b, rtol=1e-4, atol=1e-4)


def test_winograd_by_name_takes_no_half_precision(device, rng):
    layer = Conv2d(4, 4, 3, algorithm="winograd", rng=rng)
    assert layer.algorithm_for(device.zeros((1, 6, 6, 4), "float16")) is device_im2col


@pytest.mark.parametrize("after", [ReLU, ReLU6])
def test_a_joined_activation_is_applied_where_the_output_is_written(after, device, rng):
    layers = Sequential(Conv2d(3, 4, 3, padding=1, rng=rng, dtype=np.float64), after())
    x, dy = rng.standard_normal((2, 5, 5, 3)) * 3, rng.standard_normal((2, 5, 5, 4))
    expected = layers.forward(x), layers.backward(dy)
    layers.to(device)
    got = layers.forward(device.asarray(x)), layers.backward(device.asarray(dy))
    for a, b in zip(got, expected):
        np.testing.assert_allclose(to_cpu(a), b, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize(
    "arguments",
    [
        {"kernel_size": 3, "padding": 1},
        {"kernel_size": 3, "stride": 2, "padding": 1},
        {"kernel_size": 3, "padding": 1, "groups": 4},
        {"kernel_size": 1},
    ],
    ids=str,
)
def test_gradients_of_the_kernels_are_right(arguments, device, rng):
    layer = Conv2d(4, 4, **arguments, rng=rng, dtype=np.float64).to(device)
    report = check_layer(layer, device.asarray(rng.standard_normal((2, 5, 4, 4))), rng)
    assert report.passed, report.describe()


def test_gradients_of_winograd_are_right(device, rng, monkeypatch):
    monkeypatch.setattr(choice, "_on_device", lambda *_: device_winograd)
    layer = Conv2d(2, 3, 3, padding=1, rng=rng, dtype=np.float64).to(device)
    report = check_layer(layer, device.asarray(rng.standard_normal((1, 5, 6, 2))), rng)
    assert report.passed, report.describe()
