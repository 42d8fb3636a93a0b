"""Backbones: the trunks that turn an image into the maps on which SSD predicts.

A backbone is a list of *segments*, layers run one after another; SSD attaches a head after each. The extra maps that
SSD adds to a trunk are segments too, so the network sees no difference between the two.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from minissd.nn import BatchNorm2d, Conv2d, Layer, ReLU, Sequential


@dataclass
class Trunk:
    """Segments of a backbone with its extra maps.

    Attributes:
        segments: Layers; the output of each is a feature map to predict on.
        channels: Channels of each of those maps.
    """

    segments: list[Layer]
    channels: list[int]


def conv_bn_relu(
    in_channels: int, out_channels: int, kernel: int, stride: int, rng: np.random.Generator
) -> list[Layer]:
    """Return convolution (padded to keep the size at stride 1, no bias), batch norm, ReLU."""
    padding = kernel // 2
    conv = Conv2d(in_channels, out_channels, kernel, stride, padding, bias=False, rng=rng)
    return [conv, BatchNorm2d(out_channels), ReLU()]


def small_trunk(rng: np.random.Generator, width: int = 16) -> Trunk:
    """Return minissd's own trunk: eight 3x3 convolutions with batch norm, and three of SSD's extra maps.

    Batch norm lets it train from scratch; every halving is a convolution of stride 2. An image of side S gives maps of
    side S/8, S/16, S/32, S/64 and S/128, each rounded up.

    Args:
        rng: Source of the initial weights.
        width: Channels of the first layer; all others are multiples of it.
    """
    c1, c2, c4, c8 = width, 2 * width, 4 * width, 8 * width

    def block(in_channels: int, out_channels: int, stride: int = 1) -> list[Layer]:
        return conv_bn_relu(in_channels, out_channels, 3, stride, rng)

    stem = block(3, c1, 2) + block(c1, c2, 2) + block(c2, c2)  # side S/4
    eighth = block(c2, c4, 2) + block(c4, c4) + block(c4, c4)  # side S/8
    sixteenth = block(c4, c8, 2) + block(c8, c8)  # side S/16
    stem[0].input_gradient = False  # nobody asks for the gradient of the image
    segments = [Sequential(*stem, *eighth), Sequential(*sixteenth)]
    segments += [extra_map(c8, c4, c8, rng) for _ in range(3)]
    return Trunk(segments, [c4, c8, c8, c8, c8])


def extra_map(in_channels: int, squeezed: int, channels: int, rng: np.random.Generator) -> Layer:
    """Return one of SSD's extra maps: 1x1 to fewer channels, then 3x3 of stride 2 (Liu et al. 2016, figure 2)."""
    return Sequential(
        *conv_bn_relu(in_channels, squeezed, 1, 1, rng),
        *conv_bn_relu(squeezed, channels, 3, 2, rng),
    )
