"""Pictures with boxes in the layout of ILSVRC's detection task (DET): VOC-like XML, classes named by synsets.

    Annotations/DET/train/ILSVRC2013_train/n02084071/n02084071_12.xml
    Data/DET/train/ILSVRC2013_train/n02084071/n02084071_12.JPEG
    ImageSets/DET/val.txt                                one name a line, perhaps with a number after it
    map_det.txt                                          n02084071 59 dog (from the development kit)

Boxes are counted from pixel 0, both ends inclusive. Where the map lies in the data set's folder (or in data/ or
devkit/data/ there), classes get its names, in the order of its numbers; otherwise they keep their synsets.
"""

from __future__ import annotations

import dataclasses
import re
from functools import partial
from pathlib import Path

from minissd.datasets.picture_set import Contents, Entry, gather
from minissd.datasets.voc_layout import read_list
from minissd.datasets.voc_xml import Annotation, read_annotation
from minissd.errors import InputError

LOOKED_FOR = "Annotations/DET, Data/DET, ImageSets/DET"
MAP_PLACES = ("map_det.txt", "data/map_det.txt", "devkit/data/map_det.txt")
_ENDINGS = (".JPEG", ".jpg", ".jpeg", ".png", ".JPG")


def is_ilsvrc(root: Path) -> bool:
    """Whether a folder is in ILSVRC's layout."""
    return all((root / name / "DET").is_dir() for name in ("Annotations", "Data"))


def ilsvrc_contents(root: Path, split: str | None, lenient: bool = False) -> Contents:
    """Find the pictures of a split in ILSVRC's layout.

    A list also names pictures that were only searched for one class and have no annotation (those called
    "extra"): they are left out, for what else they show is not known.

    Args:
        root: The folder that holds Annotations, Data and ImageSets.
        split: Name of a list in ImageSets/DET (val, train_12, ...), or of a folder in Annotations/DET, which stands for
            all annotations in it; None for every annotation there is.
        lenient: Put off the error about a missing picture until it is asked for.

    Raises:
        InputError: There is no such split, or a list or the map cannot be understood.
    """
    part, ids = _listed(root, split)
    annotated = [i for i in ids if _annotation_path(root, part, i).is_file()]
    n_bare = len(ids) - len(annotated)
    if not annotated:
        raise InputError(
            f"{root}: none of the pictures of split {split} has an annotation in"
            f" {root / 'Annotations' / 'DET' / part}"
        )
    names = read_map(root)

    def locate(image_id: str) -> Entry:
        read = partial(_read, _annotation_path(root, part, image_id), names)
        return Entry(image_id, _find_picture(root, part, image_id, split), read)

    entries = gather(annotated, locate, lenient)
    notes = (f"{n_bare:,} listed pictures have no annotation and are left out",) if n_bare else ()
    return Contents(str(root), split, entries, tuple(names.values()) or None, notes)


def read_map(root: Path) -> dict[str, str]:
    """Read the class names of the synsets, in the order of their numbers; empty where there is no map.

    Raises:
        InputError: A line cannot be understood, or a synset, number or name stands twice.
    """
    path = next((root / place for place in MAP_PLACES if (root / place).is_file()), None)
    if path is None:
        return {}
    rows: list[tuple[int, str, str]] = []
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot be read as a map of synsets: {error}") from error
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        match = re.fullmatch(r"\s*(n\d{8})\s+(\d+)\s+(\S.*?)\s*", line)
        if match is None:
            raise InputError(
                f"{path}: line {number}: expected a synset, a number and a name, got {line.strip()!r}"
            )
        rows.append((int(match[2]), match[1], match[3]))
    for column, what in enumerate(("number", "synset", "name")):
        values = [row[column] for row in rows]
        twice = next((v for k, v in enumerate(values) if v in values[:k]), None)
        if twice is not None:
            raise InputError(f"{path}: the {what} {twice} stands twice")
    return {synset: name for _, synset, name in sorted(rows)}


def _listed(root: Path, split: str | None) -> tuple[str, list[str]]:
    """The folder within Annotations/DET and Data/DET in which a split lies, and the names of its pictures there."""
    annotations, lists = root / "Annotations" / "DET", root / "ImageSets" / "DET"
    parts = sorted(path.name for path in annotations.iterdir() if path.is_dir())
    if split is None:
        return "", _all_names(annotations)
    path = lists / f"{split}.txt"
    known = sorted(p.stem for p in lists.glob("*.txt"))
    if split in known:
        # train_12.txt lists pictures of the folder train, val2.txt of val.
        part = max((p for p in parts if split.startswith(p)), key=len, default="")
        return part, read_list(path, any_number=True)
    if split in parts:
        return split, _all_names(annotations / split)
    there = ", ".join([*dict.fromkeys([*parts, *known])][:12])
    raise InputError(f"{path}: no such split; there are: {there or 'none at all'}")


def _all_names(folder: Path) -> list[str]:
    paths = sorted(folder.rglob("*.xml"))
    return [path.relative_to(folder).with_suffix("").as_posix() for path in paths]


def _annotation_path(root: Path, part: str, image_id: str) -> Path:
    return root / "Annotations" / "DET" / part / f"{image_id}.xml"


def _find_picture(root: Path, part: str, image_id: str, split: str | None) -> Path:
    place = root / "Data" / "DET" / part
    for ending in _ENDINGS:
        if (place / (image_id + ending)).is_file():
            return place / (image_id + ending)
    listed = "Annotations" if split is None else f"split {split}"
    raise InputError(f"{place / (image_id + '.JPEG')}: no such picture, but {listed} names it")


def _read(path: Path, names: dict[str, str]) -> Annotation:
    annotation = read_annotation(path, first_pixel=0)
    if not names:
        return annotation
    for synset in annotation.names:
        if synset not in names:
            raise InputError(f"{path}: synset {synset!r} is not in map_det.txt")
    return dataclasses.replace(annotation, names=tuple(names[s] for s in annotation.names))
