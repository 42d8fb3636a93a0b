"""Figures of errors, asserted by the data that is in them."""

from __future__ import annotations

import numpy as np
import pytest
from error_scenes import NAMES, lifelike
from evaluation_cases import BOX, FAR, found, truth
from matplotlib.colors import to_hex
from matplotlib.container import BarContainer
from plotting_cases import legend_words

from minissd import plotting
from minissd.evaluation import analyse_errors, analyse_sensitivity
from minissd.evaluation.error_results import KINDS
from minissd.plotting.error_figures import MULTIPLES
from minissd.plotting.style import ERROR_AREAS


@pytest.fixture(scope="module")
def scene():
    return lifelike(120, seed=3)


@pytest.fixture(scope="module")
def analysis(scene):
    return analyse_errors(*scene, NAMES)


def heights(axes, x: float) -> dict[str, tuple[float, float]]:
    """Lower and upper border of each area at a place on the axis, read from what was drawn."""
    borders = {}
    for area in axes.collections:
        points = area.get_paths()[0].vertices
        there = points[np.isclose(points[:, 0], x), 1]
        borders[area.get_label()] = (there.min(), there.max())
    return borders


def line(axes, label: str):
    return next(each for each in axes.lines if each.get_label() == label)


def test_areas_are_the_running_sums_of_the_shares(analysis):
    figure = plotting.error_kinds_figure(analysis)
    titles = [axes.get_title().split(" (")[0] for axes in figure.axes]
    assert titles == ["animals", "vehicles", "furniture", "others"]
    for axes, group in zip(figure.axes, titles):
        for multiple in (MULTIPLES[0], 1.0, MULTIPLES[-1]):
            borders = heights(axes, multiple)
            below = 0.0
            for kind, share in zip(KINDS, analysis.shares(group, multiple)):
                assert borders[kind] == pytest.approx((below, below + share), abs=1e-9)
                below += share
            assert below == pytest.approx(1)
        assert line(axes, "_found").get_ydata()[24] == analysis.recall(group, 1.0)
        assert line(axes, "_weak").get_ydata()[24] == analysis.recall(group, 1.0, weak=True)
        assert axes.get_xlim() == pytest.approx((1 / 8, 8))
    n_objects = sum(c.n_objects for c in analysis.members("animals"))
    assert figure.axes[0].get_title() == f"animals (7 classes, {n_objects} objects)"


def test_each_kind_has_its_colour_and_a_word_in_the_legend(analysis):
    figure = plotting.error_kinds_figure(analysis)
    for area in figure.axes[0].collections:
        color = ERROR_AREAS[area.get_label()].color
        assert to_hex(area.get_facecolor()[0]).upper() == color.upper()
    words = legend_words(figure)
    assert [word for word in words if word.strip()] == [
        *(f"{kind}: {ERROR_AREAS[kind].words}" for kind in KINDS),
        "objects found, IoU 0.5",
        "objects found, IoU 0.1",
    ]
    assert len({(each.color, each.hatch) for each in ERROR_AREAS.values()}) == 5


def test_wrong_detections_by_number(analysis):
    figure = plotting.wrong_kinds_figure(analysis)
    axes = figure.axes[1]
    most = max(int((c.kinds > 0).sum()) for c in analysis.members("vehicles"))
    assert axes.get_xlim() == (25, most)
    for count in (25, most):
        borders, below = heights(axes, count), 0.0
        for kind, share in zip(KINDS[1:], analysis.wrong_shares("vehicles", count)):
            assert borders[kind] == pytest.approx((below, below + share), abs=1e-9)
            below += share
    assert "Cor" not in borders
    assert [t.get_text() for t in axes.get_xticklabels()][:2] == ["25", "50"]


def test_bars_are_the_normalised_ap_of_each_part(scene):
    result = analyse_sensitivity(*scene, NAMES)
    figure = plotting.sensitivity_figure(result)
    assert len(figure.axes) == 6  # twenty classes and their mean, seven a row, by size and by shape
    first, fourth = figure.axes[0], figure.axes[3]
    for axes, key in ((first, "size"), (fourth, "aspect")):
        bars = next(c.patches for c in axes.containers if isinstance(c, BarContainer))
        expected = [part.ap for part in getattr(result.mean(), key).values()]
        assert [bar.get_height() for bar in bars[:5]] == pytest.approx(expected)
    names = [text.get_text() for text in first.texts if text.get_text() != "–"]
    assert names == ["all classes", *NAMES[:6]]
    assert first.get_xticklabels()[5].get_text() == "XS"
    assert fourth.get_xticklabels()[9].get_text() == "XW"
    across = [list(each.get_ydata()) for each in first.lines if each.get_label() == "_whole"]
    own = [result.mean().overall.ap, *(result.per_class[name].overall.ap for name in NAMES[:6])]
    assert across == [[ap, ap] for ap in own]


def test_few_detections_and_one_class_can_be_drawn():
    detections, truths = [found(BOX)], [truth(BOX, FAR)]
    analysis = analyse_errors(detections, truths, ["nut"])
    plotting.error_kinds_figure(analysis).draw_without_rendering()
    wrong = plotting.wrong_kinds_figure(analysis)
    assert [text.get_text() for text in wrong.axes[0].texts] == ["none is wrong"]
    wrong.draw_without_rendering()
    one = analyse_errors([found(BOX, (0.6, 0.1, 0.8, 0.3))], truths, ["nut"])
    figure = plotting.wrong_kinds_figure(one)
    figure.draw_without_rendering()
    assert heights(figure.axes[0], 1)["BG"] == (0, 1)
    sensitivity = plotting.sensitivity_figure(analyse_sensitivity(detections, truths, ["nut"]))
    assert [text.get_text() for text in sensitivity.axes[0].texts] == ["–"] * 3 + ["nut"]
    sensitivity.draw_without_rendering()


def test_nothing_to_draw_is_said():
    with pytest.raises(ValueError, match="analysis: expected a class with objects and detections"):
        plotting.error_kinds_figure(analyse_errors([found()], [truth(BOX)], ["cat"]))
    with pytest.raises(ValueError, match="result: expected a class with objects"):
        plotting.sensitivity_figure(analyse_sensitivity([], [], ["cat"]))
