"""Checkpoints: everything a run needs to go on, in one safetensors file, written atomically.

Tensors: `model.*` (parameters and running statistics) and `optimizer.*`. The header's metadata says what they are: the
model, its classes and settings, and how far the run had come. Nothing else is needed, since the order of images and
every random number of step s follow from the seed and s alone.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from minissd.errors import InputError, check, check_positive_int
from minissd.files import write_atomically
from minissd.nn import Layer
from minissd.nn.optim import Optimizer
from minissd.training.config import TrainConfig

FORMAT = "minissd-checkpoint-1"
LAST = "last.safetensors"  # the newest checkpoint of a run folder


@dataclass
class Checkpoint:
    """What a checkpoint file holds.

    Attributes:
        model: State of the network by name, NumPy arrays.
        optimizer: State of the optimiser by name.
        config: Settings of the run.
        class_names: Object classes in label order.
        step: Steps done since the start of the run.
        mean_ap: mAP when it was written, or None.
        images: What `fingerprint` says of the names of the training images, or empty where it is not known.
        spec: Every number of the network's configuration by name, for other programs; here it follows from `config`.
    """

    model: dict[str, np.ndarray]
    optimizer: dict[str, np.ndarray]
    config: TrainConfig
    class_names: tuple[str, ...]
    step: int
    mean_ap: float | None = None
    images: str = ""
    spec: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Check what a damaged header could get wrong."""
        check_positive_int(self.step, "step", 0)
        named = self.class_names and all(isinstance(name, str) for name in self.class_names)
        check(bool(named), "class_names", "at least one name", self.class_names)


def fingerprint(image_ids: Sequence[str]) -> str:
    """Return a short text that changes with the names of the images or their order: "5000 images, 1a2b3c4d"."""
    digest = zlib.crc32("\n".join(image_ids).encode("utf-8", "surrogateescape"))
    return f"{len(image_ids)} images, {digest:08x}"


def save_checkpoint(path: str | Path, checkpoint: Checkpoint) -> None:
    """Write a checkpoint; an older file of that name stays whole until the new one is complete.

    Raises:
        InputError: The file cannot be written; the message names it and the reason.
    """
    tensors = {f"model.{k}": np.ascontiguousarray(v) for k, v in checkpoint.model.items()}
    tensors |= {f"optimizer.{k}": np.ascontiguousarray(v) for k, v in checkpoint.optimizer.items()}
    metadata = {
        "format": FORMAT,
        "config": checkpoint.config.to_json(),
        "class_names": json.dumps(list(checkpoint.class_names)),
        "step": str(checkpoint.step),
        "mean_ap": json.dumps(checkpoint.mean_ap),
        "images": checkpoint.images,
        "spec": json.dumps(checkpoint.spec),
    }

    def write(temporary: Path) -> None:
        try:
            save_file(tensors, temporary, metadata)
        except SafetensorError as error:  # its wrapping of an I/O error, a full disk for example
            raise OSError(str(error)) from error

    write_atomically(path, write)


def load_checkpoint(path: str | Path) -> Checkpoint:
    """Read a checkpoint.

    Args:
        path: The file, or a run folder, whose `last.safetensors` is meant.

    Raises:
        InputError: There is no such file, it is truncated or damaged, or it is not a minissd checkpoint.
    """
    path = find_checkpoint(path)
    try:
        with safe_open(path, framework="np") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError, ValueError) as error:
        raise InputError(
            f"{path}: truncated or damaged, or not a safetensors file ({error})"
        ) from error
    if metadata.get("format") != FORMAT:
        raise InputError(f"{path}: a safetensors file, but not a checkpoint of minissd")
    try:
        return Checkpoint(
            {k.removeprefix("model."): v for k, v in tensors.items() if k.startswith("model.")},
            {
                k.removeprefix("optimizer."): v
                for k, v in tensors.items()
                if k.startswith("optimizer.")
            },
            TrainConfig.from_json(metadata["config"], path),
            tuple(json.loads(metadata["class_names"])),
            int(metadata["step"]),
            json.loads(metadata["mean_ap"]),
            metadata.get("images", ""),
            json.loads(metadata.get("spec", "{}")),
        )
    except (KeyError, ValueError, TypeError) as error:
        raise InputError(f"{path}: the header of the checkpoint is damaged ({error})") from error


def find_checkpoint(path: str | Path) -> Path:
    """Return the checkpoint file that a file or run folder means.

    Raises:
        InputError: Nothing is there.
    """
    path = Path(path)
    if path.is_dir():
        if (path / LAST).is_file():
            return path / LAST
        raise InputError(f"{path}: holds no checkpoint ({LAST})")
    if not path.is_file():
        raise InputError(f"{path}: there is no such checkpoint")
    return path


def fit_state(model: Layer | Optimizer, state: dict[str, np.ndarray], source: str | Path) -> None:
    """Load a state into a model or an optimiser.

    Raises:
        InputError: It is the state of another one; the message names the file and the first few differences.
    """
    try:
        model.load_state(state)
    except ValueError as error:
        faults = str(error).split("; ")
        more = f"; and {len(faults) - 4} more" if len(faults) > 4 else ""
        raise InputError(f"{source}: {'; '.join(faults[:4])}{more}") from error
