"""The figures of chapter 7 show the boxes, losses and counts that they were given."""

from __future__ import annotations

import numpy as np
import pytest
from matplotlib.collections import PolyCollection
from matplotlib.colors import to_hex
from plotting_cases import legend_words, picture, rectangles, texts

from minissd.plotting import mining_figures as figures
from minissd.plotting.style import MARKS, rgb

OBJECTS = np.array([[0.1, 0.1, 0.5, 0.5]])
BOXES = np.array(
    [[0.1, 0.1, 0.5, 0.5], [0.2, 0.2, 0.6, 0.6], [0.2, 0.2, 0.6, 0.6], [0.7, 0.7, 0.9, 0.9]]
)
POSITIVES = np.array([True, False, False, False])
PINK = MARKS["negative"].color


def panes(axes):
    """How many mined boxes are drawn."""
    [drawn] = [each for each in axes.collections if isinstance(each, PolyCollection)]
    assert all(to_hex(color).upper() == PINK for color in drawn.get_facecolor())
    return len(drawn.get_paths())


def tiles(axes):
    return sum(to_hex(tile.get_facecolor()).upper() == PINK for tile in rectangles(axes))


def test_every_box_is_a_square_and_the_bar_is_to_scale():
    positives = np.zeros(40, bool)
    positives[[3, 17]] = True
    squares, bar = figures.imbalance_figure(positives, columns=10).axes
    seen = np.asarray(squares.images[0].get_array())[2::6, 2::6].reshape(-1, 3)
    np.testing.assert_array_equal((seen == rgb(MARKS["positive"].color)).all(axis=1), positives)
    assert [box.get_width() for box in rectangles(bar)] == [38, 2]
    assert texts(bar) == ["38 background", "2 positive"]


def test_the_gradient_is_written_beside_the_bars():
    figure = figures.softmax_gradient_figure(
        np.zeros((2, 2)), np.array([0, 1]), ["background", "star"], ["one", "two"]
    )
    first, second = figure.axes
    assert [box.get_width() for box in rectangles(first)] == [0.5, 0.5]
    assert {"-0.50", "+0.50"} <= set(texts(first))
    assert texts(second).index("+0.50") < texts(second).index("-0.50")


@pytest.mark.parametrize("ratio, mined", [(0, 0), (2, 2), (9, 3)])
def test_the_cut_moves_with_the_ratio(ratio, mined):
    losses = np.array([4.0, 1.0, 3.0, 0.5])
    figure = figures.cut_figure(picture(), OBJECTS, BOXES, losses, POSITIVES, ratio)
    curve, scene = figure.axes
    assert f"{mined} of 3 are mined" in texts(curve)[0]
    np.testing.assert_array_equal(curve.lines[0].get_ydata(), [3.0, 1.0, 0.5])
    assert curve.lines[1].get_xdata()[0] == mined + 0.5
    assert panes(scene) == mined
    assert legend_words(figure) == [MARKS["object"].words, MARKS["negative"].words]


def test_a_panel_for_each_step_with_the_boxes_mined_then():
    mined = np.array([[False, False, False, True], [False, True, True, False]])
    first, second = figures.mined_over_time_figure(
        picture(60, 60), OBJECTS, BOXES, mined, [0, 1000]
    ).axes
    assert (panes(first), panes(second)) == (1, 2)
    assert first.get_title() == "step 0: 0% of 1 near an object"
    assert second.get_title() == "step 1,000: 100% of 2 near an object"
    sizes = second.collections[-1].get_sizes()
    assert len(sizes) == 1  # both share their centre
    assert sizes[0] == 2 * first.collections[-1].get_sizes()[0]


def test_the_curves_are_median_and_share():
    overlaps = np.array([0.5, 0.3, 0.2, 0.0])
    mined = np.array([[False, False, False, True], [False, True, True, False]])
    place, change = figures.mined_overlap_figure(overlaps, mined, np.array([0, 10]), 0.4).axes
    np.testing.assert_allclose(place.lines[0].get_ydata(), [0, 0.25])
    np.testing.assert_allclose(change.lines[0].get_ydata(), [0, 1])
    np.testing.assert_allclose(change.lines[1].get_ydata(), 2 / 3)


def test_two_sorts_write_order_and_rank():
    first, second = figures.two_sorts_figure(np.array([0.1, 3.0, 2.0]), 1).axes
    assert "order = 1 2 0" in texts(first)
    assert "rank = 2 0 1" in texts(second)
    assert tiles(first) == tiles(second) == 2  # one box and one place


def test_shares_of_the_loss_add_up():
    losses, mined = np.array([[4.0, 1, 3, 2]]), np.array([[False, False, True, False]])
    every, counted = figures.loss_shares_figure(losses, POSITIVES, mined, [0]).axes
    np.testing.assert_allclose([b.get_width() for b in rectangles(every)], [0.4, 0.3, 0.3])
    np.testing.assert_allclose([b.get_width() for b in rectangles(counted)], [4 / 7, 3 / 7])
