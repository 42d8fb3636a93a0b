from __future__ import annotations

import errno
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from minissd.datasets import shapes_scene, shapes_writing
from minissd.datasets.report import check_dataset
from minissd.datasets.shapes import SHAPE_CLASSES, draw_scene, write_shapes
from minissd.datasets.shapes_forms import draw_form, outlines
from minissd.datasets.shapes_textures import FIELDS, color_distance, random_color, texture
from minissd.datasets.voc import VocDataset
from minissd.errors import InputError

SMALL = {"n_trainval": 12, "n_test": 5, "longest_side": 96}


def _tree(root: Path) -> dict[str, bytes]:
    """Return every file of a folder with its bytes."""
    files = (path for path in root.rglob("*") if path.is_file())
    return {str(path.relative_to(root)): path.read_bytes() for path in files}


# Forms and textures


@pytest.mark.parametrize("name", SHAPE_CLASSES)
def test_form_fills_its_patch_and_has_the_size_asked_for(
    rng: np.random.Generator, name: str
) -> None:
    for side in (12.0, 40.0, 150.0):
        for _ in range(5):
            cover = draw_form(rng, name, side, rim_width=2).cover
            assert np.sqrt(cover.size) == pytest.approx(side, abs=1.5)
            solid = cover >= 0.5
            # A star's point may be thinner than half a pixel at its very end.
            assert solid[:3].any()
            assert solid[-3:].any()
            assert solid[:, :3].any()
            assert solid[:, -3:].any()


def test_forms_differ_in_form() -> None:
    """A nearest neighbour on small masks alone, without colour, names most forms."""
    rng = np.random.default_rng(3)

    def draw(n: int) -> tuple[np.ndarray, np.ndarray]:
        labels = np.arange(n) % len(SHAPE_CLASSES)
        masks = [draw_form(rng, SHAPE_CLASSES[k], 40, 0).cover for k in labels]
        rows = [np.linspace(0, m.shape[0] - 1, 24).round().astype(int) for m in masks]
        columns = [np.linspace(0, m.shape[1] - 1, 24).round().astype(int) for m in masks]
        small = [m[np.ix_(r, c)].ravel() for m, r, c in zip(masks, rows, columns)]
        return np.array(small), labels

    known, known_labels = draw(600)
    asked, asked_labels = draw(120)
    nearest = ((asked[:, None] - known) ** 2).sum(axis=-1).argmin(axis=1)
    assert (known_labels[nearest] == asked_labels).mean() > 0.9


def test_ring_has_a_hole_and_a_rim_lies_within_the_form(rng: np.random.Generator) -> None:
    mask = draw_form(rng, "ring", 60, rim_width=3)
    h, w = mask.cover.shape
    assert mask.cover[h // 2, w // 2] == 0
    assert mask.rim is not None
    assert (mask.rim <= mask.cover).all()
    assert 0 < mask.rim.sum() < mask.cover.sum()
    assert draw_form(rng, "ring", 60, rim_width=0).rim is None


def test_unknown_form(rng: np.random.Generator) -> None:
    with pytest.raises(ValueError, match=r"name: expected one of circle, cross, .* got 'moon'"):
        outlines(rng, "moon")


@pytest.mark.parametrize("kind", FIELDS)
@pytest.mark.parametrize("size", [(1, 1), (3, 17), (64, 48)])
def test_texture(rng: np.random.Generator, kind: str, size: tuple[int, int]) -> None:
    planes = texture(rng, *size, contrast=0.5, kind=kind)
    assert planes.shape == (3, size[1], size[0])
    assert planes.dtype == np.float32
    assert np.isfinite(planes).all()
    assert -60 < planes.min() <= planes.max() < 320  # enlarging noise overshoots a little


def test_colours_keep_clear_of_what_is_there(rng: np.random.Generator) -> None:
    there = rng.uniform(90, 110, (20, 3)).astype(np.float32)
    chosen = np.stack([random_color(rng, there) for _ in range(200)])
    distance = color_distance(chosen[:, None], there).min(axis=1)
    assert (distance > 70).mean() > 0.98
    assert distance.min() > 50


# Scenes


def test_same_generator_same_picture() -> None:
    one, two = (draw_scene(np.random.default_rng([5, 1])) for _ in range(2))
    other = draw_scene(np.random.default_rng([5, 2]))
    np.testing.assert_array_equal(one.image, two.image)
    np.testing.assert_array_equal(one.boxes, two.boxes)
    assert (one.image != other.image).any()


def test_scene_is_a_sample(rng: np.random.Generator) -> None:
    sample = draw_scene(rng, size=(120, 90), n_objects=3)
    assert sample.size == (120, 90)
    assert 1 <= len(sample.boxes) <= 3
    assert sample.labels.min() >= 1
    assert sample.labels.max() <= len(SHAPE_CLASSES)
    assert (sample.boxes[:, :2] < sample.boxes[:, 2:]).all()
    assert len(draw_scene(rng, n_objects=0).boxes) == 0
    with pytest.raises(ValueError, match="scale: expected 0 < least <= greatest <= 1"):
        draw_scene(rng, scale=(0.5, 0.2))
    with pytest.raises(ValueError, match="size: expected at least 32, got 20"):
        draw_scene(rng, size=(100, 20))


def test_box_is_tight_around_what_was_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """On an even ground, without light and noise, the box is where the picture changed."""
    ground = np.full((3, 150, 200), 128, np.float32)
    monkeypatch.setattr(shapes_scene, "_background", lambda rng, w, h: ground.copy())
    monkeypatch.setattr(shapes_scene, "_photograph", lambda rng, canvas: canvas)
    for seed in range(60):
        scene = shapes_scene.compose(np.random.default_rng(seed), (200, 150), n_objects=1)
        changed = (np.abs(scene.image - 128) > 0.5).any(axis=0)
        rows, columns = np.flatnonzero(changed.any(axis=1)), np.flatnonzero(changed.any(axis=0))
        drawn = np.array([columns[0] + 1, rows[0] + 1, columns[-1] + 1, rows[-1] + 1])
        inset = (np.array(scene.objects[0].box) - drawn) * [1, 1, -1, -1]
        # Faint pixels at the edge and a star's thin ends are left outside.
        assert (inset >= 0).all(), seed
        assert (inset <= 3).all(), seed
        assert inset.mean() <= 1.5, seed


def test_half_of_every_object_is_visible(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []

    def describe(owner: np.ndarray, number: int, placed: object) -> object:
        shown = int((owner == number).sum())
        result = original(owner, number, placed)
        seen.append((shown / placed.area, shown == placed.visible, result))
        return result

    original = shapes_scene._describe
    monkeypatch.setattr(shapes_scene, "_describe", describe)
    for seed in range(60):
        shapes_scene.compose(np.random.default_rng(seed), (128, 96), n_objects=6)
    shares = np.array([share for share, *_ in seen])
    assert shares.min() >= 0.5
    assert all(agrees for _, agrees, _ in seen)
    assert 0.1 < (shares < 0.95).mean() < 0.7  # objects do hide each other
    for share, _, o in seen:
        touches = min(o.box[:2]) == 1 or o.box[2] == 128 or o.box[3] == 96
        assert touches or not o.truncated
        assert o.truncated or o.occluded or share > 0.94


def test_sizes_are_log_uniform_from_8_to_80_percent() -> None:
    sizes = []
    for seed in range(250):
        scene = shapes_scene.compose(np.random.default_rng(seed), (128, 128), n_objects=1)
        (o,) = scene.objects
        if not o.truncated:
            sizes.append(np.sqrt((o.box[2] - o.box[0] + 1) * (o.box[3] - o.box[1] + 1)) / 128)
    assert 0.07 < min(sizes) < 0.1
    assert 0.7 < max(sizes) < 0.82
    below = [(np.array(sizes) < 0.08 * 10**share).mean() for share in (0.25, 0.5, 0.75)]
    np.testing.assert_allclose(below, [0.25, 0.5, 0.75], atol=0.1)


def test_colour_does_not_tell_the_class() -> None:
    """The nearest mean colour names the class no better than chance, which is 1 in 6."""
    colors, labels = [], []
    for seed in range(350):
        sample = draw_scene(np.random.default_rng([9, seed]), (96, 96), n_objects=2)
        for box, label in zip(sample.boxes * 96, sample.labels):
            x0, y0, x1, y1 = box.round().astype(int)
            colors.append(sample.image[y0:y1, x0:x1].reshape(-1, 3).mean(axis=0))
            labels.append(label)
    colors, labels = np.array(colors), np.array(labels)
    half = len(labels) // 2
    means = np.stack([colors[:half][labels[:half] == k].mean(axis=0) for k in range(1, 7)])
    guess = 1 + ((colors[half:, None] - means) ** 2).sum(axis=-1).argmin(axis=1)
    assert (guess == labels[half:]).mean() < 0.27


# On disk


def test_layout_on_disk(tmp_path: Path) -> None:
    written = write_shapes(tmp_path / "s", **SMALL)
    assert (written.n_images, written.reused) == (17, False)
    assert written.images_per_second > 0
    sizes = {}
    for split, n in (("trainval", 12), ("train", 11), ("val", 1), ("test", 5)):
        data = VocDataset(tmp_path / "s", split, SHAPE_CLASSES)
        assert len(data) == n
        sizes |= {sample.image_id: sample.size for sample in data}
        for name in SHAPE_CLASSES:
            lines = (tmp_path / "s/ImageSets/Main" / f"{name}_{split}.txt").read_text().splitlines()
            flags = dict(line.split() for line in lines)
            want = ["1" if name in a.names else "-1" for a in data.annotations()]
            assert list(flags.values()) == want
            assert tuple(flags) == data.image_ids
    assert sorted(sizes) == [f"{i:06d}" for i in range(1, 18)]
    assert all(max(size) == 96 for size in sizes.values())
    assert len(set(sizes.values())) >= 4
    report = check_dataset(tmp_path / "s", class_names=SHAPE_CLASSES)
    assert report.is_sound
    assert not report.repairs
    assert not report.notes


def test_classes_found_are_the_classes(tmp_path: Path) -> None:
    write_shapes(tmp_path / "s", n_trainval=30, n_test=1, longest_side=64)
    assert VocDataset(tmp_path / "s").class_names == SHAPE_CLASSES


def test_same_seed_same_bytes(tmp_path: Path) -> None:
    write_shapes(tmp_path / "a", **SMALL)
    write_shapes(tmp_path / "b", **SMALL)
    write_shapes(tmp_path / "c", **SMALL, seed=1)
    assert _tree(tmp_path / "a") == _tree(tmp_path / "b")
    a, c = _tree(tmp_path / "a/JPEGImages"), _tree(tmp_path / "c/JPEGImages")
    assert all(a[name] != c[name] for name in a)


def test_workers_and_number_do_not_matter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_shapes(tmp_path / "one", 50, 10, longest_side=64, workers=1)
    monkeypatch.setattr(shapes_writing, "_FEW", 40)
    write_shapes(tmp_path / "three", 50, 10, longest_side=64, workers=3)
    write_shapes(tmp_path / "few", 20, 10, longest_side=64)
    one = _tree(tmp_path / "one")
    assert one == _tree(tmp_path / "three")
    few = _tree(tmp_path / "few")
    assert all(
        one[f"JPEGImages/{i:06d}.jpg"] == few[f"JPEGImages/{i:06d}.jpg"] for i in range(1, 21)
    )
    # The test pictures are the same too, under other numbers.
    assert one["JPEGImages/000051.jpg"] == few["JPEGImages/000021.jpg"]


def test_finished_data_set_is_reused(tmp_path: Path) -> None:
    write_shapes(tmp_path / "s", **SMALL)
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "s").rglob("*")}
    again = write_shapes(tmp_path / "s", **SMALL)
    assert again.reused
    assert again.images_per_second == 0
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "s").rglob("*")} == before


def test_other_parameters_replace_it(tmp_path: Path) -> None:
    write_shapes(tmp_path / "s", **SMALL)
    assert not write_shapes(tmp_path / "s", **{**SMALL, "n_test": 2}).reused
    assert len(VocDataset(tmp_path / "s", "test", SHAPE_CLASSES)) == 2
    assert len(list((tmp_path / "s/JPEGImages").iterdir())) == 14
    assert [path.name for path in tmp_path.iterdir()] == ["s"]


def test_parents_are_made_and_empty_folders_used(tmp_path: Path) -> None:
    write_shapes(tmp_path / "x/y/s", **SMALL)
    (tmp_path / "empty").mkdir()
    write_shapes(tmp_path / "empty", **SMALL)
    assert _tree(tmp_path / "x/y/s") == _tree(tmp_path / "empty")


def test_other_folders_and_files_are_left_alone(tmp_path: Path) -> None:
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "shapes.json").write_text('{"holiday": 1}')
    with pytest.raises(InputError, match="holds something other than a shapes data set"):
        write_shapes(mine, **SMALL)
    assert _tree(tmp_path) == {"mine/shapes.json": b'{"holiday": 1}'}
    for place in (mine / "shapes.json", mine / "shapes.json" / "deeper" / "s"):
        with pytest.raises(InputError, match=r"shapes\.json: is a file, expected a folder"):
            write_shapes(place, **SMALL)


def _fail_at(number: int, error: BaseException) -> Callable[..., frozenset[str]]:
    """Return a writer that fails at one picture, after it has written the picture."""
    original = shapes_writing._write_picture
    calls = []

    def write(*arguments: object) -> frozenset[str]:
        calls.append(arguments)
        names = original(*arguments)
        if len(calls) == number:
            raise error
        return names

    return write


@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "No space left on device"), None])
def test_nothing_is_half_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: OSError | None
) -> None:
    failure = error or KeyboardInterrupt()
    expected = InputError if error else KeyboardInterrupt
    monkeypatch.setattr(shapes_writing, "_write_picture", _fail_at(5, failure))
    with pytest.raises(expected, match="s: cannot be written: No space left" if error else None):
        write_shapes(tmp_path / "s", **SMALL)
    assert list(tmp_path.iterdir()) == []


def test_failed_replacement_keeps_the_old_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_shapes(tmp_path / "s", **SMALL)
    before = _tree(tmp_path)
    full = OSError(errno.ENOSPC, "No space left on device")
    monkeypatch.setattr(shapes_writing, "_write_picture", _fail_at(5, full))
    with pytest.raises(InputError):
        write_shapes(tmp_path / "s", **SMALL, seed=1)
    assert _tree(tmp_path) == before


def test_failing_process_says_why() -> None:
    command = [sys.executable, "-c", "import sys; sys.exit('one\\nOSError: no space left')"]
    pipe = subprocess.PIPE
    process = subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True)
    with pytest.raises(OSError, match=r"ended with code 1: OSError: no space left$"):
        shapes_writing._finish(process)


@pytest.mark.parametrize(
    ("name", "value"), [("n_trainval", 1), ("n_test", 0), ("seed", -1), ("longest_side", 10)]
)
def test_parameters_are_checked(tmp_path: Path, name: str, value: int) -> None:
    with pytest.raises(ValueError, match=f"{name}: expected at least"):
        write_shapes(tmp_path / "s", **{**SMALL, name: value})
    assert list(tmp_path.iterdir()) == []
