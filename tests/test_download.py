from __future__ import annotations

import errno
import hashlib
import shutil
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from archive_files import Site, everything_in, serving, special, tar_bytes, voc_tar, zip_bytes

from minissd import cli
from minissd.datasets import archives, download, sources
from minissd.datasets.download import fetch
from minissd.datasets.sources import BY_HAND, SOURCES, RemoteFile, Source
from minissd.datasets.voc import VOC_COUNTS
from minissd.errors import InputError

TRAIN = voc_tar("VOC2007", {"trainval": ["1", "2", "3"]})
TEST = voc_tar("VOC2007", {"test": ["4", "5"]})
WEIGHTS = bytes(range(256)) * 100


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


@pytest.fixture
def site(monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with serving() as site:
        site.files = {"/train.tar": TRAIN, "/test.tar": TEST, "/net-x.pth": WEIGHTS}
        yield site


def _voc(site: Site, **changes: object) -> Source:
    files = (
        RemoteFile(f"{site.url}/train.tar", len(TRAIN), sha256(TRAIN)),
        RemoteFile(f"{site.url}/test.tar", len(TEST), sha256(TEST)),
    )
    counts = {"trainval": 3, "test": 2}
    values = {"what": "small", "files": files, "place": "VOC2007", "counts": counts}
    return Source(**{**values, "inner": "VOCdevkit/VOC2007", **changes})


def _weights(site: Site, digits: str = "", n_bytes: int = 30_000, exact: bool = False) -> Source:
    file = RemoteFile(f"{site.url}/net-x.pth", n_bytes, digits or sha256(WEIGHTS)[:8], exact)
    return Source("a network", (file,), "weights")


def test_a_data_set_is_put_together_and_moved_up(tmp_path: Path, site: Site) -> None:
    said: list[str] = []
    root = fetch(_voc(site), tmp_path / "data", progress=False, say=said.append)
    assert root == tmp_path / "data" / "VOC2007"
    assert site.asked == ["/train.tar", "/test.tar"]
    assert said == ["unpacking train.tar", "unpacking test.tar"]
    assert everything_in(tmp_path / "data") == sorted(
        ["VOC2007", "VOC2007/ImageSets", "VOC2007/ImageSets/Main"]
        + ["VOC2007/ImageSets/Main/test.txt", "VOC2007/ImageSets/Main/trainval.txt"]
        + [f"VOC2007/{folder}" for folder in ("JPEGImages", "Annotations")]
        + [f"VOC2007/JPEGImages/{i}.jpg" for i in range(1, 6)]
        + [f"VOC2007/Annotations/{i}.xml" for i in range(1, 6)]
    )
    assert (root / "JPEGImages" / "4.jpg").read_bytes() == b"picture 4"


def test_a_file_of_weights(tmp_path: Path, site: Site) -> None:
    path = fetch(_weights(site), tmp_path, progress=False)
    assert path == tmp_path / "weights" / "net-x.pth"
    assert path.read_bytes() == WEIGHTS
    assert everything_in(tmp_path) == ["weights", "weights/net-x.pth"]
    assert sys.platform == "win32" or path.stat().st_mode & 0o777 == 0o644


def _refused(source: Source, folder: Path, fault: str) -> None:
    """Fetching fails with one line, and the folder holds nothing afterwards, hidden or not."""
    with pytest.raises(InputError, match=fault) as error:
        fetch(source, folder, progress=False)
    assert "\n" not in str(error.value)
    assert [name for name in everything_in(folder) if name != "weights"] == []


def test_missing_at_the_address(tmp_path: Path, site: Site) -> None:
    del site.files["/test.tar"]
    _refused(_voc(site), tmp_path, r"/test\.tar: the server answers 404 \(Not Found\)")


def test_a_server_that_is_not_there(tmp_path: Path, site: Site) -> None:
    source = _weights(site)
    file = RemoteFile("http://127.0.0.1:9/x.pth", 5)
    _refused(Source("", (file,), "weights"), tmp_path, r"x\.pth: the server cannot be reached")
    assert source.files[0].name == "net-x.pth"


@pytest.mark.parametrize("name", ["/train.tar", "/net-x.pth"])
def test_a_connection_that_breaks_off(tmp_path: Path, site: Site, name: str) -> None:
    site.claimed[name] = len(site.files[name])
    site.files[name] = site.files[name][:-1000]
    source = _voc(site) if name == "/train.tar" else _weights(site)
    _refused(source, tmp_path, "the connection broke off; nothing is kept of it")


def test_a_file_that_is_shorter_than_published(tmp_path: Path, site: Site) -> None:
    site.files["/train.tar"] = TRAIN[:-512]
    _refused(_voc(site), tmp_path, rf"{len(TRAIN) - 512:,} bytes, expected {len(TRAIN):,}")


def test_a_file_that_was_tampered_with(tmp_path: Path, site: Site) -> None:
    changed = TRAIN.replace(b"picture 1", b"picture x")
    assert len(changed) == len(TRAIN)
    site.files["/train.tar"] = changed
    fault = rf"train\.tar: its sha256 is {sha256(changed)}, .* is {sha256(TRAIN)}: damaged or tamp"
    _refused(_voc(site), tmp_path, fault)


def test_the_first_digits_of_a_checksum_are_held(tmp_path: Path, site: Site) -> None:
    _refused(_weights(site, "00000000"), tmp_path, "begins with 00000000: damaged or tampered with")
    _refused(_weights(site, exact=True), tmp_path, "25,600 bytes, expected 30,000")


EVIL = {
    "dots": (tar_bytes({"../../evil": b""}), "leads out of the folder"),
    "absolute": (tar_bytes({"/evil": b""}), "leads out of the folder"),
    "symlink": (tar_bytes({"x": special("x", tarfile.SYMTYPE, "/etc")}), "is a link"),
    "hard link": (tar_bytes({"x": special("x", tarfile.LNKTYPE, "../../y")}), "is a link"),
    "device": (tar_bytes({"x": special("x", tarfile.CHRTYPE)}), "neither file nor folder"),
    "no data": (tar_bytes({"other/file": b""}), "holds no folder VOCdevkit/VOC2007"),
    "no tar": (b"<html>Please log in</html>" * 99, "damaged or not an archive"),
}


@pytest.mark.parametrize("name", EVIL)
def test_archives_that_do_harm_leave_nothing(tmp_path: Path, site: Site, name: str) -> None:
    content, fault = EVIL[name]
    site.files["/evil.tar"] = content
    files = (RemoteFile(f"{site.url}/evil.tar", len(content), sha256(content)),)
    inside = tmp_path / "deep" / "inside"
    inside.mkdir(parents=True)
    _refused(_voc(site, files=files), inside, fault)
    assert everything_in(tmp_path) == ["deep", "deep/inside"]


def test_too_few_pictures(tmp_path: Path, site: Site) -> None:
    source = _voc(site, counts={"trainval": 3, "test": 4952})
    _refused(source, tmp_path, "VOC2007: split test lists 2 pictures, the official one 4,952")


def test_zips_without_a_folder_of_their_own(tmp_path: Path, site: Site) -> None:
    site.files["/a.zip"] = zip_bytes({"val2017/1.jpg": b"1"})
    site.files["/b.zip"] = zip_bytes({"annotations/instances_val2017.json": b"{}"})
    files = tuple(RemoteFile(f"{site.url}/{n}.zip", len(site.files[f"/{n}.zip"])) for n in "ab")
    root = fetch(Source("", files, "coco", ""), tmp_path, progress=False)
    assert (root / "val2017" / "1.jpg").read_bytes() == b"1"
    assert (root / "annotations" / "instances_val2017.json").is_file()
    assert sorted(p.name for p in root.iterdir()) == ["annotations", "val2017"]


@pytest.mark.parametrize("kind", ["data set", "weights"])
def test_a_disk_that_is_full_halfway(
    tmp_path: Path, site: Site, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    full = OSError(errno.ENOSPC, "No space left on device")

    def fail(*arguments: object, **more: object) -> None:
        raise full

    if kind == "data set":
        monkeypatch.setattr(archives.shutil, "copyfileobj", fail)
        _refused(_voc(site), tmp_path, "VOC2007: cannot be written: No space left on device")
    else:
        monkeypatch.setattr(download.pooch.HTTPDownloader, "__call__", fail)
        _refused(_weights(site), tmp_path, r"net-x\.pth: No space left on device; nothing is kept")


def test_what_is_there_already_stays(tmp_path: Path, site: Site) -> None:
    (tmp_path / "VOC2007").mkdir()
    (tmp_path / "VOC2007" / "mine.txt").write_text("mine")
    with pytest.raises(InputError, match="holds something already; name another folder"):
        fetch(_voc(site), tmp_path, progress=False)
    assert everything_in(tmp_path) == ["VOC2007", "VOC2007/mine.txt"]
    assert site.asked == []


# The command


@pytest.fixture
def table(site: Site, monkeypatch: pytest.MonkeyPatch) -> dict[str, Source]:
    table = {"small": _voc(site), "net": _weights(site)}
    monkeypatch.setattr(sources, "SOURCES", table)
    return table


def test_the_command_fetches(
    tmp_path: Path, site: Site, table: dict, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["download", "small", "net", "--to", str(tmp_path)]
    assert cli.main(words) == 2  # nobody to ask
    told = capsys.readouterr()
    assert f"to {tmp_path / 'VOC2007'}; needs " in told.out
    assert f"{site.url}/train.tar" in told.out
    assert "add --yes" in told.err
    assert site.asked == []
    assert cli.main([*words, "--yes"]) == 0
    out = capsys.readouterr().out
    assert f"next: python -m minissd check-dataset {tmp_path / 'VOC2007'}" in out
    assert f"next: python -m minissd convert {tmp_path / 'weights' / 'net-x.pth'} --out net" in out
    assert cli.main(["download", "net", "--to", str(tmp_path)]) == 0
    assert "net-x.pth is there already, checksum right" in capsys.readouterr().out
    (tmp_path / "weights" / "net-x.pth").write_bytes(b"changed")
    assert cli.main(["download", "net", "--to", str(tmp_path), "--yes"]) == 2
    assert "delete it to fetch it anew" in capsys.readouterr().err


@pytest.mark.parametrize(("answer", "code"), [("y", 0), ("yes", 0), ("n", 1), ("", 1), (None, 1)])
def test_the_command_asks(
    tmp_path: Path, table: dict, monkeypatch: pytest.MonkeyPatch, answer: str | None, code: int
) -> None:
    def reply(question: str) -> str:
        if answer is None:
            raise EOFError
        return answer

    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    monkeypatch.setattr("builtins.input", reply)
    assert cli.main(["download", "net", "--to", str(tmp_path)]) == code
    assert (tmp_path / "weights" / "net-x.pth").exists() == (code == 0)


def test_too_small_a_disk_is_told_before_the_question(
    tmp_path: Path,
    site: Site,
    table: dict,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    usage = shutil.disk_usage(tmp_path)._replace(free=29_000)
    monkeypatch.setattr(archives.shutil, "disk_usage", lambda _: usage)
    assert cli.main(["download", "net", "--to", str(tmp_path), "--yes"]) == 2
    assert "a network needs 0 MB there, but 0 MB are free" in capsys.readouterr().err
    assert site.asked == []


def test_what_is_behind_a_consent_page_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["download", *BY_HAND, "--to", str(tmp_path)]) == 1
    out = capsys.readouterr().out
    assert "not fetched by this program" in out
    assert "image-net.org" in out
    assert everything_in(tmp_path) == []
    assert cli.main(["download"]) == 0
    out = capsys.readouterr().out
    assert all(name in out for name in [*SOURCES, *BY_HAND])
    assert cli.main(["download", "voc2008"]) == 2
    assert "nothing is known of voc2008; there are: voc2007, " in capsys.readouterr().err


def test_the_table_of_addresses() -> None:
    """Literal facts: sizes, checksums, and that torchvision's names carry the digits that are checked."""
    assert [f.n_bytes for f in SOURCES["voc2007"].files] == [460_032_000, 451_020_800]
    assert SOURCES["voc2012"].n_bytes == 1_999_639_040
    assert SOURCES["voc2007"].counts == {"trainval": 5011, "test": 4952}
    assert SOURCES["voc2012"].counts == {"trainval": 11540}
    assert all(c["train"] + c["val"] == c["trainval"] for c in VOC_COUNTS.values())
    for source in SOURCES.values():
        for file in source.files:
            assert file.url.startswith(("http://", "https://"))
            if source.place == "weights":
                assert file.name.endswith(f"-{file.sha256}.pth")
                assert len(file.sha256) == 8
            elif file.name.endswith(".tar"):
                assert len(file.sha256) == 64
                assert int(file.sha256, 16)
