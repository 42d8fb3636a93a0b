from __future__ import annotations

import re

import numpy as np
import pytest

import minissd.nn
from minissd.nn import Conv2d, Dropout, Layer, Linear, ReLU, Sequential
from minissd.nn.gradcheck import CheckSettings, check_function, check_layer, format_table
from minissd.nn.gradcheck_cases import MARGIN, all_cases, apart, distinct, run_all

CASES = all_cases(np.random.default_rng(5))


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.name} {case.case}")
def test_every_gradient_is_right(case, rng):
    report = case.run(rng)
    assert report.passed, report.describe()
    assert report.error < 5e-7
    assert all(row.n_checked == row.n_total for row in report.rows)


def test_every_public_layer_is_in_the_table():
    layers = {
        name
        for name in minissd.nn.__all__
        if isinstance(getattr(minissd.nn, name), type)
        and issubclass(getattr(minissd.nn, name), Layer)
    }
    assert layers - {"Layer"} <= {case.name for case in CASES}


def test_the_same_seed_gives_the_same_numbers_with_and_without_a_filter():
    entries = [(r.layer, r.case, r.error) for r in run_all(2, "linear")]
    assert len(entries) == 3
    assert entries == [(r.layer, r.case, r.error) for r in run_all(2) if r.layer == "Linear"]


@pytest.mark.parametrize("shape", [(2, 3, 4, 5), (1, 2, 2, 1)])
def test_inputs_stay_away_from_kinks(shape, rng):
    values = np.sort(distinct(shape, rng).ravel())
    assert np.diff(values).min() > 0.99 * MARGIN
    moved = apart(rng.uniform(-0.05, 0.05, 1000), (0.0, 0.03))
    assert min(np.abs(moved).min(), np.abs(moved - 0.03).min()) > 0.99 * MARGIN


def test_large_tensors_are_sampled_and_the_report_says_so(rng):
    layer = Linear(20, 30, rng=rng)
    report = check_layer(
        layer, rng.standard_normal((2, 20)), rng, settings=CheckSettings(max_elements=50)
    )
    checked = {row.tensor: (row.n_checked, row.n_total) for row in report.rows}
    assert checked == {"x": (40, 40), "weight": (50, 600), "bias": (30, 30)}
    assert "120 of 670" in format_table([report])
    assert report.passed


def test_the_layer_is_left_as_it_was(rng):
    layer = Sequential(Conv2d(2, 3, 3, rng=rng), Dropout(0.5, rng))
    state, draws = layer.state(), rng.bit_generator.state
    x = rng.standard_normal((2, 4, 5, 2)).astype(np.float32)
    kept, draws = x.copy(), rng.bit_generator.state
    assert check_layer(layer, x, np.random.default_rng(1)).passed
    assert rng.bit_generator.state == draws
    assert all(np.array_equal(state[name], value) for name, value in layer.state().items())
    assert np.array_equal(x, kept)
    assert layer.parameters()["0.weight"].value.dtype == np.float32
    assert not layer.parameters()["0.weight"].grad.any()


class Wrong(Layer):
    def __init__(self, change):
        self.change = change

    def forward(self, x):
        return 3 * x

    def backward(self, dy):
        return self.change(3 * dy)


def put_nan(dx):
    dx[0, 1] = np.nan
    return dx


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (lambda dx: 2 * dx, r"x\[\d, \d\]: analytic .*, numeric .*, relative error 5.0e-01"),
        (lambda dx: -dx, "relative error 2.0e"),
        (put_nan, r"x\[0, 1\]: analytic nan.* relative error inf"),
        (lambda dx: dx[:1], r"dx has shape \(1, 3\), x has \(2, 3\)"),
        (lambda dx: dx.astype(np.float32), "dx is float32, x is float64"),
        (lambda dx: None, "analytic nan"),
    ],
)
def test_the_report_says_what_is_wrong(change, complaint, rng):
    report = check_layer(Wrong(change), rng.standard_normal((2, 3)), rng, "planted")
    assert not report.passed
    assert report.describe().startswith("Wrong (planted): WRONG")
    assert re.search(complaint, report.describe())
    assert complaint[:4] in format_table([report]) or "x[" in format_table([report])


def test_a_network_without_input_gradient_is_checked_on_its_parameters(rng):
    layer = Conv2d(2, 3, 3, rng=rng)
    layer.input_gradient = False
    x = rng.standard_normal((2, 4, 5, 2))
    assert not check_layer(layer, x, rng).passed
    report = check_layer(layer, x, rng, input_gradient=False)
    assert report.passed
    assert [row.tensor for row in report.rows] == ["weight", "bias"]


def test_functions_must_leave_their_inputs_alone(rng):
    def in_place(x):
        x *= 2
        return x, lambda dy: {"x": 2 * dy}

    def upstream_in_place(x):
        return 2 * x, lambda dy: {"x": np.multiply(dy, 2, out=dy)}

    x = {"x": rng.standard_normal(3)}
    assert "x was changed" in check_function(in_place, x, rng, "f").faults
    assert "backward changed" in check_function(upstream_in_place, x, rng, "f").faults[0]


def test_functions_of_several_inputs(rng):
    def product(a, b):
        return (a * b).sum(), lambda dy: {"a": dy * b, "b": dy * a}

    inputs = {"a": rng.standard_normal((2, 3)), "b": rng.standard_normal((2, 3))}
    report = check_function(product, inputs, rng, "product")
    assert report.passed
    assert [row.tensor for row in report.rows] == ["a", "b"]
    forgot = check_function(lambda a, b: (a * b, lambda dy: {"a": dy * b}), inputs, rng, "forgot")
    assert [row.passed for row in forgot.rows] == [True, False]


def test_a_gradient_of_exactly_zero_is_right(rng):
    report = check_layer(ReLU(), -np.ones((2, 3)), rng)
    assert report.passed
    assert report.error == 0


def test_device_arrays_can_be_checked(xp, rng):
    layer = Sequential(Conv2d(2, 3, 3, rng=rng), ReLU(), Conv2d(3, 1, 1, rng=rng)).to(xp)
    x = xp.asarray(rng.standard_normal((2, 4, 3, 2)))
    report = check_layer(layer, x, rng, settings=CheckSettings(max_elements=10))
    assert report.passed, report.describe()


@pytest.mark.parametrize("options", [{"upstream": "twos"}, {"step": 0}])
def test_settings_are_checked(options):
    with pytest.raises(ValueError, match=next(iter(options))):
        CheckSettings(**options)
