from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from voc_files import xml, xml_object

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
