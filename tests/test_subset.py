from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from archive_files import everything_in
from coco_files import box, coco, image, write_coco
from hypothesis import given, settings
from hypothesis import strategies as st
from test_ilsvrc import ANNOTATIONS, LISTS, write_ilsvrc
from voc_files import write_voc, xml, xml_object

from minissd import cli
from minissd.datasets.opening import open_dataset
from minissd.datasets.report import check_dataset
from minissd.datasets.subset import annotation_text, choose_balanced, write_subset
from minissd.datasets.voc import VocDataset
from minissd.datasets.voc_xml import Annotation, read_annotation
from minissd.errors import InputError

DIFFICULT = "<difficult>1</difficult>"


def _source(root: Path, n_dogs: int = 12, n_cats: int = 4) -> Path:
    """Make a data set of dogs, cats and cows, some pictures with two of them."""
    texts = {f"d{i:02d}": xml(xml_object("dog", (1, 1, 10 + i, 30.5))) for i in range(n_dogs)}
    texts |= {f"c{i:02d}": xml(xml_object("cat", (2, 3, 40, 40 + i))) for i in range(n_cats)}
    texts["both"] = xml(xml_object("cat"), xml_object("dog"), xml_object("cow"))
    texts["hard"] = xml(xml_object("dog", tags=DIFFICULT))
    texts["mixed"] = xml(xml_object("dog", tags=DIFFICULT), xml_object("cat"))
    texts["empty"], texts["cow"] = xml(), xml(xml_object("cow"))
    return write_voc(root, texts)


def test_plain_voc_layout(tmp_path: Path) -> None:
    source = _source(tmp_path / "source")
    made = write_subset(source, tmp_path / "out", ["dog", "cat"], images=10, test_share=0.2)
    assert made.counts == {"trainval": 8, "test": 2}
    names = everything_in(tmp_path / "out")
    assert sum(name.startswith("JPEGImages/") for name in names) == 10
    assert sum(name.startswith("Annotations/") for name in names) == 10
    assert {"ImageSets/Main/trainval.txt", "ImageSets/Main/test.txt", "subset.json"} <= set(names)
    for path in (tmp_path / "out" / "JPEGImages").iterdir():
        assert path.read_bytes() == (source / "JPEGImages" / path.name).read_bytes()
    record = json.loads((tmp_path / "out" / "subset.json").read_text())
    assert record["classes"] == ["dog", "cat"]
    assert check_dataset(tmp_path / "out").is_sound
    train, test = (VocDataset(tmp_path / "out", s, ("dog", "cat")) for s in ("trainval", "test"))
    assert (len(train), len(test)) == (8, 2)
    assert not set(train.image_ids) & set(test.image_ids)


def _same_objects(source: Path | str, split: str, made: Path, classes: list[str], **options) -> int:
    """Read both; every picture of the subset has the very same boxes, labels and flags. Return how many objects."""
    before = open_dataset(source, split, classes, **options)
    by_file = {before.image_path(i).read_bytes(): i for i in range(len(before))}
    after = open_dataset(made, None, class_names=classes)
    n_objects = 0
    for index in range(len(after)):
        want = before[by_file[after.image_path(index).read_bytes()]]
        got = after[index]
        np.testing.assert_array_equal(got.boxes, want.boxes)
        np.testing.assert_array_equal(got.labels, want.labels)
        np.testing.assert_array_equal(got.difficult, want.difficult)
        n_objects += len(got.boxes)
    return n_objects


def _distinct_pictures(root: Path, folder: str) -> None:
    """Make every picture file another one, by bytes that no decoder reads."""
    for number, path in enumerate(sorted((root / folder).rglob("*.*"))):
        if path.suffix != ".xml":
            path.write_bytes(path.read_bytes() + f"{number}".encode())


def test_the_boxes_are_the_very_same(tmp_path: Path) -> None:
    source = _source(tmp_path / "source")
    _distinct_pictures(source, "JPEGImages")
    made = write_subset(source, tmp_path / "out", ["dog", "cat"], test_share=0)
    assert made.counts == {"trainval": 18}
    assert made.left_out == 1  # the cow
    assert made.objects == {"dog": 14, "cat": 6}
    assert made.pictures == {"dog": 14, "cat": 6}
    assert _same_objects(source, "trainval", tmp_path / "out", ["dog", "cat"]) == 20
    mixed = open_dataset(tmp_path / "out", class_names=["dog", "cat"])
    sample = mixed[mixed.image_ids.index("mixed")]
    assert sample.difficult.tolist() == [True, False]


def test_from_coco(tmp_path: Path) -> None:
    boxes = [box(i, i, 1 + 2 * (i % 2), (i / 7, 2.123, 10.321, 3.3 + i)) for i in range(9)]
    boxes += [box(20, 0, 1, iscrowd=1), box(21, 1, 1, (5, 5, 1e-7, 5))]
    source = write_coco(tmp_path / "coco", {"val": coco([image(i) for i in range(9)], boxes)})
    _distinct_pictures(source, "val")
    made = write_subset(source, tmp_path / "out", None, split="val", test_share=0)
    assert made.left_out == 1  # the crowd; the box without width is not even read
    names = [p.name for p in sorted((tmp_path / "out" / "JPEGImages").iterdir())]
    assert names[0] == f"{0:012d}.jpg"
    assert _same_objects(source, "val", tmp_path / "out", ["person", "car"]) == 9


def test_from_ilsvrc_and_a_plain_folder(tmp_path: Path) -> None:
    source = write_ilsvrc(tmp_path / "ilsvrc", ANNOTATIONS, LISTS)
    _distinct_pictures(source, "Data")
    made = write_subset(source, tmp_path / "out", ["golf cart", "dog"], split="train", test_share=0)
    assert made.counts == {"trainval": 2}
    assert _same_objects(source, "train", tmp_path / "out", ["golf cart", "dog"]) == 3
    names = sorted(p.name for p in (tmp_path / "out" / "JPEGImages").iterdir())
    assert names[0] == "ILSVRC2013_train_n02084071_n02084071_12.JPEG"
    plain = tmp_path / "plain"
    for name in ("my dog", "my_dog", "sub/my dog"):
        path = plain / f"{name}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes((tmp_path / "out" / "JPEGImages" / names[0]).read_bytes() + name.encode())
        path.with_suffix(".xml").write_text(xml(xml_object()))
    assert write_subset(plain, tmp_path / "out2", test_share=0).counts == {"trainval": 3}
    names = sorted(p.stem for p in (tmp_path / "out2" / "JPEGImages").iterdir())
    assert names == ["my_dog", "my_dog-2", "sub_my_dog"]
    assert _same_objects(plain, "trainval", tmp_path / "out2", ["dog"]) == 3


def test_the_choice_is_balanced(tmp_path: Path) -> None:
    source = open_dataset(_source(tmp_path / "s", 40, 10), classes=["dog", "cat"])
    chosen = choose_balanced(source, 12, seed=0)
    assert len(chosen) == len(set(chosen)) == 12
    assert list(chosen) == sorted(chosen)
    counts = [0, 0]
    for index in chosen:
        _, labels, difficult = source.truth(index)
        for label in set(labels[~difficult].tolist()):
            counts[label - 1] += 1
    assert max(counts) - min(counts) <= 1
    everything = choose_balanced(source, None, seed=0)
    assert (
        len(everything) == 40 + 10 + 2
    )  # without what is empty, of other classes, or only difficult
    assert choose_balanced(source, 500, seed=3) == everything
    more = choose_balanced(source, 30, seed=0)  # the cats are used up; dogs fill the rest
    assert len(more) == 30


def test_the_same_seed_chooses_the_same(tmp_path: Path) -> None:
    source = _source(tmp_path / "s", 40, 20)
    data = open_dataset(source, classes=["dog", "cat"])
    chosen = [choose_balanced(data, 10, seed) for seed in (0, 0, 1)]
    assert chosen[0] == chosen[1] != chosen[2]
    list_file = source / "ImageSets" / "Main" / "trainval.txt"
    list_file.write_text("\n".join(reversed(list_file.read_text().split())))
    backwards = open_dataset(source, classes=["dog", "cat"])
    again = {backwards.image_ids[i] for i in choose_balanced(backwards, 10, 0)}
    assert again == {data.image_ids[i] for i in chosen[0]}


def test_the_source_s_division_is_kept(tmp_path: Path) -> None:
    texts = {f"{i:02d}": xml(xml_object("dog" if i % 2 else "cat")) for i in range(20)}
    lists = {"trainval": "\n".join(list(texts)[:12]), "test": "\n".join(list(texts)[12:])}
    source = write_voc(tmp_path / "s", texts, lists)
    out = tmp_path / "out"
    made = write_subset(source, out, images=8, test_split="test", test_share=0.2)
    assert made.counts == {"trainval": 8, "test": 2}
    ids = {split: set(open_dataset(out, split, ["cat", "dog"]).image_ids) for split in lists}
    for split, text in lists.items():
        assert ids[split] <= set(text.split())
    made = write_subset(source, tmp_path / "b", images=8, test_split="test", test_images=5)
    assert made.counts == {"trainval": 8, "test": 5}
    assert write_subset(source, tmp_path / "c", test_split="test").counts["test"] == 8
    with pytest.raises(
        InputError, match="is in both splits; name two that have no picture in comm"
    ):
        write_subset(source, tmp_path / "d", split="test", test_split="test")
    assert not (tmp_path / "d").exists()


def test_what_is_there_is_not_touched(tmp_path: Path) -> None:
    source, out = _source(tmp_path / "source"), tmp_path / "out"
    out.mkdir()
    write_subset(source, out, images=2)  # empty: fine
    before = everything_in(out)
    with pytest.raises(InputError, match="out: holds something already; name another folder"):
        write_subset(source, out, images=3)
    assert everything_in(out) == before
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="file: is a file, expected a folder for the subset"):
        write_subset(source, tmp_path / "file" / "below")


def test_a_fault_halfway_leaves_nothing(tmp_path: Path) -> None:
    source = _source(tmp_path / "source")
    data = open_dataset(source, classes=["dog"])
    last = data.image_path(max(choose_balanced(data, None, 0)))
    whole = everything_in(tmp_path)
    last.unlink()
    last.mkdir()  # what open_dataset has seen as a file can no longer be copied
    with pytest.raises(InputError):
        write_subset(source, tmp_path / "out", ["dog"])
    assert everything_in(tmp_path) == whole


@pytest.mark.parametrize(
    ("options", "fault"),
    [
        ({"classes": ["fox"]}, "no class 'fox'; the classes are cat, cow, dog"),
        ({"images": 0}, "images: expected at least 1, got 0"),
        ({"test_share": 1.0}, "test_share: expected a number from 0 to below 1, got 1.0"),
        ({"split": "val"}, "no such split; there are: trainval"),
        ({"images": 1}, "one picture alone cannot be divided into trainval and test"),
    ],
)
def test_faulty_settings(tmp_path: Path, options: dict, fault: str) -> None:
    source = _source(tmp_path / "source")
    with pytest.raises(ValueError, match=fault.replace("(", r"\(")):
        write_subset(source, tmp_path / "out", **options)
    assert not (tmp_path / "out").exists()


fractions = st.floats(0, 1, width=32, allow_subnormal=False)


@settings(deadline=None, max_examples=200)
@given(st.lists(fractions, min_size=4, max_size=4), st.integers(1, 5000), st.integers(1, 5000))
def test_any_box_reads_back_as_it_was(
    tmp_path_factory: pytest.TempPathFactory, values: list[float], width: int, height: int
) -> None:
    x, y = sorted(values[::2]), sorted(values[1::2])
    corners = np.array([x[0], y[0], x[1], y[1]], np.float32)
    if not (corners[2:] - corners[:2] > 1e-6).all():
        return  # no area to speak of: refused elsewhere
    flags = np.array([True])
    before = Annotation(Path("a.xml"), width, height, ("dog",), corners[None], flags, ~flags)
    path = tmp_path_factory.getbasetemp() / "round_trip.xml"
    path.write_text(annotation_text(before, [0], "a.jpg", "x"))
    after = read_annotation(path)
    corners[corners < 1e-9] = 0  # less than a pixel number can say
    np.testing.assert_allclose(after.boxes[0], corners, rtol=0, atol=1e-9)
    np.testing.assert_array_equal(after.boxes[0][corners > 1e-6], corners[corners > 1e-6])
    assert (after.difficult.tolist(), after.truncated.tolist()) == ([True], [False])
    assert after.repairs == ()


def test_pixel_numbers_are_short() -> None:
    boxes = np.array([[10 / 500, 0.5, 123.25 / 500, 1]], np.float32)
    flags = np.array([False])
    text = annotation_text(
        Annotation(Path("a"), 500, 300, ("dog",), boxes, flags, flags), [0], "a", "x"
    )
    for tag, number in (("xmin", "11"), ("ymin", "151"), ("xmax", "123.25"), ("ymax", "300")):
        assert f"<{tag}>{number}</{tag}>" in text


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source, out = str(_source(tmp_path / "source")), str(tmp_path / "out")
    words = ["subset", source, "--classes", "dog,cat", "--images", "600", "--out", out]
    assert cli.main(words) == 0
    told = capsys.readouterr().out
    assert told.startswith(f"{out}: pictures: trainval 14, test 4\n")
    assert ["dog", "14", "14"] in [line.split() for line in told.splitlines()]
    assert ["cat", "6", "6"] in [line.split() for line in told.splitlines()]
    assert "left out: 1 objects of other classes or in crowds" in told
    assert "600 pictures were asked for; no more show one of the classes" in told
    assert f"next: python -m minissd check-dataset {out}" in told
    assert cli.main(words) == 2
    assert "holds something already" in capsys.readouterr().err
    assert cli.main([*words, "--test-images", "5"]) == 2
    assert "name that too" in capsys.readouterr().err


# Real photographs


def test_photographs(voc_root: Path, tmp_path: Path) -> None:
    made = write_subset(voc_root, tmp_path / "out", ["dog", "cat"], 60, test_share=0.25)
    assert made.counts == {"trainval": 45, "test": 15}
    assert abs(made.pictures["dog"] - made.pictures["cat"]) <= 2
    assert _same_objects(voc_root, "trainval", tmp_path / "out", ["dog", "cat"]) >= 60
    assert check_dataset(tmp_path / "out").is_sound
