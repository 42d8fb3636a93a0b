"""Every number of every published configuration, as data.

What the papers and codes do differently is a field here and never a branch in the code, so this file is where to look
a number up and where to change one: `dataclasses.replace(published_spec("ssd300"), n_object_classes=3)`.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from minissd.boxes.default_boxes import CLIPS, FeatureMap, default_boxes
from minissd.boxes.matching import RULES
from minissd.errors import check, check_positive_int
from minissd.models.network import SMALL, SSD300, SSD300_V1, SSD500_V1, SSD512, Network

STEP_RULES = ("fixed", "map")


@dataclass(frozen=True)
class DetectorSpec:
    """A configuration of the detector; the defaults are those of the authors' Caffe code.

    Attributes:
        name: How the configuration is called.
        image_size: Side of the square input in pixels.
        maps: The feature maps that predict, finest first.
        n_object_classes: Classes without background, which is added where it is needed.
        clip: How default boxes are limited to the image; see `default_boxes`.
        integer_sizes: Whether sizes of default boxes are cut down to whole pixels, as Caffe's layer does.
        step_rule: "fixed": the maps' steps are numbers of their own (the authors' last versions); "map": each is
            image / map, so that the grid fills the image exactly.
        matching: Rule by which objects get default boxes; see `match`.
        match_iou: IoU from which a default box is matched anyway.
        negative_iou: Unmatched default boxes that overlap an object by at least this are ignored: they are too much of
            an object to be taught as background (Caffe: neg_overlap; at 0.5 = match_iou there are none).
        ignore_border: Whether default boxes that cross the border of the image are left out: neither positive nor
            negative in training, and without an answer in detection (the paper's table 3; otherwise they are kept).
        center_scale, size_scale: Divisors of the offsets (Caffe: variances).
        size_clamp: Largest decoded log(w / default w); None: no limit in practice.
        clip_before_nms: Whether boxes are clipped to the image before NMS, not after it.
        score_floor: Scores must be above this to count.
        candidates_per_class: Best boxes of a class that enter NMS.
        nms_iou: NMS drops what overlaps a better box by more than this.
        max_detections: Detections of an image at most.
        negative_ratio: Mined negatives for each positive.
        min_negatives: Least mined negatives of an image.
        input_mean: RGB, 0 to 255, subtracted from the image.
        input_std: What the difference is divided by.
        network: The layers that make the maps.
    """

    name: str
    image_size: int
    maps: tuple[FeatureMap, ...]
    n_object_classes: int = 20
    clip: str | None = None
    integer_sizes: bool = False
    step_rule: str = "fixed"
    matching: str = "one-to-one"
    match_iou: float = 0.5
    negative_iou: float = 0.5
    ignore_border: bool = False
    center_scale: float = 0.1
    size_scale: float = 0.2
    size_clamp: float | None = None
    clip_before_nms: bool = False
    score_floor: float = 0.01
    candidates_per_class: int = 400
    nms_iou: float = 0.45
    max_detections: int = 200
    negative_ratio: float = 3.0
    min_negatives: int = 0
    input_mean: tuple[float, float, float] = (123.0, 117.0, 104.0)
    input_std: float = 1.0
    network: Network = SSD300

    def __post_init__(self) -> None:
        """Check what can be misspelt; the numbers are checked where they are used."""
        check_positive_int(self.image_size, "image_size")
        check_positive_int(self.n_object_classes, "n_object_classes")
        check(len(self.maps) > 0, "maps", "at least one feature map", self.maps)
        check(self.clip in CLIPS, "clip", " | ".join(map(str, CLIPS)), self.clip)
        check(self.matching in RULES, "matching", " | ".join(RULES), self.matching)
        check(self.step_rule in STEP_RULES, "step_rule", " | ".join(STEP_RULES), self.step_rule)
        if self.step_rule == "map":
            steps = _steps(self.image_size, [each.size for each in self.maps])
            given = [each.step for each in self.maps]
            check(given == steps, "maps", f"steps of image / map: {steps}", given)

    @property
    def n_default_boxes(self) -> int:
        """How many default boxes all maps have together."""
        return sum(each.n_boxes for each in self.maps)

    def default_boxes(self, dtype: np.dtype | type = np.float32) -> np.ndarray:
        """Build the default boxes: shape (K, 4), centers as fractions of the image, NumPy."""
        return default_boxes(self.maps, self.image_size, self.clip, self.integer_sizes, dtype)


def _maps(
    map_sizes: Sequence[int],
    steps: Sequence[float],
    min_sizes: Sequence[float],
    max_sizes: Sequence[float | None],
    ratios: Sequence[tuple[float, ...]],
) -> tuple[FeatureMap, ...]:
    """Turn columns of numbers, one entry a map, into feature maps."""
    columns = (map_sizes, steps, min_sizes, max_sizes, ratios)
    return tuple(FeatureMap(*row) for row in zip(*columns, strict=True))


def _steps(image_size: int, map_sizes: Sequence[int]) -> list[float]:
    """Return step = image / map: the grid fills the image exactly."""
    return [image_size / size for size in map_sizes]


# Mean and deviation of ImageNet's pixels, RGB from 0 to 255, that classifiers in torchvision's manner are trained with.
IMAGENET_MEAN = (0.485 * 255, 0.456 * 255, 0.406 * 255)
IMAGENET_STD = (0.229 * 255, 0.224 * 255, 0.225 * 255)
# About the standard deviation of a photograph's pixels, one number for all channels: numbers near 1 go into the first
# layer. What the channels differ by in weights from elsewhere goes into that layer's weights.
PIXEL_STD = 58.0

FEW, MANY = (2.0,), (2.0, 3.0)  # ratios of the maps with 4 and with 6 boxes a cell

SIZES_300 = (38, 19, 10, 5, 3, 1)
STEPS_300 = (8, 16, 32, 64, 100, 300)
RATIOS_300 = (FEW, MANY, MANY, MANY, FEW, FEW)

SIZES_512 = (64, 32, 16, 8, 4, 2, 1)
STEPS_512 = (8, 16, 32, 64, 128, 256, 512)
RATIOS_512 = (FEW, MANY, MANY, MANY, MANY, FEW, FEW)

SIZES_500 = (63, 32, 16, 8, 4, 2, 1)

VOC_300 = (30, 60, 111, 162, 213, 264, 315)  # each map's max size is the next one's min size
COCO_300 = (21, 45, 99, 153, 207, 261, 315)
VOC_512 = (35.84, 76.8, 153.6, 230.4, 307.2, 384.0, 460.8, 537.6)
COCO_512 = (20.48, 51.2, 133.12, 215.04, 296.96, 378.88, 460.8, 542.72)
TORCHVISION_SCALES = (0.07, 0.15, 0.33, 0.51, 0.69, 0.87, 1.05)  # of 300 pixels


def _ssd300(name: str, sizes: Sequence[float], **settings: Any) -> DetectorSpec:
    maps = _maps(SIZES_300, STEPS_300, sizes[:-1], sizes[1:], RATIOS_300)
    return DetectorSpec(name, 300, maps, **{"network": SSD300} | settings)


def _ssd512(name: str, sizes: Sequence[float], **settings: Any) -> DetectorSpec:
    maps = _maps(SIZES_512, STEPS_512, sizes[:-1], sizes[1:], RATIOS_512)
    return DetectorSpec(name, 512, maps, integer_sizes=True, network=SSD512, **settings)


def _early(
    name: str, image_size: int, map_sizes: Sequence[int], sizes: Sequence[float], network: Network
) -> DetectorSpec:
    """Versions 1 and 2 of the paper on arXiv: 3 boxes a cell on the first map, without a max size, then 6."""
    maps = _maps(
        map_sizes,
        _steps(image_size, map_sizes),
        sizes[:-1],
        (None, *sizes[2:]),
        (FEW, *[MANY] * (len(map_sizes) - 1)),
    )
    return DetectorSpec(name, image_size, maps, clip="corners", step_rule="map", network=network)


_PUBLISHED = (
    _ssd300("ssd300", VOC_300),
    _ssd300("ssd300-coco", COCO_300, n_object_classes=80),
    _ssd512("ssd512", VOC_512),
    _ssd512("ssd512-coco", COCO_512, n_object_classes=80),
    _early("ssd300-v1", 300, SIZES_300, (30, 60, 114, 168, 222, 276, 330), SSD300_V1),
    _early("ssd500-v1", 500, SIZES_500, (35, 75, 155, 235, 315, 395, 475, 555), SSD500_V1),
    _ssd300(
        "ssd300-torchvision",
        tuple(scale * 300 for scale in TORCHVISION_SCALES),
        n_object_classes=90,  # COCO's category ids go to 90, though only 80 are in use
        clip="size",
        matching="overwrite",
        size_clamp=math.log(1000 / 16),
        clip_before_nms=True,
        input_mean=(0.48235 * 255, 0.45882 * 255, 0.40784 * 255),
        network=dataclasses.replace(
            SSD300, ceil_pools=(3,), norm_rule="floor", norm_eps=1e-12, xavier_fan="average"
        ),
    ),
)
PUBLISHED: dict[str, DetectorSpec] = {spec.name: spec for spec in _PUBLISHED}

# The paper's ablation without dilation: VGG16 whole, its pool5 halving the map, and conv5_3 as a further source. The
# paper does not list its extra maps; here all maps and boxes stay as they were, because conv5_3 takes the place of fc7,
# and fc7 that of the first extra map.
_FULL_VGG = dataclasses.replace(
    SSD300,
    sources=("conv4_3", "conv5_3", "fc7"),
    pool5=(2, 2, 0),
    fc_channels=4096,
    fc6_kernel=7,
    fc6_dilation=1,
    extras=SSD300.extras[1:],
)
ABLATIONS: dict[str, DetectorSpec] = {
    "ssd300-full-vgg": dataclasses.replace(
        PUBLISHED["ssd300"], name="ssd300-full-vgg", network=_FULL_VGG
    )
}

# SSD300 to be trained from random weights: with batch norm, and heads that begin undecided and mostly for background,
# as those of ssd-mobilenetv2 do. Boxes and rules are those of ssd300.
FROM_SCRATCH: dict[str, DetectorSpec] = {
    "ssd300-bn": dataclasses.replace(
        PUBLISHED["ssd300"],
        name="ssd300-bn",
        network=dataclasses.replace(SSD300, batch_norm=True, head_gain=0.1, background_prior=0.75),
    )
}


def published_spec(name: str) -> DetectorSpec:
    """Return a published configuration.

    Args:
        name: ssd300, ssd300-coco, ssd512, ssd512-coco (the authors' last versions), ssd300-v1, ssd500-v1 (the
            early ones), or ssd300-torchvision.

    Raises:
        ValueError: There is none of this name; the message lists them.
    """
    check(name in PUBLISHED, "name", " | ".join(PUBLISHED), name)
    return PUBLISHED[name]


def geometric_scales(
    n_maps: int, smallest: float = 0.10, largest: float = 0.90, beyond: float = 1.05
) -> tuple[float, ...]:
    """Spread the scales of default boxes so that each map's is the same factor above the one before.

    Args:
        n_maps: Number of feature maps.
        smallest: Scale of the first map's small square, as a fraction of the image.
        largest: That of the last map.
        beyond: Max size of the last map, which has no next one to take it from.

    Returns:
        n_maps + 1 rising fractions: s_k = smallest * (largest / smallest)^(k / (n_maps - 1)), then `beyond`.

    Raises:
        ValueError: The scales would not rise.
    """
    check_positive_int(n_maps, "n_maps")
    rising = 0 < smallest < largest < beyond or (n_maps == 1 and 0 < smallest < beyond)
    expected = "0 < smallest < largest < beyond"
    check(rising, "smallest, largest, beyond", expected, (smallest, largest, beyond))
    growth = (largest / smallest) ** (1 / max(1, n_maps - 1))
    return (*(smallest * growth**k for k in range(n_maps)), beyond)


def minissd_spec(
    image_size: int,
    map_sizes: Sequence[int],
    n_object_classes: int = 20,
    *,
    scales: Sequence[float] | None = None,
    ratios: Sequence[tuple[float, ...]] | None = None,
    name: str = "minissd",
    **settings: Any,
) -> DetectorSpec:
    """Make the project's own small configuration for any input size.

    Args:
        image_size: Side of the square input in pixels.
        map_sizes: Cells along one side of each feature map, finest first, as the network gives them.
        n_object_classes: Classes without background.
        scales: One rising fraction of the image for each map and one more (a map's max size is the next one's min
            size). None: `geometric_scales` from 0.10 to 0.90.
        ratios: For each map. None: (2,) on the first, which has most cells, and (2, 3) on the others.
        name: Name of the configuration.
        settings: Any other field of `DetectorSpec`.

    Returns:
        The configuration; step = image / map.

    Raises:
        ValueError: The lengths of `map_sizes`, `scales` and `ratios` do not fit.
    """
    n_maps = len(map_sizes)
    check(n_maps > 0, "map_sizes", "at least one feature map", map_sizes)
    scales = geometric_scales(n_maps) if scales is None else scales
    ratios = (FEW, *[MANY] * (n_maps - 1)) if ratios is None else ratios
    check(len(scales) == n_maps + 1, "scales", f"{n_maps + 1} numbers for {n_maps} maps", scales)
    check(len(ratios) == n_maps, "ratios", f"{n_maps} tuples for {n_maps} maps", ratios)
    sizes = [scale * image_size for scale in scales]
    maps = _maps(map_sizes, _steps(image_size, map_sizes), sizes[:-1], sizes[1:], ratios)
    settings = {"step_rule": "map", "network": SMALL} | settings
    return DetectorSpec(name, image_size, maps, n_object_classes, **settings)
