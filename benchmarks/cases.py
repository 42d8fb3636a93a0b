"""What is measured: the cases by name, and who can take part in each.

A contender is a function of a case that prepares everything and returns what does one round. Peers are imported inside
their functions: one that is not installed is left out, by name.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec

import numpy as np

from benchmarks.rounds import RATE, Round, objects, plausible_output, training_step
from minissd.machine import keep_freed_memory
from minissd.models.build import build_model
from minissd.models.detector import Detector, decode_detections
from minissd.models.loss import Targets, make_targets
from minissd.models.ssd import SSD
from minissd.nn import Conv2d

PACKAGES = {"pytorch": "torch", "onnxruntime": "onnxruntime", "openvino": "openvino"}


@dataclass(frozen=True)
class Case:
    """One thing to measure.

    Attributes:
        name: As it is asked for.
        title: As it is printed.
        kind: forward, step, layer, layer-step, detect or match.
        contenders: Names in `CONTENDERS` of its kind; the first is ours.
        model: Of a network.
        batch: Images.
        classes: Object classes.
        image_size: Side of the pictures, for networks that leave the choice.
        layer: Of a layer: side, channels in, filters, dilation.
    """

    name: str
    title: str
    kind: str
    contenders: tuple[str, ...]
    model: str = "ssd300"
    batch: int = 1
    classes: int = 20
    image_size: int | None = None
    layer: tuple[int, int, int, int] = (0, 0, 0, 1)


def installed(contender: str) -> bool:
    """Say whether a contender can run here."""
    package = PACKAGES.get(contender)
    return package is None or find_spec(package) is not None


def build(case: Case) -> tuple[SSD, np.ndarray]:
    """Return the case's network and pictures of noise (N, S, S, 3)."""
    rng = np.random.default_rng(0)
    model = build_model(case.model, case.classes, rng, image_size=case.image_size)
    size = model.spec.image_size
    return model, rng.integers(0, 256, (case.batch, size, size, 3), dtype=np.uint8)


def minissd_forward(case: Case) -> Round:
    keep_freed_memory()
    model, images = build(case)
    model.eval()
    return lambda: model.predict(images)


def minissd_step(case: Case) -> Round:
    keep_freed_memory()
    return training_step(*build(case))


def pytorch_forward(case: Case) -> Round:
    import torch

    from benchmarks.torch_network import TorchSSD

    model, images = build(case)
    network = TorchSSD(model).to(memory_format=torch.channels_last).eval()
    pixels = torch.from_numpy(images)

    def forward() -> object:
        with torch.inference_mode():
            return network(pixels)

    return forward


def pytorch_step(case: Case) -> Round:
    """Forward, loss, backward, update; the targets are given, so matching is left out in its favour."""
    import torch

    from benchmarks import torch_network as peer

    model, images = build(case)
    given = peer.to_torch(targets_of(case, model))
    network = peer.TorchSSD(model).to(memory_format=torch.channels_last).train()
    optimizer = torch.optim.SGD(network.parameters(), RATE, momentum=0.9, weight_decay=5e-4)
    pixels = torch.from_numpy(images)
    del model

    def step() -> None:
        optimizer.zero_grad()
        peer.multibox_loss(*network(pixels), given).backward()
        optimizer.step()

    return step


def targets_of(case: Case, model: SSD) -> Targets:
    """Return what every default box shall answer."""
    return make_targets(model.default_centers(np), *objects(case.batch), model.spec)


def exported(case: Case) -> tuple[bytes, np.ndarray]:
    """Return the network as ONNX, and pictures."""
    from minissd.export.onnx_file import build_onnx

    model, images = build(case)
    names = [f"class {i + 1}" for i in range(case.classes)]
    return build_onnx(Detector(model.eval(), names), "raw").SerializeToString(), images


def onnxruntime_forward(case: Case) -> Round:
    import onnxruntime

    from minissd.parallel import thread_count

    file, images = exported(case)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = thread_count()
    session = onnxruntime.InferenceSession(file, options, ["CPUExecutionProvider"])
    return lambda: session.run(None, {"images": images})


def openvino_forward(case: Case) -> Round:
    import openvino

    from minissd.parallel import thread_count

    file, images = exported(case)
    core = openvino.Core()
    network = core.read_model(file)
    network.reshape(list(images.shape))  # what is known before need not be found out in every call
    settings = {
        "INFERENCE_NUM_THREADS": thread_count(),
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_PRECISION_HINT": "f32",
    }
    request = core.compile_model(network, "CPU", settings).create_infer_request()
    return lambda: request.infer({"images": images})


def layer_and_input(case: Case, algorithm: str) -> tuple[Conv2d, np.ndarray]:
    """Return a 3x3 layer that keeps the map's size, and a map."""
    keep_freed_memory()
    rng = np.random.default_rng(0)
    side, channels, filters, d = case.layer
    layer = Conv2d(channels, filters, 3, padding=d, dilation=d, algorithm=algorithm, rng=rng)
    return layer, rng.standard_normal((case.batch, side, side, channels), dtype=np.float32)


def our_layer(algorithm: str) -> Callable[[Case], Round]:
    """Return the contender that convolves with an algorithm, or as the rule says ("auto")."""

    def prepare(case: Case) -> Round:
        layer, x = layer_and_input(case, algorithm)
        if case.kind == "layer":
            layer.eval()
            return lambda: layer.forward(x)
        dy = np.ones_like(layer.forward(x))

        def step() -> None:
            layer.forward(x)
            layer.backward(dy)

        return step

    return prepare


def pytorch_layer(case: Case) -> Round:
    import torch

    from benchmarks.torch_network import convert

    layer, x = layer_and_input(case, "auto")
    conv = convert(layer).to(memory_format=torch.channels_last)
    pixels = torch.from_numpy(x).permute(0, 3, 1, 2)
    if case.kind == "layer":

        def forward() -> object:
            with torch.inference_mode():
                return conv(pixels)

        return forward
    pixels.requires_grad_(True)
    with torch.no_grad():
        dy = torch.ones_like(conv(pixels))

    def step() -> None:
        conv(pixels).backward(dy)

    return step


def minissd_detect(case: Case) -> Round:
    """Softmax, decoding and NMS of one output."""
    model, _ = build(case)
    scores, offsets = plausible_output(model, case.batch)
    centers = model.default_centers(np)
    return lambda: decode_detections(scores, offsets, centers, model.spec)


def minissd_match(case: Case) -> Round:
    """Match the default boxes to twenty objects."""
    model, _ = build(case)
    rng = np.random.default_rng(1)
    corners = np.sort(rng.uniform(0, 1, (20, 2, 2)), axis=1).reshape(20, 4).astype(np.float32)
    labels = rng.integers(1, case.classes + 1, 20)
    centers = model.default_centers(np)
    return lambda: make_targets(centers, [corners] * case.batch, [labels] * case.batch, model.spec)


CONTENDERS: dict[str, dict[str, Callable[[Case], Round]]] = {
    "forward": {
        "minissd": minissd_forward,
        "pytorch": pytorch_forward,
        "onnxruntime": onnxruntime_forward,
        "openvino": openvino_forward,
    },
    "step": {"minissd": minissd_step, "pytorch": pytorch_step},
    "layer": {
        "minissd": our_layer("auto"),
        "minissd im2col": our_layer("im2col"),
        "pytorch": pytorch_layer,
    },
    "detect": {"minissd": minissd_detect},
    "match": {"minissd": minissd_match},
}
CONTENDERS["layer-step"] = CONTENDERS["layer"]


def _forward(model: str, batch: int, title: str) -> Case:
    name = f"{model}-forward-{batch}"
    return Case(
        name,
        f"{title} forward, batch {batch}",
        "forward",
        tuple(CONTENDERS["forward"]),
        model,
        batch,
    )


def _step(model: str, batch: int, title: str) -> Case:
    name = f"{model}-step-{batch}"
    return Case(
        name,
        f"{title} training step, batch {batch}",
        "step",
        tuple(CONTENDERS["step"]),
        model,
        batch,
    )


def _layers() -> list[Case]:
    """Return VGG's shapes, one way and both."""
    shapes = {
        "conv1_2": (300, 64, 64, 1),
        "conv2_2": (150, 128, 128, 1),
        "conv3_2": (75, 256, 256, 1),
        "conv4_2": (38, 512, 512, 1),
        "conv5_2": (19, 512, 512, 1),
        "fc6": (19, 512, 1024, 6),
    }
    cases = []
    for kind, batch, words in (("layer", 1, "forward"), ("layer-step", 2, "forward and backward")):
        for layer, shape in shapes.items():
            side, channels, filters, _ = shape
            title = f"{layer} {side}x{side}x{channels} -> {filters}, {words}, batch {batch}"
            cases.append(
                Case(
                    f"{layer}-{kind}",
                    title,
                    kind,
                    tuple(CONTENDERS[kind]),
                    batch=batch,
                    layer=shape,
                )
            )
    return cases


CASES: dict[str, Case] = {
    case.name: case
    for case in [
        _forward("ssd300", 1, "SSD300"),
        _forward("ssd300", 8, "SSD300"),
        _step("ssd300", 4, "SSD300"),
        _step("ssd300", 8, "SSD300"),
        _forward("minissd", 32, "small SSD"),
        _step("minissd", 32, "small SSD"),
        _forward("ssd-mobilenetv2", 32, "SSD MobileNetV2"),
        _step("ssd-mobilenetv2", 32, "SSD MobileNetV2"),
        Case("detect", "SSD300: decode and NMS of one output", "detect", ("minissd",)),
        Case("match", "SSD300: match and encode 20 objects", "match", ("minissd",)),
        *_layers(),
    ]
}
