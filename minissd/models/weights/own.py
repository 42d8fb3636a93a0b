"""Reading what this project wrote itself: models, starts for a training, and checkpoints."""

from __future__ import annotations

import dataclasses

import numpy as np

from minissd.errors import InputError
from minissd.models.spec import DetectorSpec
from minissd.models.spec_json import spec_from_json
from minissd.models.ssd import SSD
from minissd.models.weights.first_layer import keep_normalisation
from minissd.models.weights.report import LoadReport
from minissd.models.weights.stored import StoredTensor, WeightFile

MODEL_FORMAT = "minissd-model-1"
START_FORMAT = "minissd-start-1"  # some of a network's arrays
CHECKPOINT_FORMAT = "minissd-checkpoint-1"  # of a training run, see `training.checkpoint`
IN_CHECKPOINT = "model."  # before the names of the network's arrays there
HEADS = "heads."


def own_format(file: WeightFile) -> str | None:
    """Return which of the project's own formats a file has, or None."""
    form = file.metadata.get("format")
    return form if form in (MODEL_FORMAT, START_FORMAT, CHECKPOINT_FORMAT) else None


def own_spec(file: WeightFile) -> DetectorSpec:
    """Return the configuration that stands in a model or a start.

    Raises:
        InputError: It is damaged, or written by another version.
    """
    try:
        return spec_from_json(file.metadata["spec"])
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(f"{file.path}: its configuration is damaged ({error})") from error


def own_tensors(file: WeightFile) -> dict[str, StoredTensor]:
    """Return the network's tensors by its names."""
    if own_format(file) != CHECKPOINT_FORMAT:
        return file.tensors
    named = file.tensors.items()
    return {n.removeprefix(IN_CHECKPOINT): t for n, t in named if n.startswith(IN_CHECKPOINT)}


def own_state(file: WeightFile) -> dict[str, np.ndarray]:
    """Read the network's arrays in float32."""
    tensors = own_tensors(file).items()
    return {name: tensor.numpy().astype(np.float32, copy=False) for name, tensor in tensors}


def fill_from_own(model: SSD, file: WeightFile, keep_mean: bool = False) -> LoadReport:
    """Fill a network with what one of the project's own files has, except for the heads.

    Args:
        model: The network; its spec takes over how images are normalised.
        file: A model, a start or a checkpoint.
        keep_mean: Leave the spec as it is, and see `keep_normalisation`.

    Raises:
        InputError: An array does not belong to the network; all that do not are named, and nothing was changed.
    """
    state = {name: a for name, a in own_state(file).items() if not name.startswith(HEADS)}
    have = model.state()
    faults = [f"{name} is not expected" for name in state if name not in have]
    faults += [
        f"{name} has shape {array.shape}, not {have[name].shape}"
        for name, array in state.items()
        if name in have and array.shape != have[name].shape
    ]
    if faults or not state:
        fault = "; ".join(faults) or "holds nothing for it"
        raise InputError(f"{file.path}: does not fit {model.spec.name}: {fault}")
    theirs, changes = model.spec, []
    if own_format(file) != CHECKPOINT_FORMAT:
        read = own_spec(file)
        theirs = dataclasses.replace(
            model.spec, input_mean=read.input_mean, input_std=read.input_std
        )
    if theirs != model.spec and keep_mean:
        keep_normalisation(state, next(iter(have)), theirs, model.spec)
        changes.append("the first layer, to images normalised as by this network")
    elif theirs != model.spec:
        changes.append("images are normalised as by the network of the file")
    model.load_state(have | state)
    model.spec = model.spec if keep_mean else theirs
    ignored = {name: "heads" for name in own_tensors(file) if name.startswith(HEADS)}
    filled = [name for name in have if name in state]
    left = [name for name in have if name not in state]
    return LoadReport(file, f"minissd's own ({own_format(file)})", filled, left, ignored, changes)
