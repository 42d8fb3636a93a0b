"""Opening a data set by its name: which layout a folder is in, and several folders as one.

DATA is a folder, or several with commas between: `data/VOC2007,data/VOC2012`. A split is one name for all of them, or
one for each with commas between; a plus takes two lists of one folder together, and none leaves a folder out:

    data/VOC2007,data/VOC2012   trainval                the paper's "07+12"
    data/VOC2007,data/VOC2012   trainval+test,trainval  its "07++12"
    data/VOC2007,data/VOC2012   test,none               to evaluate: VOC2012's test annotations are not public
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from os import PathLike
from pathlib import Path
from typing import NamedTuple

from minissd.datasets import coco, ilsvrc, own_folder, voc
from minissd.datasets.images import MAX_PIXELS
from minissd.datasets.picture_set import Contents, PictureSet, lists_together, prefixed
from minissd.datasets.voc_layout import inner_hint, is_voc
from minissd.errors import InputError


class Kind(NamedTuple):
    """A layout: its name, what it is known by, and how it is recognised and read."""

    name: str
    looked_for: str
    is_one: Callable[[Path], bool]
    contents: Callable[[Path, str | None, bool], Contents]


NO_SPLIT = "none"  # in place of a split: leaves the folder out

# The first that fits is taken.
KINDS = (
    Kind("PASCAL VOC", "JPEGImages, Annotations, ImageSets/Main", is_voc, voc.voc_contents),
    Kind("ILSVRC DET", ilsvrc.LOOKED_FOR, ilsvrc.is_ilsvrc, ilsvrc.ilsvrc_contents),
    Kind("COCO", coco.LOOKED_FOR, coco.is_coco, coco.coco_contents),
    Kind(
        "your own folder",
        own_folder.LOOKED_FOR,
        own_folder.is_own_folder,
        own_folder.own_folder_contents,
    ),
)


def open_dataset(
    data: str | PathLike[str],
    split: str | None = "trainval",
    classes: Sequence[str] | None = None,
    keep_empty: bool = True,
    *,
    class_names: Sequence[str] | None = None,
    crowds: bool = False,
    max_pixels: int = MAX_PIXELS,
) -> PictureSet:
    """Open a data set in any known layout, or several as one.

    Args:
        data: A folder in the layout of VOC, COCO or ILSVRC, or with pictures and VOC XML beside them; or several
            with commas between.
        split: A split, or one for each folder with commas between; None for everything there is.
        classes: The classes wanted, in label order; objects of others are left out. None for all.
        keep_empty: Keep pictures without (wanted) objects.
        class_names: Every class that the annotations may name, in label order; None for those the data set declares
            or that are found in it.
        crowds: Give regions marked as a crowd as difficult objects: for evaluation. Without it they are left out.
        max_pixels: Pictures larger than this are refused undecoded.

    Returns:
        The data set. Its `contents` tell the layout's own notes.

    Raises:
        InputError: Nothing known is there, the folders do not agree about the classes, or a file cannot be used.
    """
    parts = find_parts(data, split)
    if class_names is None and len(parts) > 1:
        class_names = _agreed(parts, classes)
    contents = join(str(data), split, parts)
    return PictureSet(contents, class_names, classes, keep_empty, max_pixels, crowds)


def open_with_classes(
    data: str | PathLike[str],
    split: str,
    class_names: Sequence[str],
    ignore_others: bool,
    crowds: bool = True,
) -> PictureSet:
    """Open a split with the classes, in label order, of a network that was trained on others.

    Args:
        data: As in `open_dataset`.
        split: As in `open_dataset`.
        class_names: The network's classes.
        ignore_others: Leave out objects of other classes, as a training on a few chosen classes does. Otherwise such
            an object is an error, told when its annotation is read.
        crowds: Give regions marked as a crowd, as difficult objects.

    Raises:
        InputError: The data set cannot be used.
    """
    contents = join(str(data), split, find_parts(data, split))
    if not ignore_others:
        return PictureSet(contents, class_names, crowds=crowds)
    found = PictureSet(contents).class_names
    known = tuple(dict.fromkeys([*class_names, *found]))
    return PictureSet(contents, known, class_names, crowds=crowds)


def find_contents(
    data: str | PathLike[str], split: str | None = None, lenient: bool = False
) -> Contents:
    """Find the pictures of a data set without reading annotations; as `find_parts`, joined to one."""
    return join(str(data), split, find_parts(data, split, lenient))


def find_parts(
    data: str | PathLike[str], split: str | None = None, lenient: bool = False
) -> list[Contents]:
    """Find the pictures of each folder that a data set names.

    Args:
        data: As in `open_dataset`.
        split: As in `open_dataset`.
        lenient: Put off errors about single pictures until their annotation is asked for.

    Raises:
        InputError: A folder is not there or in no known layout, or the split is not there.
    """
    parts = []
    for root, splits in parse_sources(data, split):
        kind = find_kind(root)
        lists = [kind.contents(root, name, lenient) for name in splits]
        parts.append(lists[0] if len(lists) == 1 else lists_together(lists, "+".join(splits)))
    return parts


def parse_sources(
    data: str | PathLike[str], split: str | None
) -> list[tuple[Path, tuple[str | None, ...]]]:
    """Take apart the names of folders and splits.

    Returns:
        Each folder with the splits wanted from it; a folder that is left out is not among them.

    Raises:
        InputError: A name is empty, or there are not as many splits as folders.
    """
    text = str(data)
    words = [text] if Path(text).exists() else text.split(",")
    roots = [Path(word.strip()) for word in words if word.strip()]
    if len(roots) != len(words):
        raise InputError(
            f"data {text!r}: expected folders with commas between, one of them is empty"
        )
    splits = [None] if split is None else [name.strip() for name in split.split(",")]
    if len(splits) == 1:
        splits = splits * len(roots)
    if len(splits) != len(roots):
        raise InputError(
            f"split {split!r}: expected one name for all or one for each of the {len(roots)} folders of"
            f" {text}, got {len(splits)}"
        )
    pairs = [
        (root, (None,) if name is None else tuple(part.strip() for part in name.split("+")))
        for root, name in zip(roots, splits)
        if name != NO_SPLIT
    ]
    if not pairs or any("" in names for _, names in pairs):
        raise InputError(f"split {split!r}: expected the name of a split, got an empty one")
    return pairs


def find_kind(root: Path) -> Kind:
    """Say which layout a folder is in.

    Raises:
        InputError: In none of the known ones; the message tells what was looked for.
    """
    if not root.exists():
        raise InputError(f"{root}: no such folder")
    if not root.is_dir() and root.suffix.lower() != ".json":
        raise InputError(f"{root}: not a folder, nor a COCO file (.json)")
    for kind in KINDS:
        if kind.is_one(root):
            return kind
    looked_for = "; ".join(f"{kind.name} ({kind.looked_for})" for kind in KINDS)
    there = sorted(path.name + "/" * path.is_dir() for path in root.iterdir())
    shown = ", ".join(there[:8]) + (", ..." if len(there) > 8 else "")
    raise InputError(
        f"{root}: no data set found; looked for {looked_for};"
        f" there is {shown or 'nothing'}{inner_hint(root)}"
    )


def join(name: str, split: str | None, parts: Sequence[Contents]) -> Contents:
    """Put several data sets together.

    Where a name of a picture occurs in two of them, all names get their folder's name put before them.

    Raises:
        InputError: A picture is given twice.
    """
    if len(parts) == 1:
        return parts[0]
    files = Counter(entry.image.resolve() for part in parts for entry in part.entries)
    twice = next((path for path, count in files.items() if count > 1), None)
    if twice is not None:
        raise InputError(f"{name}: {twice} is given twice")
    ids = Counter(entry.image_id for part in parts for entry in part.entries)
    entries = [part.entries for part in parts]
    if max(ids.values()) > 1:
        entries = [prefixed(part.entries, p) for part, p in zip(parts, _prefixes(parts))]
    declared = {(part.class_names, part.category_ids) for part in parts}
    class_names, category_ids = declared.pop() if len(declared) == 1 else (None, None)
    return Contents(
        name,
        split,
        tuple(entry for part in entries for entry in part),
        class_names,
        tuple(note for part in parts for note in part.notes),
        category_ids,
    )


def _prefixes(parts: Sequence[Contents]) -> list[str]:
    """A short name of each data set: its folder's, numbered where two are alike."""
    names = [Path(part.name).stem or "data" for part in parts]
    return [
        f"{name}-{names[: k + 1].count(name)}" if names.count(name) > 1 else name
        for k, name in enumerate(names)
    ]


def _agreed(parts: Sequence[Contents], classes: Sequence[str] | None) -> tuple[str, ...]:
    """The classes that all parts know; with a choice of classes, each part must know these.

    Raises:
        InputError: A part lacks a class that another has; the message names both.
    """
    found = [PictureSet(part).class_names for part in parts]
    known = tuple(dict.fromkeys(name for names in found for name in names))
    wanted = known if classes is None else tuple(classes)
    for part, names in zip(parts, found):
        missing = [name for name in wanted if name not in names and name in known]
        if missing:
            advice = "; choose some that all have with --classes" if classes is None else ""
            raise InputError(
                f"{part.name}: has no class {', '.join(missing)}, which another of these data sets has"
                f" (its classes are {', '.join(names)}){advice}"
            )
    same_order = all(names == found[0] for names in found)
    return known if same_order else tuple(sorted(known))
