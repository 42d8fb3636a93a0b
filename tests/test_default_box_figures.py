"""The figures of chapter 4 show the default boxes and curves that they were given."""

from __future__ import annotations

import numpy as np
import pytest
from plotting_cases import picture, rectangles

from minissd.boxes import FeatureMap
from minissd.plotting import default_box_figures as figures

MAP = FeatureMap(10, 32, 111, 162, (2.0, 3.0))
IMAGE = picture(100, 100)


def test_a_cell_has_all_its_boxes_around_its_centre():
    (axes,) = figures.cell_figure(IMAGE, MAP, 300, 2, 3).axes
    assert len(rectangles(axes)) == 6
    middles = [box.get_x() + box.get_width() / 2 for box in rectangles(axes)]
    assert middles == pytest.approx([3.5 * 32 / 3] * 6)
    assert "row 9, column 9" in figures.cell_figure(IMAGE, MAP, 300, 37, 37).axes[0].get_title()


def test_each_map_has_its_panel():
    axes = figures.maps_figure(IMAGE, [MAP, FeatureMap(3, 100, 213, 264, (2.0,))], 300).axes
    assert [len(rectangles(each)) for each in axes] == [6, 4]


def test_centres_outside_are_counted():
    (axes,) = figures.centers_figure(IMAGE, [MAP], 300).axes
    assert axes.get_title().endswith("19 outside")
    inside, outside = axes.collections
    assert not np.array_equal(inside.get_facecolor(), outside.get_facecolor())
    assert (len(inside.get_offsets()), len(outside.get_offsets())) == (81, 19)


def test_ways_to_clip_and_one_box_for_all():
    ways = {"none": np.array([0.9, 0.5, 0.4, 0.2]), "other": np.array([0.8, 0.5, 0.4, 0.2])}
    one, other = figures.clip_figure(ways).axes
    assert [axes.patches[1].get_x() for axes in (one, other)] == pytest.approx([0.7, 0.6])
    objects = np.array([[0.1, 0.1, 0.4, 0.4], [0.6, 0.6, 0.9, 0.9]])
    (axes,) = figures.one_box_figure(IMAGE, objects, objects.mean(axis=0)).axes
    assert len(rectangles(axes)) == 3


def test_curves_and_histograms_are_the_data():
    (axes,) = figures.reach_figure(np.array([10.0, 20]), {"a": np.array([0.2, 0.7])}, [15]).axes
    np.testing.assert_array_equal(axes.lines[0].get_ydata(), [0.2, 0.7])
    (axes,) = figures.fit_figure(np.array([10.0, 11, 50]), {"a": [12, 24]}).axes
    assert sum(bar.get_height() for bar in rectangles(axes)) == 3
    np.testing.assert_array_equal(axes.lines[0].get_xdata(), [12, 24])


def test_counts_a_map_and_networks_side_by_side():
    (axes,) = figures.counts_figure([MAP, FeatureMap(3, 100, 213, 264, (2.0,))]).axes
    assert [bar.get_width() for bar in rectangles(axes)] == [600, 36]
    reached = {"a": np.array([0.2, 0.7]), "b": np.array([0.1, np.nan])}
    shares = {"a": np.array([0.5]), "b": np.array([1.0])}
    curves, groups = figures.networks_figure(
        np.array([5.0, 9]), reached, np.array([3, 10]), shares
    ).axes
    np.testing.assert_array_equal(curves.lines[0].get_ydata(), [0.2, 0.7])
    assert [bar.get_height() for bar in rectangles(groups)] == [0.5, 1.0]
