"""Figures of several pictures, and curves: they show the numbers they were given, and say what they leave out."""

from __future__ import annotations

import numpy as np
import pytest
from matplotlib.axes import Axes
from plotting_cases import (
    NAMES,
    A,
    B,
    C,
    colors,
    found,
    legend_words,
    picture,
    rectangles,
    texts,
    truth,
)

from minissd import plotting
from minissd.datasets.sample import Sample
from minissd.evaluation import evaluate
from minissd.plotting.style import MARKS

# --- figures of several pictures ------------------------------------------------------------------------------------


def samples(n: int, difficult: bool = False) -> list[Sample]:
    return [
        Sample(
            picture(60 + 10 * i, 60),
            np.array([A, B][: 1 + i % 2], np.float32),
            np.array([1, 2][: 1 + i % 2], np.int64),
            np.array([difficult, False][: 1 + i % 2]),
            f"{i:06d}",
        )
        for i in range(n)
    ]


def test_contact_sheet_has_nine_panels_with_their_boxes_and_names():
    figure = plotting.contact_sheet(samples(9), class_names=NAMES, heading="nine")
    assert len(figure.axes) == 9
    assert [len(rectangles(axes)) for axes in figure.axes] == [1, 2] * 4 + [1]
    assert [axes.get_title() for axes in figure.axes] == [f"{i:06d}" for i in range(9)]
    assert sorted(texts(figure.axes[1])) == ["cat", "dog"]
    assert legend_words(figure) == ["object (truth)"]
    columns = {round(axes.get_position().x0, 2) for axes in figure.axes}
    assert len(columns) >= 3


def test_contact_sheet_marks_difficult_objects_and_takes_titles_and_numbers():
    figure = plotting.contact_sheet(samples(2, difficult=True), ["one", "two"])
    assert [axes.get_title() for axes in figure.axes] == ["one", "two"]
    assert colors(figure.axes[1]) == [MARKS["ignored"].color, MARKS["object"].color]
    assert texts(figure.axes[1]) == ["1", "2"]
    assert legend_words(figure) == ["object (truth)", "difficult: ignored"]
    with pytest.raises(ValueError, match="titles: expected 2 entries, got 1"):
        plotting.contact_sheet(samples(2), ["one"])
    with pytest.raises(ValueError, match="images: expected at least one"):
        plotting.contact_sheet([])


def test_sample_without_objects_is_shown_without_boxes():
    sample = samples(1)[0].select(np.zeros(1, bool))
    assert rectangles(plotting.contact_sheet([sample]).axes[0]) == []


def test_detections_are_told_right_wrong_and_ignored():
    objects = truth(A, B, C, labels=[1, 2, 1], difficult=[False, False, True])
    answers = found(A, A, C, B, labels=[1, 2, 1, 2], scores=[0.9, 0.8, 0.7, 0.1])
    figure = plotting.detections_figure([picture()], [objects], [answers], NAMES, min_score=0.3)
    (axes,) = figure.axes
    words = ["right", "wrong", "ignored", "object", "object", "ignored"]
    assert colors(axes) == [MARKS[word].color for word in words]
    assert texts(axes) == ["cat 0.90", "dog 0.80", "cat 0.70", "dog"]  # A and C are named already
    assert axes.get_title() == "1 of 2 found, 1 wrong"
    assert legend_words(figure) == [MARKS[w].words for w in ("object", "right", "wrong", "ignored")]


def test_of_many_detections_the_best_are_drawn_and_all_are_counted(rng):
    low = rng.uniform(0.5, 0.8, (40, 2))
    many = found(A, *np.concatenate([low, low + 0.1], 1), scores=np.linspace(0.8, 0.4, 41))
    objects = truth(A, B, labels=[1, 2])
    after = plotting.before_after_figure([picture()], [objects], [found()], [many], NAMES).axes[1]
    (axes,) = plotting.detections_figure([picture()], [objects], [many], NAMES).axes
    assert axes.get_title() == "1 of 2 found, 40 wrong, 30 drawn"
    assert after.get_title() == "after: 1 of 2 found, 40 wrong, 30 drawn"
    marks = ["right", *["wrong"] * 29, "object", "object"]
    assert colors(axes) == colors(after) == [MARKS[word].color for word in marks]
    assert texts(axes)[::29] == ["cat 0.80", "cat 0.51"]
    assert texts(axes)[30:] == ["dog"]


def test_pictures_without_objects_or_detections_are_shown():
    truths, answers = [truth(), truth(A), truth()], [found(), found(), found(A)]
    figure = plotting.detections_figure([picture()] * 3, truths, answers, NAMES)
    titles = [axes.get_title() for axes in figure.axes]
    assert titles == ["nothing to find", "0 of 1 found", "nothing to find, 1 wrong"]
    assert [len(rectangles(axes)) for axes in figure.axes] == [0, 1, 1]


def test_before_and_after_stand_one_above_the_other():
    images, truths = [picture(80, 40 + 10 * i) for i in range(4)], [truth(A)] * 4
    before = [found(B, C, A, (0, 0, 1, 1), B, scores=[0.1, 0.2, 0.05, 0.01, 0.02])] * 4
    figure = plotting.before_after_figure(images, truths, before, [found(A)] * 4, NAMES)
    titles = [axes.get_title() for axes in figure.axes]
    first, last = "before: best 3, all below 0.3", "after: 1 of 1 found"
    assert titles == [first, first, last, last] * 2
    above, below = figure.axes[0].get_position(), figure.axes[2].get_position()
    assert above.x0 == pytest.approx(below.x0)
    assert above.y0 > below.y1
    assert [len(rectangles(axes)) for axes in figure.axes[:3:2]] == [4, 2]
    assert texts(figure.axes[0])[:3] == ["cat 0.20", "cat 0.10", "cat 0.05"]


def test_before_after_leaves_empty_places_empty():
    n = 5  # three pairs and two
    figure = plotting.before_after_figure(
        [picture()] * n, [truth(A)] * n, [found()] * n, [found(A)] * n, NAMES
    )
    assert len(figure.axes) == 2 * n


def test_counts_of_images_and_labels_are_checked():
    with pytest.raises(ValueError, match="truths: expected 1 images, got 0"):
        plotting.detections_figure([picture()], [], [found()], NAMES)
    with pytest.raises(ValueError, match="detections: expected 1 images, got 2"):
        plotting.detections_figure([picture()], [truth()], [found()] * 2, NAMES)
    with pytest.raises(ValueError, match="label: expected 1 to 2, got 3"):
        plotting.detections_figure([picture()], [truth()], [found(A, labels=[3])], NAMES)


# --- curves ---------------------------------------------------------------------------------------------------------


def curves(axes: Axes) -> dict[str, tuple[list, list]]:
    lines = [line for line in axes.lines if not line.get_label().startswith("_")]
    return {line.get_label(): (list(line.get_xdata()), list(line.get_ydata())) for line in lines}


def test_loss_curves_draw_every_part_the_measure_and_the_rate():
    rows = [
        {"step": 1, "loss": 3.0, "class_loss": 2.0, "box_loss": 1.0, "lr": 0.1, "n_positives": 7},
        {"step": 2, "loss": 2.0, "class_loss": 1.5, "box_loss": 0.5, "lr": 0.05},
        {"step": 2, "mean_ap": 0.4},
    ]
    losses, measure, rate = plotting.loss_curves(rows).axes
    assert curves(losses) == {
        "loss": ([1, 2], [3, 2]),
        "class loss": ([1, 2], [2, 1.5]),
        "box loss": ([1, 2], [1, 0.5]),
    }
    assert curves(measure) == {"mAP": ([2], [0.4])}
    assert curves(rate) == {"lr": ([1, 2], [0.1, 0.05])}
    assert losses.get_ylim()[0] == measure.get_ylim()[0] == 0
    assert measure.get_ylim()[1] == pytest.approx(1.04)
    assert losses.get_xlim() == measure.get_xlim() == rate.get_xlim()
    assert texts(measure) == ["0.400"]
    assert rate.get_xlabel() == "step"


def test_loss_curves_take_rows_of_a_csv_file_and_of_epochs():
    rows = [{"epoch": "1", "loss": "2.5", "mAP": ""}, {"epoch": "2", "loss": "1.5", "mAP": "0.3"}]
    losses, measure = plotting.loss_curves(rows).axes
    assert curves(losses)["loss"] == ([1, 2], [2.5, 1.5])
    assert curves(measure)["mAP"] == ([2], [0.3])
    assert measure.get_xlabel() == "epoch"


def test_many_steps_are_smoothed_and_a_wild_one_does_not_press_the_rest_flat():
    rows = [{"step": i, "loss": 2.0} for i in range(400)]
    rows[200]["loss"], rows[300]["loss"] = 1e6, float("nan")
    figure = plotting.loss_curves(rows)
    raw, smooth = figure.axes[0].lines
    assert len(raw.get_ydata()) == len(smooth.get_ydata()) == 400
    assert smooth.get_label() == "loss (mean of 8)"
    assert np.isfinite(smooth.get_ydata()).all()
    assert smooth.get_ydata()[300] == 2
    assert smooth.get_ydata()[204] == pytest.approx((1e6 + 14) / 8)
    assert smooth.get_ydata()[0] == 2


def test_one_step_and_only_nan_are_drawn():
    plotting.loss_curves([{"step": 1, "loss": 2.0, "lr": 0.1}]).draw_without_rendering()
    nan = float("nan")
    plotting.loss_curves(
        [{"step": 1, "loss": nan, "mean_ap": nan, "lr": 0}]
    ).draw_without_rendering()


@pytest.mark.parametrize("rows", [[], [{"step": 1}], [{"step": "", "loss": 1.0}]])
def test_nothing_to_draw_is_said(rows):
    with pytest.raises(ValueError, match="rows: expected numbers under"):
        plotting.loss_curves(rows)


def evaluation(method="11-point", names=NAMES):
    truths = [truth(A, B, labels=[1, 2]), truth(A)]
    answers = [found(A, C, labels=[1, 1], scores=[0.9, 0.8]), found(A, scores=[0.7])]
    return evaluate(answers, truths, names, method=method)


def test_precision_recall_shows_the_eleven_points_and_the_ap_in_the_legend():
    figure = plotting.precision_recall_figure(evaluation())
    pooled, cat, dog = figure.axes
    assert [axes.get_title() for axes in figure.axes] == ["all classes (3)", "cat (2)", "dog (1)"]
    curve, marks = cat.lines
    assert list(curve.get_xdata()) == [0.5, 0.5, 1]
    assert list(curve.get_ydata()) == pytest.approx([1, 1 / 2, 2 / 3])
    assert list(marks.get_xdata()) == pytest.approx(np.arange(11) / 10)
    assert list(marks.get_ydata()) == pytest.approx([1] * 6 + [2 / 3] * 5)
    ap = (6 + 5 * 2 / 3) / 11
    assert cat.get_legend().get_texts()[0].get_text() == f"AP {ap:.3f}"
    assert dog.get_legend().get_texts()[0].get_text() == "AP 0.000"
    assert pooled.get_xlim() == cat.get_xlim()
    heading = f"mean AP {ap / 2:.3f} (2 classes, 11-point, IoU 0.5, 2 images); in brackets: objects"
    assert heading in [text.get_text() for text in figure.texts]


def test_all_point_shows_the_area():
    cat = plotting.precision_recall_figure(evaluation("all-point")).axes[1]
    vertices = cat.collections[0].get_paths()[0].vertices
    low, high = vertices.min(axis=0), vertices.max(axis=0)
    assert [*low, *high] == pytest.approx([0, 0, 1, 1])
    envelope = cat.lines[1]
    assert list(envelope.get_xdata()) == [0, 0.5, 1]
    assert list(envelope.get_ydata()) == pytest.approx([1, 1, 2 / 3])
    assert cat.get_legend().get_texts()[0].get_text() == f"AP {(1 + 2 / 3) / 2:.3f}"


def test_class_without_objects_says_so_and_one_class_has_one_panel():
    figure = plotting.precision_recall_figure(evaluation(names=[*NAMES, "cow"]))
    assert texts(figure.axes[3]) == ["no objects"]
    one = evaluate([found(A)], [truth(A)], ["cat"])
    assert len(plotting.precision_recall_figure(one).axes) == 1
    nothing = evaluate([], [], ["cat"])
    plotting.precision_recall_figure(nothing).draw_without_rendering()
