"""Pictures with boxes in PASCAL VOC's layout: three folders, JPEGImages, Annotations and ImageSets/Main.

This is the layout for one's own photographs too. Files are looked for at the start, annotations are read when first
asked for and kept, pictures are read every time.
"""

from __future__ import annotations

from collections.abc import Sequence
from os import PathLike
from pathlib import Path

import numpy as np

from minissd.datasets.images import MAX_PIXELS, read_oriented
from minissd.datasets.sample import Sample
from minissd.datasets.voc_layout import find_files, read_split
from minissd.datasets.voc_xml import Annotation, read_annotation
from minissd.errors import InputError, check

VOC_CLASSES = (
    "aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow", "diningtable", "dog",
    "horse", "motorbike", "person", "pottedplant", "sheep", "sofa", "train", "tvmonitor",
)  # fmt: skip


class VocDataset:
    """The pictures of one split, in the order of its list.

    Safe to use from several threads at once.

    Args:
        root: The folder that holds JPEGImages, Annotations and ImageSets/Main.
        split: Name of a list in ImageSets/Main: trainval, test, ...; None for every annotation there is.
        class_names: Every class that the annotations may name; label 1 is the first. None for those found in this
            split, sorted: give the training set's names to the test set, lest it find others.
        classes: The classes wanted, a part of `class_names`: labels then count these from 1, and objects of the
            others are left out. None for all.
        keep_empty: Keep pictures without (wanted) objects; they teach what is background.
        first_pixel: Number of the first pixel in the annotations: 1 in VOC, 0 in some other tools.
        max_pixels: Pictures larger than this are refused undecoded.

    Raises:
        InputError: The folder, the split or an annotation cannot be used; the message names file and fault.
    """

    def __init__(
        self,
        root: str | PathLike[str],
        split: str | None = "trainval",
        class_names: Sequence[str] | None = None,
        classes: Sequence[str] | None = None,
        keep_empty: bool = True,
        first_pixel: int = 1,
        max_pixels: int = MAX_PIXELS,
    ) -> None:
        check(first_pixel in (0, 1), "first_pixel", "0 or 1", first_pixel)
        self.root = Path(root)
        self.split = split
        self._first_pixel = first_pixel
        self._max_pixels = max_pixels
        ids = read_split(self.root, split)
        self._files = [find_files(self.root, image_id, split) for image_id in ids]
        self.image_ids = tuple(ids)
        # Two threads may read the same annotation; both get equal ones, and either may be kept.
        self._annotations: list[Annotation | None] = [None] * len(ids)
        self._known = self._find_classes() if class_names is None else _names(class_names)
        self.class_names = self._known if classes is None else _names(classes)
        for name in self.class_names:
            if name not in self._known:
                raise InputError(
                    f"{self.root}: no class {name!r}; the classes are {', '.join(self._known)}"
                )
        self._labels = {name: label for label, name in enumerate(self.class_names, start=1)}
        if not keep_empty:
            self._drop_empty()

    @property
    def n_object_classes(self) -> int:
        """How many classes there are, without background."""
        return len(self.class_names)

    def __len__(self) -> int:
        """How many pictures there are."""
        return len(self.image_ids)

    def annotation(self, index: int) -> Annotation:
        """Return what the annotation file of a picture says, objects of every class.

        Raises:
            InputError: The file cannot be understood or names an unknown class.
        """
        annotation = self._read(index)
        for name in annotation.names:
            if name not in self._known:
                raise InputError(
                    f"{annotation.path}: unknown class {name!r}; the classes are {', '.join(self._known)}"
                )
        return annotation

    def annotations(self) -> list[Annotation]:
        """Return all annotations: reading them before training starts finds every fault in them."""
        return [self.annotation(i) for i in range(len(self))]

    def truth(self, index: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return boxes (M, 4), labels (M,) and difficult (M,) of a picture without reading the picture."""
        annotation = self.annotation(index)
        labels = np.array([self._labels.get(name, 0) for name in annotation.names], np.int64)
        wanted = labels > 0
        return annotation.boxes[wanted], labels[wanted], annotation.difficult[wanted]

    def __getitem__(self, index: int) -> Sample:
        """Read a picture and its objects.

        Raises:
            InputError: The picture cannot be read, or its size contradicts the annotation.
        """
        boxes, labels, difficult = self.truth(index)
        image = read_annotated_image(self.image_path(index), self._read(index), self._max_pixels)
        return Sample(image, boxes, labels, difficult, self.image_ids[index])

    def image_path(self, index: int) -> Path:
        """Return the file of a picture."""
        return self._files[index][0]

    def _read(self, index: int) -> Annotation:
        annotation = self._annotations[index]
        if annotation is None:
            annotation = read_annotation(self._files[index][1], self._first_pixel)
            self._annotations[index] = annotation
        return annotation

    def _find_classes(self) -> tuple[str, ...]:
        found = {name for i in range(len(self)) for name in self._read(i).names}
        if not found:
            raise InputError(
                f"{self.root}: not one object in the annotations of split {self.split}"
            )
        return tuple(sorted(found))

    def _drop_empty(self) -> None:
        keep = [i for i in range(len(self)) if len(self.truth(i)[1])]
        if not keep:
            raise InputError(
                f"{self.root}: no picture of split {self.split} has an object of {', '.join(self.class_names)}"
            )
        self._files = [self._files[i] for i in keep]
        self._annotations = [self._annotations[i] for i in keep]
        self.image_ids = tuple(self.image_ids[i] for i in keep)


def open_with_classes(
    root: str | PathLike[str], split: str, class_names: Sequence[str], ignore_others: bool
) -> VocDataset:
    """Open a split with the classes, in label order, of a network that was trained on others.

    Args:
        root: The folder in VOC layout.
        split: Name of a list in ImageSets/Main.
        class_names: The network's classes.
        ignore_others: Leave out objects of other classes, as a training on a few chosen classes does. Otherwise such
            an object is an error, told when its annotation is read.

    Raises:
        InputError: The folder, the split or an annotation cannot be used.
    """
    if not ignore_others:
        return VocDataset(root, split, class_names)
    found = VocDataset(root, split).class_names
    return VocDataset(root, split, tuple(dict.fromkeys([*class_names, *found])), class_names)


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
