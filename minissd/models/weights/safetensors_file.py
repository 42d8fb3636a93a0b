"""Safetensors files: the library checks the header, the tensors stay in the file until they are needed."""

from __future__ import annotations

import json
from pathlib import Path

from safetensors import SafetensorError, safe_open

from minissd.errors import InputError
from minissd.models.weights.stored import WeightFile, map_file, view

KINDS = {
    "F64": "float64",
    "F32": "float32",
    "F16": "float16",
    "BF16": "bfloat16",
    "I64": "int64",
    "I32": "int32",
    "I16": "int16",
    "I8": "int8",
    "U8": "uint8",
    "BOOL": "bool",
}


def read_safetensors(path: str | Path) -> WeightFile:
    """Read a safetensors file.

    Args:
        path: The file.

    Returns:
        The tensors by name, still in the file, and the text that came with them.

    Raises:
        InputError: Truncated or damaged, or with numbers of a kind that is not known.
    """
    path = Path(path)
    buffer = map_file(path)
    try:
        with safe_open(path, framework="np") as file:
            metadata = file.metadata() or {}
    except (SafetensorError, OSError, ValueError) as error:
        raise InputError(f"{path}: truncated or damaged safetensors file ({error})") from error
    length = int.from_bytes(buffer[:8], "little")  # the library has checked all that follows
    header = json.loads(buffer[8 : 8 + length])
    tensors = {}
    for name, entry in header.items():
        if name == "__metadata__":
            continue
        if entry["dtype"] not in KINDS:
            raise InputError(f"{path}: {name} has numbers of an unknown kind, {entry['dtype']}")
        start, end = (8 + length + offset for offset in entry["data_offsets"])
        try:
            tensors[name] = view(buffer, KINDS[entry["dtype"]], entry["shape"], start, end=end)
        except ValueError as error:
            raise InputError(f"{path}: {name}: {error}") from error
    return WeightFile(path, "safetensors", tensors, metadata=metadata)
