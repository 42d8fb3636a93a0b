"""VOC result files: one text file a class, one detection a line, as the VOC devkit and its server read them.

A line is `image score xmin ymin xmax ymax`, in pixels counted from 1, the last one part of the box.

Source: the development kits of VOC2007 and later; "comp4" is detection after training on any data.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from minissd.backend import to_cpu
from minissd.boxes.nms import Detections
from minissd.boxes.pixels import fractions_to_pixels, pixels_to_fractions
from minissd.errors import InputError, check
from minissd.evaluation.ranking import Truth, image_sizes
from minissd.files import write_texts

COLUMNS = ("image", "score", "xmin", "ymin", "xmax", "ymax")


class VocResults(NamedTuple):
    """Detections that result files hold.

    Attributes:
        detections: One an image, in the order of the images asked for, best scored first.
        lines: For each image shape (D,), int64, the line of each detection in its file: the order in which the
            devkit takes equal scores; give it to `evaluate` as `tie_order`.
    """

    detections: list[Detections]
    lines: list[np.ndarray]


def voc_file_name(class_name: str, split: str = "test", competition: str = "comp4") -> str:
    """Return the name of a result file, such as `comp4_det_test_dog.txt`."""
    name = f"{competition}_det_{split}_{class_name}.txt"
    check(Path(name).name == name and "\0" not in name, "class name", "one for a file", class_name)
    return name


def write_voc_results(
    folder: str | Path,
    detections: Sequence[Detections],
    truths: Sequence[Truth],
    class_names: Sequence[str],
    split: str = "test",
) -> None:
    """Write detections as VOC result files, all of them or none; a class without detections has an empty file.

    Numbers are written with all their digits that count, so that reading them back gives the same ranking.

    Args:
        folder: Where to; made if need be. Other files in it stay.
        detections: One an image.
        truths: One an image, in the same order; `image_id` and `size` are used.
        class_names: Name of label 1, 2, ...
        split: Which images these are: a part of the files' names.

    Raises:
        InputError: The files cannot be written.
        ValueError: An image has no size or a name that cannot stand in a file, or a label has no name.
    """
    check(len(detections) == len(truths), "detections", f"{len(truths)} images", len(detections))
    _check_ids(truths)
    lines: list[list[str]] = [[] for _ in class_names]
    for found, truth, (width, height) in zip(detections, truths, image_sizes(truths)):
        boxes, labels, scores = (to_cpu(part) for part in found)
        pixels = fractions_to_pixels(boxes, width, height)
        for label, score, box in zip(labels.tolist(), scores, pixels.tolist()):
            check(0 < label <= len(lines), "detections", f"labels 1 to {len(lines)}", label)
            corners = " ".join(f"{corner:.10g}" for corner in box)
            lines[label - 1].append(f"{truth.image_id} {_digits(score)} {corners}\n")
    names = [voc_file_name(name, split) for name in class_names]
    write_texts(folder, {name: "".join(rows) for name, rows in zip(names, lines)})


def read_voc_results(
    folder: str | Path, truths: Sequence[Truth], class_names: Sequence[str], split: str = "test"
) -> VocResults:
    """Read VOC result files, written by this project or any other.

    Boxes may leave the picture, and stay as they are: the devkit does not clip them either.

    Args:
        folder: Where the files are.
        truths: One an image, whose `image_id` and `size` are used.
        class_names: Name of label 1, 2, ...; there must be a file of each.
        split: A part of the files' names.

    Raises:
        InputError: A file is missing or cannot be read, or a line is none of a result file; the message names file
            and line.
        ValueError: An image has no size or no name.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder of result files")
    _check_ids(truths)
    sizes = image_sizes(truths)
    index = {truth.image_id: i for i, truth in enumerate(truths)}
    rows = []  # image, label, score, line, four corners
    for label, name in enumerate(class_names, start=1):
        path = folder / voc_file_name(name, split)
        rows += [(image, label, *rest) for image, *rest in _read_file(path, index)]
    table = np.array(rows, float).reshape(-1, 8)
    table = table[np.lexsort((table[:, 3], -table[:, 2], table[:, 0]))]
    ends = np.searchsorted(table[:, 0], np.arange(1, len(truths)))
    parts = np.split(table, ends) if len(truths) else []
    return VocResults(
        [
            Detections(
                pixels_to_fractions(part[:, 4:], *size), part[:, 1].astype(np.int64), part[:, 2]
            )
            for part, size in zip(parts, sizes)
        ],
        [part[:, 3].astype(np.int64) for part in parts],
    )


def _read_file(path: Path, index: dict[str, int]) -> list[tuple[float, ...]]:
    """Return image, score, line and corners of each detection of a file."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise InputError(f"{path}: no such result file") from None
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot be read as a result file: {error}") from error
    return [
        _read_line(line, index, f"{path}: line {number}", number)
        for number, line in enumerate(text.splitlines(), start=1)
        if line.strip()
    ]


def _read_line(line: str, index: dict[str, int], where: str, number: int) -> tuple[float, ...]:
    words = line.split()
    if len(words) != len(COLUMNS):
        raise InputError(
            f"{where}: expected {len(COLUMNS)} columns ({' '.join(COLUMNS)}), got {len(words)}"
        )
    if words[0] not in index:
        raise InputError(f"{where}: unknown image {words[0]!r}: not one of the {len(index)} images")
    values = []
    for column, word in zip(COLUMNS[1:], words[1:]):
        try:
            values.append(float(word))
        except ValueError:
            values.append(math.nan)
        if not math.isfinite(values[-1]):
            raise InputError(f"{where}: {column} must be a finite number, got {word!r}")
    score, xmin, ymin, xmax, ymax = values
    for axis, low, high in (("x", xmin, xmax), ("y", ymin, ymax)):
        if high - low + 1 <= 0:
            raise InputError(f"{where}: {axis}max {high:g} is less than {axis}min {low:g}: no box")
    return (index[words[0]], score, number, *values[1:])


def _check_ids(truths: Sequence[Truth]) -> None:
    """Refuse images without a name, with spaces in it, or two of one name."""
    seen: dict[str, int] = {}
    for i, truth in enumerate(truths):
        name = truth.image_id
        check(
            len(name.split()) == 1 == len(name.split(" ")),
            f"truths[{i}].image_id",
            "a name without spaces",
            name,
        )
        check(
            name not in seen,
            f"truths[{i}].image_id",
            f"another name than image {seen.get(name)}",
            name,
        )
        seen[name] = i


def _digits(score: np.floating) -> str:
    """Write a score so that it reads back as the same number of its own precision."""
    return f"{float(score):.9g}" if score.dtype == np.float32 else repr(float(score))
