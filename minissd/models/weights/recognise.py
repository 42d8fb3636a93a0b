"""Which family a file of weights belongs to, told by the names of its tensors."""

from __future__ import annotations

import re

import numpy as np

from minissd.errors import InputError
from minissd.models.weights.names_mobilenet import TORCHVISION_MOBILENETV2
from minissd.models.weights.names_vgg import (
    CAFFE_SSD,
    CAFFE_VGG16,
    SSD_PYTORCH,
    SSD_PYTORCH_VGG16,
    TIMM_VGG16,
    TORCHVISION_FEATURES,
    TORCHVISION_SSD300,
    TORCHVISION_VGG16,
)
from minissd.models.weights.naming import Naming
from minissd.models.weights.stored import StoredTensor, WeightFile

# The first family whose names are all in the file is meant.
FAMILIES: tuple[tuple[Naming, tuple[str, ...]], ...] = (
    (TORCHVISION_SSD300, ("backbone.features.0.weight", "backbone.extra.0.1.weight")),
    (SSD_PYTORCH, ("vgg.0.weight", "extras.0.weight")),
    (SSD_PYTORCH_VGG16, ("0.weight", "28.weight")),
    (TIMM_VGG16, ("features.0.weight", "pre_logits.fc1.weight")),
    (TORCHVISION_MOBILENETV2, ("features.0.0.weight", "features.1.conv.0.0.weight")),
    (TORCHVISION_VGG16, ("features.0.weight", "features.5.weight")),
    (CAFFE_SSD, ("conv1_1.0", "fc7_mbox_conf.0")),
    (CAFFE_VGG16, ("conv1_1.0", "conv5_3.0")),
)
# What other networks call their layers.
STRANGERS = {
    r"^layer1\.0\.": "a ResNet",
    r"^(module\.)?backbone\.body\.layer1": "a detector on a ResNet, such as Faster R-CNN or RetinaNet",
    r"^backbone\.features\.0\.0\.0\.": "SSDLite on MobileNetV3",
    r"^backbone\.features\.1\.0\.": "SSDLite on MobileNetV3",
    r"^features\.\d+\.block\.": "an EfficientNet or MobileNetV3",
    r"^features\.denseblock1\.": "a DenseNet",
    r"^model\.\d+\.conv\.": "a YOLO",
    r"^(blocks|encoder\.layers?)\.0\.": "a transformer",
    r"^res2a_": "a ResNet",
}


def recognise(file: WeightFile) -> Naming:
    """Return the family of a file.

    Raises:
        InputError: None of the known ones; the message says what it may be.
    """
    for naming, names in FAMILIES:
        if all(name in file.tensors for name in names):
            return _without_classifier(file) if naming is TORCHVISION_VGG16 else naming
    guess = stranger(file)
    reason = f": they look like those of {guess}" if guess else ""
    first = ", ".join(list(file.tensors)[:4])
    raise InputError(
        f"{file.path}: the names of its {len(file.tensors)} tensors are of no family that is known{reason} "
        f"({first}, ...). Known are {'; '.join(naming.title for naming, _ in FAMILIES)}"
    )


def stranger(file: WeightFile) -> str | None:
    """Say which other network the names in a file point to, or None."""
    for pattern, what in STRANGERS.items():
        if any(re.search(pattern, name) for name in file.tensors):
            return what
    names = [name for name in file.tensors if re.match(r"features\.\d+\.", name)]
    if any(name.endswith(".running_mean") for name in names):
        return "VGG with batch norm"
    if "features.34.weight" in file.tensors:
        return "VGG19"
    if names and "features.28.weight" not in file.tensors:
        return "a smaller VGG than VGG16, or an AlexNet"
    return None


def _without_classifier(file: WeightFile) -> Naming:
    """Tell torchvision's two files of VGG16 apart: in one the classifier is filled with not-a-number."""
    bias = file.tensors.get("classifier.0.bias")
    if bias is not None and len(bias.shape) == 1:
        first = StoredTensor(bias.raw[:16], bias.kind).numpy()
        if len(first) and bool(np.isnan(first).all()):
            return TORCHVISION_FEATURES
    return TORCHVISION_VGG16
