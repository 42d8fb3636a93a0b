"""Building a network by its name: from the name the spec, from the spec the trunk, and the heads on top.

A model is one entry in `SPECS`, which makes its numbers, and its body one entry in `BODIES`, which makes its layers.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np

from minissd.errors import check, check_positive_int
from minissd.models.backbones import Trunk, keep_maps, small_trunk
from minissd.models.mobilenetv2 import mobilenetv2_spec, mobilenetv2_trunk
from minissd.models.network import SMALL
from minissd.models.spec import (
    ABLATIONS,
    FROM_SCRATCH,
    PIXEL_STD,
    PUBLISHED,
    DetectorSpec,
    minissd_spec,
)
from minissd.models.ssd import SSD
from minissd.models.vgg import vgg_trunk

SMALLEST, LARGEST = 96, 320
# Looser than the paper's 0.5: twice the positives to learn from, which counts in a short training.
MATCH_IOU = 0.4


def small_map_sizes(image_size: int) -> tuple[int, ...]:
    """Return the sides of the small SSD's five maps: image / 8, / 16, ... / 128, rounded up at each step."""
    sizes = [(image_size + 3) // 4]  # the first layer: 7x7, stride 4, padding 3
    for _ in range(5):
        sizes.append((sizes[-1] + 1) // 2)  # 3x3, stride 2, padding 1
    return tuple(sizes[1:])


def small_spec(n_object_classes: int, image_size: int, width: int) -> DetectorSpec:
    """Return the numbers of the small SSD; the arguments are those of `build_minissd`."""
    check_positive_int(n_object_classes, "n_object_classes")
    check(SMALLEST <= image_size <= LARGEST, "image_size", f"{SMALLEST} to {LARGEST}", image_size)
    return minissd_spec(
        image_size,
        small_map_sizes(image_size),
        n_object_classes,
        match_iou=MATCH_IOU,
        negative_iou=MATCH_IOU,
        input_std=PIXEL_STD,
        network=dataclasses.replace(SMALL, width=width),
    )


def _fixed(spec: DetectorSpec) -> Callable[..., DetectorSpec]:
    """Return what makes the spec of a configuration whose image size is part of it."""

    def make(n_object_classes: int | None, image_size: int | None, width: int) -> DetectorSpec:
        fits = image_size in (None, spec.image_size)
        check(fits, "image_size", f"{spec.image_size}, which is part of {spec.name}", image_size)
        if n_object_classes is None:
            return spec
        return dataclasses.replace(spec, n_object_classes=n_object_classes)

    return make


def _small(n_object_classes: int | None, image_size: int | None, width: int) -> DetectorSpec:
    """Return the small SSD's numbers; without others it is that of the drawn shapes: 6 classes, 160 pixels."""
    n_object_classes = 6 if n_object_classes is None else n_object_classes
    return small_spec(n_object_classes, 160 if image_size is None else image_size, width)


# Each makes a spec of (n_object_classes or None, image_size or None, width).
SPECS: dict[str, Callable[[int | None, int | None, int], DetectorSpec]] = {
    "minissd": _small,
    **{name: _fixed(spec) for name, spec in (PUBLISHED | ABLATIONS | FROM_SCRATCH).items()},
    "ssd-mobilenetv2": _fixed(mobilenetv2_spec()),
}
BODIES: dict[str, Callable[[DetectorSpec, np.random.Generator], Trunk]] = {
    "minissd": lambda spec, rng: small_trunk(rng, spec.network.width),
    "vgg16": vgg_trunk,
    "mobilenetv2": mobilenetv2_trunk,
}


def model_spec(
    name: str,
    n_object_classes: int | None = None,
    *,
    image_size: int | None = None,
    width: int = 32,
) -> DetectorSpec:
    """Return the numbers of a model; the arguments are those of `build_model`."""
    check(name in SPECS, "model", " | ".join(SPECS), name)
    return SPECS[name](n_object_classes, image_size, width)


def build_from_spec(spec: DetectorSpec, rng: np.random.Generator) -> SSD:
    """Build a network with fresh weights from its numbers.

    Args:
        spec: The configuration; `spec.network.body` names an entry of `BODIES`.
        rng: Source of the initial weights.

    Raises:
        ValueError: The body is unknown, or does not give as many maps as the spec has.
    """
    body = spec.network.body
    check(body in BODIES, "body", " | ".join(BODIES), body)
    trunk = keep_maps(BODIES[body](spec, rng), spec.network.predict)
    return SSD(spec, trunk, rng)


def build_model(
    name: str,
    n_object_classes: int | None,
    rng: np.random.Generator,
    *,
    image_size: int | None = None,
    width: int = 32,
) -> SSD:
    """Build a network by name with fresh weights.

    Args:
        name: minissd, a published configuration (ssd300, ssd512-coco, ...), or another entry of `SPECS`.
        n_object_classes: Classes of objects; None for the model's own.
        rng: Source of the initial weights.
        image_size: Side of the square input in pixels; None for the model's own. Published configurations have one.
        width: Channels of the small SSD's first layer; the others do not ask for it.

    Raises:
        ValueError: There is no such model, or it cannot have this image size.
    """
    spec = model_spec(name, n_object_classes, image_size=image_size, width=width)
    return build_from_spec(spec, rng)


def build_minissd(
    n_object_classes: int, image_size: int, rng: np.random.Generator, width: int = 32
) -> SSD:
    """Build the small SSD with fresh weights.

    Args:
        n_object_classes: Classes of objects; the background is added inside.
        image_size: Side of its square input, 96 to 320 pixels.
        rng: Source of the initial weights.
        width: Channels of the first layer; all others are multiples of it.

    Raises:
        ValueError: The size is outside what the network was made for.
    """
    return build_from_spec(small_spec(n_object_classes, image_size, width), rng)
