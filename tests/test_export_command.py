"""`minissd export`: what it writes and prints, and one clear line for what cannot be."""

from __future__ import annotations

import errno
import re
import sys

import numpy as np
import pytest

from minissd import cli
from minissd.models.build import build_minissd
from minissd.training.checkpoint import Checkpoint, save_checkpoint
from minissd.training.config import TrainConfig

CLASSES = ("cat", "dog", "cow")


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """A checkpoint file of a tiny network."""
    path = tmp_path_factory.mktemp("export") / "net.safetensors"
    model = build_minissd(len(CLASSES), 96, np.random.default_rng(0), width=2)
    for head in model.heads:
        head.weight.value *= 20  # decided enough to detect something in noise
    config = TrainConfig("data", image_size=96, width=2)
    save_checkpoint(path, Checkpoint(model.state(), {}, config, CLASSES, 1))
    return path


@pytest.fixture
def onnx_packages():
    reason = "minissd export is not tried: onnx and onnxruntime are not installed"
    pytest.importorskip("onnx", reason=reason)
    pytest.importorskip("onnxruntime", reason=reason)


def export(capsys, *words):
    code = cli.main(["export", *map(str, words)])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def error_of(capsys, *words):
    code, _, err = export(capsys, *words)
    assert code == 2
    assert err.count("\n") == 1
    assert err.startswith("minissd export: error: ")
    return err


@pytest.mark.parametrize(
    "flags, names",
    [
        ([], ["scores", "offsets"]),
        (["--decode"], ["boxes", "probabilities"]),
        (["--nms"], ["boxes", "labels", "scores", "count"]),
    ],
)
@pytest.mark.usefixtures("onnx_packages")
def test_export_writes_checks_and_tells(capsys, weights, tmp_path, flags, names):
    import onnx

    out = tmp_path / "new" / "m.onnx"
    code, text, _ = export(capsys, weights, "--out", out, "--check", *flags)
    assert code == 0
    assert f"{out}: minissd, 3 classes, {out.stat().st_size / 1e6:.1f} MB" in text
    assert "operator set 17, IR version 8" in text
    assert "input   images uint8 (N, 96, 96, 3)" in text
    assert re.findall(r"output  (\w+) ", text) == names
    assert "largest differences" in text
    assert ("detections that only one of the two has: 0" in text) == (flags == ["--nms"])
    assert "  equal (allowed: 0.0001)" in text
    assert [each.name for each in onnx.load(out).graph.output] == names
    assert [each.name for each in out.parent.iterdir()] == ["m.onnx"]


@pytest.mark.usefixtures("onnx_packages")
def test_a_check_that_fails(capsys, weights, tmp_path):
    from minissd.commands.common import open_detector
    from minissd.commands.export import print_check

    out = tmp_path / "m.onnx"
    assert export(capsys, weights, "--out", out)[0] == 0
    detector, _ = open_detector(weights, "cpu")
    detector.model.heads[2].bias.value += 1
    assert print_check(detector, "raw", out) == 1
    assert "NOT EQUAL" in capsys.readouterr().out


@pytest.mark.usefixtures("onnx_packages")
def test_bad_paths(capsys, weights, tmp_path):
    assert "nowhere" in error_of(capsys, tmp_path / "nowhere", "--out", tmp_path / "m.onnx")
    (tmp_path / "text.safetensors").write_text("I am no checkpoint")
    words = [tmp_path / "text.safetensors", "--out", tmp_path / "m.onnx"]
    assert "text.safetensors: truncated or damaged" in error_of(capsys, *words)
    assert not (tmp_path / "m.onnx").exists()
    before = weights.read_bytes()
    assert "ends in .onnx" in error_of(capsys, weights, "--out", weights)
    assert weights.read_bytes() == before
    (tmp_path / "folder.onnx").mkdir()
    assert "is a folder" in error_of(capsys, weights, "--out", tmp_path / "folder.onnx")
    under = tmp_path / "text.safetensors" / "m.onnx"
    assert "is a file" in error_of(capsys, weights, "--out", under)


@pytest.mark.usefixtures("onnx_packages")
def test_a_full_disk_leaves_the_old_file(capsys, weights, tmp_path, monkeypatch):
    out = tmp_path / "m.onnx"
    out.write_text("old")

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("minissd.files.os.fsync", full)
    assert "No space left on device" in error_of(capsys, weights, "--out", out)
    assert out.read_text() == "old"
    assert [each.name for each in tmp_path.iterdir()] == ["m.onnx"]


def test_only_one_end(capsys, weights):
    with pytest.raises(SystemExit) as leaving:
        cli.main(["export", str(weights), "--decode", "--nms"])
    assert leaving.value.code == 2
    assert "not allowed with" in capsys.readouterr().err


def test_without_the_packages(capsys, weights, tmp_path, monkeypatch):
    """What is missing is said, with how to get it, before anything is read or written."""
    out = tmp_path / "m.onnx"
    monkeypatch.setitem(sys.modules, "onnx", None)
    line = error_of(capsys, tmp_path / "not looked at", "--out", out)
    assert "the package onnx is not installed: pip install 'minissd[onnx]'" in line
    assert not out.exists()


@pytest.mark.usefixtures("onnx_packages")
def test_a_check_without_the_runtime(capsys, weights, tmp_path, monkeypatch):
    out = tmp_path / "m.onnx"
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    line = error_of(capsys, weights, "--out", out, "--check")
    assert "the package onnxruntime is not installed: pip install 'minissd[onnx]'" in line
    assert not out.exists()
    assert export(capsys, weights, "--out", out)[0] == 0
