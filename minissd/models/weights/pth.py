"""PyTorch's files (.pth, .pt) read without PyTorch.

Two containers exist. Since PyTorch 1.6 a file is a zip archive: `data.pkl` describes the tensors, `data/0`, `data/1`,
... are their storages. Files from before (2017's for example) are a stream: three small pickles (a magic number, a
version, the writer's machine), the pickle that describes the tensors, a list of storage names, then each storage with
its length.
"""

from __future__ import annotations

import mmap
import zipfile
import zlib
from pathlib import Path

import numpy as np

from minissd.errors import InputError
from minissd.models.weights.pickle_machine import PickleError, PickleMachine
from minissd.models.weights.stored import (
    STORED_AS,
    StoredTensor,
    WeightFile,
    map_file,
    view,
)
from minissd.models.weights.torch_objects import Storage, TorchObjects, Window

MAGIC = 0x1950A86A20F9469CFC6C  # first number of a stream file
STREAM_VERSION = 1001
ZIP_START = b"PK\x03\x04"
LOCAL_HEADER = 30  # bytes of a zip entry's own header, before its name and extra field
# Where training scripts put the state in their checkpoints; the first that is there is opened.
WRAPPERS = ("state_dict", "model", "model_state_dict", "net", "weights")
DATA_PARALLEL = "module."  # what nn.DataParallel puts before every name


def read_pth(path: str | Path) -> WeightFile:
    """Read a file of `torch.save`: a state, or a dictionary that holds one.

    Args:
        path: The file.

    Returns:
        The tensors by name, still in the file.

    Raises:
        InputError: Truncated or damaged; another kind of file; or its pickle asks for what is not allowed (no code of
            it is ever run).
    """
    path = Path(path)
    buffer = map_file(path)
    try:
        if buffer[:4] == ZIP_START:
            return _read_zip(path, buffer)
        return _read_stream(path, buffer)
    except InputError:
        raise
    except (ValueError, NotImplementedError, EOFError, OSError, zipfile.BadZipFile) as error:
        fault = "truncated or damaged zip archive: " * isinstance(error, zipfile.BadZipFile)
        raise InputError(f"{path}: {fault}{error}") from error


def _read_zip(path: Path, buffer: mmap.mmap) -> WeightFile:
    with zipfile.ZipFile(path) as archive:
        entries = {info.filename: info for info in archive.infolist()}
        if len(entries) != len(archive.infolist()):
            raise PickleError("damaged: two records of the archive have the same name")
    roots = [name.removesuffix("data.pkl") for name in entries if name.endswith("/data.pkl")]
    if len(roots) != 1:
        raise PickleError("a zip archive, but not one of PyTorch (it has no data.pkl)")
    root = roots[0]
    if f"{root}constants.pkl" in entries:
        raise PickleError("a TorchScript program; save the state_dict() of the model instead")
    start, end = _record(buffer, entries[f"{root}data.pkl"])
    buffer.seek(start)
    objects = TorchObjects()
    top = PickleMachine(buffer, objects).run()
    if buffer.tell() > end:
        raise PickleError("damaged: its pickle runs beyond its record")
    big_endian = _text(buffer, entries.get(f"{root}byteorder")) == "big"
    for storage in objects.storages.values():
        info = entries.get(f"{root}data/{storage.key}")
        if info is None:
            raise PickleError(f"the storage {storage.key:.40} is not in the archive")
        storage.start, end = _record(buffer, info)
        _check_length(storage, end - storage.start)
    return _weight_file(path, "PyTorch, zip container", top, buffer, big_endian)


def _record(buffer: mmap.mmap, info: zipfile.ZipInfo) -> tuple[int, int]:
    """Return where a record's bytes begin and end in the file; checks the lengths, then the checksum."""
    if info.compress_type != zipfile.ZIP_STORED or info.flag_bits & 1:
        raise PickleError(
            f"{info.filename}: compressed or encrypted, which PyTorch's files never are"
        )
    header = buffer[info.header_offset : info.header_offset + LOCAL_HEADER]
    if len(header) < LOCAL_HEADER or header[:4] != ZIP_START:
        raise PickleError(f"{info.filename}: truncated or damaged")
    name_length, extra_length = np.frombuffer(header, "<u2", 2, 26).tolist()
    start = info.header_offset + LOCAL_HEADER + name_length + extra_length
    if start + info.file_size > len(buffer):
        raise PickleError(f"{info.filename}: truncated or damaged")
    with memoryview(buffer) as whole, whole[start : start + info.file_size] as content:
        if info.CRC and zlib.crc32(content) != info.CRC:  # PyTorch can be told to write 0
            raise PickleError(f"{info.filename}: damaged (its checksum is another)")
    return start, start + info.file_size


def _text(buffer: mmap.mmap, info: zipfile.ZipInfo | None) -> str:
    if info is None:
        return ""
    start, end = _record(buffer, info)
    return buffer[start : min(end, start + 16)].decode("ascii", "replace")


def _check_length(storage: Storage, n_bytes: int) -> None:
    wanted = storage.count * np.dtype(STORED_AS[storage.kind]).itemsize
    if wanted != n_bytes:
        raise PickleError(
            f"the storage {storage.key:.40} should have {wanted:,} bytes, but {n_bytes:,} are there"
        )


def _read_stream(path: Path, buffer: mmap.mmap) -> WeightFile:
    if buffer[257:262] == b"ustar":
        raise PickleError(
            "a PyTorch file of before 0.1.10 (a tar archive); save it again with a newer PyTorch"
        )
    objects = TorchObjects()
    try:
        magic = PickleMachine(buffer, objects).run()
    except PickleError as error:
        raise PickleError(f"truncated, or not a PyTorch file ({error})") from error
    if magic != MAGIC:
        raise PickleError("not a PyTorch file (it starts with another pickle)")
    version, _machine = (PickleMachine(buffer, objects).run() for _ in range(2))
    if version != STREAM_VERSION:
        raise PickleError("a PyTorch stream of an unknown version")
    top = PickleMachine(buffer, objects).run()
    keys = PickleMachine(buffer, objects).run()
    known = isinstance(keys, list) and all(isinstance(key, (str, int)) for key in keys)
    if not known or {str(key) for key in keys} != set(objects.storages):
        raise PickleError("damaged: its list of storages is not that of its tensors")
    at = buffer.tell()
    for key in keys:
        at = _place(objects.storages[str(key)], buffer, at)
    return _weight_file(path, "PyTorch, stream container", top, buffer, big_endian=False)


def _place(storage: Storage, buffer: mmap.mmap, at: int) -> int:
    """Note where a storage's numbers begin, behind its length; return where the next storage stands."""
    if at + 8 > len(buffer):
        raise PickleError(f"truncated before the storage {storage.key:.40}")
    count = int.from_bytes(buffer[at : at + 8], "little", signed=True)
    if count != storage.count:
        raise PickleError(
            f"damaged: the storage {storage.key:.40} has {count:,} numbers, not {storage.count:,}"
        )
    storage.start = at + 8
    end = storage.start + count * np.dtype(STORED_AS[storage.kind]).itemsize
    if end > len(buffer):
        raise PickleError(
            f"truncated: the storage {storage.key:.40} ends at byte {end:,} of {len(buffer):,}"
        )
    return end


def _weight_file(
    path: Path, form: str, top: object, buffer: mmap.mmap, big_endian: bool
) -> WeightFile:
    state, skipped = _find_state(top)
    tensors = {}
    for name, window in state.items():
        try:
            tensors[name] = _tensor(window, buffer, big_endian)
        except ValueError as error:
            raise PickleError(f"{name:.100}: {error}") from error
    return WeightFile(path, form, tensors, skipped)


def _tensor(window: Window, buffer: mmap.mmap, big_endian: bool) -> StoredTensor:
    storage, size = window.storage, np.dtype(STORED_AS[window.kind]).itemsize
    end = storage.start + storage.count * np.dtype(STORED_AS[storage.kind]).itemsize
    start = storage.start + window.offset * size
    return view(buffer, window.kind, window.shape, start, window.strides, end, big_endian)


def _find_state(top: object) -> tuple[dict[str, Window], list[str]]:
    """Return the named tensors of what the pickle built, and what else stands beside them."""
    skipped: list[str] = []
    for _ in range(4):
        if not isinstance(top, dict):
            break
        state = {key: v for key, v in top.items() if isinstance(v, Window) and isinstance(key, str)}
        inner = [] if state else [key for key in WRAPPERS if isinstance(top.get(key), dict)]
        skipped += [f"{key!s:.100}" for key in top if key not in state and key not in inner[:1]]
        if state:
            if all(name.startswith(DATA_PARALLEL) for name in state):
                state = {name.removeprefix(DATA_PARALLEL): v for name, v in state.items()}
            return state, skipped
        if not inner:
            raise PickleError(
                f"holds no named tensors (its keys: {', '.join(skipped[:8]) or 'none'})"
            )
        top = top[inner[0]]
    raise PickleError(f"holds a {type(top).__name__}, not a dictionary of named tensors")
