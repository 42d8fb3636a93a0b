from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from coco_files import box, coco, image, write_coco
from voc_files import write_voc, xml, xml_object

from minissd import cli
from minissd.datasets.opening import find_kind, open_dataset, open_with_classes, parse_sources
from minissd.datasets.report import check_dataset
from minissd.datasets.voc import VOC_CLASSES, VocDataset
from minissd.errors import InputError

DOG, CAT, COW = xml_object("dog"), xml_object("cat"), xml_object("cow")


def _years(tmp_path: Path, second: tuple[str, str] = ("2008_1", "2008_2")) -> str:
    first = {"000001": xml(DOG), "000002": xml(CAT), "000003": xml(DOG)}
    lists = {"trainval": "000001\n000002", "test": "000003"}
    a = write_voc(tmp_path / "VOC2007", first, lists)
    b = write_voc(tmp_path / "VOC2012", {second[0]: xml(CAT, DOG), second[1]: xml()})
    return f"{a},{b}"


def test_two_years_are_one(tmp_path: Path) -> None:
    data = open_dataset(_years(tmp_path))
    assert data.image_ids == ("000001", "000002", "2008_1", "2008_2")
    assert data.class_names == ("cat", "dog")
    assert data[2].labels.tolist() == [1, 2]
    assert data[2].image_id == "2008_1"
    assert len(data.annotations()) == 4
    assert len(open_dataset(_years(tmp_path / "b"), keep_empty=False)) == 3


def test_splits_of_each(tmp_path: Path) -> None:
    data = _years(tmp_path)
    wanted = {
        "trainval+test,trainval": ("000001", "000002", "000003", "2008_1", "2008_2"),
        "test,none": ("000003",),
        "none,trainval": ("2008_1", "2008_2"),
        "trainval+trainval , trainval": ("000001", "000002", "2008_1", "2008_2"),
    }
    names = ("cat", "dog")
    for split, ids in wanted.items():
        assert open_dataset(data, split, class_names=names).image_ids == ids, split
    assert len(open_dataset(data, None)) == 5
    with pytest.raises(
        InputError, match=r"VOC2012/.*test\.txt: no such split; there are: trainval"
    ):
        open_dataset(data, "test")


@pytest.mark.parametrize(
    ("data", "split", "fault"),
    [
        ("a,,b", "x", "data 'a,,b': expected folders with commas between, one of them is empty"),
        ("a,b", "x,y,z", "split 'x,y,z': expected one name for all or one for each of the 2 fold"),
        ("a", "x+", "split 'x+': expected the name of a split, got an empty one"),
        ("a,b", "none,none", "expected the name of a split, got an empty one"),
        ("a", "", "expected the name of a split, got an empty one"),
    ],
)
def test_faulty_words(data: str, split: str, fault: str) -> None:
    with pytest.raises(InputError) as error:
        parse_sources(data, split)
    assert fault in str(error.value)


def test_a_folder_with_a_comma_in_its_name(tmp_path: Path) -> None:
    root = write_voc(tmp_path / "a,b", {"x": xml(DOG)})
    assert open_dataset(root).image_ids == ("x",)
    assert open_dataset(str(root)).image_ids == ("x",)


def test_names_that_collide_are_told_apart(tmp_path: Path) -> None:
    data = open_dataset(_years(tmp_path, ("000001", "b")), class_names=["cat", "dog"])
    assert data.image_ids == ("VOC2007/000001", "VOC2007/000002", "VOC2012/000001", "VOC2012/b")
    assert len({sample.image_id for sample in data}) == 4
    a, b = (write_voc(tmp_path / n / "mine", {"x": xml(DOG)}) for n in "ab")
    assert open_dataset(f"{a},{b}").image_ids == ("mine-1/x", "mine-2/x")


def test_a_picture_given_twice_is_refused(tmp_path: Path) -> None:
    root = write_voc(tmp_path / "v", {"x": xml(DOG), "y": xml(DOG)}, {"a": "x\ny", "b": "y"})
    with pytest.raises(InputError, match=r"y\.jpg is given twice"):
        open_dataset(f"{root},{root}", "a,b")
    assert open_dataset(root, "a+b").image_ids == ("x", "y")


def test_classes_must_agree(tmp_path: Path) -> None:
    a = write_voc(tmp_path / "a", {"x": xml(DOG, CAT)})
    b = write_voc(tmp_path / "b", {"y": xml(DOG, COW)})
    with pytest.raises(InputError) as error:
        open_dataset(f"{a},{b}")
    assert str(error.value) == (
        f"{a}: has no class cow, which another of these data sets has (its classes are cat, dog); choose some"
        " that all have with --classes"
    )
    data = open_dataset(f"{a},{b}", classes=["dog"])
    assert [sample.labels.tolist() for sample in data] == [[1], [1]]
    with pytest.raises(InputError, match=r"b: has no class cat, which another"):
        open_dataset(f"{a},{b}", classes=["cat"])
    with pytest.raises(InputError, match="no class 'fox'; the classes are cat, cow, dog"):
        open_dataset(f"{a},{b}", classes=["fox"])
    data = open_dataset(f"{a},{b}", class_names=["dog", "cat", "cow"])
    assert [sample.labels.tolist() for sample in data] == [[1, 2], [1, 3]]


def test_different_layouts_together(tmp_path: Path) -> None:
    content = coco([image(1)], [box(1, 1, 3)], {1: "dog", 3: "cat"})
    a = write_coco(tmp_path / "coco", {"train": content})
    b = write_voc(tmp_path / "voc", {"y": xml(DOG, CAT)})
    data = open_dataset(f"{a},{b}", "train,trainval")
    assert data.class_names == ("cat", "dog")  # they differ in order: by name
    assert [sample.labels.tolist() for sample in data] == [[1], [2, 1]]
    assert data.contents.category_ids is None


def test_what_was_looked_for_is_told(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"none: no such folder$"):
        open_dataset(tmp_path / "none")
    (tmp_path / "notes.txt").write_text("")
    with pytest.raises(InputError, match=r"notes\.txt: not a folder, nor a COCO file \(\.json\)"):
        open_dataset(tmp_path / "notes.txt")
    write_voc(tmp_path / "VOCdevkit" / "VOC2007", {"a": xml(DOG)})
    with pytest.raises(InputError) as error:
        open_dataset(tmp_path)
    told = str(error.value)
    assert told.startswith(
        f"{tmp_path}: no data set found; looked for PASCAL VOC (JPEGImages, Anno"
    )
    for words in ("ILSVRC DET (", "COCO (annotations/instances_SPLIT.json", "your own folder ("):
        assert words in told
    inner = tmp_path / "VOCdevkit" / "VOC2007"
    assert told.endswith(f"; there is VOCdevkit/, notes.txt; did you mean {inner}?")
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match=r"there is nothing$"):
        open_dataset(tmp_path / "empty")


def test_the_same_as_voc_dataset(tmp_path: Path) -> None:
    root = write_voc(tmp_path / "v", {"a": xml(DOG, CAT), "b": xml(), "c": xml(CAT)})
    for options in (
        {},
        {"classes": ["cat"]},
        {"keep_empty": False},
        {"class_names": ["dog", "cat"]},
    ):
        ours, plain = open_dataset(root, **options), VocDataset(root, **options)
        assert (ours.class_names, ours.image_ids) == (plain.class_names, plain.image_ids)
        for one, other in zip(ours, plain):
            np.testing.assert_array_equal(one.boxes, other.boxes)
            np.testing.assert_array_equal(one.labels, other.labels)


def test_a_network_s_classes(tmp_path: Path) -> None:
    root = write_voc(tmp_path / "v", {"a": xml(DOG, COW)})
    refusing = open_with_classes(root, "trainval", ["cat", "dog"], ignore_others=False)
    with pytest.raises(InputError, match="unknown class 'cow'; the classes are cat, dog"):
        refusing.annotations()
    ignoring = open_with_classes(root, "trainval", ["cat", "dog"], ignore_others=True)
    assert ignoring.class_names == ("cat", "dog")
    assert ignoring[0].labels.tolist() == [2]
    content = coco([image(1)], [box(1, 1), box(2, 1, iscrowd=1)])
    crowded = write_coco(tmp_path / "coco", {"val": content})
    sample = open_with_classes(crowded, "val", ["person", "car"], ignore_others=False)[0]
    assert sample.crowd.tolist() == sample.difficult.tolist() == [False, True]


def test_official_counts_are_a_note(tmp_path: Path) -> None:
    root = write_voc(tmp_path / "VOC2007", {"a": xml(DOG)})
    notes = check_dataset(root, "trainval").notes
    path = root / "ImageSets" / "Main" / "trainval.txt"
    assert notes == [f"{path}: lists 1 pictures, the official one 5,011"]


def test_check_dataset_reads_several(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = _years(tmp_path)
    out = tmp_path / "samples.png"
    words = ["check-dataset", data, "--split", "test,trainval", "--out", str(out)]
    assert cli.main(words) == 0
    told = capsys.readouterr().out
    assert told.startswith(f"{data}: split test,trainval: 3 pictures, 3 usable")
    assert out.is_file()
    (tmp_path / "VOC2012" / "ImageSets" / "Main" / "val.txt").write_text("gone")
    report = check_dataset(data)
    assert report.n_images == 5
    assert len(report.problems) == 1
    assert "gone.xml: no such annotation, but split val names it" in report.problems[0]


def test_the_same_picture_missing_in_two_folders_is_two_problems(tmp_path: Path) -> None:
    a, b = (write_voc(tmp_path / n, {"x": xml(DOG), "y": xml(DOG)}) for n in "ab")
    for root in (a, b):
        (root / "JPEGImages" / "y.jpg").unlink()
    problems = check_dataset(f"{a},{b}", "trainval").problems
    want = [f"{root / 'JPEGImages' / 'y.jpg'}: no such picture" for root in (a, b)]
    assert [problem.partition(", but")[0] for problem in problems] == want


def test_check_dataset_reads_coco(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    content = coco([image(1), image(2)], [box(1, 1), box(2, 1), box(3, 2, 3, iscrowd=1)])
    root = write_coco(tmp_path / "c", {"val": content})
    assert cli.main(["check-dataset", str(root), "--out", str(tmp_path / "s.png")]) == 0
    told = capsys.readouterr().out
    assert "1 regions are crowds: not trained on, not evaluated" in told
    assert "instances_val.json: image 1: 2 objects of class person have the same box" in told
    (root / "val" / f"{2:012d}.jpg").write_bytes(b"")
    path = root / "annotations" / "instances_val.json"
    content["annotations"][0]["bbox"] = None
    path.write_text(json.dumps(content))
    assert cli.main(["check-dataset", str(root)]) == 1
    told = capsys.readouterr().out
    assert f"{path}: annotation 1: bbox must be four numbers" in told
    assert "problems found: 2" in told


def test_many_threads_read_the_same(tmp_path: Path) -> None:
    data = open_dataset(_years(tmp_path))
    with ThreadPoolExecutor(8) as pool:
        samples = list(pool.map(data.__getitem__, list(range(4)) * 10))
    assert [len(sample.boxes) for sample in samples] == [1, 1, 2, 0] * 10
    assert [sample.image_id for sample in samples] == list(data.image_ids) * 10


# Real photographs


def test_photographs_together(voc_root: Path) -> None:
    assert find_kind(voc_root).name == "PASCAL VOC"
    both = open_dataset(f"{voc_root},{voc_root}", "train,val", class_names=VOC_CLASSES)
    assert len(both) == 5011
    lists = (voc_root / "ImageSets" / "Main" / f"{name}.txt" for name in ("train", "val"))
    assert list(both.image_ids) == [line for path in lists for line in path.read_text().split()]
    assert both.contents.notes == () or voc_root.name != "VOC2007"
    whole = open_dataset(voc_root)
    assert whole.class_names == VOC_CLASSES
