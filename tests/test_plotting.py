from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from PIL import Image

from minissd import plotting
from minissd.boxes.nms import Detections
from minissd.datasets.sample import Sample
from minissd.errors import InputError
from minissd.evaluation import Truth, evaluate
from minissd.plotting.labels import place_labels
from minissd.plotting.style import MARKS, ink_on, rgb

NAMES = ["cat", "dog"]
A, B, C = (0.1, 0.2, 0.4, 0.6), (0.5, 0.5, 0.9, 0.9), (0.6, 0.05, 0.8, 0.3)


def picture(width: int = 80, height: int = 60, value: int = 128) -> np.ndarray:
    return np.full((height, width, 3), value, np.uint8)


def found(*boxes, labels=None, scores=None) -> Detections:
    n = len(boxes)
    return Detections(
        np.array(boxes, np.float32).reshape(n, 4),
        np.array(labels if labels is not None else [1] * n, np.int64),
        np.array(scores if scores is not None else [0.9] * n, np.float32),
    )


def truth(*boxes, labels=None, difficult=None) -> Truth:
    n = len(boxes)
    return Truth(
        np.array(boxes, np.float32).reshape(n, 4),
        np.array(labels if labels is not None else [1] * n, np.int64),
        np.array(difficult if difficult is not None else [False] * n),
    )


def rectangles(axes: Axes) -> list[Rectangle]:
    return [patch for patch in axes.patches if isinstance(patch, Rectangle)]


def colors(axes: Axes) -> list[str]:
    """Colours of the boxes, the topmost first."""
    return [to_hex(r.get_edgecolor()).upper() for r in rectangles(axes)[::-1]]


def texts(axes: Axes) -> list[str]:
    return [text.get_text() for text in axes.texts]


def legend_words(figure: Figure) -> list[str]:
    return [text.get_text() for legend in figure.legends for text in legend.get_texts()]


def image_axes() -> Axes:
    return Figure(figsize=(4, 3), dpi=100).add_axes((0, 0, 1, 1))


# --- boxes on a picture ---------------------------------------------------------------------------------------------


def test_draw_boxes_puts_fractions_on_the_pixels_of_the_picture():
    axes = image_axes()
    plotting.draw_boxes(axes, picture(80, 60), np.array([A, B]), ["cat", None], ["object", "right"])
    top, below = rectangles(axes)[::-1]
    assert top.get_bbox().extents == pytest.approx((8, 12, 32, 36))
    assert below.get_bbox().extents == pytest.approx((40, 30, 72, 54))
    assert colors(axes) == [MARKS["object"].color, MARKS["right"].color]
    assert axes.get_xlim() == (0, 80)
    assert axes.get_ylim() == (60, 0)
    assert axes.images[0].get_extent() == [0, 80, 60, 0]
    assert texts(axes) == ["cat"]


def test_truth_is_dashed_and_a_right_detection_is_not():
    axes = image_axes()
    plotting.draw_boxes(axes, picture(), np.array([A, B]), marks=["object", "right"])
    dashes = [r.get_linestyle() for r in rectangles(axes)[::-1]]
    assert dashes[0] not in ("-", "solid")
    assert dashes[1] in ("-", "solid")


def test_lines_and_letters_suit_the_size_at_which_the_picture_is_shown():
    figure = Figure(figsize=(8, 4), dpi=100)
    large, small = figure.add_axes((0, 0, 0.5, 1)), figure.add_axes((0.5, 0, 0.2, 0.4))
    for axes, image in ((large, picture(80, 80)), (small, picture(800, 800))):
        plotting.draw_boxes(axes, image, np.array([A]), ["cat"])
    assert rectangles(large)[0].get_linewidth() > rectangles(small)[0].get_linewidth() > 0.5
    assert large.texts[0].get_fontsize() > small.texts[0].get_fontsize() > 6


def test_a_label_at_the_upper_border_is_inside_the_picture():
    axes = image_axes()
    plotting.draw_boxes(axes, picture(), np.array([(0.3, 0.0, 0.6, 0.5)]), ["cat"])
    assert axes.texts[0].get_position()[1] > 0


def test_labels_do_not_cover_each_other_when_drawn():
    axes = image_axes()
    boxes = np.array([A, A, A, B, B]) + np.linspace(0, 0.02, 5)[:, None]
    plotting.draw_boxes(
        axes, picture(), boxes, ["cat 0.98", "dog 0.51", "cat 0.30", "dog 1.00", "cow"]
    )
    axes.figure.draw_without_rendering()
    extents = [text.get_window_extent() for text in axes.texts]
    for i, one in enumerate(extents):
        assert not any(one.overlaps(other) for other in extents[:i])
        assert axes.bbox.x0 - 1 <= one.x0
        assert one.x1 <= axes.bbox.x1 + 1


def test_class_names_may_hold_signs_that_mean_mathematics():
    axes = image_axes()
    plotting.draw_boxes(axes, picture(), np.array([A]), ["$a_$ {"])
    axes.figure.draw_without_rendering()


@pytest.mark.parametrize(
    ("boxes", "options", "message"),
    [
        ([A], {"marks": "prior"}, "mark: expected object"),
        ([A], {"texts": ["a", "b"]}, "texts: expected 1 entries, got 2"),
        ([A], {"marks": ["object"] * 2}, "marks: expected 1 entries, got 2"),
        ([(0, 0, 1)], {}, "boxes: expected shape"),
    ],
)
def test_draw_boxes_names_what_is_wrong(boxes, options, message):
    with pytest.raises(ValueError, match=message):
        plotting.draw_boxes(image_axes(), picture(), np.array(boxes), **options)


# --- places of labels -----------------------------------------------------------------------------------------------


def test_label_goes_above_then_inside_then_away_from_others():
    boxes = np.array([(20, 30, 60, 60), (20, 5, 60, 60), (20, 30, 60, 60)], float)
    places = place_labels(boxes, np.full((3, 2), (25.0, 10.0)), 100, 100)
    assert places[0].tolist() == [20, 20, 45, 30]  # above
    assert places[1].tolist() == [20, 5, 45, 15]  # no room above: inside
    assert places[2].tolist() == [20, 30, 45, 40]  # above is taken, at both ends: inside


def test_labels_stay_inside_and_apart_where_there_is_room(rng):
    low = rng.uniform(0, 700, (25, 2))
    boxes = np.concatenate([low, low + rng.uniform(20, 300, (25, 2))], 1)
    sizes = np.stack([rng.uniform(30, 80, 25), np.full(25, 14)], 1)
    places = place_labels(boxes, sizes, 1000, 1000)
    assert (places[:, :2] >= 0).all()
    assert (places[:, 2:] <= 1000).all()
    assert places[:, 2:] - places[:, :2] == pytest.approx(sizes)
    cover = np.minimum(places[:, None, 2:], places[:, 2:]) - np.maximum(
        places[:, None, :2], places[:, :2]
    )
    shared = np.maximum(cover, 0).prod(-1)
    assert (shared - np.diag(np.diag(shared))).max() == 0


def test_label_larger_than_the_picture_begins_at_its_corner():
    places = place_labels(np.array([[0, 0, 1, 1.0]]), np.array([[40.0, 12.0]]), 1, 1)
    assert places.tolist() == [[0, 0, 40, 12]]
    assert place_labels(np.zeros((0, 4)), np.zeros((0, 2)), 10, 10).shape == (0, 4)


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


# --- photographs ----------------------------------------------------------------------------------------------------


def test_photo_keeps_its_resolution_and_is_drawn_in_a_copy():
    image = picture(640, 400)
    image.flags.writeable = False
    out = plotting.annotate_photo(image, found(A, B), NAMES)
    assert out.shape == image.shape
    assert out.dtype == np.uint8
    assert (image == 128).all()
    color = np.array(rgb(MARKS["detection"].color))
    assert (out[round(0.4 * 400), round(0.1 * 640)] == color).all()  # left side of A, on its line
    assert (out[round(0.4 * 400), round(0.25 * 640)] == 128).all()  # middle of A


@pytest.mark.parametrize("size", [(1, 1), (3, 200), (64, 48), (1600, 1200)])
def test_photos_of_every_size_are_drawn(size):
    boxes = [(0, 0, 1, 1), (0.5, 0.5, 0.5, 0.5), (-0.2, 0.3, 1.4, 0.9)]
    out = plotting.annotate_photo(picture(*size), found(*boxes), NAMES)
    assert out.shape == (size[1], size[0], 3)


def test_lines_grow_with_the_photo():
    color = np.array(rgb(MARKS["detection"].color))
    widths = []
    for width in (400, 1600, 3200):
        out = plotting.annotate_photo(picture(width, width), found((0.2, 0.2, 0.8, 0.8)), NAMES)
        row = (out[width * 3 // 4] == color).all(axis=1)
        widths.append(int(row[: width // 2].sum()))
    assert widths == [2, 10, 19]


def test_photo_without_detections_or_below_the_least_score_is_unchanged():
    image = picture()
    assert (plotting.annotate_photo(image, found(), NAMES) == image).all()
    assert (
        plotting.annotate_photo(image, found(A, scores=[0.2]), NAMES, min_score=0.3) == image
    ).all()


def test_photo_refuses_what_it_cannot_name_or_show():
    with pytest.raises(ValueError, match="label: expected 1 to 2, got 5"):
        plotting.annotate_photo(picture(), found(A, labels=[5]), NAMES)
    with pytest.raises(ValueError, match="image: expected dtype uint8"):
        plotting.annotate_photo(picture().astype(np.float32), found(), NAMES)
    with pytest.raises(ValueError, match="image: expected shape"):
        plotting.annotate_photo(picture()[..., 0], found(), NAMES)


# --- colours --------------------------------------------------------------------------------------------------------


def test_every_kind_of_box_has_its_own_colour():
    assert len({mark.color for mark in MARKS.values()}) == len(MARKS)


@pytest.mark.parametrize("name", MARKS)
def test_letters_stand_out_from_their_ground(name):
    def luminance(color: str) -> float:
        parts = np.array(rgb(color)) / 255
        linear = np.where(parts <= 0.04045, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4)
        return float(linear @ [0.2126, 0.7152, 0.0722]) + 0.05

    ground, ink = luminance(MARKS[name].color), luminance(ink_on(MARKS[name].color))
    assert max(ground, ink) / min(ground, ink) >= 4.5  # WCAG AA


# --- files ----------------------------------------------------------------------------------------------------------


def figure() -> Figure:
    return plotting.loss_curves([{"step": 1, "loss": 2.0}])


@pytest.mark.parametrize("ending", ["png", "svg", "PDF"])
def test_save_figure_writes_the_format_of_the_ending(tmp_path, ending):
    path = plotting.save_figure(figure(), tmp_path / "deep" / f"loss.{ending}", dpi=50)
    start = {"png": b"\x89PNG", "svg": b"<?xml", "PDF": b"%PDF"}[ending]
    assert path.read_bytes().startswith(start)
    assert [p.name for p in path.parent.iterdir()] == [path.name]


@pytest.mark.parametrize("ending", ["png", "jpg"])
def test_save_image_keeps_the_resolution(tmp_path, ending):
    path = plotting.save_image(picture(123, 45), tmp_path / f"photo.{ending}")
    with Image.open(path) as image:
        assert image.size == (123, 45)


@pytest.mark.parametrize("save", [plotting.save_figure, plotting.save_image])
def test_paths_that_cannot_be_written_are_named(tmp_path, save):
    thing = figure() if save is plotting.save_figure else picture()
    (tmp_path / "folder.png").mkdir()
    (tmp_path / "file").write_text("kept")
    for path, message in (
        (tmp_path / "folder.png", "folder.png: it is a folder"),
        (tmp_path / "file" / "a.png", "is a file"),
        (tmp_path / "a.doc", "a.doc: the ending must be one of .*png"),
        (tmp_path / "plain", "plain: the ending must be one of"),
    ):
        with pytest.raises(InputError, match=message):
            save(thing, path)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["file", "folder.png"]
    assert (tmp_path / "file").read_text() == "kept"


def test_a_failure_while_writing_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "loss.png"
    path.write_bytes(b"old")
    thing = figure()

    def full(file: Path, **options: object) -> None:
        Path(file).write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(thing, "savefig", full)
    with pytest.raises(InputError, match=r"loss.png: No space left on device"):
        plotting.save_figure(thing, path)
    assert path.read_bytes() == b"old"
    assert len(list(tmp_path.iterdir())) == 1


def test_no_global_state_of_matplotlib_is_used():
    code = (
        "import sys; from minissd import plotting; plotting.loss_curves([{'step': 1, 'loss': 2.0}]); "
        "sys.exit('matplotlib.pyplot' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
