"""Backbones: the trunks that turn an image into the maps on which SSD predicts.

A backbone is a list of *segments*, layers run one after another; SSD attaches a head after each. The extra maps that
SSD adds to a trunk are segments too, so the network sees no difference between the two.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from minissd.errors import check
from minissd.nn import BatchNorm2d, Conv2d, Layer, ReLU, Residual, Sequential


@dataclass
class Trunk:
    """Segments of a backbone with its extra maps.

    Attributes:
        segments: Layers; the output of each is a feature map to predict on.
        channels: Channels of each of those maps.
        taps: For each map a layer between it and its head, or None: the head reads the map itself. The next segment
            reads the map itself in any case. None for all: no map has a tap.
    """

    segments: list[Layer]
    channels: list[int]
    taps: list[Layer | None] | None = None


def keep_maps(trunk: Trunk, numbers: Sequence[int]) -> Trunk:
    """Return a trunk that ends its segments at some of its maps only; what lies behind the last is left out.

    Args:
        trunk: With all its maps.
        numbers: Of the maps to keep, rising from 0; empty: all of them.

    Raises:
        ValueError: There are not so many maps.
    """
    n_maps = len(trunk.segments)
    if not numbers:
        return trunk
    check(max(numbers) < n_maps, "numbers", f"numbers below {n_maps}", tuple(numbers))
    segments, start = [], 0
    for number in numbers:
        joined = trunk.segments[start : number + 1]
        segments.append(joined[0] if len(joined) == 1 else Sequential(*joined))
        start = number + 1
    taps = None if trunk.taps is None else [trunk.taps[n] for n in numbers]
    return Trunk(segments, [trunk.channels[n] for n in numbers], taps)


def conv_bn_relu(
    in_channels: int, out_channels: int, kernel: int, stride: int, rng: np.random.Generator
) -> list[Layer]:
    """Return convolution (padded to keep the size at stride 1, no bias), batch norm, ReLU."""
    padding = kernel // 2
    conv = Conv2d(in_channels, out_channels, kernel, stride, padding, bias=False, rng=rng)
    return [conv, BatchNorm2d(out_channels), ReLU()]


def residual_block(channels: int, rng: np.random.Generator) -> list[Layer]:
    """Return x + (two 3x3 convolutions of x), then ReLU (He et al. 2016, figure 2)."""
    second = Conv2d(channels, channels, 3, padding=1, bias=False, rng=rng)
    body = [*conv_bn_relu(channels, channels, 3, 1, rng), second, BatchNorm2d(channels)]
    return [Residual(*body), ReLU()]


def small_trunk(rng: np.random.Generator, width: int = 32) -> Trunk:
    """Return minissd's own trunk: residual blocks with batch norm, and three of SSD's extra maps.

    Made to learn from scratch on a CPU: batch norm and the detours of the residual blocks make it learn fast, and the
    first layer goes to a quarter of the side at once, because large maps cost most. An image of side S gives maps of
    side S/8, S/16, S/32, S/64 and S/128, each rounded up.

    Args:
        rng: Source of the initial weights.
        width: Channels of the first layer; all others are multiples of it.
    """
    narrow, wide, widest = width, 2 * width, 4 * width
    stem = Conv2d(3, narrow, 7, stride=4, padding=3, bias=False, rng=rng)  # side S/4
    stem.input_gradient = False  # nobody asks for the gradient of the image
    eighth = [stem, BatchNorm2d(narrow), ReLU(), *conv_bn_relu(narrow, wide, 3, 2, rng)]
    eighth += residual_block(wide, rng) + residual_block(wide, rng)
    sixteenth = conv_bn_relu(wide, widest, 3, 2, rng) + residual_block(widest, rng)
    segments = [Sequential(*eighth), Sequential(*sixteenth)]
    segments += [Sequential(*extra_map(widest, wide, widest, rng)) for _ in range(3)]
    return Trunk(segments, [wide, widest, widest, widest, widest])


def extra_map(
    in_channels: int, squeezed: int, channels: int, rng: np.random.Generator
) -> list[Layer]:
    """Return one of SSD's extra maps: 1x1 to fewer channels, then 3x3 of stride 2 (Liu et al. 2016, figure 2)."""
    squeeze = conv_bn_relu(in_channels, squeezed, 1, 1, rng)
    return squeeze + conv_bn_relu(squeezed, channels, 3, 2, rng)
