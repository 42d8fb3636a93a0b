"""Checkpoints: what goes in comes out; what is damaged is refused; what was there is never lost."""

import errno

import numpy as np
import pytest

from minissd.errors import InputError
from minissd.training import checkpoint as module
from minissd.training.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from minissd.training.config import TrainConfig


def example(rng, step=7):
    return Checkpoint(
        {"a.weight": rng.standard_normal((3, 2)).astype(np.float32)},
        {"steps": np.array([step]), "velocity.a.weight": np.zeros((3, 2), np.float32)},
        TrainConfig("data/somewhere", classes=("cat", "dog")),
        ("cat", "dog"),
        step,
        0.25,
    )


def test_comes_back_as_it_was(rng, tmp_path):
    saved = example(rng)
    save_checkpoint(tmp_path / "new" / "last.safetensors", saved)
    loaded = load_checkpoint(tmp_path / "new")
    assert loaded.config == saved.config
    assert (loaded.class_names, loaded.step, loaded.mean_ap) == (("cat", "dog"), 7, 0.25)
    for name in ("model", "optimizer"):
        before, after = getattr(saved, name), getattr(loaded, name)
        assert before.keys() == after.keys()
        for key in before:
            np.testing.assert_array_equal(before[key], after[key])


def test_leaves_no_temporary_files(rng, tmp_path):
    for step in range(3):
        save_checkpoint(tmp_path / "last.safetensors", example(rng, step))
    assert [p.name for p in tmp_path.iterdir()] == ["last.safetensors"]


@pytest.mark.parametrize("keep", [0, 4, 100, -1])
def test_a_truncated_file_is_refused_by_name(rng, tmp_path, keep):
    path = tmp_path / "last.safetensors"
    save_checkpoint(path, example(rng))
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(InputError, match=r"last\.safetensors: truncated or damaged"):
        load_checkpoint(path)


def test_another_safetensors_file_is_refused(tmp_path):
    path = tmp_path / "x.safetensors"
    module.save_file({"w": np.zeros(3)}, path)
    with pytest.raises(InputError, match="not a checkpoint of minissd"):
        load_checkpoint(path)


def test_nothing_there_is_said(tmp_path):
    with pytest.raises(InputError, match="holds no checkpoint"):
        load_checkpoint(tmp_path)
    with pytest.raises(InputError, match="no such checkpoint"):
        load_checkpoint(tmp_path / "nothing.safetensors")


def test_a_full_disk_leaves_the_old_checkpoint_whole(rng, tmp_path, monkeypatch):
    path = tmp_path / "last.safetensors"
    save_checkpoint(path, example(rng, 1))
    before = path.read_bytes()

    def full_disk(tensors, target, metadata):
        target.write_bytes(b"half of it")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(module, "save_file", full_disk)
    with pytest.raises(InputError, match=r"cannot write .*last\.safetensors: No space left"):
        save_checkpoint(path, example(rng, 2))
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["last.safetensors"]


def test_a_path_that_is_a_folder_or_lies_under_a_file_is_refused(rng, tmp_path):
    (tmp_path / "last.safetensors").mkdir()
    with pytest.raises(InputError, match="is a folder"):
        save_checkpoint(tmp_path / "last.safetensors", example(rng))
    (tmp_path / "file").write_text("x")
    with pytest.raises(InputError, match=r"lies under .*file, which is a file"):
        save_checkpoint(tmp_path / "file" / "run" / "last.safetensors", example(rng))
