"""Writing files so that a reader never meets half of one: into a temporary neighbour, then renamed."""

from __future__ import annotations

import os
import shutil
import tempfile
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from minissd.errors import InputError


def write_atomically(path: str | Path, write: Callable[[Path], None]) -> None:
    """Let `write` fill a temporary file beside `path`, then put it in the place of `path` at once.

    Whatever stood at `path` stays until the new file is complete and on the disk; after a failure the temporary file
    is gone and the old one is untouched.

    Args:
        path: The file to make or replace; missing folders above it are made.
        write: Called with the temporary path.

    Raises:
        InputError: The file cannot be written (no space, no permission, a folder of that name, a file among the
            folders above it); the message names the path and the reason.
    """
    path = Path(path)
    temporary: Path | None = None
    try:
        make_folder(path.parent)
        if path.is_dir():
            raise InputError(f"cannot write {path}: it is a folder")
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".part")
        os.close(handle)
        temporary = Path(name)
        write(temporary)
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
        temporary = None
    except OSError as error:
        raise InputError(f"cannot write {path}: {error.strerror or error}") from error
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)


def write_text(path: str | Path, text: str) -> None:
    """Write a text file (UTF-8) atomically; errors as in `write_atomically`."""
    write_atomically(path, lambda temporary: temporary.write_text(text, encoding="utf-8"))


def write_texts(folder: str | Path, texts: dict[str, str]) -> None:
    """Write several text files (UTF-8) into one folder: none takes its place before all are complete.

    Other files of the folder stay as they are. A folder that is new appears all at once.

    Args:
        folder: Where to; it and those above it are made.
        texts: What to write, by name of the file.

    Raises:
        InputError: Something cannot be written; the message names the folder and the reason, and whatever stood there
            before is untouched.
    """
    folder = Path(folder)
    make_folder(folder.parent)
    if folder.exists():
        make_folder(folder)  # says so where it is a file
    try:
        with tempfile.TemporaryDirectory(
            dir=folder.parent, prefix=f".{folder.name}.", suffix=".part"
        ) as place:
            new = Path(place) / "files"
            new.mkdir()
            for name, text in texts.items():
                with (new / name).open("w", encoding="utf-8") as file:
                    file.write(text)
                    file.flush()
                    os.fsync(file.fileno())
            if not folder.exists():
                new.rename(folder)
                return
            for name in texts:
                os.replace(new / name, folder / name)
    except OSError as error:
        raise InputError(f"cannot write {folder}: {error.strerror or error}") from error


def make_folder(path: str | Path) -> Path:
    """Make a folder and those above it, and return it.

    Raises:
        InputError: There is a file of that name, or among the folders above; or it may not be made.
    """
    path = Path(path)
    for part in [path, *path.parents]:
        if part.exists() and not part.is_dir():
            where = "is a file" if part == path else f"lies under {part}, which is a file"
            raise InputError(f"{path}: a folder is needed here, but it {where}")
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"cannot make the folder {path}: {error.strerror or error}") from error
    return path


@contextmanager
def folder_at_once(path: str | Path) -> Iterator[Path]:
    """Give a folder to fill that takes the place of `path` when all went well and vanishes when not.

    It is made beside its place under a hidden name and renamed when whole. What stood at `path` stays until then, and
    is gone afterwards: whether it may be replaced is for the caller to decide.

    Args:
        path: The folder to make; missing folders above it are made.

    Raises:
        InputError: It cannot be written; the message names it and the reason.
    """
    place = Path(path).resolve()  # a link stays a link
    mark = uuid.uuid4().hex[:8]
    new = place.with_name(f".{place.name}.new-{mark}")
    old = place.with_name(f".{place.name}.old-{mark}")
    try:
        new.mkdir(parents=True)
        yield new
        if place.exists():
            place.rename(old)
        new.rename(place)
    except OSError as error:
        raise InputError(f"{path}: cannot be written: {error.strerror or error}") from error
    finally:
        # After an error what was there before goes back to its place; after success it goes away.
        if old.exists() and not place.exists():
            old.rename(place)
        shutil.rmtree(new, ignore_errors=True)
        shutil.rmtree(old, ignore_errors=True)


def check_free(path: str | Path, what: str) -> None:
    """Raise an `InputError` unless a folder can be made at `path`: nothing is there, or an empty folder.

    Args:
        path: The place.
        what: What is to be made, for the message.
    """
    path = Path(path)
    for part in (path, *path.parents):
        if part.exists() and not part.is_dir():
            raise InputError(f"{part}: is a file, expected a folder for {what}")
    if path.is_dir() and any(path.iterdir()):
        raise InputError(f"{path}: holds something already; name another folder for {what}")
