"""A detector as one ONNX file: which inputs and outputs it has, writing it, and saying what was written."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from minissd.errors import InputError, check
from minissd.export import onnx_detector as parts
from minissd.export.onnx_graph import IR_VERSION, OPSET, Graph, Port
from minissd.files import write_atomically
from minissd.models.detector import Detector
from minissd.models.spec import DetectorSpec

if TYPE_CHECKING:
    from onnx import ModelProto

STAGES = ("raw", "decode", "nms")  # how far the graph goes
SUFFIX = ".onnx"

DESCRIPTIONS = {
    "raw": "SSD detector: class scores before softmax, and offsets from the default boxes.",
    "decode": "SSD detector: boxes and class probabilities, before non-maximum suppression.",
    "nms": "SSD detector: the detections of each image, after non-maximum suppression.",
}


def input_port(spec: DetectorSpec) -> Port:
    """Return what the user feeds: pixels as a picture file gives them."""
    size = spec.image_size
    return Port(
        "images",
        np.uint8,
        ("N", size, size, 3),
        f"RGB, 0 to 255, resized to {size} x {size} without keeping the aspect; the mean is taken away inside",
    )


def output_ports(spec: DetectorSpec, stage: str) -> tuple[Port, ...]:
    """Return what comes out at a stage: raw, decode or nms."""
    check(stage in STAGES, "stage", " | ".join(STAGES), stage)
    k, c, d = spec.n_default_boxes, spec.n_object_classes + 1, parts.n_detections(spec)
    corners = "corners xmin, ymin, xmax, ymax as fractions of the image"
    if stage == "raw":
        return (
            Port("scores", np.float32, ("N", k, c), "before softmax, column 0 is background"),
            Port("offsets", np.float32, ("N", k, 4), "from the default boxes: x, y, w, h"),
        )
    if stage == "decode":
        where = "clipped to it" if spec.clip_before_nms else "not clipped to it"
        return (
            Port("boxes", np.float32, ("N", k, 4), f"{corners}, {where}"),
            Port("probabilities", np.float32, ("N", k, c), "column 0 is background"),
        )
    return (
        Port("boxes", np.float32, ("N", d, 4), f"{corners}; best first, rows from count on are 0"),
        Port("labels", np.int64, ("N", d), "1 is the first class name; 0 where there is no more"),
        Port("scores", np.float32, ("N", d), "probability of the label, falling"),
        Port("count", np.int64, ("N",), "how many rows of each image hold a detection"),
    )


def build_onnx(detector: Detector, stage: str = "raw") -> ModelProto:
    """Write a detector as an ONNX model.

    Args:
        detector: The trained network and its class names.
        stage: "raw" ends with the network's own numbers, "decode" with boxes and probabilities, "nms" with detections.

    Returns:
        The model, checked. Any number of images goes through it at once.

    Raises:
        ValueError: A layer has no translation.
        InputError: The package `onnx` is not installed.
    """
    model, spec = detector.model, detector.model.spec
    inputs, outputs = input_port(spec), output_ports(spec, stage)
    graph = Graph()
    tensors = parts.add_predictions(graph, model, parts.add_preparation(graph, inputs.name, spec))
    if stage != "raw":
        tensors = parts.add_decoding(graph, spec, *tensors)
    if stage == "nms":
        tensors = parts.add_suppression(graph, spec, *tensors)
    ends = dict(zip(tensors, outputs, strict=True))
    return graph.model([inputs], ends, DESCRIPTIONS[stage], _metadata(detector, stage))


def write_onnx(model: ModelProto, path: str | Path) -> None:
    """Write the file; an older one of that name stays whole until the new one is complete.

    Raises:
        InputError: The name does not end in .onnx, or the file cannot be written.
    """
    path = check_name(path)
    data = model.SerializeToString()
    write_atomically(path, lambda temporary: temporary.write_bytes(data))


def check_name(path: str | Path) -> Path:
    """Return the path; refuse one that does not end in .onnx, so that no other file is replaced by mistake."""
    path = Path(path)
    if path.suffix.lower() != SUFFIX:
        raise InputError(f"{path}: the name of an ONNX file ends in {SUFFIX}")
    return path


def summary(detector: Detector, stage: str, path: str | Path) -> str:
    """Return a few lines on a file that was written: inputs, outputs, versions, size."""
    spec = detector.model.spec
    size = Path(path).stat().st_size
    lines = [f"{path}: {spec.name}, {len(detector.class_names)} classes, {size / 1e6:.1f} MB"]
    lines += [f"  ONNX operator set {OPSET}, IR version {IR_VERSION}"]
    lines += [f"  input   {input_port(spec)}"]
    lines += [f"  output  {port}" for port in output_ports(spec, stage)]
    return "\n".join(lines)


def _metadata(detector: Detector, stage: str) -> dict[str, str]:
    spec = detector.model.spec
    texts = {
        "spec": spec.name,
        "stage": stage,
        "class_names": json.dumps(list(detector.class_names)),
        "image_size": str(spec.image_size),
        "input": str(input_port(spec)),
    }
    texts |= {f"output {port.name}": str(port) for port in output_ports(spec, stage)}
    if stage == "nms":
        names = ("score_floor", "candidates_per_class", "nms_iou", "max_detections")
        texts |= {name: str(getattr(spec, name)) for name in names}
    return texts
