"""A part of a data set, of chosen classes and with few pictures, written in plain VOC layout."""

from __future__ import annotations

import json
import re
import shutil
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path

import numpy as np

from minissd.datasets.opening import open_dataset, open_with_classes
from minissd.datasets.picture_set import PictureSet
from minissd.datasets.split_by_name import split_by_name
from minissd.datasets.voc_xml import Annotation, format_annotation
from minissd.errors import InputError, check, check_positive_int
from minissd.files import check_free, folder_at_once

RECORD = "subset.json"  # says in the new folder where it came from


@dataclass(frozen=True)
class Chosen:
    """Pictures of one list of the subset.

    Attributes:
        pictures: The data set they are from.
        indices: Which of it, in order.
    """

    pictures: PictureSet
    indices: tuple[int, ...]


@dataclass(frozen=True)
class Subset:
    """What `write_subset` wrote.

    Attributes:
        root: The folder.
        counts: Pictures of each list by name.
        objects: Objects of each class, difficult ones included.
        pictures: Pictures with each class.
        left_out: Objects of other classes on these pictures, and regions that are crowds: not written.
    """

    root: Path
    counts: dict[str, int]
    objects: dict[str, int]
    pictures: dict[str, int]
    left_out: int


def write_subset(
    data: str | PathLike[str],
    out: str | PathLike[str],
    classes: Sequence[str] | None = None,
    images: int | None = None,
    seed: int = 0,
    split: str = "trainval",
    test_split: str | None = None,
    test_images: int | None = None,
    test_share: float = 0.2,
) -> Subset:
    """Choose pictures and write them in VOC layout: JPEGImages, Annotations, ImageSets/Main.

    Pictures are copied as they are. Read back, the boxes are the very same. Objects of other classes are left out, and
    regions that are crowds; difficult objects stay. The same data, seed and numbers choose the same pictures.

    Args:
        data: Any data set that `open_dataset` knows.
        out: The folder to make; it appears when it is complete.
        classes: The classes wanted; None for all.
        images: How many pictures to choose from `split`, as even over the classes as can be; None for all that show
            one of them.
        seed: Of the choice.
        split: Where to choose from; its pictures become trainval.
        test_split: Where to choose the pictures of test from; None: they are a share of those chosen from `split`.
        test_images: How many from `test_split`; None: in the same proportion as `test_share` says, or all where
            `images` is None.
        test_share: Share of test among all pictures, 0 to below 1; 0 for no test pictures.

    Raises:
        InputError: The data set cannot be used, a class is not in it, or the folder is not empty.
    """
    check(0 <= test_share < 1, "test_share", "a number from 0 to below 1", test_share)
    check_free(out, "the subset")
    source = open_dataset(data, split, classes)
    chosen = Chosen(source, choose_balanced(source, images, seed))
    if test_split is None:
        lists = _divide(chosen, test_share, seed)
    else:
        test_source = open_with_classes(data, test_split, source.class_names, True, crowds=False)
        if test_images is None and images is not None:
            test_images = max(1, round(images * test_share / (1 - test_share)))
        test = Chosen(test_source, choose_balanced(test_source, test_images, seed))
        lists = {"trainval": chosen, "test": test}
        _check_apart(lists)
    record = {
        "data": str(data),
        "split": split,
        "test_split": test_split,
        "classes": list(source.class_names),
        "seed": seed,
    }
    return _write(Path(out), lists, record)


def choose_balanced(source: PictureSet, images: int | None, seed: int) -> tuple[int, ...]:
    """Choose pictures so that every class is on about as many of them.

    The class that is on the fewest chosen pictures so far gets the next one, from a random order of its own; a picture
    counts for every class it shows. A class whose pictures are used up gets no more. Difficult objects alone do not
    make a picture eligible.

    Args:
        source: Where to choose from.
        images: How many; None for all that show a class.
        seed: Of the random order; it depends on the pictures' names, not on their order.

    Returns:
        Indices into `source`, rising.

    Raises:
        InputError: No picture shows any of the classes.
    """
    shown = [_shown(source, index) for index in range(len(source))]
    order = sorted(range(len(source)), key=lambda index: source.image_ids[index])
    order = [order[k] for k in np.random.default_rng(seed).permutation(len(order))]
    waiting = {c: [i for i in reversed(order) if c in shown[i]] for c in source.class_names}
    if not any(waiting.values()):
        names = ", ".join(source.class_names)
        raise InputError(f"{source.contents.name}: no picture has an object of {names}")
    counts = dict.fromkeys(source.class_names, 0)
    chosen: set[int] = set()
    limit = len(source) if images is None else check_positive_int(images, "images")
    while len(chosen) < limit and any(waiting.values()):
        name = min((c for c in counts if waiting[c]), key=counts.__getitem__)
        index = waiting[name].pop()
        if index not in chosen:
            chosen.add(index)
            for other in shown[index]:
                counts[other] += 1
    return tuple(sorted(chosen))


def _shown(source: PictureSet, index: int) -> frozenset[str]:
    """The classes of which a picture shows an object that is not difficult."""
    _, labels, difficult = source.truth(index)
    return frozenset(source.class_names[label - 1] for label in labels[~difficult])


def _divide(chosen: Chosen, test_share: float, seed: int) -> dict[str, Chosen]:
    """Divide the chosen pictures: trainval and test."""
    if test_share == 0:
        return {"trainval": chosen}
    if len(chosen.indices) < 2:
        raise InputError("one picture alone cannot be divided into trainval and test")
    ids = {chosen.pictures.image_ids[index]: index for index in chosen.indices}
    parts = split_by_name(list(ids), test_share, seed)
    return {
        name: Chosen(chosen.pictures, tuple(ids[i] for i in part))
        for name, part in zip(("trainval", "test"), parts)
    }


def _check_apart(lists: dict[str, Chosen]) -> None:
    """Raise an `InputError` if a picture is to be trained on and tested on."""
    first, second = (
        {chosen.pictures.image_path(i).resolve() for i in chosen.indices}
        for chosen in lists.values()
    )
    if first & second:
        raise InputError(
            f"{min(first & second)}: is in both splits; name two that have no picture in common"
        )


def _write(out: Path, lists: dict[str, Chosen], record: dict) -> Subset:
    classes = record["classes"]
    objects, pictures, left_out = Counter(), Counter(), 0
    names = _file_names(lists)
    with folder_at_once(out) as folder:
        for part in ("JPEGImages", "Annotations", "ImageSets/Main"):
            (folder / part).mkdir(parents=True)
        for part, chosen in lists.items():
            for index in chosen.indices:
                kept, n_objects = _write_picture(
                    folder, out.name, chosen, index, names[part, index]
                )
                objects.update(kept)
                pictures.update(set(kept))
                left_out += n_objects - len(kept)
            ids = [names[part, index] for index in chosen.indices]
            _write_text(folder / "ImageSets" / "Main" / f"{part}.txt", "\n".join([*ids, ""]))
        _write_text(folder / RECORD, json.dumps(record, indent=2) + "\n")
    counts = {part: len(chosen.indices) for part, chosen in lists.items()}
    in_order = ({name: counter[name] for name in classes} for counter in (objects, pictures))
    return Subset(out, counts, *in_order, left_out)


def _write_picture(
    folder: Path, folder_name: str, chosen: Chosen, index: int, name: str
) -> tuple[list[str], int]:
    """Copy a picture and write its annotation; return the class of each object written, and how many there were."""
    path = chosen.pictures.image_path(index)
    filename = f"{name}{path.suffix}"
    shutil.copyfile(path, folder / "JPEGImages" / filename)
    annotation = chosen.pictures.annotation(index)
    keep = kept_objects(annotation, chosen.pictures.class_names)
    text = annotation_text(annotation, keep, filename, folder_name)
    _write_text(folder / "Annotations" / f"{name}.xml", text)
    return [annotation.names[k] for k in keep], len(annotation.names)


def kept_objects(annotation: Annotation, classes: Sequence[str]) -> list[int]:
    """Which objects of an annotation are written: of the classes, no crowds, none thinner than float32 can say."""
    crowd = annotation.crowd if annotation.crowd is not None else [False] * len(annotation.names)
    has_area = (annotation.boxes[:, 2:] > annotation.boxes[:, :2]).all(axis=1)
    names = annotation.names
    return [k for k in range(len(names)) if names[k] in classes and not crowd[k] and has_area[k]]


def _write_text(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8", newline="\n")


def _file_names(lists: dict[str, Chosen]) -> dict[tuple[str, int], str]:
    """A file name without ending for each picture: its own where that is possible, numbered where two are alike."""
    names: dict[tuple[str, int], str] = {}
    taken: set[str] = set()
    for part, chosen in lists.items():
        by_id = chosen.pictures.contents.category_ids is None  # COCO's ids are bare numbers
        for index in chosen.indices:
            path = chosen.pictures.image_path(index)
            own = chosen.pictures.image_ids[index] if by_id else path.stem
            own = name = re.sub(r"[^\w.()-]+", "_", own)
            number = 2
            while name.casefold() in taken:
                name, number = f"{own}-{number}", number + 1
            taken.add(name.casefold())
            names[part, index] = name
    return names


def annotation_text(annotation: Annotation, keep: Sequence[int], filename: str, folder: str) -> str:
    """Write some objects of an annotation as VOC XML whose boxes, read back, are the very same.

    Args:
        annotation: What to write.
        keep: Indices of the objects to write.
        filename: Name of the picture file.
        folder: Name of the data set.
    """
    size = (annotation.width, annotation.height)
    objects = []
    for k in keep:
        pixels = tuple(
            _shortest(float(fraction), size[axis % 2], start=int(axis < 2))
            for axis, fraction in enumerate(annotation.boxes[k])
        )
        flags = {"truncated": annotation.truncated[k], "difficult": annotation.difficult[k]}
        objects.append((annotation.names[k], pixels, flags))
    return format_annotation(filename, *size, objects, folder=folder)


def _shortest(fraction: float, side: int, start: int) -> float:
    """The pixel number with the fewest decimals that reads back as this float32 fraction of a side."""
    pixel = fraction * side + start
    for digits in range(12):
        rounded = round(pixel, digits)
        if np.float32((rounded - 1 + (1 - start)) / side) == np.float32(fraction):
            return rounded
    return pixel
