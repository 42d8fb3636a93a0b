"""The true names and shapes of published files, written down from their own projects' layer lists."""

from __future__ import annotations

import numpy as np

VGG = [64, 64, "M", 128, 128, "M", 256, 256, 256, "M", 512, 512, 512, "M", 512, 512, 512, "M"]
EXTRAS_300 = [(1024, 256, 1), (256, 512, 3), (512, 128, 1), (128, 256, 3)] + [
    (256, 128, 1),
    (128, 256, 3),
] * 2
EXTRAS_512 = EXTRAS_300 + [(256, 128, 1), (128, 256, 4)]
MAPS_300 = [(512, 4), (1024, 6), (512, 6), (256, 6), (256, 4), (256, 4)]
MAPS_512 = [(512, 4), (1024, 6), (512, 6), (256, 6), (256, 6), (256, 4), (256, 4)]

Shapes = dict[str, tuple[int, ...]]


def conv(prefix: str, inputs: int, outputs: int, kernel: int) -> Shapes:
    return {f"{prefix}.weight": (outputs, inputs, kernel, kernel), f"{prefix}.bias": (outputs,)}


def vgg_features(prefix: str) -> Shapes:
    """Walk through torchvision's configuration D: convolution and ReLU, or a pooling, one place each."""
    shapes: Shapes = {}
    place, inputs = 0, 3
    for entry in VGG:
        if entry == "M":
            place += 1
            continue
        shapes |= conv(f"{prefix}{place}", inputs, entry, 3)
        place, inputs = place + 2, entry
    return shapes


def torchvision_vgg16() -> Shapes:
    shapes = vgg_features("features.")
    for place, (outputs, inputs) in {0: (4096, 25088), 3: (4096, 4096), 6: (1000, 4096)}.items():
        shapes[f"classifier.{place}.weight"] = (outputs, inputs)
        shapes[f"classifier.{place}.bias"] = (outputs,)
    return shapes


def torchvision_ssd300(n_classes: int = 91) -> Shapes:
    """Names as `torchvision.models.detection.ssd300_vgg16().state_dict()` has them."""
    whole = vgg_features("")
    shapes: Shapes = {"backbone.scale_weight": (512,)}
    for name, shape in whole.items():
        place, part = name.split(".")
        if int(place) < 23:  # the pooling at 23 is the first step of extra.0
            shapes[f"backbone.features.{place}.{part}"] = shape
        else:
            shapes[f"backbone.extra.0.{int(place) - 23}.{part}"] = shape
    shapes |= conv("backbone.extra.0.7.1", 512, 1024, 3) | conv(
        "backbone.extra.0.7.3", 1024, 1024, 1
    )
    for i, (inputs, outputs, kernel) in enumerate(EXTRAS_300):
        shapes |= conv(f"backbone.extra.{i // 2 + 1}.{i % 2 * 2}", inputs, outputs, kernel)
    for head, each in ("classification_head", n_classes), ("regression_head", 4):
        for i, (inputs, boxes) in enumerate(MAPS_300):
            shapes |= conv(f"head.{head}.module_list.{i}", inputs, boxes * each, 3)
    return shapes


def ssd_pytorch_body(prefix: str = "") -> Shapes:
    return (
        vgg_features(prefix)
        | conv(f"{prefix}31", 512, 1024, 3)
        | conv(f"{prefix}33", 1024, 1024, 1)
    )


def ssd_pytorch(n_classes: int = 21) -> Shapes:
    shapes = ssd_pytorch_body("vgg.") | {"L2Norm.weight": (512,)}
    for i, (inputs, outputs, kernel) in enumerate(EXTRAS_300):
        shapes |= conv(f"extras.{i}", inputs, outputs, kernel)
    for head, each in ("loc", 4), ("conf", n_classes):
        for i, (inputs, boxes) in enumerate(MAPS_300):
            shapes |= conv(f"{head}.{i}", inputs, boxes * each, 3)
    return shapes


def caffe_body(reduced: bool = True) -> dict[str, list[tuple[int, ...]]]:
    convs = iter(vgg_features("").values())
    names = [f"conv{b}_{i}" for b, n in enumerate((2, 2, 3, 3, 3), 1) for i in range(1, n + 1)]
    layers = {name: [next(convs), next(convs)] for name in names}
    if reduced:
        return layers | {
            "fc6": [(1024, 512, 3, 3), (1024,)],
            "fc7": [(1024, 1024, 1, 1), (1024,)],
        }
    return layers | {
        "fc6": [(4096, 25088), (4096,)],
        "fc7": [(4096, 4096), (4096,)],
        "fc8": [(1000, 4096), (1000,)],
    }


def caffe_ssd(size: int = 300, n_classes: int = 21) -> dict[str, list[tuple[int, ...]]]:
    """Layers of VGG_VOC0712_SSD_300x300 and 512x512."""
    extras, maps = (EXTRAS_300, MAPS_300) if size == 300 else (EXTRAS_512, MAPS_512)
    layers = caffe_body()
    sources = ["conv4_3_norm", "fc7"]
    for i, (inputs, outputs, kernel) in enumerate(extras):
        name = f"conv{6 + i // 2}_{i % 2 + 1}"
        layers[name] = [(outputs, inputs, kernel, kernel), (outputs,)]
        if i % 2:
            sources.append(name)
    layers["conv4_3_norm"] = [(512,)]
    for source, (inputs, boxes) in zip(sources, maps, strict=True):
        layers[f"{source}_mbox_loc"] = [(boxes * 4, inputs, 3, 3), (boxes * 4,)]
        layers[f"{source}_mbox_conf"] = [(boxes * n_classes, inputs, 3, 3), (boxes * n_classes,)]
    return layers


def mobilenet_v2() -> Shapes:
    """Names as torchvision's `mobilenet_v2().state_dict()` has them; convolutions without biases."""
    shapes: Shapes = {}

    def conv_norm(prefix: str, norm: str, outputs: int, inputs: int, kernel: int) -> None:
        shapes[f"{prefix}.weight"] = (outputs, inputs, kernel, kernel)
        for part in ("weight", "bias", "running_mean", "running_var"):
            shapes[f"{norm}.{part}"] = (outputs,)
        shapes[f"{norm}.num_batches_tracked"] = ()

    conv_norm("features.0.0", "features.0.1", 32, 3, 3)
    inputs, number = 32, 1
    table = [(1, 16, 1), (6, 24, 2), (6, 32, 3), (6, 64, 4), (6, 96, 3), (6, 160, 3), (6, 320, 1)]
    for expansion, outputs, count in table:
        for _ in range(count):
            block, wide, i = f"features.{number}.conv", expansion * inputs, 0
            if expansion > 1:
                conv_norm(f"{block}.0.0", f"{block}.0.1", wide, inputs, 1)
                i = 1
            conv_norm(f"{block}.{i}.0", f"{block}.{i}.1", wide, 1, 3)
            conv_norm(f"{block}.{i + 1}", f"{block}.{i + 2}", outputs, wide, 1)
            inputs, number = outputs, number + 1
    conv_norm("features.18.0", "features.18.1", 1280, 320, 1)
    return shapes | {"classifier.1.weight": (1000, 1280), "classifier.1.bias": (1000,)}


def constant(shapes: Shapes) -> dict[str, np.ndarray]:
    """Return arrays of one number each, different from each other, that take no room."""
    return {
        name: np.broadcast_to(np.float32(1 + i / 64), shape)
        for i, (name, shape) in enumerate(shapes.items())
    }
