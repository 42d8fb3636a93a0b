"""The names of MobileNetV2 in the files of torchvision: `features.0` to `features.17` are the body of our SSD."""

from __future__ import annotations

from minissd.models.spec import IMAGENET_MEAN, IMAGENET_STD
from minissd.models.weights.naming import COUNTER, Naming

TORCHVISION_MOBILENETV2 = Naming(
    "MobileNetV2 of ImageNet, torchvision's names",
    "mobilenetv2",
    ignored={
        r"^features\.18\.": "the last convolution, behind the body",
        r"^classifier\.": "the ImageNet classifier",
        **COUNTER,
    },
    mean=IMAGENET_MEAN,
    std=IMAGENET_STD,
)
# What stands at the end of a name there -> what our layers call it.
ENDINGS = {
    "weight": "gamma",
    "bias": "beta",
    "running_mean": "running_mean",
    "running_var": "running_var",
}
