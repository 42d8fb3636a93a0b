"""The figures of chapter 14 show the bars, threads, addresses, errors and counts that they were given."""

from __future__ import annotations

import numpy as np
import pytest
from matplotlib.colors import to_hex
from plotting_cases import legend_words, rectangles, texts

from minissd.plotting import gpu_figures as figures
from minissd.plotting.style import MEASURE


def test_a_timeline_has_a_row_for_copies_and_one_for_computing():
    ways = {
        "in turns": [("copy", 0, 1), ("compute", 1, 3), ("copy", 3, 4), ("compute", 4, 6)],
        "ahead": [("copy", 0, 1), ("compute", 1, 3), ("copy", 1, 2), ("compute", 3, 5)],
    }
    (axes,) = figures.timeline_figure(ways).axes
    bars = [(round(bar.get_y() + 0.36), bar.get_x(), bar.get_width()) for bar in rectangles(axes)]
    assert bars[:4] == [(0, 0, 1), (0, 3, 1), (1, 1, 2), (1, 4, 2)]
    assert bars[4:] == [(2, 0, 1), (2, 1, 1), (3, 1, 2), (3, 3, 2)]
    assert texts(axes) == ["1", "2", "1", "2", "1", "2", "1", "2", "6.0", "5.0"]
    labels = [label.get_text() for label in axes.get_yticklabels()]
    assert labels == ["in turns: copy", "in turns: compute", "ahead: copy", "ahead: compute"]


def test_each_number_stands_under_its_thread():
    (axes,) = figures.grid_figure(10, 2, 2).axes
    cells = rectangles(axes)
    assert len(cells) == 3 * 4
    assert texts(axes)[:12] == [*map(str, range(10)), "", ""]
    at_six = cells[6]  # the third thread's second
    assert (at_six.get_x(), at_six.get_y()) == (2, 1)
    colors = [to_hex(cell.get_facecolor()).upper() for cell in cells]
    assert colors[:4] == [figures.BLOCKS[0]] * 2 + [figures.BLOCKS[1]] * 2
    assert colors[10:] == ["#FFFFFF"] * 2
    assert {"block 0", "block 1", "turn 2"} <= set(texts(axes))


def test_lines_that_are_touched_are_coloured_and_counted():
    apart, close = [0, 40, 41, 100], [3, 2, 1, 0]
    left, right = figures.access_figure({"apart": apart, "close": close}, 128).axes
    touched = [to_hex(line.get_facecolor()).upper() == figures.COPY for line in rectangles(left)]
    assert touched == [True, True, False, True]
    assert left.get_title() == "apart: 3 lines, 4% of them used"
    assert right.get_title() == "close: 1 line, 12% of them used"
    np.testing.assert_array_equal(left.lines[0].get_xdata(), apart)
    np.testing.assert_array_equal(left.lines[0].get_ydata(), range(4))


def test_addresses_beyond_what_is_shown_are_refused():
    with pytest.raises(ValueError, match="below 64"):
        figures.access_figure({"far": [0, 64]}, 64)


def test_windows_that_see_a_pixel_are_written_into_it():
    counts = np.array([[1, 2], [2, 4]])
    left, right = figures.seen_figure([("one", counts), ("other", counts * 0)]).axes
    assert texts(left) == ["1", "2", "2", "4"]
    assert texts(right) == ["0"] * 4
    assert (left.get_title(), right.get_title()) == ("one", "other")


def test_errors_have_bars_from_the_axis_on_and_the_bound_a_line():
    (axes,) = figures.parity_figure({"small": 2e-13, "large": 3e-4}, 1e-10).axes
    assert [bar.get_width() for bar in rectangles(axes)] == pytest.approx([2e-13, 3e-4])
    assert axes.get_xlim()[0] < 2e-13
    assert axes.lines[0].get_xdata()[0] == 1e-10
    assert texts(axes) == ["2e-13", "3e-04"]


@pytest.mark.parametrize(
    "balance, shares, memory",
    [(10, [20, 80], "20%"), (25, [38.46, 61.54], "38%"), (500, [50, 50], "100%")],
)
def test_the_slower_of_memory_and_products_sets_the_time(balance, shares, memory):
    layers = [("pool", 100.0, 0.0), ("conv", 100.0, 4000.0)]
    figure = figures.limits_figure(layers, balance)
    (axes,) = figure.axes
    bars = rectangles(axes)
    assert [bar.get_width() for bar in bars] == pytest.approx(shares, rel=1e-3)
    is_memory = [to_hex(bar.get_facecolor()).upper() == figures.COPY for bar in bars]
    assert is_memory == [True, memory == "100%"]
    assert memory == "100%" or to_hex(bars[1].get_facecolor()).upper() == MEASURE
    assert axes.get_title().endswith(f"{memory} of the time is memory's")
    assert legend_words(figure) == ["memory sets the time", "products set the time"]


def test_pieces_are_named_and_counted():
    start, end = np.ones((2, 2)), np.full((2, 2), 2)
    left, right = figures.ring_figure([("first", start), ("last", end)]).axes
    assert texts(left) == ["1"] * 4
    assert texts(right) == ["2"] * 4
    assert [label.get_text() for label in left.get_yticklabels()] == ["process 0", "process 1"]
    assert [label.get_text() for label in right.get_xticklabels()] == ["A", "B"]
    assert (left.get_xlabel(), right.get_xlabel()) == ("first", "last")
