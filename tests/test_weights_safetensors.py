"""Safetensors files from elsewhere, and how a file's format is told."""

from __future__ import annotations

import json
import struct

import numpy as np
import pytest
from safetensors.numpy import save_file

from minissd.errors import InputError
from minissd.models.weights import read_weights


def write(path, header: dict, data: bytes):
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + data)
    return path


def test_comes_back_as_it_was(rng, tmp_path):
    saved = {
        "a": rng.standard_normal((3, 2)).astype(np.float32),
        "b": rng.standard_normal(4).astype(np.float16),
        "c": np.arange(3),
        "d": np.zeros((0, 2)),
        "e": np.array(True),
    }
    save_file(saved, tmp_path / "x.safetensors", {"who": "me"})
    file = read_weights(tmp_path / "x.safetensors")
    assert file.metadata == {"who": "me"}
    for name, array in saved.items():
        np.testing.assert_array_equal(file.tensors[name].numpy(), array, err_msg=name)


def test_bfloat16(tmp_path):
    entry = {"dtype": "BF16", "shape": [2], "data_offsets": [0, 4]}
    path = write(tmp_path / "x.safetensors", {"a": entry}, struct.pack("<HH", 0x3F80, 0xC020))
    np.testing.assert_array_equal(read_weights(path).tensors["a"].numpy(), [1.0, -2.5])


@pytest.mark.parametrize(
    "entry",
    [
        {"dtype": "F32", "shape": [2], "data_offsets": [0, 4]},
        {"dtype": "F32", "shape": [1 << 40, 1 << 40], "data_offsets": [0, 8]},
        {"dtype": "F32", "shape": [2], "data_offsets": [8, 16]},
        {"dtype": "F32", "shape": [-2], "data_offsets": [0, 8]},
        {"dtype": "F9", "shape": [2], "data_offsets": [0, 8]},
        {"dtype": "F32", "shape": [2]},
    ],
)
def test_a_header_that_does_not_fit_the_file_is_refused(entry, tmp_path):
    path = write(tmp_path / "x.safetensors", {"a": entry}, b"\0" * 8)
    with pytest.raises(InputError, match=r"x\.safetensors: .*damaged"):
        read_weights(path)


def test_numbers_of_an_unknown_kind_are_named(tmp_path):
    entry = {"dtype": "F8_E4M3", "shape": [2], "data_offsets": [0, 2]}
    path = write(tmp_path / "x.safetensors", {"a": entry}, b"\0\0")
    with pytest.raises(
        InputError, match=r"x\.safetensors: (a has numbers of an unknown kind|trunc)"
    ):
        read_weights(path)


def test_truncated_anywhere_is_refused_by_name(rng, tmp_path):
    path = tmp_path / "cut.safetensors"
    save_file({"a": rng.standard_normal((3, 20)), "b": np.arange(3)}, path)
    whole = path.read_bytes()
    for keep in range(0, len(whole), 23):
        path.write_bytes(whole[:keep])
        with pytest.raises(InputError, match=r"cut\.safetensors: "):
            read_weights(path)


@pytest.mark.parametrize("first", [0x80, 0x0A, 0x50, 0x89, 0x3C])
def test_a_header_whose_length_looks_like_another_format(first, tmp_path):
    """The file starts with that length: 0x80 is a pickle's first byte, 0x0A that of a Caffe model."""
    header = {
        "a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]},
        "__metadata__": {"x": ""},
    }
    bare = len(json.dumps(header))
    header["__metadata__"]["x"] = "." * ((first - bare) % 256)
    path = write(tmp_path / "x.weights", header, np.array([1, 2], "<f4").tobytes())
    assert path.read_bytes()[0] == first
    np.testing.assert_array_equal(read_weights(path).tensors["a"].numpy(), [1, 2])


def test_the_format_is_told_by_the_content_not_by_the_name(rng, tmp_path):
    save_file({"a": np.ones(3)}, tmp_path / "x.pth")
    assert read_weights(tmp_path / "x.pth").format == "safetensors"
    (tmp_path / "x.weights").write_bytes(
        b"GIF89a" + bytes(rng.integers(256, size=99, dtype=np.uint8))
    )
    with pytest.raises(InputError, match=r"x\.weights: not a known format of weights"):
        read_weights(tmp_path / "x.weights")
