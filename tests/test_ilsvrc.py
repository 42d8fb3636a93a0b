from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from voc_files import xml, xml_object

from minissd.datasets.ilsvrc import read_map
from minissd.datasets.opening import find_kind, open_dataset
from minissd.datasets.report import check_dataset
from minissd.errors import InputError
from minissd.plotting import save_image

DOG, CART = "n02084071", "n03445924"
MAP = f"{CART} 2 golf cart\n{DOG} 1 dog\n\nn02924116 3 bus\n"


def write_ilsvrc(
    root: Path, annotations: dict[str, str], lists: dict[str, str], names: str | None = MAP
) -> Path:
    """Write a folder in ILSVRC's layout with gray pictures of 100 x 80 pixels; names begin with train/ or val/."""
    for folder in ("Annotations/DET", "Data/DET", "ImageSets/DET"):
        (root / folder).mkdir(parents=True)
    for name, text in annotations.items():
        path = root / "Annotations" / "DET" / f"{name}.xml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        picture = root / "Data" / "DET" / f"{name}.jpg"
        save_image(np.full((80, 100, 3), 90, np.uint8), picture)
        picture.rename(picture.with_suffix(".JPEG"))
    for split, text in lists.items():
        (root / "ImageSets" / "DET" / f"{split}.txt").write_text(text)
    if names is not None:
        (root / "map_det.txt").write_text(names)
    return root


NESTED = f"ILSVRC2013_train/{DOG}/{DOG}_12"
ANNOTATIONS = {
    f"train/{NESTED}": xml(xml_object(DOG, (0, 0, 99, 79))),
    "train/ILSVRC2014_train_0000/ILSVRC2014_train_00000001": xml(
        xml_object(CART), xml_object(DOG, (10, 20, 59, 69))
    ),
    "val/ILSVRC2012_val_00000001": xml(),
}
LISTS = {
    "train_12": f"{NESTED} 1\nILSVRC2014_train_0000/ILSVRC2014_train_00000001 -1\n",
    "val": "ILSVRC2012_val_00000001 17\n",
}


def test_sample(tmp_path: Path) -> None:
    root = write_ilsvrc(tmp_path, ANNOTATIONS, LISTS)
    assert find_kind(root).name == "ILSVRC DET"
    data = open_dataset(root, "train_12")
    assert data.class_names == ("dog", "golf cart", "bus")  # by the map's numbers
    assert data.image_ids == (NESTED, "ILSVRC2014_train_0000/ILSVRC2014_train_00000001")
    assert data.image_path(0).name == f"{DOG}_12.JPEG"
    np.testing.assert_array_equal(data[0].boxes, [[0, 0, 1, 1]])  # counted from 0
    assert data.annotation(0).repairs == ()
    assert data[1].labels.tolist() == [2, 1]
    np.testing.assert_allclose(data[1].boxes[1], [0.1, 0.25, 0.6, 0.875], rtol=1e-6)
    empty = open_dataset(root, "val")
    assert empty.image_ids == ("ILSVRC2012_val_00000001",)
    assert empty[0].boxes.shape == (0, 4)


def test_a_folder_is_a_split_too(tmp_path: Path) -> None:
    root = write_ilsvrc(tmp_path, ANNOTATIONS, LISTS)
    assert open_dataset(root, "train").image_ids == open_dataset(root, "train_12").image_ids
    everything = open_dataset(root, None)
    assert len(everything) == 3
    assert everything.image_ids[0] == f"train/{NESTED}"
    with pytest.raises(
        InputError, match=r"test\.txt: no such split; there are: train, val, train_12"
    ):
        open_dataset(root, "test")


def test_without_a_map_synsets_are_the_names(tmp_path: Path) -> None:
    root = write_ilsvrc(tmp_path, ANNOTATIONS, LISTS, None)
    assert read_map(root) == {}
    assert open_dataset(root, "train").class_names == (DOG, CART)
    inner = root / "devkit" / "data" / "map_det.txt"
    inner.parent.mkdir(parents=True)
    inner.write_text(MAP)
    assert list(read_map(root)) == [DOG, CART, "n02924116"]


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        (f"{DOG} dog\n", f"line 1: expected a synset, a number and a name, got '{DOG} dog'"),
        (f"{DOG} 1 dog\n{DOG} 2 cat", f"the synset {DOG} stands twice"),
        (f"{DOG} 1 dog\n{CART} 1 cat", "the number 1 stands twice"),
        (f"{DOG} 1 dog\n{CART} 2 dog", "the name dog stands twice"),
    ],
)
def test_faulty_maps(tmp_path: Path, text: str, fault: str) -> None:
    root = write_ilsvrc(tmp_path, ANNOTATIONS, LISTS, text)
    with pytest.raises(InputError) as error:
        open_dataset(root, "train")
    assert str(error.value) == f"{root / 'map_det.txt'}: {fault}"


def test_synset_that_is_not_in_the_map(tmp_path: Path) -> None:
    root = write_ilsvrc(tmp_path, {"val/a": xml(xml_object("n00000001"))}, {"val": "a 1"})
    with pytest.raises(InputError, match=r"a\.xml: synset 'n00000001' is not in map_det\.txt"):
        open_dataset(root, "val").annotations()


def test_pictures_searched_for_one_class_alone_are_left_out(tmp_path: Path) -> None:
    lists = {"train_12": f"{NESTED} 1\nILSVRC2013_train_extra0/x -1\n"}
    root = write_ilsvrc(tmp_path, ANNOTATIONS, lists)
    assert len(open_dataset(root, "train_12")) == 1
    report = check_dataset(root, "train_12")
    assert report.is_sound
    assert "1 listed pictures have no annotation and are left out" in report.notes
    (root / "ImageSets" / "DET" / "train_12.txt").write_text("ILSVRC2013_train_extra0/x -1\n")
    with pytest.raises(InputError, match="none of the pictures of split train_12 has an annotat"):
        open_dataset(root, "train_12")


@pytest.mark.parametrize(
    ("text", "fault"),
    [("a b c", "perhaps a number, got 'a b c'"), ("../x 1", "leads out"), ("", "empty image set")],
)
def test_faulty_lists(tmp_path: Path, text: str, fault: str) -> None:
    root = write_ilsvrc(tmp_path, ANNOTATIONS, {"val": text})
    with pytest.raises(InputError, match=rf"val\.txt: .*{fault}"):
        open_dataset(root, "val")


def test_missing_picture(tmp_path: Path) -> None:
    root = write_ilsvrc(tmp_path, ANNOTATIONS, LISTS)
    (root / "Data" / "DET" / "train" / f"{NESTED}.JPEG").unlink()
    with pytest.raises(InputError, match=r"_12\.JPEG: no such picture, but split train_12 names"):
        open_dataset(root, "train_12")
    assert len(check_dataset(root, "train_12").problems) == 1


def test_many_threads_read_the_same(tmp_path: Path) -> None:
    data = open_dataset(write_ilsvrc(tmp_path, ANNOTATIONS, LISTS), "train")
    with ThreadPoolExecutor(8) as pool:
        samples = list(pool.map(data.__getitem__, [0, 1] * 20))
    assert [len(sample.boxes) for sample in samples] == [1, 2] * 20
