"""The figures of chapter 8 show the maps, rows and costs that they were given."""

from __future__ import annotations

import numpy as np
import pytest
from plotting_cases import picture, rectangles, texts

from minissd.models.spec import published_spec
from minissd.plotting import network_figures as figures
from minissd.plotting.network_figures import Cell, rows_of

SPEC = published_spec("ssd300")


def test_rows_of_a_cell_are_those_of_its_default_boxes():
    rows = rows_of(SPEC, Cell(1, 7, 8))
    assert len(rows) == 6
    centers = SPEC.default_boxes()[rows]
    np.testing.assert_allclose(centers[:, :2] * 300, [[8.5 * 16, 7.5 * 16]] * 6, rtol=1e-6)
    assert rows_of(SPEC, Cell(5, 0, 0))[-1] == SPEC.n_default_boxes - 1
    with pytest.raises(ValueError, match="row and column below 19"):
        rows_of(SPEC, Cell(1, 19, 0))


def test_maps_are_drawn_to_scale():
    (axes,) = figures.maps_figure(SPEC).axes
    sides = [box.get_width() for box in rectangles(axes) if not box.get_fill()]
    assert np.array(sides) / sides[0] * 38 == pytest.approx([38, 19, 10, 5, 3, 1])
    assert any("5,776" in words for words in texts(axes))


def test_an_unfolded_cell_shows_its_numbers_and_its_boxes():
    rng = np.random.default_rng(0)
    scores = rng.normal(0, 0.1, (8732, 3)).astype(np.float32)
    cell = Cell(2, 4, 4)
    scores[rows_of(SPEC, cell)[2], 2] = 9
    figure = figures.unfolded_figure(
        picture(100, 100), SPEC, cell, scores, np.zeros((8732, 4), np.float32), ["cat", "dog"]
    )
    strip, table, *boxes = figure.axes
    assert strip.images[0].get_array().shape == (1, 6 * 7)
    assert len(texts(table)) == 6 * 7
    assert boxes[2].get_title() == "dog 1.00"


def test_taps_of_a_dilated_kernel_are_set_apart():
    dense, dilated, full = figures.dilation_figure(19, 3, 6).axes
    taps = [
        np.argwhere(np.asarray(axes.images[0].get_array()) > 0.5) for axes in (dense, dilated, full)
    ]
    assert [len(each) for each in taps] == [9, 9, 169]
    assert sorted(set(taps[1][:, 0])) == [3, 9, 15]


def test_costs_and_lengths_are_shares_and_percentiles():
    left, right = figures.cost_figure({"a": (1, 30), "b": (3, 10)}).axes
    assert [bar.get_width() for bar in rectangles(left)] == [25, 75]
    assert [bar.get_width() for bar in rectangles(right)] == [75, 25]
    (axes,) = figures.lengths_figure(
        [np.ones(4), np.full(3, 5.0)], ["x", "y"], np.full(4, 20.0)
    ).axes
    assert texts(axes) == ["1", "20", "5"]


def test_the_order_names_the_rows_of_the_cell():
    (axes,) = figures.order_figure(SPEC, Cell(1, 7, 8)).axes
    rows = [str(row) for row in rows_of(SPEC, Cell(1, 7, 8))]
    assert [words for words in texts(axes) if words in rows] == rows
