"""The same images through this library and through ONNX Runtime, and how far the answers lie apart."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import ModuleType

import numpy as np

from minissd.backend import array_module, to_cpu, to_device
from minissd.boxes.coding import decode
from minissd.boxes.geometry import clip
from minissd.boxes.nms import Detections
from minissd.errors import InputError
from minissd.export.onnx_graph import INSTALL
from minissd.models.detector import Detector
from minissd.nn.losses import softmax

TOLERANCE = 1e-4
NEAR = 1e-3  # two detections whose numbers differ by less than this are taken for the same one


def onnxruntime_package() -> ModuleType:
    """Return the package `onnxruntime`, which is imported only here.

    Raises:
        InputError: It is not installed; the message says how to get it.
    """
    try:
        import onnxruntime
    except ModuleNotFoundError as error:
        raise InputError(f"the package {error.name} is not installed: {INSTALL}") from error
    return onnxruntime


def run_onnx(model: str | Path | bytes, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Run a model in ONNX Runtime on the CPU.

    Args:
        model: The file, or its content.
        inputs: Arrays by the names of the model's inputs.

    Returns:
        Arrays by the names of its outputs.
    """
    onnxruntime = onnxruntime_package()
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3  # errors
    source = model if isinstance(model, bytes) else str(model)
    session = onnxruntime.InferenceSession(source, options, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(names, dict(inputs))))


def compare(
    detector: Detector, stage: str, path: str | Path, images: np.ndarray
) -> dict[str, float]:
    """Return how far the answers of a file lie from ours, output by output.

    Args:
        detector: What was exported.
        stage: How far the file goes: raw, decode or nms.
        path: The file.
        images: (N, S, S, 3) uint8.

    Returns:
        The largest difference by the name of the output. Of detections, also how many have no partner on the other
        side ("unpaired"): rounding can take one across a threshold.
    """
    theirs = run_onnx(path, {"images": images})
    if stage == "nms":
        return _detections_apart(detector.detect(images), as_detections(theirs))
    ours = _our_numbers(detector, stage, images)
    return {name: apart(ours[name], theirs[name]) for name in ours}


def apart(ours: np.ndarray, theirs: np.ndarray) -> float:
    """Return the largest difference of two arrays; of numbers above 1 the relative one.

    It is inf where the shapes differ, or where one of two numbers is none (nan).
    """
    if ours.shape != theirs.shape:
        return float("inf")
    difference = np.abs(ours - theirs) / np.maximum(1, np.abs(ours))
    return float(np.max(np.nan_to_num(difference, nan=np.inf, posinf=np.inf), initial=0))


def as_detections(outputs: Mapping[str, np.ndarray]) -> list[Detections]:
    """Return the outputs of a model with NMS as `Detector.detect` gives them: without the empty rows."""
    columns = [outputs[name] for name in Detections._fields]
    counts = outputs["count"].tolist()
    return [Detections(*(each[i, :n] for each in columns)) for i, n in enumerate(counts)]


def _our_numbers(detector: Detector, stage: str, images: np.ndarray) -> dict[str, np.ndarray]:
    model, spec = detector.model, detector.model.spec
    xp = array_module(model.heads[0].weight.value)
    was_training = model.training
    try:
        scores, offsets = model.eval().forward(model.prepare(to_device(images, xp)))
    finally:
        model.train(was_training)
    if stage == "raw":
        return {"scores": to_cpu(scores), "offsets": to_cpu(offsets)}
    scales = spec.center_scale, spec.size_scale, spec.size_clamp
    boxes = decode(offsets, model.default_centers(xp), *scales)
    boxes = clip(boxes) if spec.clip_before_nms else boxes
    return {"boxes": to_cpu(boxes), "probabilities": to_cpu(softmax(scores))}


def _detections_apart(ours: Sequence[Detections], theirs: Sequence[Detections]) -> dict[str, float]:
    boxes, scores, unpaired = [0.0], [0.0], 0
    for mine, other in zip(ours, theirs, strict=True):
        pairs = pair_up(mine, other)
        unpaired += len(mine.scores) + len(other.scores) - 2 * len(pairs)
        boxes += [float(np.abs(mine.boxes[i] - other.boxes[j]).max()) for i, j in pairs]
        scores += [float(abs(mine.scores[i] - other.scores[j])) for i, j in pairs]
    return {"boxes": max(boxes), "scores": max(scores), "unpaired": float(unpaired)}


def pair_up(ours: Detections, theirs: Detections) -> list[tuple[int, int]]:
    """Return (row of ours, row of theirs) of the detections that are the same but for rounding, each used once."""
    pairs, free = [], np.ones(len(theirs.scores), dtype=bool)
    for i in range(len(ours.scores)):
        same = free & (theirs.labels == ours.labels[i])
        same &= np.abs(theirs.scores - ours.scores[i]) < NEAR
        same &= (np.abs(theirs.boxes - ours.boxes[i]) < NEAR).all(axis=1)
        if same.any():
            j = int(same.argmax())
            free[j] = False
            pairs.append((i, j))
    return pairs
