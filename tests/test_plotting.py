"""Boxes, labels and photographs: what is drawn lies where it belongs; and figures reach their files or say why not."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image
from plotting_cases import NAMES, A, B, colors, found, picture, rectangles, texts

from minissd import plotting
from minissd.errors import InputError
from minissd.plotting.boxes import unit_width
from minissd.plotting.labels import place_labels
from minissd.plotting.style import MARKS, ink_on, rgb


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


@pytest.mark.parametrize("text", ["circle 0.87", "$i_1$ W", "Ärger", "i"])
def test_a_label_has_the_width_that_was_reckoned_with(text):
    axes = image_axes()
    plotting.draw_boxes(axes, picture(), np.array([A]), [text])
    (label,) = axes.texts
    renderer = FigureCanvasAgg(axes.figure).get_renderer()
    points, _, _ = renderer.get_text_width_height_descent(text, label.get_fontproperties(), False)
    drawn = points * 72 / axes.figure.dpi / label.get_fontsize()
    assert unit_width(text) == pytest.approx(drawn, rel=0.05, abs=0.1)


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
