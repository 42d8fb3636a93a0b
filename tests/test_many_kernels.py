"""One launch for all parameters does what the array code does to each; and images are prepared to the same bits."""

import numpy as np
import pytest
from strict_array import strict

from minissd.backend import to_cpu
from minissd.models.build import build_minissd
from minissd.nn import Linear, Parameter, Sequential, many
from minissd.nn.optim import SGD, Adam, AdamW, clip_gradients

SIZES = [(3, 5000), (1,), (0,), (7, 3), (4096,), (4097,)]  # more than a stretch, none, and just one
TOLERANCE = {"float32": 2e-6, "float64": 1e-12}
DTYPES = pytest.mark.parametrize("dtype", ["float32", "float64"])


def some_parameters(module, dtype, sizes=tuple(SIZES)):
    rng = np.random.default_rng(1)
    return {
        f"p{i}": Parameter(
            module.asarray(rng.standard_normal(size).astype(dtype)), decay=i % 2 == 0, rate=1 + i
        )
        for i, size in enumerate(sizes)
    }


def give_gradients(parameters, module, step):
    rng = np.random.default_rng([2, step])
    for parameter in parameters.values():
        host = rng.standard_normal(parameter.value.shape).astype(parameter.value.dtype)
        parameter.grad[...] = module.asarray(host)


def three_steps(module, make, dtype, **settings):
    parameters = some_parameters(module, dtype)
    optimizer = make(parameters, 0.05, **settings)
    for step in range(3):
        give_gradients(parameters, module, step)
        optimizer.step(0.05 / (step + 1))
    kept = [to_cpu(each) for p in parameters.values() for each in (p.value, p.grad)]
    return kept + list(optimizer.state().values())


@DTYPES
@pytest.mark.parametrize("decay", [0.0, 0.1])
@pytest.mark.parametrize("make", [SGD, Adam, AdamW])
def test_optimisers_equal_their_array_code(make, decay, dtype, device, monkeypatch):
    expected = three_steps(np, make, dtype, weight_decay=decay)
    monkeypatch.setattr(make, "_update", None)  # the array code is not asked
    got = three_steps(device, make, dtype, weight_decay=decay)
    for a, b in zip(got, expected, strict=True):
        np.testing.assert_allclose(a, b, rtol=TOLERANCE[dtype], atol=TOLERANCE[dtype])


def test_a_class_that_goes_its_own_way_is_left_alone(device):
    class Signs(SGD):
        def _update(self, value, grad, velocity, *, lr, decay):
            value -= lr

    parameters = some_parameters(device, "float64", [(2, 3)])
    before = to_cpu(parameters["p0"].value)
    Signs(parameters, 0.5).step()
    np.testing.assert_array_equal(to_cpu(parameters["p0"].value), before - 0.5)


def test_nothing_beside_the_parameters_is_written(device):
    """Kernels that follow addresses are not seen by the guards of the stand-in, so here are others."""
    room = [device.full(4500, -7.0) for _ in range(4)]
    value, grad, *slots = (each[100:4300] for each in room)
    parameter = Parameter(value)
    parameter.grad = grad
    optimizer = AdamW({"a": parameter}, 0.1)
    optimizer._slots = {"mean": {"a": slots[0]}, "square": {"a": slots[1]}}
    grad[...] = -3
    slots[1][...] = 1
    optimizer.step()
    clip_gradients({"a": parameter}, 1.0)
    for each in map(to_cpu, room):
        assert (each[:100] == -7).all()
        assert (each[4300:] == -7).all()
        assert (each[100:4300] != -7).all()


@DTYPES
@pytest.mark.parametrize("most", [0.5, 1e9])
def test_clipping_equals_its_array_code(most, dtype, device):
    results = []
    for module in (np, device):
        parameters = some_parameters(module, dtype)
        give_gradients(parameters, module, 0)
        before = [to_cpu(p.grad).copy() for p in parameters.values()]
        norm = clip_gradients(parameters, most)
        assert norm.shape == ()
        results.append([to_cpu(norm)] + [to_cpu(p.grad) for p in parameters.values()])
    for a, b in zip(*results):
        np.testing.assert_allclose(b, a, rtol=5 * TOLERANCE[dtype])
    if most > 1e8:  # short enough: not a bit changes
        for a, b in zip(results[1][1:], before):
            np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_gradient_that_is_no_number_shows_in_the_length(value, device):
    results = []
    for module in (np, device):
        parameters = some_parameters(module, "float64", [(3,), (2, 2)])
        give_gradients(parameters, module, 0)
        parameters["p1"].grad[0, 1] = value
        with np.errstate(all="ignore"):
            norm = to_cpu(clip_gradients(parameters, 1.0))
        results.append([norm, *(to_cpu(p.grad) for p in parameters.values())])
    for a, b in zip(*results):
        np.testing.assert_array_equal(b, a)


def test_all_gradients_are_forgotten_at_once(device, rng, monkeypatch):
    layer = Sequential(Linear(3, 4, rng=rng), Linear(4, 5, rng=rng)).to(device)
    for parameter in layer.parameters().values():
        parameter.grad[...] = 3
    monkeypatch.setattr(Parameter, "zero_grad", None)
    layer.zero_grad()
    for parameter in layer.parameters().values():
        assert not to_cpu(parameter.grad).any()


def test_tables_are_sent_once_and_again_when_arrays_move(device, counted):
    parameters = some_parameters(device, "float32", [(3, 4), (5,)])
    optimizer = SGD(parameters, 0.1)
    optimizer.step()
    counted.reset()
    optimizer.step()
    assert (counted.to_device, counted.to_host, counted.syncs) == (0, 0, 0)
    kept = parameters["p0"].grad
    parameters["p0"].grad = kept + 1
    before = to_cpu(parameters["p0"].value)
    counted.reset()
    optimizer.step()
    sent = int(device is strict)  # which alone counts
    assert (counted.to_device, counted.to_host, counted.syncs) == (sent, 0, 0)
    assert (to_cpu(parameters["p0"].value) != before).all()


def test_arrays_of_two_types_or_not_in_line_run_the_array_code(device):
    a, b = device.ones(3, "float32"), device.ones(3, "float64")
    assert many.kernels_for([a, b]) is None
    assert many.kernels_for([device.ones((4, 4))[:, 1]]) is None
    assert many.kernels_for([]) is None
    assert many.kernels_for([np.ones(3)]) is None
    assert many.kernels_for([a, a]) is not None


@pytest.mark.parametrize("shape", [(2, 8, 8, 3), (1, 3, 3, 3), (1, 1, 1, 3), (0, 8, 8, 3)])
def test_images_are_prepared_to_the_same_bits(shape, device, counted, rng):
    model = build_minissd(3, 96, np.random.default_rng(0), width=2)
    images = rng.integers(0, 256, shape, dtype=np.uint8)
    on_device = device.asarray(images)
    counted.reset()
    got = model.prepare(on_device)
    assert (counted.to_device, counted.to_host, counted.syncs) == (0, 0, 0)
    expected = model.prepare(images)
    np.testing.assert_array_equal(to_cpu(got), expected)
    assert got.dtype == expected.dtype == np.float32
