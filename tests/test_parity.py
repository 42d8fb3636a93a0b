"""CPU = device: every public layer, loss, box function and optimiser, with kernels, and on a GPU where there is one.

float64 agrees to 1e-10 and float32 to 1e-4, of the largest number of an array (sums go in another order, and `exp` has
another last bit); whole numbers and truth values agree exactly. For the gradients of a whole network in float32 it is
1e-2: a ReLU whose input is almost 0 may let a gradient pass on one side only.
"""

import copy
import dataclasses
import importlib
import inspect

import numpy as np
import parity_cases
import pytest
from parity_cases import CASES, ELSEWHERE
from strict_array import strict

import minissd.boxes
import minissd.nn
from minissd.backend import array_module, to_cpu
from minissd.nn.gradcheck import check_function, check_layer
from minissd.nn.gradcheck_cases import (
    all_cases,
    cross_entropy_function,
    log_softmax_function,
    smooth_l1_function,
    softmax_function,
)
from minissd.nn.layer import Layer

TOLERANCE = {"float64": 1e-10, "float32": 1e-4}
LAYERS = [case for case in all_cases(np.random.default_rng(5)) if hasattr(case, "layer")]
SEED = 11
DTYPES = pytest.mark.parametrize("dtype", ["float32", "float64"])
BY_NAME = pytest.mark.parametrize("case", LAYERS, ids=lambda case: f"{case.name} {case.case}")


def assert_parity(found, expected, dtype, label="", tolerance=None):
    tolerance = tolerance or TOLERANCE[dtype]
    found = found if isinstance(found, tuple) else (found,)
    expected = expected if isinstance(expected, tuple) else (expected,)
    assert len(found) == len(expected)
    for i, (one, other) in enumerate(zip(found, expected)):
        one, other = to_cpu(one), np.asarray(other)
        assert (one.dtype, one.shape) == (other.dtype, other.shape), f"{label} {i}"
        if other.dtype.kind != "f":
            np.testing.assert_array_equal(one, other, err_msg=f"{label} {i}")
            continue
        largest = max(1.0, float(np.abs(other).max(initial=0)))
        np.testing.assert_allclose(
            one, other, rtol=0, atol=tolerance * largest, err_msg=f"{label} {i}"
        )


@DTYPES
@pytest.mark.parametrize("name", CASES)
def test_every_function_gives_the_same_on_a_device(device, name, dtype):
    expected = CASES[name](np, np.random.default_rng(SEED), np.dtype(dtype))
    found = CASES[name](device, np.random.default_rng(SEED), np.dtype(dtype))
    assert_parity(found, expected, dtype, name)


@DTYPES
def test_a_network_gives_the_same_on_a_device(xp, dtype):
    if xp is np:
        pytest.skip("this is what the others are compared with")
    expected = parity_cases.network(np, np.random.default_rng(SEED), np.dtype(dtype))
    found = parity_cases.network(xp, np.random.default_rng(SEED), np.dtype(dtype))
    assert_parity(found, expected, dtype, tolerance=1e-2 if dtype == "float32" else None)


def there_and_back(layer, x, dy):
    y = layer.forward(x)
    layer.zero_grad()
    dx = layer.backward(dy(y.shape))
    gradients = [parameter.grad for parameter in layer.parameters().values()]
    buffers = [getattr(each, name) for _, each in layer.layers() for name in each.buffers]
    return y, dx, *gradients, *buffers


@BY_NAME
@DTYPES
def test_every_layer_gives_the_same_on_a_device(device, case, dtype, rng):
    layer = copy.deepcopy(case.layer).astype(np.dtype(dtype))
    numbers = rng.standard_normal(10_000).astype(dtype)
    results = []
    for xp in (np, device):
        own = copy.deepcopy(layer).to(xp)  # random masks come from a generator of its own
        x = xp.asarray(case.x.astype(dtype))
        results.append(
            there_and_back(own, x, lambda shape, xp=xp: xp.asarray(np.resize(numbers, shape)))
        )
    expected, found = results
    assert_parity(found, expected, dtype, case.name)
    assert all(array_module(part) is device for part in found)


def settings_for(device, settings):
    """On the stand-in, where a kernel is slow, look at a few numbers only."""
    return dataclasses.replace(settings, max_elements=6) if device is strict else settings


@BY_NAME
def test_gradients_of_layers_are_right_on_a_device(device, case, rng):
    layer = copy.deepcopy(case.layer).to(device)
    settings = settings_for(device, case.settings)
    report = check_layer(layer, device.asarray(case.x), rng, case.case, settings)
    assert report.passed, report.describe()


def test_gradients_of_losses_are_right_on_a_device(device, rng):
    labels, target = np.array([0, 3, 1, 3, 2]), rng.standard_normal((5, 4))
    logits = rng.standard_normal((5, 4))
    for name, function, inputs in [
        ("cross-entropy", cross_entropy_function(device.asarray(labels)), {"logits": logits}),
        ("softmax", softmax_function, {"logits": logits}),
        ("log_softmax", log_softmax_function, {"logits": logits}),
        ("smooth_l1", smooth_l1_function(device.asarray(target)), {"prediction": target + 0.4}),
        ("smooth_l1", smooth_l1_function(device.asarray(target)), {"prediction": target - 3}),
    ]:
        on_device = {key: device.asarray(value) for key, value in inputs.items()}
        report = check_function(function, on_device, rng, name)
        assert report.passed, report.describe()


def public_names():
    """Return what modules offer: boxes, losses, optimisers, the MultiBox loss and the detector."""
    names = {name for name in minissd.boxes.__all__ if not is_record(minissd.boxes, name)}
    for module in (
        "nn.losses",
        "nn.optim",
        "boxes.coding",
        "boxes.matching",
        "boxes.nms",
        "models.loss",
        "models.detector",
    ):
        loaded = importlib.import_module(f"minissd.{module}")
        for name, value in vars(loaded).items():
            own = getattr(value, "__module__", "") == loaded.__name__ and callable(value)
            if own and not name.startswith("_") and not is_record(loaded, name):
                names.add(name)
    return names


def is_record(module, name):
    value = getattr(module, name)
    return inspect.isclass(value) and (issubclass(value, tuple) or dataclasses.is_dataclass(value))


def test_every_public_name_has_a_case_or_a_reason():
    tested = {name.split()[0] for name in CASES}
    assert tested.isdisjoint(ELSEWHERE)
    assert public_names() <= tested | set(ELSEWHERE)
    assert tested | set(ELSEWHERE) <= public_names()
    layers = {
        name
        for name in minissd.nn.__all__
        if issubclass(getattr(minissd.nn, name), Layer) and name != "Layer"
    }
    assert layers <= {case.name for case in LAYERS}
