"""A data set made small enough to carry: pictures reduced, annotations with them, all in one file.

The proportions of a picture are kept. A network squeezes every picture into a square, so a pack of squares was tried
as well: at the same number of bytes its pictures came no nearer to the originals at 300 x 300 pixels (see
benchmarks/gpu_training.md), and squeezed pictures are good for nothing else. Boxes are written with as many decimals as
give the very same fractions of the picture: reducing moves no box.
"""

from __future__ import annotations

import gzip
import io
import tarfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from os import PathLike
from pathlib import Path

import numpy as np
from PIL import Image

from minissd.datasets.opening import open_dataset
from minissd.datasets.picture_set import PictureSet
from minissd.datasets.subset import annotation_text, kept_objects
from minissd.errors import InputError, check, check_positive_int
from minissd.files import write_atomically

ENDING = ".tar.gz"
MIB = 2**20


@dataclass(frozen=True)
class Pack:
    """What `write_pack` wrote.

    Attributes:
        path: The file.
        counts: Pictures of each list by name; one picture can be on several.
        n_bytes: Size of the file.
        box_sides: Shape (M,), float64: the shorter side in pixels, in the pack, of each object that is not difficult.
    """

    path: Path
    counts: dict[str, int]
    n_bytes: int
    box_sides: np.ndarray


def write_pack(
    data: str | PathLike[str],
    out: str | PathLike[str],
    splits: Sequence[str] = ("trainval",),
    side: int = 224,
    quality: int = 75,
    limit_mib: float = 50,
) -> Pack:
    """Write the pictures of some lists, reduced, as a compressed tar file in VOC layout.

    Pictures that are small enough keep their size; all are written anew as JPEG, upright. Every picture of the lists is
    there, those without an object too; difficult and truncated are kept, regions that are crowds left out. The same
    data and numbers give the same file, byte for byte, with the same versions of Pillow and zlib.

    Args:
        data: Any data set that `open_dataset` knows.
        out: The file, ending in .tar.gz; it appears when it is complete. In it is one folder, of that name.
        splits: Lists to write, under their names.
        side: Longest side of a picture, in pixels.
        quality: Of the JPEG, 1 to 95.
        limit_mib: Largest file wanted, in MiB. A larger one is an error, not a poorer picture: whoever trains on a
            pack should know how good its pictures are.

    Raises:
        InputError: The data set cannot be used, two pictures have one name, or the file would be too large.
    """
    out = Path(out)
    check(out.name.endswith(ENDING) and out.name != ENDING, "out", f"a name with {ENDING}", out)
    check_positive_int(side, "side")
    check(1 <= check_positive_int(quality, "quality") <= 95, "quality", "1 to 95", quality)
    check(limit_mib > 0, "limit_mib", "more than 0", limit_mib)
    check(len(splits) > 0, "splits", "at least one", splits)
    lists = {split: open_dataset(data, split) for split in splits}
    places = _places(lists)
    folder = out.name.removesuffix(ENDING)
    sides: list[float] = []

    def write(path: Path) -> None:
        with _archive(path) as add:
            for split, pictures in lists.items():
                text = "\n".join([*map(_stem, pictures.image_ids), ""])
                add(f"{folder}/ImageSets/Main/{split}.txt", text.encode())
            for name, (pictures, index) in places.items():
                picture, text, shorter = _reduce(pictures, index, name, folder, side, quality)
                add(f"{folder}/Annotations/{name}.xml", text.encode())
                add(f"{folder}/JPEGImages/{name}.jpg", picture)
                sides.extend(shorter)
                _check_size(path, limit_mib)
        _check_size(path, limit_mib)

    write_atomically(out, write)
    counts = {split: len(pictures) for split, pictures in lists.items()}
    return Pack(out, counts, out.stat().st_size, np.array(sides))


def _places(lists: dict[str, PictureSet]) -> dict[str, tuple[PictureSet, int]]:
    """Where the picture of each name is to be read; the names in order."""
    places: dict[str, tuple[PictureSet, int]] = {}
    for pictures in lists.values():
        for index, image_id in enumerate(pictures.image_ids):
            known, at = places.setdefault(_stem(image_id), (pictures, index))
            first, second = known.image_path(at), pictures.image_path(index)
            if first != second:
                raise InputError(f"{second}: would have the same name in the pack as {first}")
    return dict(sorted(places.items()))


def _stem(image_id: str) -> str:
    """A picture's name as that of a file in one folder."""
    return image_id.replace("/", "_")


def _reduce(
    pictures: PictureSet, index: int, name: str, folder: str, side: int, quality: int
) -> tuple[bytes, str, list[float]]:
    """Return a picture as JPEG, its annotation as text, and the shorter side of each of its objects in pixels."""
    image = Image.fromarray(pictures[index].image)
    shrink = min(1.0, side / max(image.size))
    width, height = (max(1, round(length * shrink)) for length in image.size)
    if shrink < 1:
        image = image.resize((width, height), Image.Resampling.LANCZOS)
    encoded = io.BytesIO()
    image.save(encoded, "JPEG", quality=quality, optimize=True)
    annotation = replace(pictures.annotation(index), width=width, height=height)
    keep = kept_objects(annotation, pictures.class_names)
    text = annotation_text(annotation, keep, f"{name}.jpg", folder)
    lengths = (annotation.boxes[:, 2:] - annotation.boxes[:, :2]) * (width, height)
    shorter = [float(lengths[k].min()) for k in keep if not annotation.difficult[k]]
    return encoded.getvalue(), text, shorter


@contextmanager
def _archive(path: Path) -> Iterator:
    """Give a function that adds a file, name and bytes, to a tar file that says nothing of when and by whom."""
    with (
        path.open("wb") as file,
        gzip.GzipFile("", "wb", fileobj=file, mtime=0) as packed,
        tarfile.open(fileobj=packed, mode="w", format=tarfile.USTAR_FORMAT) as archive,
    ):

        def add(name: str, content: bytes) -> None:
            member = tarfile.TarInfo(name)  # its defaults: time 0, owner 0, mode 644
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))

        yield add


def _check_size(path: Path, limit_mib: float) -> None:
    """Raise an `InputError` if a file is over the limit already."""
    if path.stat().st_size > limit_mib * MIB:
        raise InputError(
            f"the pack is over {limit_mib:g} MiB; reduce more (a smaller side or quality), or raise the limit"
        )
