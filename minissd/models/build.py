"""Building a network by its numbers: the trunk first, then the spec whose default boxes fit its maps."""

from __future__ import annotations

import numpy as np

from minissd.errors import check, check_positive_int
from minissd.models.backbones import small_trunk
from minissd.models.spec import minissd_spec
from minissd.models.ssd import SSD

SMALLEST, LARGEST = 96, 320
# Looser than the paper's 0.5: twice the positives to learn from, which counts in a short training.
MATCH_IOU = 0.4
# About the standard deviation of a photograph's pixels: numbers near 1 go into the first layer.
INPUT_STD = 58.0


def small_map_sizes(image_size: int) -> tuple[int, ...]:
    """Return the sides of the small SSD's five maps: image / 8, / 16, ... / 128, rounded up at each step."""
    sizes = [(image_size + 3) // 4]  # the first layer: 7x7, stride 4, padding 3
    for _ in range(5):
        sizes.append((sizes[-1] + 1) // 2)  # 3x3, stride 2, padding 1
    return tuple(sizes[1:])


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
    check_positive_int(n_object_classes, "n_object_classes")
    check(SMALLEST <= image_size <= LARGEST, "image_size", f"{SMALLEST} to {LARGEST}", image_size)
    spec = minissd_spec(
        image_size,
        small_map_sizes(image_size),
        n_object_classes,
        match_iou=MATCH_IOU,
        negative_iou=MATCH_IOU,
        input_std=INPUT_STD,
    )
    model = SSD(spec, small_trunk(rng, width), rng)
    for head in model.heads:  # start undecided: mining would pick out whatever score is wildest
        head.weight.value *= 0.1
    return model
