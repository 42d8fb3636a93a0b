"""Writers of other projects' files of weights, byte by byte, so that the readers are tested without those projects."""

from __future__ import annotations

import io
import pickle
import struct
import zipfile
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import numpy as np

MAGIC, VERSION = 0x1950A86A20F9469CFC6C, 1001
STORAGES = {
    "<f4": "FloatStorage",
    "<f8": "DoubleStorage",
    "<f2": "HalfStorage",
    "<i8": "LongStorage",
}


@dataclass
class Name:
    """Something that pickles as the bare global "module name"."""

    module: str
    name: str


@dataclass
class Storage:
    key: str
    data: np.ndarray  # flat
    kind: str | None = None  # name of the storage class, by the data's dtype where not given
    claimed: int | None = None  # how many numbers the pickle says there are
    view: tuple | None = None  # (key, first, count), as in files of 2017


@dataclass
class Tensor:
    """A tensor as PyTorch stores it; everything can be said wrongly."""

    storage: Storage
    offset: int
    shape: tuple
    strides: tuple
    function: str = "_rebuild_tensor_v2"
    dtype: str = "float32"  # of `_rebuild_tensor_v3`, whose storage is one of bytes


@dataclass
class Call:
    """Pickles as the call of a global: what a hostile file does."""

    function: Name
    arguments: tuple


class _Pickler(pickle._Pickler):
    """Python's own pickler (the one written in Python), which spells out our stand-ins as PyTorch's objects."""

    dispatch = pickle._Pickler.dispatch.copy()

    def persistent_id(self, obj):
        if not isinstance(obj, Storage):
            return None
        kind = Name("torch", obj.kind or STORAGES[obj.data.dtype.str])
        count = len(obj.data) if obj.claimed is None else obj.claimed
        identity = ("storage", kind, obj.key, "cpu", count)
        return identity if self.old is False else (*identity, obj.view)

    def save_name(self, obj):
        self.write(f"c{obj.module}\n{obj.name}\n".encode())

    def save_call(self, obj):
        self.save_name(obj.function)
        self.save(obj.arguments)
        self.write(pickle.REDUCE)

    def save_tensor(self, obj):
        arguments = (obj.storage, obj.offset, obj.shape, obj.strides)
        if obj.function != "_rebuild_tensor":
            arguments += (False, OrderedDict())
        if obj.function == "_rebuild_tensor_v3":
            arguments += (Name("torch", obj.dtype),)
        self.save_call(Call(Name("torch._utils", obj.function), arguments))

    dispatch[Name] = save_name
    dispatch[Call] = save_call
    dispatch[Tensor] = save_tensor


def dumps(obj: object, old: bool = False) -> bytes:
    out = io.BytesIO()
    pickler = _Pickler(out, protocol=2)
    pickler.old = old
    pickler.dump(obj)
    return out.getvalue()


def tensors(arrays: dict[str, np.ndarray]) -> OrderedDict:
    """Give each array a storage of its own. A broadcast array (strides of 0) keeps its few numbers."""
    state = OrderedDict()
    for key, (name, array) in enumerate(arrays.items()):
        strides = tuple(step // array.itemsize for step in array.strides)
        flat = array.reshape(-1) if 0 not in strides else array.ravel()[:1].copy()
        if 0 in strides:
            strides = tuple(0 for _ in strides)
        state[name] = Tensor(Storage(str(key), flat), 0, array.shape, strides)
    return state


def storages_of(obj: object) -> dict[str, Storage]:
    if isinstance(obj, Tensor):
        return {obj.storage.key: obj.storage}
    inner = obj.values() if isinstance(obj, dict) else obj if isinstance(obj, (list, tuple)) else ()
    return {key: storage for each in inner for key, storage in storages_of(each).items()}


def write_zip(path: Path, obj: object, root: str = "archive", byteorder: str = "little") -> Path:
    """Write the container that PyTorch has written since 1.6."""
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(f"{root}/data.pkl", dumps(obj))
        archive.writestr(f"{root}/byteorder", byteorder)
        for key, storage in storages_of(obj).items():
            order = "<" if byteorder == "little" else ">"
            data = storage.data.astype(storage.data.dtype.newbyteorder(order))
            archive.writestr(f"{root}/data/{key}", data.tobytes())
        archive.writestr(f"{root}/version", "3\n")
    return path


def write_stream(path: Path, obj: object) -> Path:
    """Write the container from before."""
    sizes = {"short": 2, "int": 4, "long": 4}
    machine = {"protocol_version": VERSION, "little_endian": True, "type_sizes": sizes}
    storages = storages_of(obj)
    with path.open("wb") as file:
        for each in (MAGIC, VERSION, machine):
            file.write(pickle.dumps(each, protocol=2))
        file.write(dumps(obj, old=True))
        file.write(pickle.dumps(sorted(storages), protocol=2))
        for key in sorted(storages):
            file.write(struct.pack("<q", len(storages[key].data)) + storages[key].data.tobytes())
    return path


def varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def numbered(number: int, value: int) -> bytes:
    return varint(number << 3) + varint(value)


def message(number: int, *parts: bytes) -> bytes:
    size = sum(len(part) for part in parts)
    return b"".join([varint(number << 3 | 2), varint(size), *parts])


BLOB_FORMS = ("shape", "legacy", "unpacked", "double", "raw")


def blob(array: np.ndarray, form: str = "shape") -> list[bytes]:
    """Return the parts of a BlobProto, in one of the ways that exist."""
    if form == "legacy":
        axes = (1,) * (4 - array.ndim) + array.shape
        shape = b"".join(numbered(i, n) for i, n in enumerate(axes, start=1))
    elif form == "unpacked":
        shape = message(7, *(numbered(1, n) for n in array.shape))
    else:
        shape = message(7, message(1, *map(varint, array.shape)))
    flat = array.ravel()
    if form == "unpacked":
        records = np.zeros(len(flat), np.dtype([("key", "u1"), ("value", "<f4")]))
        records["key"], records["value"] = 5 << 3 | 5, flat
        return [shape, records.tobytes()]
    if form == "double":
        return [shape, message(8, flat.astype("<f8").tobytes())]
    if form == "raw":
        return [shape, numbered(10, 2), message(12, flat.astype("<f2").tobytes())]
    return [shape, message(5, flat.astype("<f4").tobytes())]


def write_caffe(
    path: Path, layers: dict[str, list[np.ndarray]], old: bool = False, form: str = ""
) -> Path:
    """Write a .caffemodel; `old`: the layers of 2014 (V1), whose type is a number.

    Args:
        path: Where.
        layers: Blobs by the layer's name.
        old: V1 layers with four-number shapes.
        form: How the blobs are written, one of `BLOB_FORMS`.
    """
    number = (
        SimpleNamespace(layer=2, name=4, blobs=6)
        if old
        else SimpleNamespace(layer=100, name=1, blobs=7)
    )
    form = form or ("legacy" if old else "shape")
    with path.open("wb") as file:
        file.write(message(1, b"a network"))
        for name, arrays in {"data": [], **layers}.items():
            text = (
                "InnerProduct" if name.startswith("fc") and arrays[0].ndim == 2 else "Convolution"
            )
            kind = (
                numbered(5, {"InnerProduct": 14}.get(text, 4)) if old else message(2, text.encode())
            )
            blobs = [message(number.blobs, *blob(array, form)) for array in arrays]
            title = message(number.name, name.encode())
            bottom = message(2, b"x") if old else message(3, b"x")
            file.write(message(number.layer, bottom, title, kind, *blobs))
    return path
