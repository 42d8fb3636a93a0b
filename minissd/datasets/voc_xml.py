"""One annotation file of the VOC layout: XML text to boxes, and boxes to XML text.

Annotation files are written by many tools and by strangers. What has one sensible reading is repaired and the repair
recorded; what has none is refused with a line that names the file, the object and the fault.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from xml.etree.ElementTree import Element, ParseError
from xml.sax.saxutils import escape

import numpy as np
from defusedxml import DefusedXmlException, ElementTree

from minissd.boxes.pixels import fractions_to_pixels, pixels_to_fractions
from minissd.errors import InputError

__all__ = [
    "Annotation",
    "format_annotation",
    "fractions_to_pixels",
    "pixels_to_fractions",
    "read_annotation",
]

_CORNERS = ("xmin", "ymin", "xmax", "ymax")
# Boxes scaled and rounded by other tools stick out by this much without anything being wrong, in pixels.
_TOLERANCE = 0.02


@dataclass(frozen=True, eq=False)
class Annotation:
    """What an annotation file says, boxes already within the picture.

    Attributes:
        path: The file.
        width: Width of the picture in pixels, as the file states it.
        height: Height of the picture in pixels, as the file states it.
        names: Class name of each of the M objects.
        boxes: Shape (M, 4), float32, corners as fractions of the picture.
        difficult: Shape (M,), bool.
        truncated: Shape (M,), bool: cut by the border or by another object.
        repairs: What was set right, one line each.
        crowd: Shape (M,), bool: many objects in one box, which COCO marks; None: there are none.
        area: Shape (M,), float64, pixels: the area that COCO states, smaller than the box's; None: none is stated.
    """

    path: Path
    width: int
    height: int
    names: tuple[str, ...]
    boxes: np.ndarray
    difficult: np.ndarray
    truncated: np.ndarray
    repairs: tuple[str, ...] = ()
    crowd: np.ndarray | None = None
    area: np.ndarray | None = None


def read_annotation(path: Path, first_pixel: int = 1) -> Annotation:
    """Read one annotation file.

    A missing `difficult` or `truncated` is 0. Reversed corners are exchanged, boxes are clipped to the picture, and
    an object of which nothing lies in the picture is left out; each of these is told in `repairs`. A box that
    starts at 0 comes from a tool that counts from 0: it is clipped like any other, which sets it right to within a
    pixel; `first_pixel=0` reads such files exactly. Only a `name` that is a direct child of `object` counts, for
    the parts of an object have names and boxes too.

    Args:
        path: The XML file.
        first_pixel: Number of the first pixel: 1 in VOC, 0 in some other tools.

    Raises:
        InputError: The file is missing, no sound XML, without size, or has an object that cannot be understood.
    """
    root = _parse(path)
    width, height = _size(root, path)
    names, boxes, difficult, truncated, repairs = [], [], [], [], []
    for number, element in enumerate(root.findall("object"), start=1):
        name = _text(element, "name")
        if not name:
            raise InputError(f"{path}: object {number} has no <name>")
        where = f"object {number} ({name})"
        corners = _order(_corners(element, path, where), where, repairs)
        box = _clip(corners, width, height, first_pixel, where, repairs)
        if box is None:
            continue
        names.append(name)
        boxes.append(box)
        difficult.append(_flag(element, "difficult", path, where))
        truncated.append(_flag(element, "truncated", path, where))
    return Annotation(
        path,
        width,
        height,
        tuple(names),
        np.array(boxes, np.float32).reshape(-1, 4),
        np.array(difficult, bool),
        np.array(truncated, bool),
        tuple(repairs),
    )


def _parse(path: Path) -> Element:
    try:
        root = ElementTree.fromstring(path.read_bytes())
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from error
    except DefusedXmlException as error:
        raise InputError(
            f"{path}: declares XML entities or refers to other files, which no annotation needs; refused"
        ) from error
    except (ParseError, ValueError, LookupError) as error:  # LookupError: an encoding nobody knows
        raise InputError(f"{path}: not well-formed XML: {error}") from error
    if root.tag != "annotation":
        raise InputError(f"{path}: expected <annotation> as the outermost tag, got <{root.tag}>")
    return root


def _text(element: Element, tag: str) -> str:
    return (element.findtext(tag) or "").strip()


def _size(root: Element, path: Path) -> tuple[int, int]:
    size = root.find("size")
    if size is None:
        raise InputError(f"{path}: has no <size>, so its boxes cannot be placed")
    sides = []
    for tag in ("width", "height"):
        side = _number(_text(size, tag))
        if not math.isfinite(side) or side < 1 or side != int(side):
            raise InputError(
                f"{path}: <size> needs a {tag} in whole pixels from 1 on, got {_text(size, tag)!r}"
            )
        sides.append(int(side))
    return sides[0], sides[1]


def _number(text: str) -> float:
    """The number a text stands for; nan where it stands for none."""
    try:
        return float(text)
    except ValueError:
        return math.nan


def _flag(element: Element, tag: str, path: Path, where: str) -> bool:
    text = _text(element, tag)
    if text in ("", "0", "Unspecified"):  # missing, empty, or as some tools write for "not said"
        return False
    if text == "1":
        return True
    raise InputError(f"{path}: {where}: {tag} must be 0 or 1, got {text!r}")


def _corners(element: Element, path: Path, where: str) -> list[float]:
    """The four numbers as the file has them, in its own pixels."""
    box = element.find("bndbox")
    if box is None:
        raise InputError(f"{path}: {where} has no <bndbox>")
    corners = []
    for tag in _CORNERS:
        value = _number(_text(box, tag))
        if not math.isfinite(value):
            raise InputError(f"{path}: {where}: {tag} must be a number, got {_text(box, tag)!r}")
        corners.append(value)
    return corners


def _order(corners: list[float], where: str, repairs: list[str]) -> list[float]:
    """Exchange reversed corners: those that leave no pixel between them, for both ends belong to the box."""
    xmin, ymin, xmax, ymax = corners
    if xmax - xmin + 1 <= 0:
        repairs.append(f"{where}: xmin {xmin:g} is greater than xmax {xmax:g}: exchanged")
        xmin, xmax = xmax, xmin
    if ymax - ymin + 1 <= 0:
        repairs.append(f"{where}: ymin {ymin:g} is greater than ymax {ymax:g}: exchanged")
        ymin, ymax = ymax, ymin
    return [xmin, ymin, xmax, ymax]


def _clip(
    corners: list[float],
    width: int,
    height: int,
    first_pixel: int,
    where: str,
    repairs: list[str],
) -> tuple[float, float, float, float] | None:
    """Fractions of the picture, clipped to it; None where nothing is left. Plain floats: arrays are slow at four."""
    x0, y0 = corners[0] - first_pixel, corners[1] - first_pixel
    x1, y1 = corners[2] - first_pixel + 1, corners[3] - first_pixel + 1
    outside = max(-x0, -y0, x1 - width, y1 - height)
    shown = "[" + ", ".join(f"{corner:g}" for corner in corners) + "]"
    left, top, right, bottom = max(x0, 0.0), max(y0, 0.0), min(x1, width), min(y1, height)
    if right - left <= 0 or bottom - top <= 0:
        repairs.append(
            f"{where}: box {shown} lies outside the {width} x {height} picture: left out"
        )
        return None
    if outside > _TOLERANCE:
        starts_at_zero = first_pixel == 1 and 0 in corners[:2]
        hint = " (starts at 0, where VOC counts from 1)" if starts_at_zero else ""
        repairs.append(f"{where}: box {shown} leaves the {width} x {height} picture{hint}: clipped")
    return left / width, top / height, right / width, bottom / height


def format_annotation(
    filename: str,
    width: int,
    height: int,
    objects: Iterable[tuple[str, tuple[float, float, float, float], dict[str, int]]],
    folder: str = "VOC",
) -> str:
    """Write an annotation as XML text in VOC's form.

    Args:
        filename: Name of the picture file.
        width: Of the picture, in pixels.
        height: Of the picture, in pixels.
        objects: For each its class name, its box in VOC pixels (1-based, inclusive) and its flags by tag.
        folder: Name of the data set.

    Returns:
        The text of the file.
    """
    lines = [
        "<annotation>",
        f"\t<folder>{escape(folder)}</folder>",
        f"\t<filename>{escape(filename)}</filename>",
        "\t<size>",
        f"\t\t<width>{width}</width>",
        f"\t\t<height>{height}</height>",
        "\t\t<depth>3</depth>",
        "\t</size>",
        "\t<segmented>0</segmented>",
    ]
    for name, box, flags in objects:
        lines += ["\t<object>", f"\t\t<name>{escape(name)}</name>"]
        lines += [f"\t\t<{tag}>{int(value)}</{tag}>" for tag, value in flags.items()]
        lines += ["\t\t<bndbox>"]
        lines += [f"\t\t\t<{tag}>{_digits(value)}</{tag}>" for tag, value in zip(_CORNERS, box)]
        lines += ["\t\t</bndbox>", "\t</object>"]
    return "\n".join([*lines, "</annotation>", ""])


def _digits(value: float) -> str:
    """As few digits as give the same number again, and no needless point."""
    short = f"{value:.10g}"
    return short if float(short) == value else repr(float(value))
