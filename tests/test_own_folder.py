from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from voc_files import write_voc, xml, xml_object

from minissd.datasets.opening import find_kind, open_dataset
from minissd.datasets.report import check_dataset
from minissd.datasets.split_by_name import split_by_name
from minissd.errors import InputError
from minissd.plotting import save_image


def _picture(path: Path) -> None:
    save_image(np.full((80, 100, 3), 90, np.uint8), path)


def _write(root: Path, pictures: list[str], annotations: list[str]) -> Path:
    for name in pictures:
        _picture(root / name)
    for name in annotations:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(xml(xml_object()))
    return root


@pytest.mark.parametrize(
    "places",
    [
        ("{}.jpg", "{}.xml"),
        ("{}.jpg", "Annotations/{}.xml"),
        ("images/{}.jpg", "annotations/{}.xml"),
    ]
    + [("JPEGImages/{}.jpg", "Annotations/{}.xml"), ("images/{}.jpg", "images/{}.xml")],
)
def test_places(tmp_path: Path, places: tuple[str, str]) -> None:
    names = ["b", "a", "c d"]
    pictures, annotations = ([place.format(n) for n in names] for place in places)
    root = _write(tmp_path / "mine", pictures, annotations)
    assert find_kind(root).name == "your own folder"
    data = open_dataset(root)
    assert data.image_ids == ("a", "b", "c d")
    assert data.class_names == ("dog",)
    assert len(data[2].boxes) == 1


def test_folders_within_and_endings(tmp_path: Path) -> None:
    pictures = ["day/a.JPG", "night/a.png", "night/a.jpg", ".trash/x.jpg"]
    root = _write(tmp_path, pictures, ["day/a.xml", "Annotations/night/a.xml", ".trash/x.xml"])
    data = open_dataset(root)
    assert data.image_ids == ("day/a", "night/a")
    assert data.image_path(1).suffix == ".jpg"  # the ending further to the left in the list


def test_one_name_in_two_places(tmp_path: Path) -> None:
    root = _write(tmp_path, ["a.jpg", "images/a.jpg"], ["a.xml", "images/a.xml"])
    assert open_dataset(root).image_ids == ("a", "images/a")


def test_bare_pictures_are_told_and_bare_annotations_refused(tmp_path: Path) -> None:
    root = _write(tmp_path, ["a.jpg", "b.jpg"], ["a.xml"])
    assert open_dataset(root).image_ids == ("a",)
    report = check_dataset(root)
    assert report.notes == [f"{root / 'b.jpg'}: a picture without annotation; it is not used"]
    (root / "lost.xml").write_text(xml())
    with pytest.raises(InputError, match=r"lost\.xml: an annotation without a picture of its name"):
        open_dataset(root)
    problems = check_dataset(root).problems
    assert problems == [f"{root / 'lost.xml'}: an annotation without a picture of its name"]


def test_train_and_val_are_made_by_name(tmp_path: Path) -> None:
    names = [f"{i:02d}" for i in range(20)]
    root = _write(tmp_path, [f"{n}.jpg" for n in names], [f"{n}.xml" for n in names])
    train, val = (open_dataset(root, split).image_ids for split in ("train", "val"))
    assert (len(train), len(val)) == (16, 4)
    assert sorted(train + val) == names
    assert open_dataset(root, "trainval").image_ids == tuple(names)
    with pytest.raises(InputError) as error:
        open_dataset(root, "test")
    assert str(error.value) == (
        f"{root}: has no lists of pictures, so it is split by name into train (80%) and val (20%); trainval"
        " is both; there is no test"
    )


def test_one_picture_is_not_split(tmp_path: Path) -> None:
    root = _write(tmp_path, ["a.jpg"], ["a.xml"])
    assert len(open_dataset(root)) == 1
    with pytest.raises(InputError, match="one picture alone cannot be split"):
        open_dataset(root, "val")


@settings(deadline=None, max_examples=40)
@given(
    st.lists(st.text(min_size=1, max_size=8), min_size=2, max_size=40, unique=True),
    st.floats(0.05, 0.95),
    st.integers(0, 5),
)
def test_split_by_name_depends_on_names_alone(names: list[str], share: float, seed: int) -> None:
    first, second = split_by_name(names, share, seed)
    assert sorted(first + second) == sorted(names)
    assert first == [n for n in names if n in set(first)]
    assert len(second) == min(max(round(share * len(names)), 1), len(names) - 1)
    shuffled = random.Random(1).sample(names, len(names))
    again = split_by_name(shuffled, share, seed)
    assert (set(again[0]), set(again[1])) == (set(first), set(second))


def test_split_by_name_hardly_changes_with_one_more_and_changes_with_the_seed() -> None:
    names = [f"{i}" for i in range(100)]
    val = set(split_by_name(names)[1])
    assert len(val ^ set(split_by_name([*names, "new"])[1])) <= 2
    assert len(val & set(split_by_name(names, seed=1)[1])) < 15


def test_lists_come_first(tmp_path: Path) -> None:
    """A folder with lists is VOC, whatever else lies in it."""
    root = write_voc(tmp_path / "v", {"a": xml(xml_object()), "b": xml()})
    assert find_kind(root).name == "PASCAL VOC"
    assert open_dataset(root).image_ids == ("a", "b")
