"""Caffe's files without Caffe: layers of both formats, blobs of all forms; what is broken is refused by name."""

from __future__ import annotations

import numpy as np
import pytest
from weight_files import BLOB_FORMS, message, numbered, varint, write_caffe

from minissd.errors import InputError
from minissd.models.weights import read_weights
from minissd.models.weights.caffemodel import read_caffemodel
from minissd.models.weights.protobuf import varint as read_varint


def layers(rng):
    """Return a few layers whose numbers half precision can hold."""

    def draw(*shape):
        return rng.integers(-40, 40, shape).astype(np.float32) / 8

    return {
        "conv1_1": [draw(4, 3, 3, 3), draw(4)],
        "conv4_3_norm": [draw(4)],
        "fc6": [draw(5, 12), draw(5)],
        "one": [draw(1, 1, 2, 2), draw(1)],
    }


@pytest.mark.parametrize("old", [False, True], ids=["V2", "V1"])
@pytest.mark.parametrize("form", BLOB_FORMS)
def test_comes_back_as_it_was(rng, tmp_path, old, form):
    saved = layers(rng)
    file = read_weights(write_caffe(tmp_path / "x.caffemodel", saved, old, form))
    assert list(file.tensors) == [
        f"{k}.{i}" for k, blobs in saved.items() for i in range(len(blobs))
    ]
    for name, tensor in file.tensors.items():
        layer, number = name.split(".")
        np.testing.assert_array_equal(tensor.numpy(), saved[layer][int(number)], err_msg=name)


def test_packed_and_single_numbers_may_stand_in_one_blob(tmp_path):
    single = b"".join(varint(5 << 3 | 5) + np.float32(n).tobytes() for n in (3, 4))
    parts = [message(7, numbered(1, 5)), message(5, np.arange(3, dtype="<f4").tobytes()), single]
    layer = message(100, message(1, b"conv"), message(7, *parts))
    path = tmp_path / "x.caffemodel"
    path.write_bytes(layer)
    np.testing.assert_array_equal(read_caffemodel(path).tensors["conv.0"].numpy(), range(5))


def test_gradients_beside_the_weights_are_left_aside(tmp_path):
    data = message(5, np.ones(2, "<f4").tobytes())
    diff = message(6, np.full(2, 9, "<f4").tobytes())
    path = tmp_path / "x.caffemodel"
    path.write_bytes(
        message(100, message(1, b"conv"), message(7, message(7, numbered(1, 2)), diff, data))
    )
    np.testing.assert_array_equal(read_caffemodel(path).tensors["conv.0"].numpy(), [1, 1])


def test_whole_numbers_of_any_length():
    for value in (0, 1, 127, 128, 300, (1 << 32) - 1, (1 << 63) + 5):
        data = varint(value)
        assert read_varint(data, 0, len(data)) == (value, len(data))
        with pytest.raises(ValueError, match="no whole number at byte 0"):
            read_varint(data[:-1], 0, len(data) - 1)
    with pytest.raises(ValueError, match="no whole number"):
        read_varint(b"\xff" * 20, 0, 20)


@pytest.mark.parametrize("old", [False, True], ids=["V2", "V1"])
@pytest.mark.parametrize("form", BLOB_FORMS)
def test_truncated_anywhere_is_refused_by_name(rng, tmp_path, old, form):
    """Unless the cut falls exactly between two layers: nothing in the format tells that one is missing."""
    path = write_caffe(tmp_path / "cut.caffemodel", layers(rng), old, form)
    whole = path.read_bytes()
    complete, faults = 0, []
    for keep in range(0, len(whole), 13):
        path.write_bytes(whole[:keep])
        try:
            read_weights(path)
            complete += 1
        except InputError as error:
            faults.append(str(error))
    assert complete <= 2
    assert all("cut.caffemodel: " in fault for fault in faults)


def blob_of(*parts: bytes) -> bytes:
    return message(100, message(1, b"conv"), message(2, b"Convolution"), message(7, *parts))


DATA = message(5, np.ones(6, "<f4").tobytes())


@pytest.mark.parametrize(
    "content, fault",
    [
        (blob_of(message(7, numbered(1, 7)), DATA), r"conv\.0: .*needs 7 numbers, but 6"),
        (blob_of(message(7, numbered(1, 1 << 62)), DATA), r"conv\.0: .*needs"),
        (blob_of(*[numbered(i, 1 << 40) for i in (1, 2, 3, 4)], DATA), r"conv\.0: .*needs"),
        (blob_of(message(7, numbered(1, (1 << 64) - 1)), DATA), r"conv\.0: .*needs"),
        (blob_of(message(7, *[numbered(1, 1)] * 50), DATA), "too many axes"),
        (blob_of(message(7, numbered(1, 6)), message(5, b"12345")), "not a whole number"),
        (blob_of(message(7, numbered(1, 6)), numbered(5, 3)), "of the wrong kind"),
        (blob_of(message(7, numbered(1, 6)), numbered(10, 3), message(12, b"123456")), "unknown"),
        (blob_of(message(7, numbered(1, 96)), (message(5, b"1234") * 96)), "too many pieces"),
        (blob_of(DATA), r"conv\.0: .*needs"),
        (blob_of(message(7, numbered(1, 6)), DATA) * 2, "two layers are called conv"),
        (b"\x0a\x01a\xa2\x06\xff\xff\xff\xff\x0f", "ends behind its message"),
        (message(2, message(1, b"old")), "V0"),
        (message(1, b"a network without layers"), "without weights"),
        (b"\x0bgroup", "not the start of a field"),
    ],
)
def test_broken_or_hostile_files_are_refused(content, fault, tmp_path):
    path = tmp_path / "x.caffemodel"
    path.write_bytes(content)
    with pytest.raises(InputError, match=rf"x\.caffemodel: .*{fault}"):
        read_weights(path)


def test_damaged_anywhere_is_read_or_refused(rng, tmp_path):
    path = write_caffe(tmp_path / "x.caffemodel", layers(rng), form="unpacked")
    whole = np.frombuffer(path.read_bytes(), np.uint8)
    refused = 0
    for _ in range(200):
        bad = whole.copy()
        bad[rng.integers(len(bad), size=3)] = rng.integers(256, size=3)
        path.write_bytes(bad.tobytes())
        try:
            read_weights(path)
        except InputError:
            refused += 1
    assert refused > 50
