"""The command line as a user meets it: help, results, and one clear line for every kind of bad input."""

import errno
import json
import shutil
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from minissd import cli
from minissd.training import checkpoint as checkpoint_module
from minissd.training.checkpoint import load_checkpoint, save_checkpoint
from minissd.training.config import TrainConfig
from minissd.training.run import TrainingRun


@pytest.fixture(scope="module")
def trained(tiny_shapes, tmp_path_factory):
    """A run folder with a (hardly) trained network."""
    folder = tmp_path_factory.mktemp("cli") / "run"
    config = TrainConfig(
        str(tiny_shapes),
        image_size=96,
        width=2,
        epochs=1,
        batch_size=8,
        warmup=1,
        eval_split="test",
    )
    TrainingRun.start(config, folder, "cpu").run(progress=False)
    return folder


def run(capsys, *words):
    """Return exit code, what was printed, and the error lines."""
    code = cli.main([str(word) for word in words])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def error_of(capsys, *words):
    """Run a command that must fail with exit code 2 and one line of error, and return that line."""
    code, _, err = run(capsys, *words)
    lines = [line for line in err.splitlines() if "error:" in line]
    assert code == 2
    assert len(lines) == 1, err
    assert "Traceback" not in err
    return lines[0]


@pytest.mark.parametrize("command", [None, *cli.COMMANDS])
def test_help_is_complete(command, capsys):
    with pytest.raises(SystemExit) as leaving:
        cli.main([command, "--help"] if command else ["--help"])
    assert leaving.value.code == 0
    text = capsys.readouterr().out
    assert "usage: minissd" in text
    if command is None:
        assert all(name in text for name in cli.COMMANDS)
    else:
        assert "(default: None)" not in text
        assert max(map(len, text.splitlines())) <= 120


def test_help_imports_nothing_heavy():
    code = "import sys; from minissd.cli import build_parser; build_parser(); print('numpy' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_runs_as_a_module():
    done = subprocess.run(
        [sys.executable, "-m", "minissd", "info", "--classes", "3"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert "2,428 default boxes" in done.stdout


def test_an_unknown_command_is_refused(capsys):
    with pytest.raises(SystemExit) as leaving:
        cli.main(["trian"])
    assert leaving.value.code == 2
    assert "trian" in capsys.readouterr().err


def test_shapes_then_check(capsys, tmp_path):
    code, out, _ = run(capsys, "shapes", tmp_path / "s", "--trainval", 6, "--test", 3)
    assert code == 0
    assert "6 + 3 pictures" in out
    code, out, _ = run(capsys, "check-dataset", tmp_path / "s", "--out", tmp_path / "nine.png")
    assert code == 0
    assert "9" in out
    with Image.open(tmp_path / "nine.png") as page:
        assert page.size[0] > 500


def test_info_of_a_trained_network(capsys, trained):
    code, out, _ = run(capsys, "info", "--weights", trained)
    assert code == 0
    assert "3 steps, classes circle, cross, ring, square, star, triangle" in out
    model_size = sum(a.size for a in load_checkpoint(trained).model.values() if a.ndim > 0)
    running = sum(a.size for n, a in load_checkpoint(trained).model.items() if "running" in n)
    assert f"{model_size - running:,}" in out


def test_evaluate_prints_the_settings_and_writes_json(capsys, trained, tmp_path):
    words = ["evaluate", trained, "--json", tmp_path / "e.json", "--plot", tmp_path / "pr.png"]
    code, out, _ = run(capsys, *words, "--metric", "voc", "--device", "cpu")
    assert code == 0
    assert "all-point" in out
    report = json.loads((tmp_path / "e.json").read_text())
    assert 0 <= report["mean_ap"] <= 1
    assert (tmp_path / "pr.png").exists()


def test_detect_takes_files_folders_and_patterns(capsys, trained, tiny_shapes, tmp_path):
    pictures = sorted((tiny_shapes / "JPEGImages").iterdir())[:3]
    album = tmp_path / "album"
    album.mkdir()
    for i, path in enumerate(pictures):
        with Image.open(path) as image:
            image.save(album / f"{i}.png")
    shutil.copy(pictures[0], tmp_path / "0.jpg")
    code, out, _ = run(
        capsys, "detect", album, tmp_path / "*.jpg", album / "1.png", "--weights", trained,
        "--out", tmp_path / "found", "--min-score", 0.0,
    )  # fmt: skip
    assert code == 0
    assert len(out.splitlines()) == 4
    report = json.loads((tmp_path / "found" / "detections.json").read_text())
    assert [r["picture"] for r in report["images"]] == ["0.png", "1.png", "2.png", "0-2.png"]
    for entry in report["images"]:
        with Image.open(tmp_path / "found" / entry["picture"]) as drawn:
            assert drawn.size == (entry["width"], entry["height"])
        for item in entry["objects"]:
            xmin, ymin, xmax, ymax = item["box"]
            assert 0 <= xmin <= xmax <= entry["width"]
            assert 0 <= ymin <= ymax <= entry["height"]


def test_detect_goes_on_after_a_broken_picture(capsys, trained, tiny_shapes, tmp_path):
    good = sorted((tiny_shapes / "JPEGImages").iterdir())[0]
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(good.read_bytes()[:900])
    code, out, err = run(
        capsys, "detect", broken, good, "--weights", trained, "--out", tmp_path / "found"
    )
    assert code == 2
    assert str(broken) in err
    assert good.name in out
    report = json.loads((tmp_path / "found" / "detections.json").read_text())
    assert [entry["file"] for entry in report["images"]] == [str(good)]


def test_gradcheck_prints_a_verdict_for_each_case(capsys):
    code, out, _ = run(capsys, "gradcheck", "--layer", "Linear")
    assert code == 0
    assert "Linear" in out
    assert "Conv2d" not in out


# Bad input


def make_voc(folder, xml, picture=None, image_id="000001"):
    """A data set of one picture, with the given annotation."""
    for name in ("JPEGImages", "Annotations", "ImageSets/Main"):
        (folder / name).mkdir(parents=True)
    (folder / "Annotations" / f"{image_id}.xml").write_text(xml)
    (folder / "ImageSets/Main/trainval.txt").write_text(f"{image_id}\n")
    if picture is None:
        Image.new("RGB", (100, 80)).save(folder / "JPEGImages" / f"{image_id}.jpg")
    else:
        (folder / "JPEGImages" / f"{image_id}.jpg").write_bytes(picture)
    return folder


def annotation(
    size="<size><width>100</width><height>80</height><depth>3</depth></size>", xmin="10", name="cat"
):
    box = f"<bndbox><xmin>{xmin}</xmin><ymin>10</ymin><xmax>50</xmax><ymax>60</ymax></bndbox>"
    return f"<annotation>{size}<object><name>{name}</name>{box}</object></annotation>"


BOMB = """<!DOCTYPE a [<!ENTITY x "xxxxxxxxxx"><!ENTITY y "&x;&x;&x;&x;&x;&x;&x;&x;">]>
<annotation><folder>&y;</folder></annotation>"""


@pytest.mark.parametrize(
    ("xml", "fault"),
    [
        (BOMB, "entit"),
        (annotation(size=""), "size"),
        (annotation(xmin="nan"), "nan"),
        ("<annotation>", "000001.xml"),
        ("", "000001.xml"),
    ],
    ids=["entity bomb", "no size", "NaN", "cut short", "empty file"],
)
def test_a_bad_annotation(capsys, tmp_path, xml, fault):
    data = make_voc(tmp_path / "voc", xml)
    line = error_of(capsys, "train", data, "--eval-split", "none", "--out", tmp_path / "run")
    assert "000001.xml" in line
    assert fault in line.lower()
    assert not (tmp_path / "run").exists()


def test_a_truncated_jpeg_in_the_data_set(capsys, tmp_path, tiny_shapes):
    whole = sorted((tiny_shapes / "JPEGImages").iterdir())[0].read_bytes()
    data = make_voc(tmp_path / "voc", annotation(), picture=whole[:700])
    words = ["train", data, "--eval-split", "none", "--out", tmp_path / "run", "--epochs", 1]
    assert "000001.jpg" in error_of(capsys, *words)


def test_an_unknown_class(capsys, tmp_path):
    data = make_voc(tmp_path / "voc", annotation())
    line = error_of(capsys, "train", data, "--classes", "dog", "--eval-split", "none")
    assert "'dog'" in line
    assert "cat" in line


def test_an_unknown_class_in_the_evaluation_images(capsys, trained, tmp_path):
    data = make_voc(tmp_path / "voc", annotation(name="giraffe"))
    line = error_of(capsys, "evaluate", trained, "--data", data, "--split", "trainval")
    assert "000001.xml" in line
    assert "giraffe" in line
    assert "circle" in line


def test_an_empty_image_set(capsys, tmp_path):
    data = make_voc(tmp_path / "voc", annotation())
    (data / "ImageSets/Main/trainval.txt").write_text("\n")
    assert "trainval.txt" in error_of(capsys, "train", data, "--eval-split", "none")


def test_a_split_that_names_a_missing_file(capsys, tmp_path):
    data = make_voc(tmp_path / "voc", annotation())
    (data / "ImageSets/Main/trainval.txt").write_text("000001\n000002\n")
    line = error_of(capsys, "train", data, "--eval-split", "none")
    assert "000002" in line
    assert "trainval" in line


def test_a_missing_split_and_a_folder_of_another_kind(capsys, tmp_path, tiny_shapes):
    assert "trainval" in error_of(capsys, "train", tiny_shapes, "--split", "tranval")
    assert str(tmp_path) in error_of(capsys, "train", tmp_path)
    assert "nowhere" in error_of(capsys, "train", tmp_path / "nowhere")


@pytest.mark.parametrize("kind", ["truncated", "text", "empty"])
def test_a_picture_that_is_none(capsys, trained, tiny_shapes, tmp_path, kind):
    whole = sorted((tiny_shapes / "JPEGImages").iterdir())[0].read_bytes()
    content = {"truncated": whole[:900], "text": b"I am no picture", "empty": b""}[kind]
    path = tmp_path / "bad.jpg"
    path.write_bytes(content)
    line = error_of(capsys, "detect", path, "--weights", trained, "--out", tmp_path / "found")
    assert "bad.jpg" in line


def test_a_picture_of_a_billion_pixels(capsys, trained, tmp_path):
    path = tmp_path / "huge.png"
    Image.new("1", (40_000, 40_000)).save(path)
    line = error_of(capsys, "detect", path, "--weights", trained, "--out", tmp_path / "found")
    assert "huge.png" in line
    assert "1,600,000,000 pixels are over the limit" in line


def test_a_checkpoint_of_another_model(capsys, trained, tmp_path):
    loaded = load_checkpoint(trained)
    loaded.model = {name: a for name, a in loaded.model.items() if "heads.4" not in name}
    loaded.model |= {f"other.{i}": np.zeros(3, np.float32) for i in range(9)}
    save_checkpoint(tmp_path / "other.safetensors", loaded)
    line = error_of(capsys, "info", "--weights", tmp_path / "other.safetensors")
    assert "other.safetensors" in line
    assert "heads.4.weight is missing" in line
    assert "other.1 is not in this model; and 7 more" in line


def test_a_truncated_checkpoint(capsys, trained, tmp_path):
    path = tmp_path / "cut.safetensors"
    path.write_bytes((trained / "last.safetensors").read_bytes()[:5000])
    assert "cut.safetensors: truncated" in error_of(capsys, "info", "--weights", path)
    assert "nothing" in error_of(capsys, "evaluate", tmp_path / "nothing")


def test_a_full_disk_while_training(capsys, tiny_shapes, tmp_path, monkeypatch):
    out = tmp_path / "run"
    save, saved = checkpoint_module.save_file, []

    def disk_that_fills_up(tensors, target, metadata):
        if saved:
            target.write_bytes(b"half")
            raise OSError(errno.ENOSPC, "No space left on device")
        saved.append(target)
        save(tensors, target, metadata)

    monkeypatch.setattr(checkpoint_module, "save_file", disk_that_fills_up)
    line = error_of(
        capsys, "train", tiny_shapes, "--out", out, "--image-size", 96, "--width", 2,
        "--epochs", 1, "--batch-size", 8, "--eval-split", "none",
    )  # fmt: skip
    assert "last.safetensors: No space left on device" in line
    assert load_checkpoint(out).step == 0  # the one before is whole
    assert not [p for p in out.iterdir() if p.name.startswith(".")]


def test_an_output_path_that_is_a_file_or_lies_under_one(capsys, trained, tiny_shapes, tmp_path):
    (tmp_path / "file").write_text("mine")
    picture = sorted((tiny_shapes / "JPEGImages").iterdir())[0]
    for out in (tmp_path / "file", tmp_path / "file" / "below"):
        assert "is a file" in error_of(capsys, "train", tiny_shapes, "--out", out)
        assert "is a file" in error_of(
            capsys, "detect", picture, "--weights", trained, "--out", out
        )
        error_of(capsys, "shapes", out, "--trainval", 4, "--test", 2)
    assert (tmp_path / "file").read_text() == "mine"


def test_settings_out_of_range(capsys, tiny_shapes, tmp_path):
    words = ["train", tiny_shapes, "--out", tmp_path / "run"]
    assert "image_size" in error_of(capsys, *words, "--image-size", 64)
    assert "lr" in error_of(capsys, *words, "--lr", -1)
    assert "name the folder" in error_of(capsys, "train")


def test_a_gpu_that_is_not_there(capsys, trained, monkeypatch):
    monkeypatch.setattr("minissd.backend.gpu_problem", lambda: "no GPU is visible")
    line = error_of(capsys, "evaluate", trained, "--device", "gpu")
    assert "no GPU is visible" in line


def test_debug_shows_the_traceback(tmp_path):
    with pytest.raises(ValueError, match="nowhere"):
        cli.main(["evaluate", str(tmp_path / "nowhere"), "--debug"])


def test_nothing_found_to_detect(capsys, trained, tmp_path):
    words = ("--weights", trained, "--out", tmp_path / "found")
    assert "no such file" in error_of(capsys, "detect", tmp_path / "none.jpg", *words)
    assert "no pictures" in error_of(capsys, "detect", tmp_path, *words)
