from __future__ import annotations

import os
import shutil
import tarfile
from pathlib import Path

import pytest
from archive_files import everything_in, special, tar_bytes, zip_bytes

from minissd.datasets import archives
from minissd.datasets.archives import unpack
from minissd.errors import InputError

GOOD = {"a/b.txt": b"text", "a/c/d.bin": bytes(range(256)) * 5000, "./e": b""}


def _archive(folder: Path, content: bytes, ending: str = ".tar") -> Path:
    path = folder / f"archive{ending}"
    path.write_bytes(content)
    return path


@pytest.mark.parametrize("ending", [".tar", ".zip"])
def test_good_archives(tmp_path: Path, ending: str) -> None:
    content = tar_bytes(GOOD) if ending == ".tar" else zip_bytes(GOOD)
    out = tmp_path / "out"
    assert unpack(_archive(tmp_path, content, ending), out) == 3
    assert everything_in(out) == ["a", "a/b.txt", "a/c", "a/c/d.bin", "e"]
    for name, text in GOOD.items():
        assert (out / name).read_bytes() == text


def test_set_user_id_and_owner_are_not_taken_over(tmp_path: Path) -> None:
    info = tarfile.TarInfo("a")
    info.mode = 0o4777
    unpack(_archive(tmp_path, tar_bytes({"a": info})), tmp_path / "out")
    mode = (tmp_path / "out" / "a").stat().st_mode & 0o7777
    assert os.name == "nt" or mode & 0o6111 == 0


ESCAPES = ["../evil", "a/../../evil", "/evil", "..", "a\\..\\..\\evil", "C:/evil", "C:evil", "a\nb"]


@pytest.mark.parametrize("name", ESCAPES)
@pytest.mark.parametrize("ending", [".tar", ".zip"])
def test_names_that_lead_out_are_refused(tmp_path: Path, name: str, ending: str) -> None:
    inside = tmp_path / "deep" / "inside"
    members = {"good.txt": b"good", name: b"evil"}
    content = tar_bytes(members) if ending == ".tar" else zip_bytes(members)
    archive = _archive(tmp_path, content, ending)
    with pytest.raises(
        InputError, match=rf"^archive{ending}: '.*' leads out of the folder; refused"
    ):
        unpack(archive, inside / "out")
    assert everything_in(tmp_path) == [archive.name]  # not even the good file before it


@pytest.mark.parametrize(
    ("kind", "target", "fault"),
    [
        (tarfile.SYMTYPE, "/etc/passwd", r"is a link \(to '/etc/passwd'\)"),
        (tarfile.SYMTYPE, "good.txt", r"is a link \(to 'good\.txt'\)"),  # inside: refused as well
        (tarfile.LNKTYPE, "../../evil", r"is a link"),
        (tarfile.CHRTYPE, "", "neither file nor folder"),
        (tarfile.BLKTYPE, "", "neither file nor folder"),
        (tarfile.FIFOTYPE, "", "neither file nor folder"),
    ],
)
def test_links_and_devices_are_refused(
    tmp_path: Path, kind: bytes, target: str, fault: str
) -> None:
    content = tar_bytes({"good.txt": b"good", "x": special("x", kind, target)})
    with pytest.raises(InputError, match=fault):
        unpack(_archive(tmp_path, content), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_link_and_a_file_through_it_are_refused(tmp_path: Path) -> None:
    target = tmp_path / "target"
    target.mkdir()
    link = special("way", tarfile.SYMTYPE, str(target))
    content = tar_bytes({"way": link, "way/evil": b"evil"})
    with pytest.raises(InputError, match="'way' is a link"):
        unpack(_archive(tmp_path, content), tmp_path / "out")
    assert everything_in(target) == []


def test_links_in_zips_are_refused(tmp_path: Path) -> None:
    archive = _archive(tmp_path, zip_bytes({"good": b""}, {"x": "/etc/passwd"}), ".zip")
    with pytest.raises(InputError, match="'x' is a link"):
        unpack(archive, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "mine.txt").write_text("mine")
    (out / "same.txt").write_text("same")
    content = tar_bytes({"same.txt": b"same", "mine.txt": b"mine, but longer"})
    with pytest.raises(InputError, match=r"'mine\.txt' would overwrite another file"):
        unpack(_archive(tmp_path, content), out)
    assert (out / "mine.txt").read_text() == "mine"
    twice = zip_bytes({"a": b"1", "./a": b"2"})
    with pytest.raises(InputError, match="'a' would overwrite another file"):
        unpack(_archive(tmp_path, twice, ".zip"), tmp_path / "out2")


def test_damaged_archives(tmp_path: Path) -> None:
    whole = tar_bytes(GOOD)
    cases = {".tar": whole[: len(whole) // 2], ".zip": zip_bytes(GOOD)[:200]}
    for ending, content in cases.items():
        with pytest.raises(InputError, match=f"archive{ending}: "):
            unpack(_archive(tmp_path, content, ending), tmp_path / "out")
    for ending in cases:
        with pytest.raises(InputError, match="damaged or not an archive"):
            unpack(_archive(tmp_path, b"no archive at all" * 100, ending), tmp_path / "out")


def test_a_changed_byte_in_a_zip_is_found(tmp_path: Path) -> None:
    text = bytes(range(256)) * 20
    content = bytearray(zip_bytes({"a": text}))
    content[60] ^= 1
    with pytest.raises(InputError, match=r"archive\.zip: damaged"):
        unpack(_archive(tmp_path, bytes(content), ".zip"), tmp_path / "out")


def test_too_small_a_disk_is_told_before_anything_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(
        archives.shutil, "disk_usage", lambda _: usage._replace(free=1_000_000), raising=True
    )
    with pytest.raises(InputError, match=r"archive\.tar needs 1 MB there, but 1 MB are free"):
        unpack(_archive(tmp_path, tar_bytes(GOOD)), tmp_path / "out")
    assert everything_in(tmp_path / "out") == []
