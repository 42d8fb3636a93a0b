"""The figures of chapter 2 show the numbers that they were given."""

from __future__ import annotations

import numpy as np
import pytest
from plotting_cases import picture, texts

from minissd.plotting import gradient_figures as figures


def test_a_chain_names_layers_and_what_flows():
    (axes,) = figures.chain_figure(["one", "two"], ["x", "h", "y"], ["x", ""]).axes
    said = texts(axes)
    assert {"one", "two", "x", "dx", "h", "dh", "y", "dy", "keeps x", "keeps nothing"} <= set(said)
    with pytest.raises(ValueError, match="maps"):
        figures.chain_figure(["one"], ["x"], ["x"])


@pytest.mark.parametrize("exponent", [-12, -5, 0])
def test_the_secant_is_that_of_the_step(exponent):
    curve, error = figures.secant_figure(np.sin, 0.7, np.cos(0.7), exponent).axes
    step = 10.0**exponent
    assert curve.lines[-1].get_xdata() == pytest.approx([0.7 - step, 0.7 + step])
    assert error.lines[-1].get_xdata() == pytest.approx([step])


def test_curves_of_error_and_dots_of_gradients_are_data():
    steps = np.array([1e-6, 1e-3])
    (axes,) = figures.step_error_figure(steps, {"one": np.array([1e-3, 1e-9])}).axes
    assert axes.lines[0].get_ydata() == pytest.approx([1e-3, 1e-9])
    assert axes.lines[1].get_xdata() == pytest.approx([1e-3])  # the best
    pair = np.array([1.0, -2]), np.array([1.0, 2])
    (panel,) = figures.agreement_figure({"one": pair}).axes
    np.testing.assert_array_equal(panel.lines[1].get_xydata(), np.stack(pair, axis=1))


def test_bars_of_the_two_upstreams_stand_beside_each_other():
    (axes,) = figures.upstream_figure({"a": (1e-12, 1.0), "b": (1e-9, 1e-9)}, 1e-6).axes
    ends = [bar.get_x() + bar.get_width() for bar in axes.patches]
    assert ends == pytest.approx([1e-12, 1e-9, 1.0, 1e-9], rel=0.2)


def test_the_kink_and_the_fit_are_drawn():
    curve, slopes = figures.kink_figure(0.01).axes
    assert max(slopes.lines[1].get_ydata()) == pytest.approx(1)
    assert len(curve.lines) == 3
    answers = np.linspace(0, 1, 4800).reshape(60, 80)
    axes = figures.fit_figure(picture(), answers, 1 - answers, [3.0, 1.0]).axes
    np.testing.assert_array_equal(axes[0].lines[0].get_ydata(), [3.0, 1.0])
    assert axes[2].images[0].get_array()[0, 0, 0] == 0
    assert axes[3].images[0].get_array()[0, 0, 0] == 255
