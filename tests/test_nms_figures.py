"""Figures of non-maximum suppression, asserted by the data that is in them."""

from __future__ import annotations

import numpy as np
import pytest
from plotting_cases import NAMES, A, B, C, colors, found, legend_words, picture, texts

from minissd.datasets.sample import Sample
from minissd.plotting import nms_figures as figures
from minissd.plotting.style import MARKS

BOXES = np.array([A, B, C])
SCORES = np.array([0.9, 0.8, 0.7])


@pytest.fixture
def sample():
    return Sample(picture(), np.array([A, B], np.float32), np.array([1, 2]), np.zeros(2, bool))


def kinds(*names: str) -> list[str]:
    return [MARKS[name].color for name in names]


def test_a_frame_of_the_film_holds_what_is_kept_silenced_and_open():
    film = [(1, np.array([2])), (0, np.array([], int))]
    figure = figures.film_strip_figure(picture(), BOXES, SCORES, film)
    start, first, second, end = figure.axes
    assert colors(start) == kinds("box", "box", "box")
    assert colors(first) == kinds("detection", "silenced", "box")
    assert colors(second) == kinds("detection", "detection")
    assert texts(first) == ["0.80"]
    assert texts(second) == ["0.90"]
    assert colors(end) == kinds("detection", "detection")
    assert end.get_title() == "end: 2 kept"
    assert second.get_title() == "round 2: keep 1, silence 0, 0 left"
    assert "silenced by a better box" in legend_words(figure)


def test_the_tangle_and_the_twins_count_their_boxes():
    figure = figures.tangle_figure(picture(), BOXES, found(A, labels=[2]), NAMES)
    assert [axes.get_title() for axes in figure.axes] == ["candidates: 3 boxes", "kept: 1 boxes"]
    assert texts(figure.axes[1]) == ["dog 0.90"]
    figure = figures.twins_figure(picture(), BOXES[0], BOXES[1:], BOXES)
    assert colors(figure.axes[0]) == kinds("object", "positive", "positive")
    assert colors(figure.axes[1]) == kinds("object", "box", "box", "box")


def test_a_chain_is_drawn_once_for_each_order():
    figure = figures.chain_figure(BOXES, [SCORES, SCORES[::-1]], [[0, 2], [1]])
    assert colors(figure.axes[0]) == kinds("detection", "detection", "silenced")
    assert colors(figure.axes[1]) == kinds("detection", "silenced", "silenced")
    assert texts(figure.axes[1])[0] == "2: 0.8"


def test_a_silenced_row_of_the_matrix_is_dotted():
    overlaps = np.array([[1, 0.6, 0.1], [0.6, 1, 0.6], [0.1, 0.6, 1]])
    kept = np.array([True, False, True])
    figure = figures.matrix_figure(overlaps, ["a", "b", "c"], 0.5, kept)
    (axes,) = figure.axes
    assert colors(axes)[::-1] == kinds("detection", "silenced")
    assert [text.get_text() for text in axes.texts if text.get_visible()] == [
        "0.60",
        "0.10",
        "0.60",
    ]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["a", "b (out)", "c"]


def test_the_funnel_has_a_bar_for_each_number():
    figure = figures.funnel_figure(["all", "few"], [1000, 3], {"slow": 500})
    left, right = figure.axes
    assert [bar.get_width() for bar in left.patches] == [1000, 3]
    assert [bar.get_width() for bar in right.patches] == [500]
    assert left.get_xscale() == right.get_xscale() == "log"


def test_modes_show_what_is_right_wrong_and_lost(sample):
    answers = {"one": found(A, B, labels=[1, 2]), "two": found(A, C, labels=[1, 2])}
    figure = figures.modes_figure(sample, answers, NAMES)
    titles = [axes.get_title() for axes in figure.axes]
    assert titles == ["one: 2 right, 0 wrong, 0 lost", "two: 1 right, 1 wrong, 1 lost"]
    assert "lost: dog" in texts(figure.axes[1])


def test_the_crowd_asks_for_every_threshold(sample):
    asked = []

    def detect(threshold, floor):
        asked.append((round(threshold, 2), floor))
        return found(A, A, labels=[1, 1]) if threshold > 0.5 else found(A, labels=[1])

    figure = figures.crowd_figure(sample, detect, 0.45, 0.3, NAMES, steps=(0.4, 0.6))
    assert asked == [(0.45, 0.3), (0.4, 0.3), (0.6, 0.3)]
    lines = {line.get_label(): list(line.get_ydata()) for line in figure.axes[1].lines}
    assert lines["objects found"] == [1, 1]
    assert lines["wrong detections"] == [0, 1]
