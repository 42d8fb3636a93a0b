"""The figures of chapter 6 show the boxes and offsets that they were given."""

from __future__ import annotations

import numpy as np
import pytest
from plotting_cases import colors, picture, texts

from minissd.boxes import encode
from minissd.plotting import coding_figures as figures
from minissd.plotting.style import MARKS

OBJECT = np.array([0.2, 0.2, 0.6, 0.6])
DEFAULT = np.array([0.5, 0.4, 0.2, 0.4])


def test_the_toy_measures_centres_and_sides():
    left, right = figures.toy_offsets_figure(OBJECT, np.array([0.4, 0.2, 0.6, 0.6])).axes
    assert "-1.0" in texts(left)
    assert {"w 2", "w 4", "h 4"} <= set(texts(right))


def test_the_steps_end_at_the_object():
    figure = figures.steps_figure(picture(100, 100), OBJECT, DEFAULT, encode(OBJECT, DEFAULT))
    titles = [axes.get_title() for axes in figure.axes]
    assert titles[0].startswith("the default box: 0.50")
    assert titles[-1] == "and h: 1.00"


def test_moved_boxes_and_their_overlap():
    (axes,) = figures.moved_figure(picture(100, 100), OBJECT, DEFAULT, encode(OBJECT, DEFAULT)).axes
    assert axes.get_title().endswith("IoU 1.00")
    assert colors(axes) == [MARKS[name].color for name in ("detection", "box", "object")]


def test_the_same_offsets_move_larger_boxes_further():
    defaults = np.array([[0.5, 0.5, 0.1, 0.1], [0.5, 0.5, 0.4, 0.4]])
    figure = figures.same_offsets_figure(picture(100, 100), defaults, np.array([1.0, 0, 0, 0]))
    assert [axes.get_title() for axes in figure.axes] == [
        "moved by 1.0 pixels",
        "moved by 4.0 pixels",
    ]


def test_curves_and_histograms_are_the_data():
    raw = np.random.default_rng(0).normal(0, 0.1, (100, 4))
    before, after = figures.histogram_figure(raw, raw * 10).axes
    assert before.patches[0].get_data().values.sum() == 100
    assert len(after.patches) == 4
    errors, overlaps = np.array([0.0, 1]), np.array([[1.0, 0.8]])
    (axes,) = figures.cost_figure(errors, overlaps, ["x"]).axes
    np.testing.assert_array_equal(axes.lines[0].get_ydata(), overlaps[0])
    loss, slope = figures.losses_figure(4.0).axes
    assert loss.lines[2].get_ydata()[-1] == pytest.approx(3.5)
    assert slope.lines[2].get_ydata()[[0, -1]] == pytest.approx([-1, 1])
