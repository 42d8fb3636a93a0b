"""The figures of chapter 3 show the windows, counts and fields that they were given."""

from __future__ import annotations

import numpy as np
import pytest
from matplotlib.colors import to_hex
from plotting_cases import picture, rectangles, texts

from minissd.plotting import convolution_figures as figures


def test_a_filter_stands_between_picture_and_answer():
    kernel = np.array([[1.0, -2.0]])
    left, middle, right = figures.filter_figure(picture(), kernel, np.eye(3)).axes
    assert texts(middle) == ["1", "-2"]
    np.testing.assert_array_equal(right.images[0].get_array(), np.eye(3))
    assert left.get_title() == "x"


def test_windows_and_rows_have_the_same_colours():
    grid = np.arange(9).reshape(3, 3)
    rows = np.lib.stride_tricks.sliding_window_view(grid, (2, 2)).reshape(4, 4)
    left, middle, right = figures.rows_figure(grid, rows, 2, np.ones(4)).axes
    shown = [
        [to_hex(frame.get_edgecolor()) for frame in rectangles(axes)] for axes in (left, middle)
    ]
    assert shown[0] == shown[1]
    assert len(set(shown[0])) == 4
    assert texts(right) == ["8", "12", "20", "24"]


def test_counts_are_written_into_their_cells():
    (axes,) = figures.counts_figure({"one": np.array([[1, 2], [3, 4]])}).axes
    assert texts(axes) == ["1", "2", "3", "4"]


@pytest.mark.parametrize(
    "walk, outputs", [((12, 3, 2, 1, 1), 6), ((12, 5, 1, 0, 2), 4), ((3, 5, 1, 0, 1), 0)]
)
def test_a_walk_has_as_many_outputs_as_the_formula_says(walk, outputs):
    (axes,) = figures.walk_figure(*walk).axes
    size, kernel, _, padding, _ = walk
    assert len(rectangles(axes)) == size + 2 * padding + outputs
    assert len(axes.lines) == outputs * kernel
    assert axes.get_title().endswith(f"= {outputs}")


def test_pooling_rounds_down_and_up():
    (axes,) = figures.pooling_figure(9, 2, 2).axes
    assert texts(axes) == ["rounded down: 9 -> 4", "rounded up: 9 -> 5"]


def test_fields_and_times_are_to_scale():
    one, other = figures.fields_figure(picture(), {"a": (20, 4), "b": (50, 8)}, (40, 30)).axes
    assert [box.get_width() for box in rectangles(one)] == [20, 20]
    assert [box.get_width() for box in rectangles(other)] == [50, 50]
    (axes,) = figures.times_figure({"slow": 0.1, "fast": 0.001}).axes
    assert [bar.get_width() for bar in rectangles(axes)] == pytest.approx([100, 1])
