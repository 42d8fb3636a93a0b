"""Fetching data sets and weights from their official addresses, so that they are there whole and right, or not at all.

The files are made beside their place under a hidden name, checked (size, checksum, counts of pictures), and only then
renamed. Whatever fails leaves nothing behind.
"""

from __future__ import annotations

import hashlib
import logging
import shutil
from collections.abc import Callable
from pathlib import Path

import pooch
from tqdm import tqdm

from minissd.datasets.archives import check_space, megabytes, unpack
from minissd.datasets.sources import RemoteFile, Source
from minissd.datasets.voc_layout import read_split
from minissd.errors import InputError
from minissd.files import check_free, folder_at_once, make_folder

TIMEOUT = 30.0  # seconds without any answer

Say = Callable[[str], None]


def describe(name: str, source: Source, root: Path) -> str:
    """Say what would be fetched, from where, how large it is and where it goes, as text of several lines."""
    lines = [f"{name}: {source.what}"]
    lines += [f"  {megabytes(file.n_bytes):>8}  {file.url}" for file in source.files]
    lines += [f"  to {place_of(source, root)}; needs {megabytes(source.disk_bytes)} of disk"]
    lines += [f"  ({source.note})"] if source.note else []
    return "\n".join(lines)


def place_of(source: Source, root: Path) -> Path:
    """Return the folder of a data set, or the file of weights, below the folder that holds all of them."""
    folder = root / source.place
    return folder if source.is_archive else folder / source.files[0].name


def check_place(source: Source, root: Path) -> bool:
    """Look whether a source can be fetched to its place.

    Returns:
        False if it lies there already, whole and right; only files of weights can be known to.

    Raises:
        InputError: Something else lies there, or the disk is too small.
    """
    place = place_of(source, root)
    if source.is_archive:
        check_free(place, "the data set")
    elif place.exists():
        try:
            check_file(place, source.files[0], str(place))
        except InputError as error:
            raise InputError(f"{error}; delete it to fetch it anew") from error
        return False
    check_space(root, source.disk_bytes, source.what)
    return True


def fetch(source: Source, root: Path, progress: bool = True, say: Say = print) -> Path:
    """Download a source, check it, unpack it, and put it in its place.

    Args:
        source: What to fetch.
        root: The folder under which data sets lie; made if missing.
        progress: Show a progress bar.
        say: Told what is being done.

    Returns:
        The folder of the data set, or the file of weights.

    Raises:
        InputError: It cannot be reached, broke off, is not what it should be, or cannot be written. Nothing is left
            behind.
    """
    place = place_of(source, root)
    if source.is_archive:
        check_free(place, "the data set")
        with folder_at_once(place) as new:
            for file in source.files:
                archive = retrieve(file, new / ".archive", progress)
                say(f"unpacking {file.name}")
                unpack(archive, new / ".unpacked")
                archive.unlink()
            _move_up(source, new)
            check_counts(source, new)
        return place
    make_folder(place.parent)
    for file in source.files:
        retrieve(file, place.parent, progress)
    return place


def retrieve(file: RemoteFile, folder: Path, progress: bool = True) -> Path:
    """Download a file into a folder; it appears there when it is whole and its checksum right.

    Raises:
        InputError: As `fetch`.
    """
    logging.getLogger("pooch").setLevel(logging.WARNING)  # the command says itself what is done
    bar = tqdm(desc=file.name, total=file.n_bytes, unit="B", unit_scale=True, disable=not progress)
    fetch_to = pooch.HTTPDownloader(progressbar=bar, timeout=TIMEOUT)

    def download(url: str, path: str, manager: object) -> None:
        fetch_to(url, path, manager)
        check_file(Path(path), file, url)  # before pooch gives the file its name

    try:
        path = pooch.retrieve(file.url, None, file.name, folder, downloader=download)
    except InputError:
        raise
    except OSError as error:  # those of the network are among them
        raise InputError(f"{file.url}: {_reason(error)}; nothing is kept of it") from error
    finally:
        bar.close()
    Path(path).chmod(0o644)
    return Path(path)


def check_file(path: Path, file: RemoteFile, name: str) -> None:
    """Raise an `InputError` unless a file has the size and the checksum that are published.

    Args:
        path: The file.
        file: What it should be.
        name: How to call it in the message.
    """
    n_bytes = path.stat().st_size
    if file.exact and n_bytes != file.n_bytes:
        raise InputError(
            f"{name}: {n_bytes:,} bytes, expected {file.n_bytes:,}: not the published file"
        )
    if not file.sha256:
        return
    with path.open("rb") as stream:
        found = hashlib.file_digest(stream, "sha256").hexdigest()
    if not found.startswith(file.sha256.lower()):
        begins = "" if len(file.sha256) == 64 else "begins with "
        raise InputError(
            f"{name}: its sha256 is {found}, but that of the published file {begins or 'is '}{file.sha256}:"
            " damaged or tampered with"
        )


def check_counts(source: Source, folder: Path) -> None:
    """Raise an `InputError` unless the lists of a VOC year name as many pictures as the official ones."""
    for split, count in source.counts.items():
        found = len(read_split(folder, split))
        if found != count:
            raise InputError(
                f"{source.place}: split {split} lists {found:,} pictures, the official one {count:,}"
            )


def _move_up(source: Source, new: Path) -> None:
    """Leave of what was unpacked only the data set itself."""
    unpacked = new / ".unpacked"
    inner = unpacked / source.inner
    if not inner.is_dir():
        raise InputError(f"{source.files[0].name}: holds no folder {source.inner}")
    for path in sorted(inner.iterdir()):
        path.rename(new / path.name)
    shutil.rmtree(unpacked)
    shutil.rmtree(new / ".archive")


def _reason(error: OSError) -> str:
    """Why a download failed, in words; the connection is closed."""
    response = getattr(error, "response", None)
    if response is not None:
        response.close()  # pooch leaves it open
        return f"the server answers {response.status_code} ({response.reason})"
    kind = type(error).__name__
    if "Timeout" in kind:
        return f"no answer within {TIMEOUT:.0f} s"
    if kind == "ConnectionError":
        return "the server cannot be reached"
    if kind == "ChunkedEncodingError":
        return "the connection broke off"
    return error.strerror or str(error)
