"""The `shapes` data set: pictures that the project draws itself, in VOC's layout on disk.

Six classes told apart by form alone, on textured backgrounds, from small to large, partly hidden, in changing light.
The same parameters give the same files on the same library versions, whatever the number of workers.
"""

from __future__ import annotations

import json
import os
import time
from os import PathLike
from pathlib import Path
from typing import Any, NamedTuple

from minissd.datasets.shapes_forms import SHAPE_CLASSES
from minissd.datasets.shapes_scene import draw_scene
from minissd.datasets.shapes_writing import N_TEST, N_TRAINVAL, ShapesParameters, write_pictures
from minissd.errors import InputError
from minissd.files import folder_at_once

__all__ = ["SHAPE_CLASSES", "ShapesParameters", "Written", "draw_scene", "write_shapes"]

RECORD = "shapes.json"  # lies in a finished data set and holds its parameters


class Written(NamedTuple):
    """What `write_shapes` did: the folder, how many pictures, in how many seconds, or that it was there already."""

    root: Path
    n_images: int
    seconds: float
    reused: bool

    @property
    def images_per_second(self) -> float:
        """Pictures drawn and written a second; 0 where a finished data set was reused."""
        return 0.0 if self.reused else self.n_images / max(self.seconds, 1e-9)


def write_shapes(
    root: str | PathLike[str],
    n_trainval: int = N_TRAINVAL,
    n_test: int = N_TEST,
    seed: int = 0,
    longest_side: int = 256,
    scale: tuple[float, float] = (0.08, 0.8),
    workers: int | None = None,
) -> Written:
    """Write the data set, or find that it is there already.

    The folder appears all at once: it is made beside its place under a hidden name and renamed when whole. A shapes
    data set with other parameters is replaced in the same way; any other folder with something in it is refused.

    Args:
        root: Where to; parent folders are made.
        n_trainval: Pictures to train with, split nine to one into train and val.
        n_test: Pictures to test with.
        seed: Chooses the pictures.
        longest_side: Of every picture, in pixels.
        scale: Least and greatest size of an object, as in `draw_scene`.
        workers: Processes; None for one a CPU core. The files do not depend on it.

    Raises:
        InputError: The place is taken by something else, or cannot be written.
    """
    root = Path(root)
    parameters = ShapesParameters(n_trainval, n_test, seed, longest_side, tuple(scale))
    n_images = n_trainval + n_test
    if is_finished(root, parameters):
        return Written(root, n_images, 0.0, reused=True)
    _check_place(root)
    start = time.perf_counter()
    with folder_at_once(root) as folder:
        _write_all(folder, parameters, workers or os.cpu_count() or 1)
    return Written(root, n_images, time.perf_counter() - start, reused=False)


def is_finished(root: str | PathLike[str], parameters: ShapesParameters) -> bool:
    """Whether a folder holds the shapes data set of exactly these parameters."""
    return _read_record(Path(root)) == parameters.record()


def _read_record(root: Path) -> dict[str, Any] | None:
    """The parameters of the shapes data set in a folder; None where there is none."""
    try:
        record = json.loads((root / RECORD).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    ours = isinstance(record, dict) and record.get("data_set") == "minissd shapes"
    return record if ours else None


def _check_place(root: Path) -> None:
    for path in (root, *root.parents):
        if path.exists() and not path.is_dir():
            raise InputError(f"{path}: is a file, expected a folder for the data set")
    if root.is_dir() and any(root.iterdir()) and _read_record(root) is None:
        raise InputError(f"{root}: holds something other than a shapes data set; not overwritten")


def _write_all(folder: Path, parameters: ShapesParameters, workers: int) -> None:
    for name in ("JPEGImages", "Annotations", "ImageSets/Main"):
        (folder / name).mkdir(parents=True)
    names = write_pictures(folder, parameters, workers)
    _write_lists(folder, parameters, names)
    record = json.dumps(parameters.record(), indent=2) + "\n"
    (folder / RECORD).write_text(record, encoding="utf-8", newline="\n")


def _write_lists(folder: Path, parameters: ShapesParameters, names: list[frozenset[str]]) -> None:
    """Write the lists of pictures, and for every class the lists with 1 where a picture has it and -1 where not."""
    n_trainval = parameters.n_trainval
    n_train = n_trainval - max(1, n_trainval // 10)
    parts = {
        "trainval": range(n_trainval),
        "train": range(n_train),
        "val": range(n_train, n_trainval),
        "test": range(n_trainval, len(names)),
    }
    for part, indices in parts.items():
        ids = [f"{i + 1:06d}" for i in indices]
        _write_list(folder, part, ids)
        for name in SHAPE_CLASSES:
            flags = ["1" if name in names[i] else "-1" for i in indices]
            _write_list(folder, f"{name}_{part}", [f"{a} {b:>2}" for a, b in zip(ids, flags)])


def _write_list(folder: Path, name: str, lines: list[str]) -> None:
    path = folder / "ImageSets" / "Main" / f"{name}.txt"
    path.write_text("\n".join([*lines, ""]), encoding="utf-8", newline="\n")
