"""What is measured on a GPU: the cases by name, in three precisions, and the two who take part.

A contender is a function of a case and of where it computes; it prepares everything there and returns what does one
round. On a GPU that place is CuPy for us and "cuda" for PyTorch; tests give the strict stand-in and "cpu". Pictures and
targets lie on the device before a round begins; nothing is waited for but what the work itself waits for.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from types import ModuleType

import numpy as np

from benchmarks.cases import Case, build, targets_of
from benchmarks.rounds import RATE, Round, plausible_output, training_step
from minissd.backend import to_device
from minissd.models.detector import decode_detections
from minissd.models.half import halved
from minissd.models.ssd import SSD
from minissd.products import use_tf32

WHO = ("minissd", "pytorch")
PRECISIONS = {"fp32": "float32", "tf32": "float32", "half": "float16"}  # how numbers are stored


@dataclass(frozen=True)
class GpuCase(Case):
    """One thing to measure on a GPU.

    Attributes:
        precision: fp32, tf32 (float32 whose products round their operands) or half (inference alone).
    """

    precision: str = "fp32"


def switch_to_tf32(precision: str) -> Callable[[], None]:
    """Let our products on the GPU use TF32 if the case says so; return what switches back.

    Raises:
        DeviceError: This GPU has no TF32.
    """
    if precision != "tf32":
        return lambda: None
    context = use_tf32("gpu")
    context.__enter__()
    return lambda: context.__exit__(None, None, None)


def on_device(case: GpuCase, xp: ModuleType) -> tuple[SSD, object]:
    """Return the case's network and pictures on a device, the network in the case's precision.

    Raises:
        DeviceError: This device has no half precision.
    """
    model, images = build(case)
    model.to(xp)
    if case.precision == "half":
        model = halved(model)
    return model, to_device(images, xp)


def minissd_forward(case: GpuCase, xp: ModuleType) -> Round:
    model, images = on_device(case, xp)
    model.eval()
    return lambda: model.predict(images)


def minissd_step(case: GpuCase, xp: ModuleType) -> Round:
    return training_step(*on_device(case, xp), xp)


def minissd_detect(case: GpuCase, xp: ModuleType) -> Round:
    """Softmax, decoding and NMS of an output on the device; the detections come to the host."""
    model, _ = build(case)
    scores, offsets = (to_device(part, xp) for part in plausible_output(model, case.batch))
    centers = model.default_centers(xp)
    return lambda: decode_detections(scores, offsets, centers, model.spec)


def torch_precision(precision: str) -> None:
    """Tell PyTorch and cuDNN how to multiply float32, and let cuDNN try its algorithms first."""
    import torch

    tf32 = precision == "tf32"
    if hasattr(torch.backends.cudnn, "conv"):  # since PyTorch 2.9
        torch.backends.cuda.matmul.fp32_precision = "tf32" if tf32 else "ieee"
        torch.backends.cudnn.conv.fp32_precision = "tf32" if tf32 else "ieee"
    else:
        torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = tf32
    torch.backends.cudnn.benchmark = True


def torch_network(case: GpuCase, place: str) -> tuple[object, object, SSD]:
    """Return PyTorch's network and pictures in a place, and ours that it was made from."""
    import torch

    from benchmarks.torch_network import TorchSSD

    torch_precision(case.precision)
    model, images = build(case)
    network = TorchSSD(model).to(place, memory_format=torch.channels_last)
    return network, torch.from_numpy(images).to(place), model


def pytorch_forward(case: GpuCase, place: str) -> Round:
    import torch

    network, pixels, _ = torch_network(case, place)
    network.eval()
    half = case.precision == "half"
    if half:
        network.half()

    def forward() -> object:
        with torch.inference_mode():
            x = network.prepare(pixels)
            return network.predict(x.half() if half else x)

    return forward


def pytorch_step(case: GpuCase, place: str) -> Round:
    """Forward, loss, backward, update; the targets are given, so matching is left out in its favour."""
    import torch

    from benchmarks import torch_network as peer

    network, pixels, model = torch_network(case, place)
    given = [part.to(place) for part in peer.to_torch(targets_of(case, model))]
    network.train()
    optimizer = torch.optim.SGD(network.parameters(), RATE, momentum=0.9, weight_decay=5e-4)

    def step() -> None:
        optimizer.zero_grad()
        peer.multibox_loss(*network(pixels), given).backward()
        optimizer.step()

    return step


def pytorch_detect(case: GpuCase, place: str) -> Round:
    """The same decoding in PyTorch, with torchvision's NMS."""
    import torch

    from benchmarks.torch_network import decode_and_suppress

    model, _ = build(case)
    parts = (*plausible_output(model, case.batch), model.default_centers(np))
    scores, offsets, centers = (torch.from_numpy(part).to(place) for part in parts)

    def detect() -> object:
        with torch.inference_mode():
            return decode_and_suppress(scores, offsets, centers, model.spec)

    return detect


GPU_CONTENDERS: dict[str, dict[str, Callable[[GpuCase, object], Round]]] = {
    "forward": {"minissd": minissd_forward, "pytorch": pytorch_forward},
    "step": {"minissd": minissd_step, "pytorch": pytorch_step},
    "detect": {"minissd": minissd_detect, "pytorch": pytorch_detect},
}


def _cases() -> list[GpuCase]:
    wanted = [
        *(("ssd300", "SSD300", "forward", batch, PRECISIONS) for batch in (1, 8, 32)),
        *(("ssd300", "SSD300", "step", batch, ("fp32", "tf32")) for batch in (8, 32)),
        ("minissd", "small SSD", "step", 64, ("fp32", "tf32")),
        ("ssd300", "SSD300", "detect", 8, ("fp32",)),
    ]
    words = {"forward": "inference", "step": "training step", "detect": "decode and NMS"}
    return [
        GpuCase(
            f"{model}-{kind}-{batch}-{precision}",
            f"{title} {words[kind]}, batch {batch}, {precision}",
            kind,
            WHO,
            model,
            batch,
            precision=precision,
        )
        for model, title, kind, batch, precisions in wanted
        for precision in precisions
    ]


GPU_CASES: dict[str, GpuCase] = {case.name: case for case in _cases()}
