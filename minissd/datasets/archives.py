"""Unpacking tar and zip archives from strangers: nothing lands outside the folder, and nothing is overwritten.

Every name in an archive is looked at before the first file is written. Only plain files and folders are unpacked: an
archive of pictures needs no links and no devices, so one that has any is refused.
"""

from __future__ import annotations

import gzip
import shutil
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO

from minissd.errors import InputError

_BLOCK = 2**20
DAMAGED = (
    *(tarfile.TarError, zipfile.BadZipFile, gzip.BadGzipFile, zlib.error),
    *(EOFError, NotImplementedError),
)


@dataclass(frozen=True)
class _Member:
    """One plain file of an archive: where it goes, its size in bytes, and a function that opens it for reading."""

    path: PurePosixPath
    n_bytes: int
    open: Callable[[], IO[bytes]]


def unpack(archive: Path, folder: Path) -> int:
    """Unpack an archive into a folder.

    A file that is there already is left as it is if it is the same, byte for byte.

    Args:
        archive: A zip file or a tar file compressed by gzip, by their endings, or else a tar file without compression.
        folder: Where to; made if missing.

    Returns:
        How many files the archive holds.

    Raises:
        InputError: It is damaged; a name in it leads out of the folder; it holds a link or a device; it would
            overwrite a file; or the disk is too small. Nothing was then written outside the folder.
    """
    try:
        with _open(archive) as opened:
            members = list(_members(archive, opened))
            folder.mkdir(parents=True, exist_ok=True)
            check_space(folder, sum(member.n_bytes for member in members), str(archive.name))
            for member in members:
                _write(archive, member, folder)
    except DAMAGED as error:
        raise InputError(f"{archive.name}: damaged or not an archive: {error}") from error
    return len(members)


def check_space(folder: Path, n_bytes: int, what: str) -> None:
    """Raise an `InputError` unless a disk has room for so many bytes.

    Args:
        folder: On that disk; it need not exist yet.
        n_bytes: What is needed.
        what: What for.
    """
    there = next(path for path in (folder.absolute(), *folder.absolute().parents) if path.exists())
    free = shutil.disk_usage(there).free
    if n_bytes > free:
        raise InputError(
            f"{folder}: {what} needs {megabytes(n_bytes)} there, but {megabytes(free)} are free"
        )


def megabytes(n_bytes: int) -> str:
    """Bytes in words: 460 MB, 20.5 GB."""
    return f"{n_bytes / 1e9:,.1f} GB" if n_bytes >= 1e9 else f"{n_bytes / 1e6:,.0f} MB"


def _open(archive: Path) -> tarfile.TarFile | zipfile.ZipFile:
    if archive.suffix.lower() == ".zip":
        return zipfile.ZipFile(archive)
    return tarfile.open(archive, "r:gz" if archive.suffix in (".gz", ".tgz") else "r:")


def _members(archive: Path, opened: tarfile.TarFile | zipfile.ZipFile) -> Iterator[_Member]:
    """The plain files of an archive, checked."""
    if isinstance(opened, zipfile.ZipFile):
        return _zip_members(archive, opened)
    return _tar_members(archive, opened)


def _tar_members(archive: Path, tar: tarfile.TarFile) -> Iterator[_Member]:
    for info in tar:
        path = _safe_path(archive, info.name)
        if info.isdir():
            continue
        if info.issym() or info.islnk():
            raise InputError(
                f"{archive.name}: {info.name!r} is a link (to {info.linkname!r}); refused"
            )
        if not info.isreg() or info.issparse():
            raise InputError(f"{archive.name}: {info.name!r} is neither file nor folder; refused")
        yield _Member(path, info.size, lambda info=info: tar.extractfile(info))


def _zip_members(archive: Path, zip_file: zipfile.ZipFile) -> Iterator[_Member]:
    for info in zip_file.infolist():
        path = _safe_path(archive, info.filename)
        if info.is_dir():
            continue
        kind = stat.S_IFMT(info.external_attr >> 16)  # 0 where the archive was not made on Unix
        if kind not in (0, stat.S_IFREG):
            what = "a link" if kind == stat.S_IFLNK else "neither file nor folder"
            raise InputError(f"{archive.name}: {info.filename!r} is {what}; refused")
        if info.flag_bits & 1:
            raise InputError(f"{archive.name}: {info.filename!r} is encrypted")
        yield _Member(path, info.file_size, lambda info=info: zip_file.open(info))


def _safe_path(archive: Path, name: str) -> PurePosixPath:
    path = PurePosixPath(name)
    odd = any(c in "\\:" or ord(c) < 32 for c in name)  # folders, drives and streams on Windows
    if odd or path.is_absolute() or ".." in path.parts:
        raise InputError(f"{archive.name}: {name!r} leads out of the folder; refused")
    return path


def _write(archive: Path, member: _Member, folder: Path) -> None:
    path = folder / member.path
    path.parent.mkdir(parents=True, exist_ok=True)
    with member.open() as source:
        if path.exists():
            if not _is_same(source, path):
                raise InputError(
                    f"{archive.name}: {str(member.path)!r} would overwrite another file"
                )
            return
        with path.open("xb") as target:
            shutil.copyfileobj(source, target, _BLOCK)
            n_bytes = target.tell()
    if n_bytes != member.n_bytes:
        raise InputError(
            f"{archive.name}: {str(member.path)!r} ends after {n_bytes:,} of {member.n_bytes:,} bytes"
        )


def _is_same(source: IO[bytes], path: Path) -> bool:
    if not path.is_file():
        return False
    with path.open("rb") as other:
        while block := source.read(_BLOCK):
            if other.read(_BLOCK) != block:
                return False
        return other.read(1) == b""
