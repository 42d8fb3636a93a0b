"""The figures of chapter 13 show the steps, blocks, tiles and numbers that they were given."""

from __future__ import annotations

import numpy as np
import pytest
from plotting_cases import legend_words, rectangles, texts

from minissd.plotting import speed_figures as figures
from minissd.plotting.speed_figures import Step

STEPS = [
    Step("slow", 2.0, 0.5, "windows"),
    Step("fast", 0.1, 100.0, "bands"),
    Step("as fast", 0.101, 100.0, "bands too"),
]


def test_steps_stand_under_a_roof_at_their_intensity_and_rate():
    (axes,) = figures.roof_figure(100e9, 20e9, 2, 4e9, STEPS).axes
    roof, _, *dots = axes.lines
    at = np.interp([1, 50], roof.get_xdata(), roof.get_ydata())
    np.testing.assert_allclose(at, [20, 100], rtol=1e-2)
    places = [(dot.get_xdata()[0], dot.get_ydata()[0]) for dot in dots]
    np.testing.assert_allclose(places[:2], [(0.5, 2), (100, 40)])
    assert places[2][0] > 110  # beside the one that it would hide
    assert "2  fast" in texts(axes)[-1]


def test_one_core_has_no_second_roof():
    (axes,) = figures.roof_figure(100e9, 20e9, 1, 4e9, STEPS[:1]).axes
    assert len(axes.lines) == 2
    assert not any("cores" in words for words in texts(axes))


def test_a_step_has_a_bar_its_rate_and_its_reason():
    (axes,) = figures.steps_figure(STEPS, 4e9).axes
    assert [bar.get_width() for bar in rectangles(axes)] == pytest.approx([2000, 100, 101])
    assert texts(axes)[:4] == ["2,000 ms, 2 GFLOP/s", "windows", "100 ms, 40 GFLOP/s", "bands"]


def test_a_thread_has_a_line_with_its_blocks():
    jobs = [(7, 1.0, 1.5), (3, 1.25, 2.0), (7, 1.5, 1.75)]
    (axes,) = figures.threads_figure(jobs, "three").axes
    blocks = [(box.get_x(), box.get_width(), box.get_y() + 0.36) for box in rectangles(axes)]
    np.testing.assert_allclose(blocks, [(0, 500, 0), (250, 750, 1), (500, 250, 0)])
    assert axes.get_title() == "three"


def test_the_points_lead_to_the_outputs():
    to_points = np.array([[1, 0, -1, 0], [0, 1, 1, 0], [0, -1, 1, 0], [0, -1, 0, 1]])
    kernel = np.array([[1, 0, 0], [0.5, 0.5, 0.5], [0.5, -0.5, 0.5], [0, 0, 1]])
    back = np.array([[1, 1, 1, 0], [0, 1, -1, 1]])
    d, w = np.array([1.0, 2, 3, 4]), np.array([2.0, 1, 3])
    (axes,) = figures.points_figure((to_points, kernel, back), d, w, list("abcd")).axes
    assert [words for words in texts(axes) if words not in ("", "@", "=")][-3:] == ["13", "19", "y"]
    assert len(rectangles(axes)) == 16 + 4 + 4 + 12 + 3 + 4 + 4 + 8 + 2


def test_tiles_cover_the_map_and_their_windows_overlap():
    left, right = figures.tiles_figure(10).axes
    windows, tiles = rectangles(left)[1:], rectangles(right)[1:]
    assert len(windows) == len(tiles) == 9
    assert windows[1].get_x() - windows[0].get_x() < windows[0].get_width()
    assert tiles[1].get_x() >= tiles[0].get_x() + tiles[0].get_width()


def test_the_parts_of_the_work_add_up():
    figure = figures.work_figure(8, 10, {"products": 20.0, "ways": 10.0}, 60.0)
    (axes,) = figure.axes
    assert [bar.get_width() for bar in rectangles(axes)] == [60, 20, 10]
    assert texts(axes) == ["60", "30, 50% of it"]
    assert legend_words(figure) == ["products", "ways"]


def test_errors_are_named_with_their_root_mean_square():
    errors = {"one": np.full(4, 1e-6), "other": np.array([3e-6, -4e-6])}
    (axes,) = figures.errors_figure(errors).axes
    names = [text.get_text() for text in axes.get_legend().get_texts()]
    assert names == ["one: 1.0e-06", "other: 3.5e-06"]
