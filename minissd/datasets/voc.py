"""Pictures with boxes in PASCAL VOC's layout: three folders, JPEGImages, Annotations and ImageSets/Main.

This is the layout for one's own photographs too.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from os import PathLike
from pathlib import Path

from minissd.datasets.images import MAX_PIXELS
from minissd.datasets.picture_set import Contents, Entry, PictureSet, gather
from minissd.datasets.voc_layout import find_files, read_split
from minissd.datasets.voc_xml import read_annotation
from minissd.errors import check

VOC_CLASSES = (
    "aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow", "diningtable", "dog",
    "horse", "motorbike", "person", "pottedplant", "sheep", "sofa", "train", "tvmonitor",
)  # fmt: skip

# How many pictures the official lists name; from the pages of the two challenges.
VOC_COUNTS = {
    "VOC2007": {"train": 2501, "val": 2510, "trainval": 5011, "test": 4952},
    "VOC2012": {"train": 5717, "val": 5823, "trainval": 11540},
}


class VocDataset(PictureSet):
    """The pictures of one split in VOC layout, in the order of its list.

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
        contents = voc_contents(self.root, split, first_pixel=first_pixel)
        super().__init__(contents, class_names, classes, keep_empty, max_pixels)


def voc_contents(
    root: Path, split: str | None, lenient: bool = False, first_pixel: int = 1
) -> Contents:
    """Find the pictures of a split in VOC layout.

    Args:
        root: The folder that holds JPEGImages, Annotations and ImageSets/Main.
        split: Name of a list in ImageSets/Main; None for every annotation there is.
        lenient: Put off the error about a missing file until its picture is asked for.
        first_pixel: Number of the first pixel in the annotations.

    Raises:
        InputError: There is no such layout or split, or the list cannot be understood.
    """

    def locate(image_id: str) -> Entry:
        image, annotation = find_files(root, image_id, split)
        return Entry(image_id, image, partial(read_annotation, annotation, first_pixel))

    entries = gather(read_split(root, split), locate, lenient)
    return Contents(str(root), split, entries, notes=_official(root, split, len(entries)))


def _official(root: Path, split: str | None, count: int) -> tuple[str, ...]:
    """What to say where a list of a VOC year is not as long as the official one."""
    official = VOC_COUNTS.get(root.name, {}).get(split)
    if official in (None, count):
        return ()
    path = root / "ImageSets" / "Main" / f"{split}.txt"
    return (f"{path}: lists {count:,} pictures, the official one {official:,}",)
