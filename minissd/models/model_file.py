"""The project's own file of a trained network: one safetensors file that needs nothing beside it.

The header's metadata holds the whole configuration, the class names, and where the weights came from. Weights may be
stored in half precision; in use they are float32. A second kind, a start for training, has only part of the arrays.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import save_file

from minissd.errors import InputError, check
from minissd.files import write_atomically
from minissd.models.blank import build_blank
from minissd.models.spec import DetectorSpec
from minissd.models.spec_json import spec_to_json
from minissd.models.ssd import SSD
from minissd.models.weights.formats import read_weights
from minissd.models.weights.own import (
    MODEL_FORMAT,
    START_FORMAT,
    own_format,
    own_spec,
    own_state,
)
from minissd.models.weights.safetensors_file import read_safetensors


def save_model(
    path: str | Path,
    model: SSD,
    class_names: Sequence[str],
    source: str = "",
    dtype: np.dtype | type | None = None,
) -> None:
    """Write a network with all it needs to answer.

    Args:
        path: The file; an older one of that name stays whole until the new one is complete.
        model: The network.
        class_names: Names of the object classes, label 1 first.
        source: Where the weights came from, in words; shown by `info`.
        dtype: Of the weights in the file, such as `np.float16`; None: as they are. Vectors (biases, statistics) always
            stay as they are.

    Raises:
        ValueError: The names are not as many as the classes, or a number does not fit into `dtype`.
        InputError: The file cannot be written.
    """
    names, count = list(class_names), model.spec.n_object_classes
    check(len(names) == count, "class_names", f"{count} names", names)
    _write(
        path, MODEL_FORMAT, model.state(), model.spec, source, dtype, class_names=json.dumps(names)
    )


def save_start(
    path: str | Path,
    model: SSD,
    filled: Sequence[str],
    source: str = "",
    dtype: np.dtype | type | None = None,
) -> None:
    """Write only some arrays of a network, for a training to start from; the arguments are those of `save_model`."""
    state = model.state()
    _write(path, START_FORMAT, {name: state[name] for name in filled}, model.spec, source, dtype)


def is_model(path: str | Path) -> bool:
    """Say whether a file is one of `save_model`; a file for something else is refused with a word on what it is.

    Raises:
        InputError: Weights that must be converted first, or a start for a training.
    """
    path = Path(path)
    try:
        file = read_weights(path)
    except InputError:
        return False
    form = own_format(file)
    if form is None:
        raise InputError(
            f"{path}: {file.format} weights of another project; run: python -m minissd convert {path}"
        )
    if form == START_FORMAT:
        raise InputError(f"{path}: a start for a training, not a trained network")
    return form == MODEL_FORMAT


def model_source(path: str | Path) -> str:
    """Return where the weights of a model file came from, in the words of `save_model`."""
    return read_safetensors(path).metadata.get("source") or "a model of unknown origin"


def load_model(path: str | Path) -> tuple[SSD, tuple[str, ...]]:
    """Read a network.

    Args:
        path: What `save_model` wrote.

    Returns:
        The network in evaluation mode, float32, on the CPU; and the class names.

    Raises:
        InputError: There is no such file, it is truncated or damaged, or not a model of minissd.
    """
    file = read_safetensors(path)
    if file.metadata.get("format") != MODEL_FORMAT:
        raise InputError(f"{path}: a safetensors file, but not a model of minissd")
    spec = own_spec(file)
    try:
        names = tuple(json.loads(file.metadata["class_names"]))
        if len(names) != spec.n_object_classes or not all(isinstance(name, str) for name in names):
            raise ValueError(f"{len(names)} class names for {spec.n_object_classes} classes")
    except (KeyError, TypeError, ValueError, RecursionError) as error:
        raise InputError(f"{path}: the header of the model is damaged ({error})") from error
    try:
        model = build_blank(spec)
        model.load_state(own_state(file))
    except ValueError as error:
        raise InputError(f"{path}: {error}") from error
    return model.eval(), names


def _write(
    path: str | Path,
    form: str,
    state: Mapping[str, np.ndarray],
    spec: DetectorSpec,
    source: str,
    dtype: np.dtype | type | None,
    **more: str,
) -> None:
    tensors = {name: _cast(name, array, dtype) for name, array in state.items()}
    metadata = {"format": form, "spec": spec_to_json(spec), "source": source, **more}

    def write(temporary: Path) -> None:
        try:
            save_file(tensors, temporary, metadata)
        except SafetensorError as error:  # its wrapping of an I/O error, a full disk for example
            raise OSError(str(error)) from error

    write_atomically(path, write)


def _cast(name: str, array: np.ndarray, dtype: np.dtype | type | None) -> np.ndarray:
    if dtype is None or array.ndim < 2:  # vectors are few numbers, and variances can be tiny
        return np.ascontiguousarray(array)
    with np.errstate(over="ignore"):
        cast = np.ascontiguousarray(array, dtype=dtype)
    check(bool(np.isfinite(cast).all()), name, f"numbers that {np.dtype(dtype)} can hold", array)
    return cast
