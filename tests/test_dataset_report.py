from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from voc_files import write_voc, xml, xml_object

from minissd.datasets import voc
from minissd.datasets.report import check_dataset
from minissd.datasets.voc_layout import read_split
from minissd.errors import InputError


def test_counts(tmp_path: Path) -> None:
    hard = xml_object("cat", tags="<difficult>1</difficult>")
    cut = xml_object("dog", tags="<truncated>1</truncated>")
    first = xml(hard, cut, xml_object("dog", box=(1, 1, 100, 80)))
    root = write_voc(tmp_path / "v", {"a": first, "b": xml(cut), "c": xml()})
    report = check_dataset(root)
    assert report.is_sound
    assert report.class_names == ("cat", "dog")
    cat, dog = report.classes["cat"], report.classes["dog"]
    assert (cat.objects, cat.difficult, cat.truncated, cat.images) == (1, 1, 0, 1)
    assert (dog.objects, dog.difficult, dog.truncated, dog.images) == (3, 0, 2, 2)
    assert report.n_images == 3
    assert report.objects_per_image.tolist() == [3, 1, 0]
    assert report.image_sizes.tolist() == [[100, 80]] * 3
    share = np.sqrt(50 * 50 / 8000)
    np.testing.assert_allclose(report.object_sizes, [share, share, 1, share], rtol=1e-6)
    assert report.repairs == report.problems == report.notes == []


def test_text(tmp_path: Path) -> None:
    root = write_voc(
        tmp_path / "v", {"a": xml(xml_object("cat", (0, 5, 30, 30))), "b": xml(xml_object())}
    )
    lines = check_dataset(root).text().splitlines()
    assert lines[0] == f"{root}: every annotation: 2 pictures, 2 usable"
    assert ["cat", "1", "0", "0", "1"] in [x.split() for x in lines]
    assert ["all", "2", "0", "0", "2"] in [x.split() for x in lines]
    assert "picture width   100 to 100 pixels, median 100" in lines
    assert "boxes repaired or left out: 1" in lines
    assert any(line.startswith("  a.xml: object 1 (cat): box [0, 5, 30, 30]") for line in lines)
    assert any("boxes that start at 0: 1." in line for line in lines)
    assert lines[-1] == "no problem found"


def test_every_problem_is_found_and_named(tmp_path: Path) -> None:
    texts = {
        "bomb": '<!DOCTYPE a [<!ENTITY b "c">]>' + xml(),
        "class": xml(xml_object("cow")),
        "good": xml(xml_object()),
        "nan": xml(xml_object(box=("nan", 1, 2, 3))),
        "size": xml(xml_object(), width=99),
        "sizeless": "<annotation/>",
        "text": xml(xml_object()),
        "truncated": xml(xml_object()),
    }
    root = write_voc(tmp_path / "v", texts)
    (root / "JPEGImages/text.jpg").write_text("no picture")
    whole = (root / "JPEGImages/truncated.jpg").read_bytes()
    (root / "JPEGImages/truncated.jpg").write_bytes(whole[: len(whole) // 2])
    (root / "ImageSets/Main/trainval.txt").write_text("\n".join([*texts, "gone"]))
    report = check_dataset(root, "trainval", class_names=["cat", "dog"])
    want = [
        ("Annotations/bomb.xml", "declares XML entities"),
        ("Annotations/class.xml", "unknown class 'cow'; the classes are cat, dog"),
        ("Annotations/nan.xml", "object 1 (dog): xmin must be a number, got 'nan'"),
        ("JPEGImages/size.jpg", "is 100 x 80 pixels, but size.xml says 99 x 80"),
        ("Annotations/sizeless.xml", "has no <size>"),
        ("JPEGImages/text.jpg", "not a picture in a known format"),
        ("JPEGImages/truncated.jpg", "truncated"),
        ("JPEGImages/gone.jpg", "no such picture, but split trainval names it"),
    ]
    assert len(report.problems) == len(want)
    for problem, (file, fault) in zip(report.problems, want):
        assert problem.startswith(f"{root / file}: ")
        assert fault in problem
        assert "\n" not in problem
    assert not report.is_sound
    assert report.classes["dog"].objects == 1  # only sound pictures are counted
    assert report.picked == ["good"]
    assert report.notes == ["class cat never occurs"]
    lines = report.text(most=3).splitlines()
    assert "problems: 8" in lines
    assert "  ... and 5 more" in lines
    assert lines[-1] == "problems found: 8"


def test_lists_are_checked_when_no_split_is_asked_for(tmp_path: Path) -> None:
    lists = {"train": "a\ngone", "dog_train": "a 1\ngone -1", "val": "", "test": "a"}
    root = write_voc(tmp_path / "v", {"a": xml(xml_object())}, lists)
    report = check_dataset(root)
    assert len(report.problems) == 3
    assert "gone.xml: no such annotation, but split dog_train names it" in report.problems[0]
    assert "gone.xml: no such annotation, but split train names it" in report.problems[1]
    assert "val.txt: empty image set" in report.problems[2]


def test_notes(tmp_path: Path) -> None:
    root = write_voc(tmp_path / "v", {"a": xml(xml_object(), xml_object(), xml_object("cat"))})
    (root / "JPEGImages/spare.jpg").write_bytes(b"")
    assert check_dataset(root).notes == [
        "a.xml: 2 objects of class dog have the same box",
        "spare.jpg: a picture without annotation; it is not used",
    ]


def test_picked_pictures_show_every_class(tmp_path: Path) -> None:
    texts = {f"{i:02d}": xml(xml_object("dog")) for i in range(40)}
    texts["17"] = xml(xml_object("cat"))
    texts["30"] = xml(xml_object("cow"), xml_object("dog", box=(1, 1, 9, 9)))
    texts["39"] = xml()
    report = check_dataset(write_voc(tmp_path / "v", texts))
    assert len(report.picked) == len(set(report.picked)) == 9
    assert {"17", "30"} <= set(report.picked)
    assert "39" not in report.picked
    samples = report.samples()
    assert [sample.image_id for sample in samples] == report.picked
    shown = {report.class_names[k - 1] for sample in samples for k in sample.labels}
    assert shown == {"cat", "cow", "dog"}


def test_few_or_no_usable_pictures(tmp_path: Path) -> None:
    one = check_dataset(write_voc(tmp_path / "one", {"a": xml(xml_object())}))
    assert one.picked == ["a"]
    none = check_dataset(write_voc(tmp_path / "none", {"a": "<annotation/>"}))
    assert none.picked == []
    assert none.samples() == []
    assert none.text().endswith("problems found: 1")
    bare = check_dataset(write_voc(tmp_path / "bare", {"a": xml()}))
    assert bare.is_sound
    assert "pictures without any: 1" in bare.text()


def test_folder_that_is_none(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no data set found; looked for PASCAL VOC"):
        check_dataset(tmp_path)
    with pytest.raises(InputError, match="no such split"):
        check_dataset(write_voc(tmp_path / "v", {"a": xml()}), "test")


def test_photographs(voc_root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(voc, "read_split", lambda *where: read_split(*where)[::8])
    report = check_dataset(voc_root, "trainval")
    assert report.is_sound
    assert report.n_images == len(report.image_sizes) == 627
    assert len(report.class_names) == 20
    assert len(report.samples()) == 9
