"""What is in a data set and what is wrong with it, said before hours of training are spent on it.

Every file is read; a fault does not end the check, it becomes a line of the report.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from os import PathLike
from pathlib import Path

import numpy as np

from minissd.datasets.opening import find_contents, parse_sources
from minissd.datasets.picture_set import Entry, check_classes, read_annotated_image
from minissd.datasets.report_text import render
from minissd.datasets.sample import Sample
from minissd.datasets.voc_layout import (
    IMAGE_ENDINGS,
    find_annotation,
    is_voc,
    list_splits,
    read_split,
)
from minissd.datasets.voc_xml import Annotation
from minissd.errors import InputError

N_PICKED = 9


@dataclass
class ClassCount:
    """How often a class occurs: objects in all, of them difficult, of them truncated, and pictures with it."""

    objects: int = 0
    difficult: int = 0
    truncated: int = 0
    images: int = 0


@dataclass
class DatasetReport:
    """What `check_dataset` found.

    Attributes:
        root: The data set as it was named.
        split: Name of the split; None for every annotation there is.
        n_images: Pictures listed.
        classes: Counts by class name; classes given but never seen count 0.
        image_sizes: Shape (n, 2): width and height in pixels of the n pictures without a fault.
        object_sizes: Shape (M,): root of each box's share of its picture's area.
        objects_per_image: Shape (n,): objects on each picture without a fault.
        repairs: Boxes set right or left out, one line each with the file's name.
        problems: What keeps a picture from being used, one line each with the file's name.
        notes: What may be meant or not.
        picked: Ids of up to nine pictures that show every class, as far as nine can.
        entries: Where each picture and its annotation are, by id.
    """

    root: str
    split: str | None
    n_images: int = 0
    classes: dict[str, ClassCount] = field(default_factory=dict)
    image_sizes: np.ndarray = field(default_factory=lambda: np.zeros((0, 2), np.int64))
    object_sizes: np.ndarray = field(default_factory=lambda: np.zeros(0))
    objects_per_image: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int64))
    repairs: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    picked: list[str] = field(default_factory=list)
    entries: dict[str, Entry] = field(default_factory=dict)

    @property
    def is_sound(self) -> bool:
        """Whether every picture can be used; repairs do not count against it."""
        return not self.problems

    @property
    def class_names(self) -> tuple[str, ...]:
        """The classes in the order of the report."""
        return tuple(self.classes)

    def samples(self) -> list[Sample]:
        """Read the picked pictures; their labels count `class_names` from 1."""
        found = []
        for image_id in self.picked:
            annotation = self.entries[image_id].read()
            image = read_annotated_image(self.entries[image_id].image, annotation)
            labels = [self.class_names.index(name) + 1 for name in annotation.names]
            labels = np.array(labels, np.int64)
            found.append(Sample(image, annotation.boxes, labels, annotation.difficult, image_id))
        return found

    def text(self, most: int = 20) -> str:
        """The report as plain text.

        Args:
            most: How many repairs, problems and notes of each kind to name; the rest is counted.
        """
        return render(self, most)


@dataclass(frozen=True)
class _Checked:
    """One picture after the check: its annotation, or what is wrong with it."""

    image_id: str
    annotation: Annotation | None
    problem: str | None


def check_dataset(
    root: str | PathLike[str],
    split: str | None = None,
    class_names: Sequence[str] | None = None,
    workers: int | None = None,
) -> DatasetReport:
    """Read every picture and annotation of a data set and report what is there and what is wrong.

    Args:
        root: The data set, in any layout that `open_dataset` knows.
        split: A split, as in `open_dataset`; None for every annotation there is, and then the lists of a folder in
            VOC layout are checked as well.
        class_names: The classes that may occur: any other is a problem. None for any.
        workers: Threads; None for one a CPU core.

    Raises:
        InputError: There is no data set, or the split does not exist or is empty.
    """
    contents = find_contents(root, split, lenient=True)
    known = contents.class_names if class_names is None else tuple(class_names)
    with ThreadPoolExecutor(workers or os.cpu_count()) as pool:
        checked = list(pool.map(lambda entry: _check_one(entry, known), contents.entries))
    report = DatasetReport(str(root), split, n_images=len(checked))
    report.entries = {entry.image_id: entry for entry in contents.entries}
    report.problems = [c.problem for c in checked if c.problem]
    good = {c.image_id: c.annotation for c in checked if not c.problem}
    report.repairs = _name_files(c.annotation for c in checked if c.annotation)
    _count(report, good.values(), known)
    report.picked = _pick(good)
    report.notes = [*contents.notes, *_never(report), *_crowds(good), *_duplicates(good)]
    if split is None:
        for folder, _ in parse_sources(root, split):
            if is_voc(folder):
                report.problems += _check_lists(folder)
                report.notes += _unannotated(folder)
    return report


def _never(report: DatasetReport) -> list[str]:
    """Notes on the classes that there should be and are not; counted where there are many."""
    names = [name for name, count in report.classes.items() if not count.objects]
    if len(names) > 10:
        return [f"{len(names)} classes never occur: {', '.join(names[:5])}, ..."]
    return [f"class {name} never occurs" for name in names]


def _check_one(entry: Entry, known: tuple[str, ...] | None) -> _Checked:
    annotation = None
    try:
        annotation = entry.read()
        read_annotated_image(entry.image, annotation)
        if known is not None:
            check_classes(annotation, known)
    except InputError as error:
        return _Checked(entry.image_id, annotation, str(error))
    return _Checked(entry.image_id, annotation, None)


def _name_files(annotations: Iterable[Annotation]) -> list[str]:
    return [f"{a.path.name}: {repair}" for a in annotations for repair in a.repairs]


def _count(
    report: DatasetReport, annotations: Iterable[Annotation], known: tuple[str, ...] | None
) -> None:
    """Fill in what is counted and measured."""
    annotations = list(annotations)
    found = sorted({name for a in annotations for name in a.names})
    report.classes = {name: ClassCount() for name in (found if known is None else known)}
    for a in annotations:
        for name, difficult, truncated in zip(a.names, a.difficult, a.truncated):
            count = report.classes[name]
            count.objects += 1
            count.difficult += int(difficult)
            count.truncated += int(truncated)
        for name in set(a.names):
            report.classes[name].images += 1
    sizes = [(a.width, a.height) for a in annotations]
    report.image_sizes = np.array(sizes, np.int64).reshape(-1, 2)
    report.objects_per_image = np.array([len(a.names) for a in annotations], np.int64)
    if annotations:
        boxes = np.concatenate([a.boxes for a in annotations])
        report.object_sizes = np.sqrt(np.prod(boxes[:, 2:] - boxes[:, :2], axis=1))


def _pick(good: dict[str, Annotation]) -> list[str]:
    """Choose pictures: first one for each class, the rarest class first, then some from all over the list."""
    images = Counter(name for a in good.values() for name in set(a.names))
    picked: list[str] = []
    shown: set[str] = set()
    for name in sorted(images, key=lambda name: (images[name], name)):
        if name not in shown and len(picked) < N_PICKED:
            image_id = next(i for i, a in good.items() if name in a.names and i not in picked)
            picked.append(image_id)
            shown.update(good[image_id].names)
    rest = [i for i, a in good.items() if a.names and i not in picked]
    n_more = min(N_PICKED - len(picked), len(rest))
    return picked + [rest[len(rest) * k // n_more] for k in range(n_more)]


def _crowds(good: dict[str, Annotation]) -> list[str]:
    count = sum(int(a.crowd.sum()) for a in good.values() if a.crowd is not None)
    return [f"{count:,} regions are crowds: not trained on, not evaluated"] if count else []


def _duplicates(good: dict[str, Annotation]) -> list[str]:
    notes = []
    for image_id, a in good.items():
        seen = Counter((name, *box) for name, box in zip(a.names, a.boxes.tolist()))
        where = a.path.name if a.path.suffix == ".xml" else f"{a.path.name}: image {image_id}"
        notes += [
            f"{where}: {n} objects of class {name} have the same box"
            for (name, *_), n in seen.items()
            if n > 1
        ]
    return notes


def _check_lists(root: Path) -> list[str]:
    """Names in the lists of ImageSets/Main that no annotation answers to."""
    problems: dict[str, None] = {}  # in order, each once: VOC repeats every list for every class
    for split in list_splits(root):
        try:
            listed = read_split(root, split)
        except InputError as error:
            problems[str(error)] = None
            continue
        for image_id in listed:
            if find_annotation(root, image_id) is None:
                path = root / "Annotations" / f"{image_id}.xml"
                problems[f"{path}: no such annotation, but split {split} names it"] = None
    return list(problems)


def _unannotated(root: Path) -> list[str]:
    pictures = (p for p in (root / "JPEGImages").iterdir() if p.suffix in IMAGE_ENDINGS)
    bare = sorted(p.name for p in pictures if find_annotation(root, p.stem) is None)
    return [f"{name}: a picture without annotation; it is not used" for name in bare]
