"""Drawing and writing the pictures of a `shapes` data set, by several processes where there are many.

Drawing is many small steps, which threads of one Python process would take in turns. The processes are started as
plain commands, so that a notebook or a script without a main guard can ask for a data set too.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

import minissd
from minissd.datasets.shapes_scene import Scene, SceneObject, compose
from minissd.datasets.voc_xml import format_annotation
from minissd.errors import check_positive_int

N_TRAINVAL, N_TEST = 5000, 400  # pictures, where no number is given
_VERSION = 1  # to be raised when the same seed no longer gives the same pictures
_FEW = 250  # up to so many pictures are drawn sooner than processes are started
# Width to height of the pictures, as cameras have it.
_ASPECTS = (4 / 3, 3 / 4, 3 / 2, 2 / 3, 1.0, 16 / 10)


@dataclass(frozen=True)
class ShapesParameters:
    """What a `shapes` data set was made with.

    Attributes:
        n_trainval: Pictures to train with, split nine to one into train and val.
        n_test: Pictures to test with.
        seed: Chooses the pictures.
        longest_side: Of every picture, in pixels; the other side varies.
        scale: Least and greatest size of an object: root of its box's share of the picture's area.
    """

    n_trainval: int = N_TRAINVAL
    n_test: int = N_TEST
    seed: int = 0
    longest_side: int = 256
    scale: tuple[float, float] = (0.08, 0.8)

    def __post_init__(self) -> None:
        """Check the numbers."""
        check_positive_int(self.n_trainval, "n_trainval", 2)
        check_positive_int(self.n_test, "n_test", 1)
        check_positive_int(self.seed, "seed", 0)
        check_positive_int(self.longest_side, "longest_side", 64)

    def record(self) -> dict[str, Any]:
        """What the data set's own small file says."""
        values = asdict(self) | {"scale": list(self.scale)}
        return {"data_set": "minissd shapes", "version": _VERSION, **values}


def write_pictures(
    folder: Path, parameters: ShapesParameters, workers: int = 1
) -> list[frozenset[str]]:
    """Draw and write every picture with its annotation.

    Args:
        folder: Holds JPEGImages and Annotations.
        parameters: What to draw.
        workers: How many processes; the files do not depend on it.

    Returns:
        The names of the classes in each picture, in order.

    Raises:
        OSError: Something cannot be written.
    """
    n_images = parameters.n_trainval + parameters.n_test
    if workers == 1 or n_images <= _FEW or not sys.executable:
        return write_some(folder, parameters, 0, n_images)
    bounds = [n_images * i // workers for i in range(workers + 1)]
    processes: list[subprocess.Popen[str]] = []
    try:
        for start, stop in pairwise(bounds):
            processes.append(_start_process(folder, parameters, start, stop))
        parts = [_finish(process) for process in processes]
    finally:
        for process in processes:  # after an error or Ctrl-C the rest is not drawn
            if process.poll() is None:
                process.kill()
                process.communicate()
    return [names for part in parts for names in part]


def _start_process(
    folder: Path, parameters: ShapesParameters, start: int, stop: int
) -> subprocess.Popen[str]:
    job = {"folder": str(folder), "parameters": asdict(parameters), "start": start, "stop": stop}
    package = str(Path(minissd.__file__).parent.parent)
    paths = os.pathsep.join(filter(None, [package, os.environ.get("PYTHONPATH")]))
    return subprocess.Popen(
        [sys.executable, "-m", "minissd.datasets.shapes_writing", json.dumps(job)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        encoding="utf-8",
        env=os.environ | {"PYTHONPATH": paths, "OPENBLAS_NUM_THREADS": "1", "PYTHONUTF8": "1"},
    )


def _finish(process: subprocess.Popen[str]) -> list[frozenset[str]]:
    output, complaint = process.communicate()
    if process.returncode:
        reason = (complaint.strip().splitlines() or ["no reason given"])[-1]
        raise OSError(f"a drawing process ended with code {process.returncode}: {reason}")
    return [frozenset(names) for names in json.loads(output)]


def write_some(
    folder: Path, parameters: ShapesParameters, start: int, stop: int
) -> list[frozenset[str]]:
    """Draw and write the pictures from number `start` up to `stop`, trainval first; return their classes."""
    n_trainval = parameters.n_trainval
    jobs = [(0, i) if i < n_trainval else (1, i - n_trainval) for i in range(start, stop)]
    return [_write_picture(folder, parameters, *job) for job in jobs]


def _image_id(parameters: ShapesParameters, split: int, index: int) -> str:
    """Numbers run on from trainval to test, as in VOC."""
    return f"{index + 1 + split * parameters.n_trainval:06d}"


def _write_picture(
    folder: Path, parameters: ShapesParameters, split: int, index: int
) -> frozenset[str]:
    """Draw and write one picture with its annotation; return the names of its classes."""
    # Own random numbers for every picture: it does not depend on who draws it, nor on how many there are.
    rng = np.random.default_rng([parameters.seed, split, index])
    scene = compose(rng, _size(rng, parameters.longest_side), scale=parameters.scale)
    image_id = _image_id(parameters, split, index)
    quality = int(rng.integers(75, 95))
    Image.fromarray(scene.image).save(folder / "JPEGImages" / f"{image_id}.jpg", quality=quality)
    text = _annotation(scene, f"{image_id}.jpg")
    path = folder / "Annotations" / f"{image_id}.xml"
    path.write_text(text, encoding="utf-8", newline="\n")
    return frozenset(o.name for o in scene.objects)


def _size(rng: np.random.Generator, longest_side: int) -> tuple[int, int]:
    aspect = _ASPECTS[rng.integers(len(_ASPECTS))]
    if aspect >= 1:
        return longest_side, round(longest_side / aspect)
    return round(longest_side * aspect), longest_side


def _annotation(scene: Scene, filename: str) -> str:
    def entry(o: SceneObject) -> tuple[str, tuple[int, int, int, int], dict[str, int]]:
        flags = {"truncated": o.truncated, "occluded": o.occluded, "difficult": 0}
        return o.name, o.box, flags

    height, width = scene.image.shape[:2]
    return format_annotation(filename, width, height, map(entry, scene.objects), folder="shapes")


def _main(job: dict[str, Any]) -> None:
    """What a started process does: draw its pictures and print their classes as JSON."""
    values = job["parameters"]
    parameters = ShapesParameters(**values | {"scale": tuple(values["scale"])})
    try:
        names = write_some(Path(job["folder"]), parameters, job["start"], job["stop"])
    except OSError as error:
        sys.exit(error.strerror or str(error))
    print(json.dumps([sorted(some) for some in names]))


if __name__ == "__main__":
    _main(json.loads(sys.argv[1]))
