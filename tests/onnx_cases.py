"""Small ONNX graphs for the tests: one layer, or one part of the detector, with chosen numbers fed in."""

from __future__ import annotations

import numpy as np
import pytest

from minissd.boxes import Detections
from minissd.export import onnx_detector
from minissd.export.onnx_check import as_detections, run_onnx
from minissd.export.onnx_graph import Graph, Map, Port
from minissd.export.onnx_layers import add_layer
from minissd.models.detector import Detector
from minissd.nn import BatchNorm2d, Conv2d, ReLU6, Residual, Sequential
from minissd.nn.gradcheck import randomize_parameters

# Whatever imports this module is skipped where the packages are missing.
onnx = pytest.importorskip("onnx", reason="ONNX export is not tested: onnx is not installed")
pytest.importorskip("onnxruntime", reason="ONNX export is not tested: onnxruntime is not installed")


def maps(rng, *shape):
    return rng.standard_normal(shape).astype(np.float32)


def assert_equal(theirs, ours, tolerance=1e-5):
    assert theirs.dtype == ours.dtype
    assert theirs.shape == ours.shape
    np.testing.assert_allclose(theirs, ours, rtol=tolerance, atol=tolerance)


def inverted_residual(rng):
    """MobileNetV2's block: 1x1 to more channels, depthwise 3x3, 1x1 back without activation."""
    wide = [Conv2d(4, 24, 1, bias=False, rng=rng), BatchNorm2d(24), ReLU6()]
    deep = [Conv2d(24, 24, 3, padding=1, groups=24, bias=False, rng=rng), BatchNorm2d(24), ReLU6()]
    return Residual(Sequential(*wide), Sequential(*deep), Conv2d(24, 4, 1, rng=rng), BatchNorm2d(4))


def odd(layer, rng):
    """Give a layer odd parameters and running statistics, so that ones and zeros hide nothing; evaluation mode."""
    randomize_parameters(layer, rng)
    for _, part in layer.layers():
        if isinstance(part, BatchNorm2d):
            part.running_mean[...] = rng.normal(0, 0.5, part.channels)
            part.running_var[...] = rng.uniform(0.3, 2, part.channels)
    return layer.eval()


def trained_size(model, rng, largest=10.0):
    """Give a network odd parameters, and heads whose scores on noise are as large as those of a trained one."""
    odd(model, rng)
    size = model.spec.image_size
    noise = rng.integers(0, 256, (1, size, size, 3), dtype=np.uint8)
    scores, offsets = model.forward(model.prepare(noise))
    factor = largest / max(np.abs(scores).max(), np.abs(offsets).max())
    for head in model.heads:
        head.weight.value *= factor
        head.bias.value *= factor
    return model


def named(model):
    """A detector with class names "1", "2", ..."""
    return Detector(model, [str(i + 1) for i in range(model.spec.n_object_classes)])


def noise(rng, model, count=2):
    size = model.spec.image_size
    return rng.integers(0, 256, (count, size, size, 3), dtype=np.uint8)


def run_layer(layer, x):
    """Send a map (N, H, W, C) through a layer in ONNX Runtime; (N, H, W, C) comes back."""
    h, w, c = x.shape[1:]
    graph = Graph()
    first = graph.node("Transpose", "x", name="first", perm=(0, 3, 1, 2))
    out = add_layer(graph, layer, Map(first, c, h, w), "layer")
    last = graph.node("Transpose", out.name, name="last", perm=(0, 2, 3, 1))
    port = Port("x", np.float32, ("N", h, w, c), "")
    shape = ("N", out.height, out.width, out.channels)
    model = graph.model([port], {last: Port("y", np.float32, shape, "")})
    return run_onnx(model.SerializeToString(), {"x": x})["y"]


def run_decoding(spec, scores, offsets):
    """Return boxes (N, K, 4) and probabilities (N, K, C + 1) as the graph decodes them."""
    graph = Graph()
    tensors = onnx_detector.add_decoding(graph, spec, "scores", "offsets")
    names = ("boxes", "probabilities")
    found = _run(graph, {"scores": scores, "offsets": offsets}, dict(zip(tensors, names)))
    return found["boxes"], found["probabilities"]


def run_suppression(spec, boxes, probabilities) -> tuple[list[Detections], dict[str, np.ndarray]]:
    """Return the graph's detections of boxes (N, K, 4) and probabilities (N, K, C + 1), and its raw outputs."""
    graph = Graph()
    tensors = onnx_detector.add_suppression(graph, spec, "in_boxes", "in_probabilities")
    inputs = {"in_boxes": boxes, "in_probabilities": probabilities}
    names = ("boxes", "labels", "scores", "count")
    outputs = _run(graph, inputs, dict(zip(tensors, names, strict=True)))
    return as_detections(outputs), outputs


def _run(graph, inputs, outputs):
    ports = [Port(n, a.dtype, ("N", *a.shape[1:]), "") for n, a in inputs.items()]
    kinds = {"labels": (np.int64, 2), "scores": (np.float32, 2), "count": (np.int64, 1)}
    ends = {}
    for tensor, name in outputs.items():
        kind, axes = kinds.get(name, (np.float32, 3))
        ends[tensor] = Port(name, kind, tuple("NABC"[:axes]), "")
    return run_onnx(graph.model(ports, ends).SerializeToString(), inputs)
