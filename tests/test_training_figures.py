"""The pictures of chapter 10 and the runs that they show."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest

from minissd.plotting import training_figures as figures

CHAPTERS = Path(__file__).resolve().parent.parent / "chapters"
RUN = {
    "class_loss": [8.0, 6.0, 4.0, 3.0],
    "box_loss": [4.0, 3.0, 2.0, 1.0],
    "positives": [8.0, 9.0, 8.0, 9.0],
    "gradient": [30.0, 5.0, 4.0, 3.0],
}
PICTURE = np.full((40, 40, 3), 200, np.uint8)
BOX = np.array([[0.2, 0.2, 0.6, 0.6]])


def stored() -> dict:
    return json.loads((CHAPTERS / "runs/ch10_trainings.json").read_text("utf-8"))


def test_a_running_mean_looks_back_and_none_is_no_number():
    mean = figures.running_mean([4.0, 2.0, 0.0, None], 2)
    assert mean[:3].tolist() == [4, 3, 1]
    assert np.isnan(mean[3])
    assert figures.running_median([1.0, 90.0, 2.0], 3).tolist() == [1, 45.5, 2]


def test_the_clinic_has_a_row_a_run_on_the_same_axes():
    broken = RUN | {"class_loss": [8.0, 900.0, None]}
    figure = figures.clinic_figure([RUN, broken], ["A", "B"], level=4.0, window=1)
    above, below = figure.axes[0], figure.axes[4]
    assert above.get_ylim() == below.get_ylim()
    assert above.lines[1].get_ydata().tolist() == RUN["class_loss"]
    assert "nan at 3" in [text.get_text() for text in below.texts]
    assert [text.get_text() for text in figure.texts] == ["A", "B"]


def test_a_sweep_puts_what_is_no_number_at_the_top():
    figure = figures.sweep_figure({"0.01": 5.0, "0.1": 50.0, "1": None}, start=8.0, ceiling=20.0)
    words = [text.get_text() for text in figure.axes[0].texts]
    assert {"50", "not a number"} <= set(words)
    curves = [list(line.get_xdata()) for line in figure.axes[0].lines]
    assert [0.01] in curves
    assert [0.1, 1.0] in curves


def test_schedules_begin_and_end_where_they_should():
    figure = figures.schedules_figure({"line": (lambda step: 1 - step / 10, 10)})
    (line,) = figure.axes[0].lines
    assert line.get_xdata()[[0, -1]].tolist() == [0, 9]
    assert line.get_ydata()[[0, -1]] == pytest.approx([1, 0.1])


def test_layers_without_a_gradient_stand_at_the_foot():
    figure = figures.layers_figure(
        ["a", "heads.0"], {"run": {"step 1": [0.0, 2.0]}}, "length of the gradient"
    )
    axes = figure.axes[0]
    assert axes.lines[0].get_ydata()[0] == pytest.approx(axes.get_ylim()[0])


def test_detections_and_objects_are_all_drawn():
    view = {"boxes": [[0.1, 0.1, 0.5, 0.5]], "labels": [2], "scores": [0.75]}
    figure = figures.steps_figure(PICTURE, BOX, view, ["star", "ring"], RUN["class_loss"], 2)
    assert "ring 0.75" in [text.get_text() for text in figure.axes[0].texts]
    looks = [("before", PICTURE, BOX, BOX[:0], []), ("after", PICTURE, BOX, BOX, ["star"])]
    figure = figures.overfit_figure(looks, [3.0, 1.0])
    assert "star" in [text.get_text() for text in figure.axes[1].texts]
    figure = figures.log_figure(RUN, {"level": 4.0}, window=1)
    assert len(figure.axes) == 4


def test_the_stored_runs_come_out_again():
    sys.path.insert(0, str(CHAPTERS))
    from runs.ch10_trainings import BATCH, FAULTS, FILE, UNNAMED, Pictures, train

    assert FILE.stat().st_size <= 300_000
    runs = stored()["runs"]
    assert list(runs) == [*FAULTS, *UNNAMED]
    samples = Pictures(stored()["pictures"], 0)
    for name in ("sound", "boxes_in_pixels"):
        _, log = train(FAULTS[name], samples, steps=2)
        for key, values in log.items():
            assert values == pytest.approx(runs[name][key][:2], rel=0.02), (name, key)
    assert stored()["settings"]["batch_size"] == BATCH
