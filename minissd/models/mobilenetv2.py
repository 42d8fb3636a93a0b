"""MobileNetV2 as SSD's body: light enough to train on a processor, and ImageNet weights for it are to be had.

Its blocks are narrow - wide - narrow: a 1x1 convolution spreads the channels out, a depthwise 3x3 looks around in each
of them, a second 1x1 gathers them again, without an activation, and is added to what came in where the shapes agree.
Nearly all of the work is in the 1x1 convolutions, which are plain matrix products.

Source: Sandler et al. 2018, "MobileNetV2: Inverted Residuals and Linear Bottlenecks", table 2 and figure 4.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from minissd.models.backbones import Trunk, extra_map
from minissd.models.network import ExtraMap, Network
from minissd.models.spec import IMAGENET_MEAN, PIXEL_STD, DetectorSpec, minissd_spec
from minissd.nn import BatchNorm2d, Conv2d, Layer, ReLU6, Residual, Sequential

STEM = 32  # channels of the first convolution, features.0
# Table 2: expansion of the channels, channels out, how many blocks, stride of the first of them.
BLOCKS = (
    (1, 16, 1, 1),
    (6, 24, 2, 2),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
)
# The last block at 1/8, at 1/16 and at 1/32 of the side: a head looks at its output.
SOURCES = (6, 13, 17)
MOBILENETV2 = Network(
    "mobilenetv2",
    width=32,
    sources=tuple(f"features.{number}" for number in SOURCES),
    extras=(ExtraMap(128, 256, 3, 2, 1), ExtraMap(64, 128, 3, 2, 1)),  # with batch norm
    normalised=(),
    xavier_fan="average",
    head_gain=0.1,
    background_prior=0.75,
)


def mobilenetv2_spec() -> DetectorSpec:
    """Return the configuration: 224 pixels, maps of 28, 14, 7, 4 and 2 cells a side, VOC's 20 classes."""
    return minissd_spec(
        224,
        (28, 14, 7, 4, 2),
        scales=(0.07, 0.15, 0.35, 0.55, 0.75, 0.95),
        ratios=((2.0,), (2.0, 3.0), (2.0, 3.0), (2.0, 3.0), (2.0,)),
        name="ssd-mobilenetv2",
        input_mean=IMAGENET_MEAN,
        input_std=PIXEL_STD,
        network=MOBILENETV2,
    )


def conv_bn_relu6(
    in_channels: int, channels: int, kernel: int, stride: int, groups: int, rng: np.random.Generator
) -> list[Layer]:
    """Return convolution (padded to keep the size at stride 1, no bias), batch norm, ReLU6."""
    conv = Conv2d(
        in_channels, channels, kernel, stride, kernel // 2, groups=groups, bias=False, rng=rng
    )
    return [conv, BatchNorm2d(channels), ReLU6()]


class Block(NamedTuple):
    """One block of the body, features.1 to features.17, and where it stands in the network.

    Attributes:
        in_channels, channels: What comes in and what goes out.
        stride: Of its depthwise convolution.
        expansion: How many times wider it is inside.
    """

    in_channels: int
    channels: int
    stride: int
    expansion: int

    @property
    def has_detour(self) -> bool:
        """Whether what came in is added to what goes out."""
        return self.stride == 1 and self.in_channels == self.channels


def block_table() -> list[Block]:
    """Write table 2 out block by block, after the stem."""
    table, in_channels = [], STEM
    for expansion, channels, count, stride in BLOCKS:
        for i in range(count):
            table.append(Block(in_channels, channels, stride if i == 0 else 1, expansion))
            in_channels = channels
    return table


def inverted_residual(block: Block, rng: np.random.Generator) -> Layer:
    """Return one block: spread out (unless `expansion` is 1), look around, gather."""
    wide = block.in_channels * block.expansion
    body = conv_bn_relu6(block.in_channels, wide, 1, 1, 1, rng) if block.expansion > 1 else []
    body += conv_bn_relu6(wide, wide, 3, block.stride, wide, rng)
    body += [Conv2d(wide, block.channels, 1, bias=False, rng=rng), BatchNorm2d(block.channels)]
    return Residual(*body) if block.has_detour else Sequential(*body)


def mobilenetv2_trunk(spec: DetectorSpec, rng: np.random.Generator) -> Trunk:
    """Return the body cut after features.6, .13 and .17, and the extra maps: 1/8 to 1/128 of the side.

    Args:
        spec: Its `network` names the extra maps.
        rng: Source of the initial weights; the body's are meant to be replaced by those of ImageNet.
    """
    stem = Sequential(*conv_bn_relu6(3, STEM, 3, 2, 1, rng))
    stem.steps[0].input_gradient = False  # nobody asks for the gradient of the image
    table = block_table()
    blocks = [stem, *(inverted_residual(block, rng) for block in table)]
    starts = [0, *(last + 1 for last in SOURCES)]
    segments: list[Layer] = [
        Sequential(*blocks[start : last + 1]) for start, last in zip(starts, SOURCES)
    ]
    channels = [table[last - 1].channels for last in SOURCES]
    for extra in spec.network.extras:
        layers = extra_map(channels[-1], extra.squeeze, extra.channels, rng)
        segments.append(Sequential(*layers))
        channels.append(extra.channels)
    return Trunk(segments, channels)


def torchvision_names() -> list[tuple[str, str]]:
    """Return (name in torchvision's `mobilenet_v2`, name in the network here) of the body's layers with weights.

    Convolution and batch norm take turns. Theirs stand in triples (convolution, batch norm, activation), except for
    the last convolution of a block, which has no activation.
    """
    names = [("features.0.0", "segments.0.0.0"), ("features.0.1", "segments.0.0.1")]
    for number, block in enumerate(block_table(), start=1):
        segment = sum(number > last for last in SOURCES)
        position = number - (0, *(last + 1 for last in SOURCES))[segment]
        theirs = f"features.{number}.conv"
        ours = f"segments.{segment}.{position}" + (".body" if block.has_detour else "")
        triples = 1 if block.expansion == 1 else 2
        for i in range(triples):
            names += [(f"{theirs}.{i}.{j}", f"{ours}.{3 * i + j}") for j in range(2)]
        names += [(f"{theirs}.{triples + j}", f"{ours}.{3 * triples + j}") for j in range(2)]
    return names
