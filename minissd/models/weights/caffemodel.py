"""Caffe's weights (.caffemodel), the authors' own, read without Caffe and without protobuf.

The file is one message, NetParameter: a list of layers, each with a name, a type and its blobs (weights first, then
biases). Two formats of a layer exist, and two ways in which a blob gives its shape.
"""

from __future__ import annotations

import math
import mmap
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from minissd.errors import InputError
from minissd.models.weights.protobuf import (
    EIGHT_BYTES,
    FOUR_BYTES,
    LENGTH,
    VARINT,
    Field,
    fields,
    varint,
)
from minissd.models.weights.stored import MOST_AXES, StoredTensor, WeightFile, map_file, view

# Numbers of the fields in caffe.proto.
LAYERS_V1, LAYERS = 2, 100
NAME, TYPE, BLOBS = 1, 2, 7  # of LayerParameter
NAME_V1, TYPE_V1, BLOBS_V1, LAYER_V0 = 4, 5, 6, 1  # of V1LayerParameter
LEGACY_SHAPE, DATA, SHAPE, DOUBLE_DATA = (1, 2, 3, 4), 5, 7, 8  # of BlobProto
RAW_TYPE, RAW_DATA = 10, 12  # of NVIDIA's BlobProto
DIM = 1  # of BlobShape
SIZES = {"float64": 8, "float32": 4, "float16": 2}
RAW_KINDS = {0: "float64", 1: "float32", 2: "float16"}
# The types of V1 layers that have blobs.
V1_TYPES = {4: "Convolution", 14: "InnerProduct", 39: "Deconvolution"}
MOST_PIECES = 64  # in which the numbers of a blob may stand; Caffe writes one


def read_caffemodel(path: str | Path) -> WeightFile:
    """Read a file of Caffe's weights.

    Args:
        path: The file.

    Returns:
        The blobs by layer and number, "conv1_1.0" the weights (O, I, kh, kw), "conv1_1.1" the biases (O,); still in the
        file.

    Raises:
        InputError: Truncated or damaged, or not such a file.
    """
    path = Path(path)
    buffer = map_file(path)
    try:
        layers = [_layer(buffer, each) for each in _layer_fields(buffer)]
        tensors: dict[str, StoredTensor] = {}
        for name, kind, blobs in layers:
            for number, blob in enumerate(blobs):
                key = f"{name}.{number}"
                if key in tensors:
                    raise ValueError(f"two layers are called {name:.100}")
                tensors[key] = _tensor(buffer, blob, key, kind)
    except ValueError as error:
        raise InputError(f"{path}: {error}") from error
    if not tensors:
        raise InputError(f"{path}: not a Caffe model, or one without weights")
    return WeightFile(path, "Caffe", tensors)


def _layer_fields(buffer: mmap.mmap) -> list[Field]:
    """Return the layers of the network; those of the old format where there are no others."""
    found: dict[int, list[Field]] = {LAYERS: [], LAYERS_V1: []}
    for each in fields(buffer, 0, len(buffer)):
        if each.number in found and each.wire == LENGTH:
            found[each.number].append(each)
    return found[LAYERS] or found[LAYERS_V1]


def _layer(buffer: mmap.mmap, layer: Field) -> tuple[str, str, list[Field]]:
    """Return name, type and blobs of a layer; V1's type is a number, the later one a text."""
    name, kind, blobs = "", "", []
    is_v1 = _is_v1(buffer, layer)
    name_field, blob_field = (NAME_V1, BLOBS_V1) if is_v1 else (NAME, BLOBS)
    for each in fields(buffer, layer.start, layer.end):
        if is_v1 and each.number == TYPE_V1 and each.wire == VARINT:
            kind = V1_TYPES.get(each.value, "")
        elif is_v1 and each.number == LAYER_V0:
            raise ValueError(
                "a Caffe model of 2013 (V0 layers); upgrade it with Caffe's own tool first"
            )
        elif each.wire != LENGTH:
            continue
        elif each.number == name_field:
            name = _text(buffer, each)
        elif each.number == TYPE and not is_v1:
            kind = _text(buffer, each)
        elif each.number == blob_field:
            blobs.append(each)
    return name, kind, blobs


def _is_v1(buffer: mmap.mmap, layer: Field) -> bool:
    """Tell the formats apart by the key before the layer: field 2 or field 100."""
    before_length = layer.start - 1
    while buffer[before_length - 1] & 0x80:
        before_length -= 1
    return buffer[before_length - 1] == LAYERS_V1 << 3 | LENGTH


def _text(buffer: mmap.mmap, each: Field) -> str:
    return buffer[each.start : min(each.end, each.start + 200)].decode("utf-8", "replace")


@dataclass
class _Blob:
    """What the fields of a blob say; `pieces` are (kind, first byte, count, bytes from one number to the next)."""

    legacy: dict[int, int] = field(default_factory=dict)
    shape: list[int] | None = None
    pieces: list[tuple[str, int, int, int]] = field(default_factory=list)
    raw_kind: str | None = None
    raw: Field | None = None


def _tensor(buffer: mmap.mmap, place: Field, name: str, layer_type: str) -> StoredTensor:
    try:
        blob = _blob(buffer, place)
        shape = _shape(blob, layer_type)
        count = math.prod(shape)
        have = sum(piece[2] for piece in blob.pieces)
        if have != count:
            raise ValueError(
                f"shape {tuple(shape)} needs {count:,} numbers, but {have:,} are there"
            )
        return _join(buffer, blob.pieces, shape)
    except ValueError as error:
        raise ValueError(f"{name:.100}: {error}") from error


def _blob(buffer: mmap.mmap, place: Field) -> _Blob:
    blob, at = _Blob(), place.start
    while (
        at < place.end
    ):  # not one loop over all fields: a run of unpacked numbers is taken at once
        each = next(fields(buffer, at, place.end))
        key, at = at, each.end
        if each.number in LEGACY_SHAPE and each.wire == VARINT:
            blob.legacy[each.number] = each.value
        elif each.number == SHAPE and each.wire == LENGTH:
            blob.shape = _dims(buffer, each)
        elif each.number == RAW_TYPE and each.wire == VARINT:
            blob.raw_kind = RAW_KINDS.get(each.value, "")
        elif each.number == RAW_DATA and each.wire == LENGTH:
            blob.raw = each
        elif each.number in (DATA, DOUBLE_DATA):
            kind = "float32" if each.number == DATA else "float64"
            piece = _piece(buffer, kind, each, key, place.end)
            blob.pieces.append(piece)
            if len(blob.pieces) > MOST_PIECES:
                raise ValueError("damaged: its data stands in too many pieces")
            if each.wire != LENGTH:
                at = key + piece[2] * piece[3]
    _add_raw(blob)
    return blob


def _piece(
    buffer: mmap.mmap, kind: str, each: Field, key: int, end: int
) -> tuple[str, int, int, int]:
    """Return where numbers stand: packed, or a run of fields that all have the same key."""
    size = 4 if kind == "float32" else 8
    if each.wire == LENGTH:
        if (each.end - each.start) % size:
            raise ValueError("damaged: its data is not a whole number of numbers")
        return kind, each.start, (each.end - each.start) // size, size
    if each.wire != (FOUR_BYTES if size == 4 else EIGHT_BYTES):
        raise ValueError("damaged: its data is of the wrong kind")
    step = each.end - key
    keys = np.ndarray((end - key) // step, "u1", buffer, key, (step,))
    others = np.flatnonzero(keys != buffer[key])
    return kind, each.start, int(others[0]) if len(others) else len(keys), step


def _add_raw(blob: _Blob) -> None:
    if blob.raw is None:
        return
    if not blob.raw_kind:
        raise ValueError("its raw data is of an unknown kind")
    size = SIZES[blob.raw_kind]
    count, rest = divmod(blob.raw.end - blob.raw.start, size)
    if rest:
        raise ValueError("damaged: its data is not a whole number of numbers")
    blob.pieces.append((blob.raw_kind, blob.raw.start, count, size))


def _dims(buffer: mmap.mmap, shape: Field) -> list[int]:
    """Return the numbers of a BlobShape, packed or not."""
    dims: list[int] = []
    for each in fields(buffer, shape.start, shape.end):
        if each.number != DIM:
            continue
        if each.wire == VARINT:
            dims.append(each.value)
        at = each.start if each.wire == LENGTH else each.end
        while at < each.end:
            value, at = varint(buffer, at, each.end)
            dims.append(value)
        if len(dims) > MOST_AXES:
            raise ValueError("damaged: its shape has too many axes")
    return dims


def _shape(blob: _Blob, layer_type: str) -> list[int]:
    """Return the shape; the old form always has four numbers, and biases and matrices leading ones."""
    if blob.shape is not None or not blob.legacy:
        return blob.shape or []
    shape = [blob.legacy.get(axis, 1) for axis in LEGACY_SHAPE]
    if layer_type in ("Convolution", "Deconvolution") and shape[:3] != [1, 1, 1]:
        return shape
    least = 2 if layer_type == "InnerProduct" and shape[2] != 1 else 1
    while len(shape) > least and shape[0] == 1:
        shape = shape[1:]
    return shape


def _join(
    buffer: mmap.mmap, pieces: list[tuple[str, int, int, int]], shape: list[int]
) -> StoredTensor:
    """Return the numbers as one tensor: a view where they stand in one run, a copy where they do not."""
    if len(pieces) == 1 and pieces[0][3] == SIZES[pieces[0][0]]:
        kind, start, count, step = pieces[0]
        return view(buffer, kind, shape, start, end=start + count * step)
    parts = []
    for kind, start, count, step in pieces:
        dtype = {"float64": "<f8", "float32": "<f4", "float16": "<f2"}[kind]
        parts.append(np.ndarray(count, dtype, buffer, start, (step,)))
    joined = np.concatenate(parts) if parts else np.empty(0, np.float32)
    return StoredTensor(joined.reshape(shape), str(joined.dtype))
