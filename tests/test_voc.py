from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from voc_files import write_voc, xml, xml_object

from minissd.datasets.voc import VOC_CLASSES, VocDataset
from minissd.datasets.voc_layout import list_splits, read_split
from minissd.datasets.voc_xml import fractions_to_pixels
from minissd.errors import InputError
from minissd.plotting import save_image


def test_sample(tmp_path: Path) -> None:
    hard = xml_object("cat", tags="<difficult>1</difficult>")
    root = write_voc(tmp_path / "v", {"b": xml(hard, xml_object("dog")), "a": xml()})
    data = VocDataset(root, "trainval")
    assert data.class_names == ("cat", "dog")
    assert data.n_object_classes == 2
    assert (len(data), data.image_ids) == (2, ("b", "a"))  # in the order of the list
    sample = data[0]
    assert sample.image_id == "b"
    assert sample.size == (100, 80)
    assert sample.labels.tolist() == [1, 2]
    assert sample.difficult.tolist() == [True, False]
    assert (sample.boxes.dtype, sample.labels.dtype) == (np.float32, np.int64)
    empty = data[1]
    assert (empty.boxes.shape, empty.labels.shape) == ((0, 4), (0,))
    assert [s.image_id for s in data] == ["b", "a"]  # ends where it should


def test_keep_empty(tmp_path: Path) -> None:
    root = write_voc(tmp_path / "v", {"a": xml(), "b": xml(xml_object("dog"))})
    assert VocDataset(root, keep_empty=False).image_ids == ("b",)
    with pytest.raises(InputError, match="no picture of split trainval has an object of cat"):
        VocDataset(root, class_names=["cat", "dog"], classes=["cat"], keep_empty=False)


def test_some_of_the_classes(tmp_path: Path) -> None:
    both = xml(xml_object("cat"), xml_object("dog", box=(1, 1, 2, 2)))
    root = write_voc(tmp_path / "v", {"a": both, "b": xml(xml_object("cat"))})
    data = VocDataset(root, classes=["dog"])
    assert data.class_names == ("dog",)
    assert data[0].labels.tolist() == [1]
    np.testing.assert_allclose(data[0].boxes, [[0, 0, 0.02, 0.025]], rtol=1e-6)
    assert data[1].labels.tolist() == []
    assert data.annotation(1).names == ("cat",)
    with pytest.raises(InputError, match="no class 'cow'; the classes are cat, dog"):
        VocDataset(root, classes=["cow"])


def test_given_classes_decide_the_labels(tmp_path: Path) -> None:
    root = write_voc(tmp_path / "v", {"a": xml(xml_object("dog"))})
    assert VocDataset(root, class_names=["zebra", "dog"])[0].labels.tolist() == [2]


def test_unknown_class_is_refused(tmp_path: Path) -> None:
    root = write_voc(tmp_path / "v", {"a": xml(xml_object("dgo"))})
    data = VocDataset(root, class_names=["cat", "dog"])
    with pytest.raises(InputError) as error:
        data.annotations()
    path = root / "Annotations" / "a.xml"
    assert str(error.value) == f"{path}: unknown class 'dgo'; the classes are cat, dog"


@pytest.mark.parametrize("names", [[], ["a", "a"], ["background", "a"], "dog"])
def test_class_names_are_checked(tmp_path: Path, names: list[str] | str) -> None:
    root = write_voc(tmp_path / "v", {"a": xml(xml_object())})
    with pytest.raises(ValueError, match="class names: expected"):
        VocDataset(root, class_names=names)


def _with_exif(path: Path, orientation: int, width: int, height: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.new("RGB", (width, height)).save(path, exif=exif)


def test_exif_rotation_and_annotation(tmp_path: Path) -> None:
    root = write_voc(tmp_path / "v", {"a": xml(xml_object())})
    path = root / "JPEGImages" / "a.jpg"
    _with_exif(path, 6, 80, 100)  # upright it is 100 x 80, as the annotation says
    assert VocDataset(root)[0].size == (100, 80)
    _with_exif(path, 6, 100, 80)  # the annotation was made on the picture as it lies
    with pytest.raises(InputError) as error:
        VocDataset(root)[0]
    assert str(error.value) == (
        f"{path}: is 80 x 100 pixels after the quarter turn of its EXIF tag (orientation 6); the boxes were"
        " drawn on the picture before that turn, but a.xml says 100 x 80"
    )


def test_size_that_contradicts_the_picture_is_refused(tmp_path: Path) -> None:
    root = write_voc(tmp_path / "v", {"a": xml(xml_object(), width=120)})
    with pytest.raises(InputError, match=r"a\.jpg: is 100 x 80 pixels, but a\.xml says 120 x 80"):
        VocDataset(root)[0]


def test_other_endings(tmp_path: Path) -> None:
    root = write_voc(tmp_path / "v", {"a": xml(xml_object())})
    (root / "JPEGImages" / "a.jpg").unlink()
    save_image(np.zeros((80, 100, 3), np.uint8), root / "JPEGImages" / "a.png")
    assert VocDataset(root)[0].size == (100, 80)


def test_lists_of_a_class_name_every_picture(tmp_path: Path) -> None:
    root = write_voc(
        tmp_path / "v",
        {"a": xml(xml_object()), "b": xml(), "c": xml()},
        {"dog_train": "\ufeffa  1\n\nb -1\r\nc  0\n"},
    )
    assert VocDataset(root, "dog_train").image_ids == ("a", "b", "c")


def test_without_lists_every_annotation_is_taken(tmp_path: Path) -> None:
    root = write_voc(tmp_path / "v", {"b": xml(xml_object()), "a": xml()}, {})
    assert VocDataset(root, split=None).image_ids == ("a", "b")


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("", "empty image set"),
        ("\n \n", "empty image set"),
        ("a 1 2", "line 1: expected a name without spaces and perhaps 1, 0 or -1, got 'a 1 2'"),
        ("a 7", "line 1: expected a name"),
        ("a\nb\na", "line 3: picture a stands on line 1 already"),
        ("../../a", "line 1: '../../a' leads out of the folder"),
        ("/etc/a", "line 1: '/etc/a' leads out of the folder"),
    ],
)
def test_faulty_lists(tmp_path: Path, text: str, fault: str) -> None:
    root = write_voc(tmp_path / "v", {"a": xml(), "b": xml()}, {"trainval": text})
    with pytest.raises(InputError) as error:
        VocDataset(root, class_names=["dog"])
    assert f"trainval.txt: {fault}" in str(error.value)


def test_list_that_names_a_missing_file(tmp_path: Path) -> None:
    lists = {"trainval": "a\nb\n", "test": "a\na.jpg"}
    root = write_voc(tmp_path / "v", {"a": xml(xml_object()), "b": xml()}, lists)
    (root / "Annotations" / "b.xml").unlink()
    with pytest.raises(InputError, match=r"b\.xml: no such annotation, but split trainval names"):
        VocDataset(root)
    (root / "JPEGImages" / "b.jpg").unlink()
    with pytest.raises(InputError, match=r"b\.jpg: no such picture, but split trainval names it$"):
        VocDataset(root)
    with pytest.raises(InputError, match="a list gives names without their ending"):
        VocDataset(root, "test")


def test_missing_split_lists_those_there_are(tmp_path: Path) -> None:
    lists = {"train": "a", "val": "a", "dog_train": "a 1", "my_photos": "a"}
    root = write_voc(tmp_path / "v", {"a": xml()}, lists)
    with pytest.raises(InputError, match=r"no such split; there are: my_photos, train, val$"):
        VocDataset(root, "test")
    assert list_splits(root) == ["dog_train", "my_photos", "train", "val"]
    with pytest.raises(InputError, match="no such split"):
        read_split(root, "../Main/train")


def test_folder_that_is_not_in_voc_layout(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"none: no such folder"):
        VocDataset(tmp_path / "none")
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match=r"file: not a folder"):
        VocDataset(tmp_path / "file")
    outer = tmp_path / "outer"
    write_voc(outer / "VOCdevkit" / "VOC2007", {"a": xml()})
    with pytest.raises(InputError, match="not in VOC layout: expected the folders") as error:
        VocDataset(outer)
    inner = outer / "VOCdevkit" / "VOC2007"
    assert "missing: JPEGImages, Annotations, ImageSets/Main" in str(error.value)
    assert str(error.value).endswith(f"did you mean {inner}?")
    assert len(VocDataset(inner, class_names=["dog"])) == 1


def test_nothing_to_learn(tmp_path: Path) -> None:
    root = write_voc(tmp_path / "v", {"a": xml()})
    with pytest.raises(InputError, match="not one object in the annotations of split trainval"):
        VocDataset(root)


def test_annotations_are_read_when_asked_for_and_once(tmp_path: Path) -> None:
    root = write_voc(tmp_path / "v", {"a": xml(xml_object()), "b": xml()})
    data = VocDataset(root, class_names=["dog"])
    first = data.annotation(0)
    (root / "Annotations" / "a.xml").write_text("no longer XML")
    assert data.annotation(0) is first
    (root / "Annotations" / "b.xml").write_text("no longer XML")
    with pytest.raises(InputError, match=r"b\.xml: not well-formed"):
        data.annotation(1)


def test_many_threads_read_the_same(tmp_path: Path) -> None:
    texts = {f"{i}": xml(*[xml_object(box=(1, 1, 10 + i, 9))] * (i % 3)) for i in range(20)}
    data = VocDataset(write_voc(tmp_path / "v", texts), class_names=["dog"])
    with ThreadPoolExecutor(8) as pool:
        samples = list(pool.map(data.__getitem__, list(range(20)) * 4))
    for k, sample in enumerate(samples):
        assert sample.image_id == f"{k % 20}"
        assert len(sample.boxes) == (k % 20) % 3


# Real photographs


def test_official_counts(voc_root: Path) -> None:
    data = VocDataset(voc_root, "trainval", VOC_CLASSES)
    annotations = data.annotations()
    difficult = np.concatenate([a.difficult for a in annotations])
    assert len(data) == 5011
    assert (~difficult).sum() == 12608
    assert difficult.sum() == 3054
    assert not [repair for a in annotations for repair in a.repairs]
    found = {name for a in annotations for name in a.names}
    assert found == set(VOC_CLASSES)
    assert len(VocDataset(voc_root, "train", VOC_CLASSES)) == 2501
    assert len(VocDataset(voc_root, "val", VOC_CLASSES)) == 2510


def test_photographs_have_the_size_their_annotations_say(voc_root: Path) -> None:
    data = VocDataset(voc_root, "trainval", VOC_CLASSES)
    for index in range(0, len(data), 100):
        sample = data[index]  # raises where the two differ
        a = data.annotation(index)
        pixels = fractions_to_pixels(sample.boxes, a.width, a.height)
        assert (pixels[:, :2] >= 1 - 1e-4).all()
        assert (pixels[:, 2:] <= np.array(sample.size) + 1e-4).all()
