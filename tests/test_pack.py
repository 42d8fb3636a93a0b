"""The pack: reduced pictures whose boxes stay in place, in one file that comes out the same again."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from voc_files import write_voc, xml, xml_object

from minissd import cli
from minissd.datasets import pack
from minissd.datasets.archives import unpack
from minissd.datasets.opening import open_dataset
from minissd.datasets.pack import write_pack
from minissd.datasets.report import check_dataset
from minissd.datasets.voc_xml import read_annotation
from minissd.errors import InputError

FLAGS = "<truncated>1</truncated><difficult>1</difficult>"


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """Five pictures of 100 x 80 pixels on two lists, one of them on both, one empty, one with a difficult object."""
    texts = {
        "b": xml(xml_object("dog", (11, 21, 60, 70)), xml_object("cat", (1, 1, 100, 80))),
        "a": xml(xml_object("cat", (3, 4.5, 9, 33))),
        "hard": xml(xml_object("dog", (7, 7, 8, 8), tags=FLAGS)),
        "empty": xml(),
        "t": xml(xml_object("dog", (50, 1, 51, 80))),
    }
    lists = {"trainval": "b\na\nhard\nempty\n", "test_dev": "t\na\n"}
    return write_voc(tmp_path / "source", texts, lists)


def unpacked(path: Path, folder: Path) -> Path:
    unpack(path, folder)
    return folder / path.name.removesuffix(".tar.gz")


SPLITS = ("trainval", "test_dev")


def test_it_is_the_same_data_set_in_smaller_pictures(source: Path, tmp_path: Path) -> None:
    made = write_pack(source, tmp_path / "small.tar.gz", SPLITS, side=50)
    assert made.counts == {"trainval": 4, "test_dev": 2}
    assert made.n_bytes == (tmp_path / "small.tar.gz").stat().st_size
    root = unpacked(made.path, tmp_path / "there")
    assert check_dataset(root).is_sound
    for split in SPLITS:
        before, after = open_dataset(source, split), open_dataset(root, split)
        assert after.image_ids == before.image_ids
        for i in range(len(before)):
            first, second = before.annotation(i), after.annotation(i)
            assert after[i].image.shape == (40, 50, 3)
            assert (second.width, second.height, second.names) == (50, 40, first.names)
            for part in ("boxes", "difficult", "truncated"):
                np.testing.assert_array_equal(getattr(first, part), getattr(second, part))


def test_boxes_are_voc_pixels_of_the_new_size(source: Path, tmp_path: Path) -> None:
    """Pixels 11 to 60 of 100 are the edges 10 and 60; of 50 they are 5 and 30: pixels 6 to 30."""
    root = unpacked(write_pack(source, tmp_path / "p.tar.gz", side=50).path, tmp_path)
    text = (root / "Annotations" / "b.xml").read_text()
    box = "".join(text.split("<bndbox>")[1].split("</bndbox>")[0].split())
    assert box == "<xmin>6</xmin><ymin>11</ymin><xmax>30</xmax><ymax>35</ymax>"
    hard = read_annotation(root / "Annotations" / "hard.xml")
    assert hard.difficult.all()
    assert hard.truncated.all()


def test_the_shorter_sides_leave_out_difficult_objects(source: Path, tmp_path: Path) -> None:
    made = write_pack(source, tmp_path / "p.tar.gz", SPLITS, side=50)
    np.testing.assert_allclose(np.sort(made.box_sides), [1, 3.5, 25, 40], rtol=1e-5)


def test_the_content_of_the_picture_stays(tmp_path: Path) -> None:
    source = write_voc(tmp_path / "s", {"a": xml(xml_object())})
    image = np.zeros((80, 100, 3), np.uint8)
    image[20:60, 50:] = (250, 120, 10)
    Image.fromarray(image).save(source / "JPEGImages" / "a.jpg", quality=95)
    root = unpacked(write_pack(source, tmp_path / "p.tar.gz", side=50).path, tmp_path)
    small = open_dataset(root)[0].image.astype(int)
    assert np.abs(small[13:27, 28:] - (250, 120, 10)).max() < 30
    assert small[13:27, :22].max() < 30
    assert small[:7].max() < 30


def test_a_small_picture_keeps_its_size(source: Path, tmp_path: Path) -> None:
    root = unpacked(write_pack(source, tmp_path / "p.tar.gz", side=300).path, tmp_path)
    assert open_dataset(root)[0].image.shape == (80, 100, 3)


def test_the_same_input_gives_the_same_bytes(source: Path, tmp_path: Path, monkeypatch) -> None:
    first = write_pack(source, tmp_path / "one" / "p.tar.gz", SPLITS).path.read_bytes()
    monkeypatch.setattr("time.time", lambda: 1e9)
    second = write_pack(source, tmp_path / "two" / "p.tar.gz", SPLITS).path.read_bytes()
    assert first == second
    with tarfile.open(fileobj=io.BytesIO(first)) as archive:
        assert {(m.mtime, m.uid, m.uname) for m in archive} == {(0, 0, "")}


def test_a_pack_over_the_limit_is_not_written(source: Path, tmp_path: Path) -> None:
    size = write_pack(source, tmp_path / "p.tar.gz").n_bytes
    folder = tmp_path / "new"
    write_pack(source, folder / "p.tar.gz", limit_mib=size / 2**20)
    with pytest.raises(InputError, match=r"the pack is over 0\.\d+ MiB; reduce more"):
        write_pack(source, folder / "q.tar.gz", limit_mib=(size - 1) / 2**20)
    assert [path.name for path in folder.iterdir()] == ["p.tar.gz"]


def test_a_fault_halfway_leaves_what_was_there(source: Path, tmp_path: Path) -> None:
    out = tmp_path / "out" / "p.tar.gz"
    out.parent.mkdir()
    out.write_bytes(b"before")
    (source / "JPEGImages" / "hard.jpg").write_bytes(b"no picture")
    with pytest.raises(InputError, match=r"hard\.jpg"):
        write_pack(source, out)
    assert [path.read_bytes() for path in out.parent.iterdir()] == [b"before"]


@pytest.mark.parametrize("change", ["cut", "not gzip", "flipped"])
def test_a_damaged_pack_is_refused(source: Path, tmp_path: Path, change: str) -> None:
    path = write_pack(source, tmp_path / "p.tar.gz", SPLITS).path
    content = bytearray(path.read_bytes())
    if change == "cut":
        content = content[: len(content) // 2]
    elif change == "flipped":
        middle = len(content) // 2
        content[middle : middle + 50] = bytes(byte ^ 255 for byte in content[middle : middle + 50])
    path.write_bytes(b"no gzip at all" if change == "not gzip" else content)
    with pytest.raises(InputError, match=r"p\.tar\.gz: damaged or not an archive"):
        unpack(path, tmp_path / "there")


def test_two_pictures_of_one_name_are_refused(source: Path, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(pack, "_stem", lambda image_id: "same")
    with pytest.raises(InputError, match="would have the same name in the pack as"):
        write_pack(source, tmp_path / "p.tar.gz")


@pytest.mark.parametrize(
    "options, fault",
    [
        ({"out": "p.tar"}, "out: expected a name with .tar.gz"),
        ({"side": 0}, "side"),
        ({"quality": 96}, "quality: expected 1 to 95, got 96"),
        ({"limit_mib": 0}, "limit_mib"),
        ({"splits": ()}, "splits"),
        ({"splits": ("nope",)}, "nope"),
    ],
)
def test_faulty_settings(source: Path, tmp_path: Path, options: dict, fault: str) -> None:
    options = {"out": "p.tar.gz"} | options
    with pytest.raises(ValueError, match=fault):
        write_pack(source, tmp_path / options.pop("out"), **options)


def test_the_command(source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "p.tar.gz"
    command = ["pack", str(source), "--splits", "trainval,test_dev", "--side", "50", "--out"]
    assert cli.main([*command, str(out)]) == 0
    text = capsys.readouterr().out
    assert "pictures: trainval 4, test_dev 2" in text
    assert "of the 4 objects that are not difficult, in pixels: least 1.0, 50.0% below 4" in text
    assert cli.main([*command, str(out), "--limit-mib", "0.0003"]) == 2
    assert "reduce more" in capsys.readouterr().err
