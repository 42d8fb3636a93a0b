"""Figures of ranked lists, curves and found objects, asserted by the data that is in them."""

from __future__ import annotations

import numpy as np
import pytest
from matplotlib.colors import to_hex
from plotting_cases import NAMES, A, B, C, found, legend_words, picture

from minissd.evaluation import Truth, analyse_errors
from minissd.plotting import ap_figures, found_figures
from minissd.plotting.style import ERROR_AREAS, mark

RIGHT = np.array([True, False, True])
RECALL, PRECISION = np.cumsum(RIGHT) / 4, np.cumsum(RIGHT) / [1, 2, 3]


def points(axes, label: str):
    (line,) = (each for each in axes.lines if each.get_label() == label)
    return line.get_xdata(), line.get_ydata()


def tiles(axes) -> list[str]:
    return [to_hex(each.get_facecolor()).upper() for each in axes.patches]


def test_the_ranked_list_has_a_tile_of_the_right_colour_for_each_detection():
    boxes = np.array([A, B, C])
    words = ["right", "duplicate", "wrong"]
    figure = ap_figures.judged_figure(boxes[:2], boxes, np.array([0.9, 0.8, 0.7]), words)
    assert tiles(figure.axes[1]) == [mark(name).color for name in ("right", "wrong", "wrong")]
    with pytest.raises(ValueError, match="words"):
        ap_figures.judged_figure(boxes[:2], boxes, np.array([0.9, 0.8, 0.7]), words[:2])


def test_the_strip_has_precision_and_recall_after_each_detection():
    strip, axes = ap_figures.strip_figure(RIGHT, n_objects=4).axes
    assert tiles(strip) == [mark(name).color for name in ("right", "wrong", "right")]
    assert np.allclose(points(axes, "precision")[1], PRECISION)
    assert np.allclose(points(axes, "recall")[1], RECALL)


def test_the_eleven_readings_are_those_of_the_envelope():
    left, right = ap_figures.two_areas_figure(RECALL, PRECISION).axes
    x, y = points(left, "eleven readings")
    assert np.allclose(x, np.arange(11) / 10)
    assert np.allclose(y, [1, 1, 1, 2 / 3, 2 / 3, 2 / 3, 0, 0, 0, 0, 0])
    corners = right.collections[0].get_paths()[0].vertices
    assert corners[:, 0].max() == RECALL[-1]
    assert left.get_title() == f"11-point: {5 / 11:.3f}"
    assert right.get_title() == f"all-point: {(1 + 2 / 3) / 4:.3f}"


def test_every_setting_has_its_dot():
    (axes,) = ap_figures.settings_figure(["a", "b", "c"], [0.7, 0.6, 0.8]).axes
    assert [each.get_text() for each in axes.texts] == ["0.700", "0.600", "0.800"]
    assert [each.get_text() for each in axes.get_yticklabels()] == ["a", "b", "c"]


@pytest.mark.parametrize("floor, kept", [(0.0, 3), (0.5, 2), (0.95, 0)])
def test_the_floor_cuts_the_curve(floor, kept):
    scores = np.array([0.9, 0.8, 0.3])
    floors, means = np.array([0.0, 1.0]), np.array([0.8, 0.0])
    curve, measure = ap_figures.floor_figure(RECALL, PRECISION, scores, floors, means, floor).axes
    assert len(curve.lines[1].get_xdata()) == kept
    assert f"{kept} of 3" in curve.get_title()
    assert measure.get_title() == f"mAP {0.8 * (1 - floor):.3f}"


def test_the_bars_are_shares_of_the_kinds_in_one_list_of_all_classes():
    truth = Truth(np.array([A, B]), np.array([1, 2]))
    answers = found(A, C, B, A, labels=[1, 1, 2, 2], scores=[0.9, 0.8, 0.7, 0.6])
    analysis = analyse_errors([answers], [truth], NAMES, similar={})  # Cor, BG, Cor, Oth
    figure = ap_figures.error_bars_figure(analysis, [0, 1, 4])
    heights = [[bar.get_height() for bar in group] for group in figure.axes[0].containers]
    assert np.allclose(heights, [[1, 1 / 3], [0, 0], [0, 0], [0, 1 / 3], [0, 1 / 3]])
    assert legend_words(figure)[0] == f"BG: {ERROR_AREAS['BG'].words}"
    with pytest.raises(ValueError, match="edges"):
        ap_figures.error_bars_figure(analysis, [0, 5])


def test_the_most_confident_mistakes_come_first():
    truths = [Truth(np.array([A]), np.array([1]))] * 3
    answers = [
        found(A, C, scores=[0.9, 0.5]),
        found(A, labels=[2], scores=[0.8]),
        found(A, scores=[0.99]),
    ]
    axes = found_figures.mistakes_figure([picture()] * 3, truths, answers, NAMES).axes
    assert [each.get_title() for each in axes] == ["IoU 1.00 with a cat", "no object is there"]
    assert sorted(each.get_text() for each in axes[0].texts) == ["cat", "dog 0.80"]
    with pytest.raises(ValueError, match="wrong detection"):
        found_figures.mistakes_figure([picture()], truths[:1], answers[2:], NAMES)


def test_photos_show_what_reaches_the_least_score():
    answer = found(A, B, labels=[1, 2], scores=[0.9, 0.2])
    figure = found_figures.photos_figure([picture()], [answer], [NAMES], ["credit"], min_score=0.5)
    assert [each.get_text() for each in figure.axes[0].texts] == ["cat 0.90"]
    with pytest.raises(ValueError, match="images"):
        found_figures.photos_figure([picture()], [answer], [NAMES], [], min_score=0.5)
