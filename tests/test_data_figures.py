"""Figures of data and augmentation, asserted by the data that is in them."""

from __future__ import annotations

import numpy as np
import pytest
from plotting_cases import NAMES, A, B, colors, found, legend_words, picture, rectangles, texts

from minissd.datasets.sample import Sample
from minissd.plotting import data_figures as figures
from minissd.plotting.style import MARKS


@pytest.fixture
def sample():
    return Sample(picture(), np.array([A, B], np.float32), np.array([1, 2]), np.zeros(2, bool))


def test_the_magnified_corner_numbers_pixels_from_1(sample):
    figure = figures.annotation_figure(sample, NAMES, row=1, pixels=4)
    whole, corner = figure.axes
    assert texts(whole) == NAMES
    assert corner.get_xlim() == (38, 42)  # B begins at 0.5 of 80 pixels
    assert corner.get_ylim() == (32, 28)
    assert [label.get_text() for label in corner.get_xticklabels()] == ["39", "40", "41", "42"]
    assert [label.get_text() for label in corner.get_yticklabels()] == ["29", "30", "31", "32"]


def test_dirty_boxes_are_drawn_where_the_file_has_them():
    written = np.array([(0.4, 0.6, 0.1, 0.2), (1.1, 0.1, 1.3, 0.4)])
    figure = figures.dirty_figure(picture(), written, ["reversed", "outside"], written[:1], ["cat"])
    left, right = figure.axes
    assert texts(left) == ["reversed", "outside"]
    assert colors(left) == [MARKS["box"].color] * 2
    first = rectangles(left)[::-1][0]
    assert first.get_x() == pytest.approx(0.1 * 80 + 45)
    assert first.get_width() == pytest.approx(0.3 * 80)
    assert colors(right) == [MARKS["object"].color]
    assert right.get_title() == "what is read from it: 1 boxes"


def test_counts_are_bars_with_their_numbers():
    figure = figures.counts_figure({"cat": 3, "dog": 5}, np.array([0.1, 0.3, 0.32]))
    bars, histogram = figure.axes
    assert [bar.get_width() for bar in bars.patches] == [3, 5]
    assert [text.strip() for text in texts(bars)] == ["3", "5"]
    assert sum(bar.get_height() for bar in histogram.patches) == 3
    assert histogram.get_title() == "by size, median 0.30"


def test_each_order_of_channels_shows_its_best_detection():
    answers = [found(A, B, scores=[0.9, 0.8]), found(B, labels=[2], scores=[0.4])]
    figure = figures.channels_figure([picture(), picture()], answers, ["RGB", "BGR"], NAMES)
    assert [texts(axes) for axes in figure.axes] == [["cat 0.90"], ["dog 0.40"]]
    assert legend_words(figure) == ["detection"]


def test_a_flip_has_a_panel_for_each_set_of_boxes(sample):
    mirrored = sample.image[:, ::-1]
    figure = figures.flip_figure(sample, mirrored, {"one": sample.boxes, "two": sample.boxes[:1]})
    assert [axes.get_title() for axes in figure.axes] == ["as it was", "one", "two"]
    assert [len(rectangles(axes)) for axes in figure.axes] == [2, 2, 1]


def test_a_patch_says_what_stays_and_shows_what_the_network_sees(sample):
    figure = figures.patch_figure(sample, np.array([0.0, 0.0, 0.5, 1.0]), NAMES)
    scene, seen = figure.axes
    assert texts(scene) == ["stays, 0.24", "lost, 0.00"]
    assert colors(scene) == [MARKS["object"].color] * 2 + [MARKS["box"].color]
    assert scene.get_title() == "best IoU 0.24 (cat), 1 of 2 stay"
    assert texts(seen) == ["cat"]
    assert seen.get_title() == "40 x 60 pixels, stretched to a square"
    assert rectangles(seen)[0].get_x() == pytest.approx(0.2 * 40)


def test_rules_and_sizes_are_drawn_in_percent():
    (axes,) = figures.rule_figure([0, 0.5], {"one": [0.8, 0.4], "all": [0.2, 0.0]}).axes
    lines = {line.get_label(): list(line.get_ydata()) for line in axes.lines}
    assert lines == {"one": [80, 40], "all": [20, 0]}
    sizes = {"before": np.array([20.0, 100]), "after": np.array([10.0, 50, 250])}
    figure = figures.sizes_figure(sizes, np.array([20.0, 100]))
    for axes in figure.axes:
        heights = [patch.get_height() for patch in axes.patches]
        assert sum(heights) == pytest.approx(100)
        assert list(axes.lines[0].get_xdata()) == [20, 100]
