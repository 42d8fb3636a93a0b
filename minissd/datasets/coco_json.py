"""One COCO annotation file ("instances"): JSON text to pictures, categories and boxes.

Other tools write such files too, not always well: whatever is wrong is told with the file, the number of the entry and
the fault.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from minissd.datasets.voc_xml import Annotation
from minissd.errors import InputError

# Boxes rounded by other tools stick out by this much without anything being wrong, in pixels.
_TOLERANCE = 0.02


@dataclass(frozen=True)
class CocoImage:
    """One picture of a COCO file: its number, its file's name as the file has it, and its size in pixels."""

    id: int | str
    file_name: str
    width: int
    height: int


@dataclass(frozen=True)
class CocoFile:
    """What a COCO annotation file holds, references checked, boxes not yet.

    Attributes:
        path: The file.
        images: Its pictures, in its order.
        category_ids: Numbers of its categories, rising; COCO's own go from 1 to 90 and skip ten.
        class_names: Name of each category, in the order of the numbers.
        objects: The annotations of each picture by its number.
    """

    path: Path
    images: tuple[CocoImage, ...]
    category_ids: tuple[int, ...]
    class_names: tuple[str, ...]
    objects: dict[int | str, list[dict[str, Any]]]


def read_instances(path: Path) -> CocoFile:
    """Read a COCO annotation file.

    Raises:
        InputError: It is missing, no JSON, or an entry lacks something or refers to nothing; the message names it.
    """
    content = _parse(path)
    categories = _categories(path, content["categories"])
    images = tuple(_image(path, number, entry) for number, entry in _numbered(content["images"]))
    objects: dict[int | str, list[dict[str, Any]]] = {image.id: [] for image in images}
    if len(objects) < len(images):
        twice = next(x for k, x in enumerate(images) if x.id in {y.id for y in images[:k]})
        raise InputError(f"{path}: two images have the id {twice.id!r}")
    for number, entry in _numbered(content["annotations"]):
        where = f"{path}: {_label('annotation', number, entry)}"
        _expect(isinstance(entry, dict), where, "must be an object with a bbox", entry)
        image_id, category = entry.get("image_id"), entry.get("category_id")
        _expect(_hashable(image_id) in objects, where, "image_id must name an image", image_id)
        _expect(
            _hashable(category) in categories, where, "category_id must name a category", category
        )
        objects[image_id].append(entry)
    order = tuple(sorted(categories))
    return CocoFile(path, images, order, tuple(categories[key] for key in order), objects)


def to_annotation(file: CocoFile, image: CocoImage) -> Annotation:
    """Turn the annotations of one picture into boxes.

    COCO's boxes are (x, y, width, height) from the picture's upper left corner, in pixels and fractions of them. They
    are clipped to the picture; a box without area, or of which nothing lies in the picture, is left out; both are told
    in `repairs`.

    Raises:
        InputError: A bbox, iscrowd or area cannot be understood; the message names the annotation.
    """
    names = dict(zip(file.category_ids, file.class_names))
    kept: list[tuple[str, tuple[float, ...], bool, float]] = []
    repairs: list[str] = []
    for number, entry in _numbered(file.objects[image.id]):
        label = _label("annotation", number, entry)
        corners = _corners(f"{file.path}: {label}", entry)
        name = names[entry["category_id"]]
        box = _clip(corners, image, f"image {image.id}, {label} ({name})", repairs)
        if box is None:
            continue
        crowd = entry.get("iscrowd", 0)
        _expect(crowd in (0, 1), f"{file.path}: {label}", "iscrowd must be 0 or 1", crowd)
        area = entry.get("area", (corners[2] - corners[0]) * (corners[3] - corners[1]))
        _expect(_is_number(area), f"{file.path}: {label}", "area must be a number", area)
        kept.append((name, box, bool(crowd), float(area)))
    return Annotation(
        file.path,
        image.width,
        image.height,
        tuple(k[0] for k in kept),
        np.array([k[1] for k in kept], np.float32).reshape(-1, 4),
        np.zeros(len(kept), bool),
        np.zeros(len(kept), bool),
        tuple(repairs),
        np.array([k[2] for k in kept], bool),
        np.array([k[3] for k in kept], np.float64),
    )


def _parse(path: Path) -> dict[str, list[Any]]:
    try:
        with path.open(encoding="utf-8-sig") as file:
            content = json.load(file, object_hook=_without_outlines)
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path}: not a JSON file: {error}") from error
    for key in ("images", "annotations", "categories"):
        value = content.get(key) if isinstance(content, dict) else None
        if not isinstance(value, list):
            raise InputError(
                f"{path}: not a COCO annotation file: expected the lists images, annotations and"
                f" categories; {key} is missing"
            )
    return content


def _without_outlines(entry: dict[str, Any]) -> dict[str, Any]:
    """Drop the outlines at once: they are nine tenths of COCO's file, and boxes are all that is wanted."""
    entry.pop("segmentation", None)
    return entry


def _numbered(entries: list[Any]) -> Iterable[tuple[int, Any]]:
    return enumerate(entries, start=1)


def _label(kind: str, number: int, entry: Any) -> str:
    """How an entry is called in messages: by its id, or by its place where it has none."""
    has_id = isinstance(entry, dict) and "id" in entry
    return f"{kind} {entry['id']!r}" if has_id else f"{kind} without id (number {number})"


def _expect(condition: bool, where: str, expected: str, got: Any) -> None:
    if not condition:
        raise InputError(f"{where}: {expected}, got {got!r}")


def _hashable(key: Any) -> Any:
    """The key itself where it can be looked up; a list or dict names nothing."""
    return key if isinstance(key, int | str) and not isinstance(key, bool) else object()


def _is_number(value: Any) -> bool:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return is_number and abs(value) < 1e300 and not math.isnan(value)


def _categories(path: Path, entries: list[Any]) -> dict[int, str]:
    categories: dict[int, str] = {}
    for number, entry in _numbered(entries):
        where = f"{path}: {_label('category', number, entry)}"
        _expect(isinstance(entry, dict), where, "must be an object with id and name", entry)
        key, name = entry.get("id"), entry.get("name")
        good_id = isinstance(key, int) and not isinstance(key, bool)
        _expect(good_id, where, "id must be a whole number", key)
        good_name = isinstance(name, str) and bool(name.strip())
        _expect(good_name, where, "name must be a text", name)
        _expect(key not in categories, where, "each id may stand once", key)
        _expect(name not in categories.values(), where, "each name may stand once", name)
        categories[key] = name
    if not categories:
        raise InputError(f"{path}: categories is empty: there is nothing to find")
    return categories


def _image(path: Path, number: int, entry: Any) -> CocoImage:
    where = f"{path}: {_label('image', number, entry)}"
    _expect(isinstance(entry, dict), where, "must be an object with id and file_name", entry)
    key, name = entry.get("id"), entry.get("file_name")
    good_id = isinstance(key, int | str) and not isinstance(key, bool)
    _expect(good_id, where, "id must be a number or a text", key)
    _expect(isinstance(name, str) and bool(name), where, "file_name must be a text", name)
    parts = PurePosixPath(name.replace("\\", "/"))
    outside = parts.is_absolute() or ".." in parts.parts or ":" in parts.parts[0]
    _expect(not outside, where, "file_name must stay in the folder of the pictures", name)
    sides = entry.get("width"), entry.get("height")
    for tag, side in zip(("width", "height"), sides):
        whole = _is_number(side) and side >= 1 and side == int(side)
        _expect(whole, where, f"{tag} must be whole pixels from 1 on", side)
    return CocoImage(key, str(parts), int(sides[0]), int(sides[1]))


def _corners(where: str, entry: dict[str, Any]) -> tuple[float, float, float, float]:
    box = entry.get("bbox")
    fits = isinstance(box, list) and len(box) == 4 and all(map(_is_number, box))
    _expect(fits, where, "bbox must be four numbers: x, y, width, height", box)
    x, y, width, height = map(float, box)
    return x, y, x + width, y + height


def _clip(
    corners: tuple[float, ...], image: CocoImage, where: str, repairs: list[str]
) -> tuple[float, ...] | None:
    """Fractions of the picture, clipped to it; None where nothing is left."""
    x0, y0, x1, y1 = corners
    shown = f"[{x0:g}, {y0:g}, {x1 - x0:g}, {y1 - y0:g}]"
    if x1 - x0 <= 0 or y1 - y0 <= 0:
        repairs.append(f"{where}: box {shown} has no area: left out")
        return None
    left, top, right, bottom = max(x0, 0), max(y0, 0), min(x1, image.width), min(y1, image.height)
    size = f"{image.width} x {image.height} picture"
    if right - left <= 0 or bottom - top <= 0:
        repairs.append(f"{where}: box {shown} lies outside the {size}: left out")
        return None
    box = left / image.width, top / image.height, right / image.width, bottom / image.height
    if not (np.float32(box[2]) > np.float32(box[0]) and np.float32(box[3]) > np.float32(box[1])):
        repairs.append(f"{where}: box {shown} is too thin to have an area in float32: left out")
        return None
    if max(-x0, -y0, x1 - image.width, y1 - image.height) > _TOLERANCE:
        repairs.append(f"{where}: box {shown} leaves the {size}: clipped")
    return box
