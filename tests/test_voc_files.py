"""VOC result files: written and read back, read from elsewhere, and what is said of wrong ones."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import numpy as np
import pytest
from devkit_cases import CLASSES, METHODS, as_ours, devkit_ap, random_set
from evaluation_cases import found, random_scene, truth

from minissd.errors import InputError
from minissd.evaluation import evaluate, read_voc_results, write_voc_results
from minissd.files import write_texts

NAMES = ["a", "b", "c"]


def named(truths: list, size: tuple[int, int] = (500, 375)) -> list:
    return [t._replace(size=size, image_id=f"{i:06d}") for i, t in enumerate(truths)]


def folder_with(tmp_path: Path, text: str) -> Path:
    (tmp_path / "comp4_det_test_cat.txt").write_text(text, encoding="utf-8")
    return tmp_path


def test_a_line_is_what_the_devkit_reads(tmp_path):
    truths = [truth()._replace(size=(200, 100), image_id="000012")]
    # The left quarter of 200 pixels is 1 to 50, the lower half of 100 pixels 51 to 100.
    detections = [found((0, 0.5, 0.25, 1), labels=[2], scores=[0.875])]
    write_voc_results(tmp_path / "out", detections, truths, ["cat", "dog"], "val")
    assert (tmp_path / "out/comp4_det_val_dog.txt").read_text() == "000012 0.875 1 51 50 100\n"
    assert (tmp_path / "out/comp4_det_val_cat.txt").read_text() == ""
    assert len(list(tmp_path.iterdir())) == 1
    assert len(list((tmp_path / "out").iterdir())) == 2


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_what_is_written_is_read_back(tmp_path, rng, dtype):
    detections, truths = random_scene(rng)
    truths = named(truths)
    detections = [
        d._replace(boxes=d.boxes.astype(dtype), scores=rng.random(len(d.scores)).astype(dtype))
        for d in detections
    ]
    write_voc_results(tmp_path, detections, truths, NAMES)
    back, lines = read_voc_results(tmp_path, truths, NAMES)
    assert len(back) == len(lines) == len(truths)
    for mine, other in zip(detections, back):
        order = np.argsort(-mine.scores, kind="stable")
        np.testing.assert_array_equal(other.labels, mine.labels[order])
        np.testing.assert_array_equal(other.scores.astype(dtype), mine.scores[order])
        np.testing.assert_allclose(other.boxes, mine.boxes[order], atol=1e-9)
    before, after = (evaluate(d, truths, NAMES).to_json() for d in (detections, back))
    assert before == after


@pytest.mark.parametrize("method", METHODS)
def test_files_in_any_order_are_measured_as_the_devkit_measures_them(tmp_path, method):
    for seed in range(12):
        images, detections = random_set(seed)
        np.random.default_rng(seed).shuffle(detections)
        _, truths = as_ours(images, [])
        for label, name in enumerate(CLASSES, start=1):
            lines = [
                f"{image:06d} {score} {' '.join(map(str, box))}\n"
                for image, own, score, box in detections
                if own == label
            ]
            (tmp_path / f"comp4_det_test_{name}.txt").write_text("".join(lines))
        back, order = read_voc_results(tmp_path, truths, CLASSES)
        ours = evaluate(back, truths, CLASSES, method=method, tie_order=order)
        for label, name in enumerate(CLASSES, start=1):
            ap = devkit_ap(images, detections, label, method, 1)
            assert ours.per_class[name].ap == pytest.approx(ap, abs=1e-12, nan_ok=True), seed


def test_no_images_and_empty_files_have_an_answer(tmp_path):
    folder = folder_with(tmp_path, "\n")
    assert read_voc_results(folder, [], ["cat"]) == ([], [])
    back, lines = read_voc_results(folder, named([truth(), truth()]), ["cat"])
    assert [len(d.scores) for d in back] == [len(each) for each in lines] == [0, 0]


def test_equal_scores_stay_in_the_order_of_the_file(tmp_path):
    folder = folder_with(
        tmp_path, "".join(f"000000 {s} 1 1 {x} 9\n" for s, x in ((0.5, 3), (0.5, 2), (0.7, 1)))
    )
    back, lines = read_voc_results(folder, named([truth()], (10, 10)), ["cat"])
    np.testing.assert_allclose(back[0].boxes[:, 2], [0.1, 0.3, 0.2])
    assert lines[0].tolist() == [3, 1, 2]


def test_boxes_that_leave_the_picture_stay_as_they_are(tmp_path):
    folder = folder_with(tmp_path, "000000 0.5 -9 1 110 100\n")
    back, _ = read_voc_results(folder, named([truth()], (100, 100)), ["cat"])
    np.testing.assert_allclose(back[0].boxes, [[-0.1, 0, 1.1, 1]])


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        ("999999 0.5 1 1 9 9", "unknown image '999999'"),
        ("000000 0.5 1 1 9", "expected 6 columns .image score xmin ymin xmax ymax., got 5"),
        ("000000 0.5 1 1 9 9 0", "expected 6 columns .*, got 7"),
        ("000000 nan 1 1 9 9", "score must be a finite number, got 'nan'"),
        ("000000 0.5 1 inf 9 9", "ymin must be a finite number, got 'inf'"),
        ("000000 0.5 1 1 nine 9", "xmax must be a finite number, got 'nine'"),
        ("000000 0.5 1 9 9 1", "ymax 1 is less than ymin 9"),
    ],
)
def test_a_wrong_line_is_named(tmp_path, line, fault):
    folder = folder_with(tmp_path, f"000000 0.5 1 1 9 9\n\n{line}\n")
    with pytest.raises(InputError, match=f"comp4_det_test_cat.txt: line 3: {fault}"):
        read_voc_results(folder, named([truth()]), ["cat"])


def test_missing_and_unreadable_files_are_named(tmp_path):
    folder = folder_with(tmp_path, "")
    with pytest.raises(InputError, match=r"comp4_det_test_dog\.txt: no such result file"):
        read_voc_results(folder, [], ["cat", "dog"])
    with pytest.raises(InputError, match="nowhere: no such folder"):
        read_voc_results(tmp_path / "nowhere", [], ["cat"])
    (tmp_path / "comp4_det_test_dog.txt").write_bytes(b"\xff\xfe0")
    with pytest.raises(InputError, match=r"dog\.txt: cannot be read as a result file"):
        read_voc_results(folder, [], ["dog"])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"size": None}, r"truths\[1\].size: expected width and height"),
        ({"image_id": "a b"}, r"truths\[1\].image_id: expected a name without spaces"),
        ({"image_id": ""}, r"truths\[1\].image_id: expected a name without spaces"),
        ({"image_id": "000000"}, r"truths\[1\].image_id: expected another name than image 0"),
    ],
)
def test_images_without_size_or_a_name_are_refused(tmp_path, change, message):
    truths = named([truth(), truth()])
    truths[1] = truths[1]._replace(**change)
    with pytest.raises(ValueError, match=message):
        write_voc_results(tmp_path / "out", [found(), found()], truths, ["cat"])
    assert not (tmp_path / "out").exists()


def test_names_that_lead_elsewhere_are_refused(tmp_path):
    with pytest.raises(ValueError, match="class name"):
        write_voc_results(tmp_path, [], [], ["../cat"])


def test_files_are_written_all_or_none(tmp_path, monkeypatch):
    folder = tmp_path / "out"
    folder.mkdir()
    (folder / "kept.txt").write_text("kept")
    (folder / "a.txt").write_text("old")
    write_texts(folder, {"a.txt": "new", "b.txt": "new"})
    assert {p.name: p.read_text() for p in folder.iterdir()} == {
        "kept.txt": "kept",
        "a.txt": "new",
        "b.txt": "new",
    }
    fsync, calls = os.fsync, []

    def full_disk(handle):
        calls.append(handle)
        if len(calls) == 2:
            raise OSError(errno.ENOSPC, "No space left on device")
        fsync(handle)

    monkeypatch.setattr(os, "fsync", full_disk)
    for place in (folder, tmp_path / "fresh"):
        calls.clear()
        with pytest.raises(InputError, match=f"cannot write .*{place.name}: No space left"):
            write_texts(place, {"a.txt": "newer", "b.txt": "newer"})
    assert (folder / "a.txt").read_text() == "new"
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    with pytest.raises(InputError, match="it is a file"):
        write_texts(folder / "a.txt", {"b.txt": ""})
