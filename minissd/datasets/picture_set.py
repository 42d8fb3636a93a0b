"""PictureSet: the one face of every data set of pictures with boxes, wherever they come from.

A layout on disk (VOC, COCO, ILSVRC, a plain folder) is read once into `Contents`: which pictures there are, and how
the annotation of each is read. The rest is the same for all: classes become labels, annotations are read when first
asked for and kept, pictures are read every time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cache, partial
from pathlib import Path
from typing import NoReturn

import numpy as np

from minissd.datasets.images import MAX_PIXELS, read_oriented
from minissd.datasets.sample import Sample
from minissd.datasets.voc_xml import Annotation
from minissd.errors import InputError, check


@dataclass(frozen=True)
class Entry:
    """One picture: its name within the data set, its file, and a function that reads its annotation, once."""

    image_id: str
    image: Path
    read: Callable[[], Annotation]


@dataclass(frozen=True)
class Contents:
    """What a layout on disk holds.

    Attributes:
        name: The data set as its user named it, for messages.
        split: Which part of it; None for all.
        entries: Its pictures, in order; each name once.
        class_names: The classes that the data set itself declares, in label order; None: those in its annotations.
        notes: What its user should know, one line each.
        category_ids: The numbers that result files use for `class_names` (COCO); None: there are none.
    """

    name: str
    split: str | None
    entries: tuple[Entry, ...]
    class_names: tuple[str, ...] | None = None
    notes: tuple[str, ...] = ()
    category_ids: tuple[int, ...] | None = None


class PictureSet:
    """Pictures with boxes, of any layout.

    Safe to use from several threads at once.

    Args:
        contents: What there is.
        class_names: Every class that the annotations may name; label 1 is the first. None for those that the data set
            declares, or else those found in it, sorted: give the training set's names to the test set, lest it find
            others.
        classes: The classes wanted, a part of `class_names`: labels then count these from 1, and objects of the
            others are left out. None for all.
        keep_empty: Keep pictures without (wanted) objects; they teach what is background.
        max_pixels: Pictures larger than this are refused undecoded.
        crowds: Give regions that the annotation marks as a crowd as difficult objects, as an evaluation needs them.
            Without it they are left out, for nothing can be learnt from one box around many objects.

    Attributes:
        image_ids: Name of each picture.
        class_names: The classes, label 1 first.

    Raises:
        InputError: A class is unknown, nothing is left, or an annotation cannot be used.
    """

    def __init__(
        self,
        contents: Contents,
        class_names: Sequence[str] | None = None,
        classes: Sequence[str] | None = None,
        keep_empty: bool = True,
        max_pixels: int = MAX_PIXELS,
        crowds: bool = False,
    ) -> None:
        self.contents = contents
        self.split = contents.split
        self._max_pixels = max_pixels
        self._crowds = crowds
        self._entries = list(contents.entries)
        known = contents.class_names if class_names is None else class_names
        self._known = self._find_classes() if known is None else _names(known)
        self.class_names = self._known if classes is None else _names(classes)
        for name in self.class_names:
            if name not in self._known:
                raise InputError(
                    f"{contents.name}: no class {name!r}; the classes are {', '.join(self._known)}"
                )
        self._labels = {name: label for label, name in enumerate(self.class_names, start=1)}
        if not keep_empty:
            self._drop_empty()
        self.image_ids = tuple(entry.image_id for entry in self._entries)

    @property
    def n_object_classes(self) -> int:
        """How many classes there are, without background."""
        return len(self.class_names)

    def __len__(self) -> int:
        """How many pictures there are."""
        return len(self._entries)

    def annotation(self, index: int) -> Annotation:
        """Return what the annotation of a picture says, objects of every class, crowds too.

        Raises:
            InputError: It cannot be understood or names an unknown class.
        """
        annotation = self._read(index)
        check_classes(annotation, self._known)
        return annotation

    def annotations(self) -> list[Annotation]:
        """Return all annotations: reading them before training starts finds every fault in them."""
        return [self.annotation(i) for i in range(len(self))]

    def truth(self, index: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return boxes (M, 4), labels (M,) and difficult (M,) of a picture without reading the picture."""
        annotation, labels, wanted = self._wanted(index)
        difficult = annotation.difficult[wanted]
        if annotation.crowd is not None:
            difficult = difficult | annotation.crowd[wanted]
        return annotation.boxes[wanted], labels[wanted], difficult

    def __getitem__(self, index: int) -> Sample:
        """Read a picture and its objects.

        Raises:
            InputError: The picture cannot be read, or its size contradicts the annotation.
        """
        boxes, labels, difficult = self.truth(index)
        annotation, _, wanted = self._wanted(index)
        image = read_annotated_image(self.image_path(index), annotation, self._max_pixels)
        sample = Sample(image, boxes, labels, difficult, self._entries[index].image_id)
        if not self._crowds:
            return sample
        extras = {"crowd": annotation.crowd, "area": annotation.area}
        return sample.replace(**{k: v[wanted] for k, v in extras.items() if v is not None})

    def image_path(self, index: int) -> Path:
        """Return the file of a picture."""
        return self._entries[index].image

    def _wanted(self, index: int) -> tuple[Annotation, np.ndarray, np.ndarray]:
        """The annotation, the label of each of its objects (0: of no wanted class), and which of them are given."""
        annotation = self.annotation(index)
        labels = np.array([self._labels.get(name, 0) for name in annotation.names], np.int64)
        wanted = labels > 0
        if annotation.crowd is not None and not self._crowds:
            wanted &= ~annotation.crowd
        return annotation, labels, wanted

    def _read(self, index: int) -> Annotation:
        return self._entries[index].read()

    def _find_classes(self) -> tuple[str, ...]:
        found = {name for i in range(len(self)) for name in self._read(i).names}
        if not found:
            raise InputError(
                f"{self.contents.name}: not one object in the annotations of split {self.split}"
            )
        return tuple(sorted(found))

    def _drop_empty(self) -> None:
        keep = [i for i in range(len(self)) if len(self.truth(i)[1])]
        if not keep:
            raise InputError(
                f"{self.contents.name}: no picture of split {self.split} has an object of"
                f" {', '.join(self.class_names)}"
            )
        self._entries = [self._entries[i] for i in keep]


def gather(
    ids: Iterable[str], locate: Callable[[str], Entry], lenient: bool = False
) -> tuple[Entry, ...]:
    """Make the entry of each picture.

    Its annotation is kept once it is read. (Two threads may read the same one; both get equal ones.)

    Args:
        ids: Names of the pictures.
        locate: Finds the files of one; raises an `InputError` where one is missing.
        lenient: Put off such an error until that picture's annotation is read: a report names every fault.
    """

    def entry(image_id: str) -> Entry:
        try:
            found = locate(image_id)
            return replace(found, read=cache(found.read))
        except InputError as error:
            if not lenient:
                raise
            missing = Path(str(error).split(": ")[0])  # messages begin with the file
            return Entry(image_id, missing, partial(_fail, str(error)))

    return tuple(entry(image_id) for image_id in ids)


def lists_together(lists: Sequence[Contents], split: str | None) -> Contents:
    """Take several lists of one folder together: each picture once.

    Where two pictures have one name (two COCO files count from 1), all get the name of their list put before them.

    Args:
        lists: With the same classes.
        split: What to call them together.
    """
    chosen: dict[Path, tuple[str, Entry]] = {}
    for part in lists:
        for entry in part.entries:
            chosen.setdefault(entry.image, (str(part.split), entry))
    entries = [entry for _, entry in chosen.values()]
    if len({entry.image_id for entry in entries}) < len(entries):
        entries = [prefixed([entry], name)[0] for name, entry in chosen.values()]
    notes = tuple(dict.fromkeys(note for part in lists for note in part.notes))
    return replace(lists[0], split=split, entries=tuple(entries), notes=notes)


def prefixed(entries: Sequence[Entry], prefix: str) -> tuple[Entry, ...]:
    """Put a word and a slash before the names of pictures."""
    return tuple(replace(entry, image_id=f"{prefix}/{entry.image_id}") for entry in entries)


def _fail(message: str) -> NoReturn:
    raise InputError(message)


def check_classes(annotation: Annotation, known: Sequence[str]) -> None:
    """Raise an `InputError` if an annotation names a class that is not among the known ones."""
    for name in annotation.names:
        if name not in known:
            raise InputError(
                f"{annotation.path}: unknown class {name!r}; the classes are {', '.join(known)}"
            )


def read_annotated_image(
    path: Path, annotation: Annotation, max_pixels: int = MAX_PIXELS
) -> np.ndarray:
    """Read the picture of an annotation and hold the two sizes against each other.

    A picture that its EXIF tag turns by a quarter is read upright; where the annotation was made on the picture
    as it lies in the file, its boxes fit neither, and it is refused. (A half turn leaves the size as it is: such a
    contradiction cannot be seen.)

    Returns:
        Shape (H, W, 3), uint8, RGB.

    Raises:
        InputError: The picture cannot be read, or the sizes differ; the message names both.
    """
    image, orientation = read_oriented(path, max_pixels)
    height, width = image.shape[:2]
    stated = (annotation.width, annotation.height)
    if (width, height) == stated:
        return image
    note = ""
    if orientation >= 5 and (height, width) == stated:
        note = (
            f" after the quarter turn of its EXIF tag (orientation {orientation});"
            " the boxes were drawn on the picture before that turn"
        )
    raise InputError(
        f"{path}: is {width} x {height} pixels{note}, but {annotation.path.name}"
        f" says {stated[0]} x {stated[1]}"
    )


def _names(names: Sequence[str]) -> tuple[str, ...]:
    """Class names as a tuple, checked."""
    check(not isinstance(names, str), "class names", "a sequence of names, not one text", names)
    names = tuple(names)
    check(len(names) > 0, "class names", "at least one", names)
    check(len(set(names)) == len(names), "class names", "each name once", names)
    check(
        "background" not in names, "class names", "objects only; background is added inside", names
    )
    return names
