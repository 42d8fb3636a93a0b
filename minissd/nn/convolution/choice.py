"""Which algorithm convolves: by name, or by a short rule on the layer and its input.

| name      | is taken (float32 on a CPU) for                                                           |
| --------- | ----------------------------------------------------------------------------------------- |
| depthwise | one filter a channel (in any dtype and on any device)                                     |
| pointwise | 1x1 kernels of stride 1                                                                   |
| winograd  | 3x3 kernels of stride 1, with enough channels and pixels to repay the ways there and back |
| bands     | everything else that is not cut into groups                                               |
| im2col    | groups; and everything in float64: it is the specification of the others                  |

On a GPU the choice is among the same algorithms, written as kernels around cuBLAS (`device_*.py`): depthwise; Winograd
in float32 by the same rule; im2col for everything else, which needs no columns where the kernel is 1x1. In float64,
where gradients are checked, and in float16, where Winograd's values would leave the range, it is im2col too. Where
kernels are switched off (`MINISSD_KERNELS=0`), devices run the array code of depthwise and im2col.
"""

from __future__ import annotations

from types import ModuleType

import numpy as np

from minissd.backend import Array, array_module
from minissd.errors import check
from minissd.nn.convolution import (
    bands,
    depthwise,
    device_depthwise,
    device_im2col,
    device_winograd,
    im2col,
    pointwise,
    winograd,
)
from minissd.nn.convolution.im2col import ConvShape
from minissd.switches import Switch

ALGORITHMS = {
    "im2col": im2col,
    "bands": bands,
    "pointwise": pointwise,
    "depthwise": depthwise,
    "winograd": winograd,
}
ENVIRONMENT = "MINISSD_WINOGRAD"

# Whether the rule may take Winograd's algorithm.
_SWITCH = Switch(ENVIRONMENT)
use_winograd, winograd_is_on = _SWITCH.use, _SWITCH.is_on


def choose(shape: ConvShape, x: Array, out_channels: int) -> ModuleType:
    """Return the algorithm for a walk, an input (N, H, W, C) and a number of filters."""
    if device_im2col.KERNELS.offered(x):
        return _on_device(shape, x, out_channels)
    if depthwise.suits(shape, x.shape[-1], out_channels):
        return depthwise
    if array_module(x) is not np or x.dtype != np.float32 or shape.groups > 1 or not len(x):
        return im2col
    if pointwise.suits(shape):
        return pointwise
    if winograd.pays(shape, x.shape, out_channels) and winograd_is_on():
        return winograd
    return bands


def _on_device(shape: ConvShape, x: Array, out_channels: int) -> ModuleType:
    if depthwise.suits(shape, x.shape[-1], out_channels):
        return device_depthwise
    in_float = str(x.dtype) == "float32"
    if in_float and winograd.pays(shape, x.shape, out_channels) and winograd_is_on():
        return device_winograd
    return device_im2col


ON_DEVICE = {
    "im2col": device_im2col,
    "bands": device_im2col,
    "pointwise": device_im2col,
    "depthwise": device_depthwise,
    "winograd": device_winograd,
}


def choose_named(name: str, shape: ConvShape, x: Array, out_channels: int) -> ModuleType:
    """Return the algorithm of this name for where `x` lives: on a device with kernels, what does the same there."""
    algorithm = named(name, shape, x.shape[-1], out_channels)
    if not device_im2col.KERNELS.offered(x):
        return algorithm
    on_device = ON_DEVICE[name]
    return on_device if on_device.KERNELS.offered(x) else device_im2col


def named(name: str, shape: ConvShape, in_channels: int, out_channels: int) -> ModuleType:
    """Return the algorithm of this name.

    Raises:
        ValueError: There is none, or it cannot do this walk.
    """
    check(name in ALGORITHMS, "algorithm", f"auto | {' | '.join(ALGORITHMS)}", name)
    algorithm = ALGORITHMS[name]
    suits = {
        "im2col": True,
        "bands": bands.suits(shape),
        "pointwise": pointwise.suits(shape),
        "depthwise": depthwise.suits(shape, in_channels, out_channels),
        "winograd": winograd.suits(shape),
    }
    check(suits[name], "algorithm", f"one that can do {shape}", name)
    return algorithm
