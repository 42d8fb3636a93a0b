from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from voc_files import write_voc, xml, xml_object

from minissd.datasets.images import save_image
from minissd.datasets.voc import VOC_CLASSES, VocDataset
from minissd.datasets.voc_layout import list_splits, read_split
from minissd.datasets.voc_xml import (
    Annotation,
    format_annotation,
    fractions_to_pixels,
    pixels_to_fractions,
    read_annotation,
)
from minissd.errors import InputError


def _read(tmp_path: Path, text: str, first_pixel: int = 1) -> Annotation:
    path = tmp_path / "a.xml"
    path.write_text(text, encoding="utf-8")
    return read_annotation(path, first_pixel)


def _refused(tmp_path: Path, text: str) -> str:
    """Return the message with which an annotation is refused."""
    with pytest.raises(InputError) as error:
        _read(tmp_path, text)
    message = str(error.value)
    assert message.startswith(f"{tmp_path / 'a.xml'}: ")
    assert "\n" not in message
    return message.removeprefix(f"{tmp_path / 'a.xml'}: ")


# One annotation


def test_first_and_last_pixel_belong_to_the_box(tmp_path: Path) -> None:
    whole = _read(tmp_path, xml(xml_object(box=(1, 1, 100, 80))))
    np.testing.assert_array_equal(whole.boxes, [[0, 0, 1, 1]])
    pixel = _read(tmp_path, xml(xml_object(box=(100, 80, 100, 80))))
    np.testing.assert_allclose(pixel.boxes, [[0.99, 79 / 80, 1, 1]], rtol=1e-6)
    assert whole.repairs == pixel.repairs == ()
    assert whole.boxes.dtype == np.float32


@settings(max_examples=50, deadline=None)
@given(
    st.tuples(*[st.integers(1, 500)] * 4), st.integers(500, 900), st.integers(500, 900),
    st.integers(0, 1),
)  # fmt: skip
def test_pixels_and_fractions_undo_each_other(
    corners: tuple[int, ...], width: int, height: int, first: int
) -> None:
    pixels = np.array(corners, np.float64)
    fractions = pixels_to_fractions(pixels - (1 - first), width, height, first)
    assert fractions[2] - fractions[0] == pytest.approx((corners[2] - corners[0] + 1) / width)
    np.testing.assert_allclose(fractions_to_pixels(fractions, width, height), pixels)


def test_missing_tags_are_no(tmp_path: Path) -> None:
    tags = ["", "<difficult>1</difficult>", "<truncated>1</truncated>", "<difficult/>"]
    tags.append("<difficult>Unspecified</difficult><truncated> 0 </truncated>")
    a = _read(tmp_path, xml(*(xml_object(tags=text) for text in tags)))
    assert a.difficult.tolist() == [False, True, False, False, False]
    assert a.truncated.tolist() == [False, False, True, False, False]


def test_flag_that_is_neither_is_refused(tmp_path: Path) -> None:
    message = _refused(tmp_path, xml(xml_object(tags="<difficult>perhaps</difficult>")))
    assert message == "object 1 (dog): difficult must be 0 or 1, got 'perhaps'"


def test_float_coordinates(tmp_path: Path) -> None:
    a = _read(tmp_path, xml(xml_object(box=("10.5", "2.10e1", " 60.25 ", "70.00"))))
    np.testing.assert_allclose(a.boxes, [[0.095, 0.25, 0.6025, 0.875]], rtol=1e-6)


def test_parts_have_names_and_boxes_too(tmp_path: Path) -> None:
    part = "<part><name>head</name><bndbox><xmin>1</xmin><ymin>2</ymin></bndbox></part>"
    a = _read(tmp_path, xml(xml_object("person", inside=part)))
    assert a.names == ("person",)
    np.testing.assert_allclose(a.boxes, [[0.1, 0.25, 0.6, 0.875]], rtol=1e-6)
    nameless = xml("<object>" + part + "</object>")
    assert _refused(tmp_path, nameless) == "object 1 has no <name>"


def test_zero_based_boxes_are_clipped_and_told(tmp_path: Path) -> None:
    text = xml(xml_object(box=(0, 0, 99, 79)))
    a = _read(tmp_path, text)
    np.testing.assert_allclose(a.boxes, [[0, 0, 0.99, 79 / 80]], rtol=1e-6)
    assert a.repairs == (
        "object 1 (dog): box [0, 0, 99, 79] leaves the 100 x 80 picture"
        " (starts at 0, where VOC counts from 1): clipped",
    )
    exact = _read(tmp_path, text, first_pixel=0)
    np.testing.assert_array_equal(exact.boxes, [[0, 0, 1, 1]])
    assert exact.repairs == ()


def test_boxes_are_clipped_to_the_picture(tmp_path: Path) -> None:
    a = _read(tmp_path, xml(xml_object(box=(-20, 41, 130, 80))))
    np.testing.assert_allclose(a.boxes, [[0, 0.5, 1, 1]])
    assert a.repairs == (
        "object 1 (dog): box [-20, 41, 130, 80] leaves the 100 x 80 picture: clipped",
    )


@pytest.mark.parametrize("box", [(101, 1, 120, 80), (1, -30, 50, 0), (-9, 90, -3, 95)])
def test_object_wholly_outside_is_left_out_and_told(tmp_path: Path, box: tuple[int, ...]) -> None:
    a = _read(tmp_path, xml(xml_object("cat", box=box), xml_object("dog")))
    assert a.names == ("dog",)
    assert len(a.boxes) == len(a.difficult) == len(a.truncated) == 1
    (repair,) = a.repairs
    assert repair.startswith("object 1 (cat): box [")
    assert repair.endswith("lies outside the 100 x 80 picture: left out")


def test_reversed_corners_are_exchanged_and_told(tmp_path: Path) -> None:
    a = _read(tmp_path, xml(xml_object(box=(60, 70, 11, 21))))
    np.testing.assert_allclose(a.boxes, [[0.1, 0.25, 0.6, 0.875]], rtol=1e-6)
    assert a.repairs == (
        "object 1 (dog): xmin 60 is greater than xmax 11: exchanged",
        "object 1 (dog): ymin 70 is greater than ymax 21: exchanged",
    )


def test_thin_float_box_is_not_taken_for_reversed(tmp_path: Path) -> None:
    # A box one pixel wide on a picture that was then made smaller by 0.64: (100 - 1) * 0.64 + 1 and 100 * 0.64.
    a = _read(tmp_path, xml(xml_object(box=(64.36, 21, 64, 70))))
    assert a.repairs == ()
    assert a.boxes[0, 2] - a.boxes[0, 0] == pytest.approx(0.0064, rel=1e-4)


@settings(max_examples=100, deadline=None)
@given(st.tuples(*[st.floats(-300, 300)] * 4), st.integers(0, 1))
def test_boxes_always_lie_within_the_picture(
    tmp_path_factory: pytest.TempPathFactory, box: tuple[float, ...], first_pixel: int
) -> None:
    a = _read(tmp_path_factory.getbasetemp(), xml(xml_object(box=box)), first_pixel)
    assert len(a.names) == len(a.boxes)
    assert (a.boxes >= 0).all()
    assert (a.boxes <= 1).all()
    assert (a.boxes[:, :2] <= a.boxes[:, 2:]).all()
    assert len(a.names) == 1 or a.repairs


def test_annotation_without_objects(tmp_path: Path) -> None:
    a = _read(tmp_path, xml())
    assert a.boxes.shape == (0, 4)
    assert a.names == ()
    assert (a.difficult.dtype, a.truncated.dtype) == (bool, bool)


@pytest.mark.parametrize("value", ["nan", "inf", "-inf", "", "left", "1,5"])
def test_box_that_is_no_number_is_refused(tmp_path: Path, value: str) -> None:
    message = _refused(tmp_path, xml(xml_object(), xml_object("cat", box=(1, value, 5, 5))))
    assert message == f"object 2 (cat): ymin must be a number, got {value!r}"


def test_other_faults_of_an_annotation(tmp_path: Path) -> None:
    assert (
        _refused(tmp_path, "<annotation></annotation>")
        == "has no <size>, so its boxes cannot be placed"
    )
    assert "needs a height in whole pixels" in _refused(tmp_path, xml(height=0))
    assert "needs a width in whole pixels" in _refused(tmp_path, xml(width="nan"))
    assert "outermost tag, got <html>" in _refused(tmp_path, "<html/>")
    assert "not well-formed XML" in _refused(tmp_path, xml()[:-5])
    assert "not well-formed XML" in _refused(tmp_path, "")
    boxless = xml("<object><name>dog</name></object>")
    assert _refused(tmp_path, boxless) == "object 1 (dog) has no <bndbox>"
    with pytest.raises(InputError, match="no such file"):
        read_annotation(tmp_path / "none.xml")


def test_entity_bomb_is_refused(tmp_path: Path) -> None:
    entities = '<!ENTITY a0 "boom">' + "".join(
        f'<!ENTITY a{i} "{f"&a{i - 1};" * 10}">' for i in range(1, 10)
    )
    bomb = f"<!DOCTYPE annotation [{entities}]>" + xml(xml_object("&a9;"))
    assert "declares XML entities" in _refused(tmp_path, bomb)
    secret = '<!DOCTYPE a [<!ENTITY s SYSTEM "file:///etc/hostname">]>' + xml(xml_object("&s;"))
    assert "declares XML entities" in _refused(tmp_path, secret)


def test_what_is_written_is_read(tmp_path: Path) -> None:
    objects = [("a & <b>", (1, 2, 30.25, 40), {"difficult": 1}), ("c", (5, 5, 5, 5), {})]
    a = _read(tmp_path, format_annotation("x.jpg", 50, 60, objects))
    assert (a.width, a.height, a.names) == (50, 60, ("a & <b>", "c"))
    assert a.difficult.tolist() == [True, False]
    np.testing.assert_allclose(
        fractions_to_pixels(a.boxes, 50, 60), [o[1] for o in objects], rtol=1e-6
    )


# The data set


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
    save_image(root / "JPEGImages" / "a.png", np.zeros((80, 100, 3), np.uint8))
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
