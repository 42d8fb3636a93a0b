"""Pictures with VOC XML beside them, or in a folder Annotations: what a labelling tool leaves, without lists."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

from minissd.datasets.picture_set import Contents, Entry, gather
from minissd.datasets.split_by_name import choose
from minissd.datasets.voc_layout import IMAGE_ENDINGS
from minissd.datasets.voc_xml import read_annotation
from minissd.errors import InputError

LOOKED_FOR = "pictures with VOC XML files of the same name beside them, or in a folder Annotations"
_XML_FOLDERS = ("Annotations", "annotations")
_PICTURE_FOLDERS = ("JPEGImages", "images", "Images")


def is_own_folder(root: Path) -> bool:
    """Whether there is a picture with an annotation somewhere in a folder."""
    return root.is_dir() and any(_find_annotation(root, p) for p in _pictures(root))


def own_folder_contents(root: Path, split: str | None, lenient: bool = False) -> Contents:
    """Find all pictures that have an annotation.

    A picture is called by its path within the folder (or within its folder of pictures), without the ending.

    Args:
        root: The folder; folders within are searched too, except those whose name begins with a dot.
        split: train or val (divided by name), trainval or None: all.
        lenient: Put off the error about an annotation without picture until it is asked for.

    Raises:
        InputError: There is no such split, or an annotation has no picture.
    """
    bare, found, used = [], {}, set()
    for picture in _pictures(root):
        annotation = _find_annotation(root, picture)
        if annotation is None:
            bare.append(picture)
            continue
        name = _inner(root, picture).with_suffix("").as_posix()
        if name in found and found[name].image.parent != picture.parent:
            name = picture.relative_to(root).with_suffix("").as_posix()
        if name not in found:  # of two endings the one that comes first in IMAGE_ENDINGS
            found[name] = Entry(name, picture, partial(read_annotation, annotation))
        used.add(annotation)
    lost = [path for path in _walk(root) if path.suffix == ".xml" and path not in used]
    missing = {str(path): f"{path}: an annotation without a picture of its name" for path in lost}

    def locate(name: str) -> Entry:
        if name in missing:
            raise InputError(missing[name])
        return found[name]

    faulty = gather(missing, locate, lenient)  # raises, unless lenient
    entries = choose(gather(found, locate, lenient), split, str(root))
    notes = [f"{path}: a picture without annotation; it is not used" for path in bare]
    return Contents(str(root), split, (*entries, *faulty), notes=tuple(notes))


def _walk(root: Path) -> Iterator[Path]:
    """All files of a folder and the folders in it, sorted, without hidden ones."""
    for path in sorted(root.iterdir()):
        if path.name.startswith("."):
            continue
        if path.is_dir():
            yield from _walk(path)
        elif path.is_file():
            yield path


def _pictures(root: Path) -> list[Path]:
    rank = {ending: number for number, ending in enumerate(IMAGE_ENDINGS)}
    pictures = [path for path in _walk(root) if path.suffix in rank]
    return sorted(pictures, key=lambda p: (p.with_suffix("").as_posix(), rank[p.suffix]))


def _inner(root: Path, picture: Path) -> Path:
    """The path of a picture within the data set, without a folder that only says that it holds the pictures."""
    inner = picture.relative_to(root)
    return Path(*inner.parts[1:]) if inner.parts[0] in _PICTURE_FOLDERS else inner


def _find_annotation(root: Path, picture: Path) -> Path | None:
    """The annotation beside a picture, or at the same place within Annotations."""
    places = [picture, *(root / folder / _inner(root, picture) for folder in _XML_FOLDERS)]
    paths = (place.with_suffix(".xml") for place in places)
    return next((path for path in paths if path.is_file()), None)
