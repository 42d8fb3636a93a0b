"""Which format a file of weights has: told by its first bytes, and by its name only where those say nothing."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from minissd.errors import InputError
from minissd.models.weights.caffemodel import read_caffemodel
from minissd.models.weights.pth import ZIP_START, read_pth
from minissd.models.weights.safetensors_file import read_safetensors
from minissd.models.weights.stored import WeightFile, map_file

FORMATS = "PyTorch .pth (zip or stream), safetensors, Caffe .caffemodel"
PICKLE, NAME_FIELD = b"\x80", b"\x0a"  # a pickle's protocol; a Caffe network's name
BY_SUFFIX: dict[str, Callable[[Path], WeightFile]] = {
    ".pth": read_pth,
    ".pt": read_pth,
    ".pkl": read_pth,
    ".tar": read_pth,
    ".safetensors": read_safetensors,
    ".caffemodel": read_caffemodel,
}
OTHERS = {
    b"\x89HDF": "an HDF5 file (Keras, or Caffe's .caffemodel.h5)",
    b"\x93NUM": "a NumPy array file",
    b"<htm": "a web page, not the file that was meant to be downloaded",
    b"<!DO": "a web page, not the file that was meant to be downloaded",
}


def read_weights(path: str | Path) -> WeightFile:
    """Read a file of weights in any of the known formats, without running anything that stands in it.

    Args:
        path: The file.

    Returns:
        Its tensors by name. They stay in the file until `StoredTensor.numpy` is called.

    Raises:
        InputError: There is no such file, it is truncated, damaged or hostile, or its format is not known.
    """
    path = Path(path)
    return _reader(path)(path)


def _reader(path: Path) -> Callable[[Path], WeightFile]:
    buffer = map_file(path)
    start = buffer[:9]
    # First the one that starts with a length, since its bytes may look like the others' first ones.
    if start[8:9] == b"{" and int.from_bytes(start[:8], "little") < 1 << 32:
        return read_safetensors
    if start[:4] == ZIP_START or start[:1] == PICKLE or buffer[257:262] == b"ustar":
        return read_pth
    if start[:4] in OTHERS:
        raise InputError(f"{path}: {OTHERS[start[:4]]}; what can be read is {FORMATS}")
    if path.suffix.lower() in BY_SUFFIX:
        return BY_SUFFIX[path.suffix.lower()]
    if start[:1] == NAME_FIELD:
        return read_caffemodel
    raise InputError(f"{path}: not a known format of weights; what can be read is {FORMATS}")
