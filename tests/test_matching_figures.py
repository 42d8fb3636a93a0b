"""The figures of chapter 5 show the matches that they were given."""

from __future__ import annotations

import numpy as np
import pytest
from matplotlib.colors import to_hex
from plotting_cases import colors, picture, rectangles, texts

from minissd.plotting import matching_figures as figures
from minissd.plotting.style import MARKS

OVERLAPS = np.array([[0.6, 0.7], [0.3, 0.55], [0.0, 0.2]])
OWNER, FORCED = np.array([1, 0, -1]), np.array([True, False, False])
OBJECTS = np.array([[0.1, 0.1, 0.5, 0.5], [0.5, 0.5, 0.9, 0.9]])
BOXES = np.array([[0.1, 0.1, 0.5, 0.6], [0.5, 0.4, 0.9, 0.9], [0.0, 0.8, 0.1, 0.9]])


def frames(axes):
    """(row, column, mark) of every frame in a table."""
    names = {each.color: name for name, each in MARKS.items()}
    found = []
    for frame in rectangles(axes):
        if not frame.get_fill():
            row, column = round(frame.get_y() + 0.43), round(frame.get_x() + 0.45)
            found.append((row, column, names[to_hex(frame.get_edgecolor()).upper()]))
    return found


def test_each_rule_has_its_frames_and_names_who_goes_without():
    figure = figures.rules_figure(
        OVERLAPS, {"one": (OWNER, FORCED), "none": (OWNER * 0 - 1, FORCED)}
    )
    one, none = figure.axes
    assert frames(one) == [(0, 1, "forced"), (1, 0, "positive")]
    assert frames(none) == []
    assert one.get_xlabel() == "one\nevery object has a box"
    assert none.get_xlabel() == "none\nwithout a box: A, B"


def test_rounds_strike_out_who_has_left():
    figure = figures.rounds_figure(OVERLAPS, [(0, 1), (1, 0)], OWNER)
    first, second, last = figure.axes
    assert frames(first) == [(0, 1, "forced")]
    assert frames(second) == [(1, 0, "forced")]
    assert len(rectangles(second)) - len(rectangles(first)) == 2  # one row, one column
    assert len(frames(last)) == 2


def test_the_toy_groups_boxes_by_owner():
    a, b, background = figures.toy_matches_figure(OBJECTS, BOXES, np.array([0, -1, -1])).axes
    assert a.get_xlabel() == "object A: 1 box"
    assert b.get_xlabel() == "object B: 0 boxes"
    assert sorted(texts(background)) == ["2", "3"]


def test_matched_boxes_are_divided_by_rule():
    left, right = figures.matched_figure(picture(), OBJECTS, BOXES, OWNER, FORCED).axes
    assert colors(left).count(MARKS["forced"].color) == 1
    assert colors(right).count(MARKS["positive"].color) == 1


def test_sizes_and_counts_are_where_they_belong():
    figure = figures.size_figure(np.array([10.0, 90]), np.array([1, 7]), np.array([0.3, 0.8]))
    left, right = figure.axes
    positive, forced = left.collections
    np.testing.assert_array_equal(positive.get_offsets(), [[90, 7]])
    np.testing.assert_array_equal(forced.get_offsets(), [[10, 1]])
    assert right.get_title() == "1 of them below 0.5"


@pytest.mark.parametrize("threshold, count", [(0.5, 2), (0.9, 2), (0.95, 2)])
def test_positives_follow_the_threshold(threshold, count):
    figure = figures.threshold_figure(picture(), OBJECTS, BOXES, ["one", "two"], threshold)
    scene, bars = figure.axes
    assert scene.get_title() == f"centres of the positives: {count}"
    assert [text.strip() for text in texts(bars)] == ["1", "1"]
