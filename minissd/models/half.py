"""Half precision for inference: convolutions and what lies between them in float16, where the range allows it.

float16 holds 3 decimal digits and numbers up to 65504. Maps and weights of convolutions fit that, and take half the
memory and half the time to read; cuBLAS multiplies them on tensor cores and sums the products in float32, and the
kernels add biases and limit outputs in float32 as well. A batch norm that follows a convolution is a part of it, as its
statistics no longer change: one factor and one shift a filter. What else squares or divides (normalisations) works in
float32 on a map that is widened for it and narrowed again. Scores and offsets are widened before softmax and decoding.
"""

from __future__ import annotations

import copy

from minissd.backend import Array, array_module
from minissd.errors import DeviceError
from minissd.models.ssd import SSD
from minissd.nn.conv import Conv2d
from minissd.nn.convolution import device_im2col
from minissd.nn.l2_norm import L2Normalize
from minissd.nn.layer import Layer, Parameter, Sequential
from minissd.nn.norm import BatchNorm2d

IN_FLOAT32 = (BatchNorm2d, L2Normalize)


class InFloat32(Layer):
    """A layer that computes in float32 between layers that compute in float16; for inference only."""

    def __init__(self, layer: Layer):
        self.layer = layer

    def forward(self, x: Array) -> Array:
        """Widen, do what the layer does, narrow."""
        return self.layer.forward(x.astype("float32")).astype(x.dtype)


def halved(model: SSD) -> SSD:
    """Return a copy of a network for inference in float16; its inputs are to be float16, its outputs are.

    Raises:
        DeviceError: The network is not on a GPU with kernels: NumPy sums products of float16 in float16, and slowly.
    """
    value = next(iter(model.parameters().values())).value
    if not device_im2col.KERNELS.offered(value[:0].astype("float16")):
        where = array_module(value).__name__
        raise DeviceError(f"half precision is for a GPU, with kernels; the network is on {where}")
    model = copy.deepcopy(model).eval()
    for _, layer in list(model.layers()):
        if isinstance(layer, Sequential):
            layer.steps = fold_norms(layer.steps)
    wide = [layer for _, layer in model.layers() if isinstance(layer, IN_FLOAT32)]
    kept = {name for layer in wide for name in map(id, layer.parameters().values())}
    for parameter in model.parameters().values():
        if id(parameter) not in kept:
            parameter.value = parameter.value.astype("float16")
            parameter.grad = None
    for _, layer in list(model.layers()):
        if not isinstance(layer, InFloat32):
            _wrap_children(layer)
    return model


def fold_norms(layers: list[Layer]) -> list[Layer]:
    """Return layers in a row without the batch norms that follow a convolution: it does their work from now on."""
    left: list[Layer] = []
    for layer in layers:
        before = left[-1] if left else None
        if isinstance(before, Conv2d) and before.folds(layer):
            before.weight.value, shift = before.folded(layer)
            before.bias = Parameter(shift, decay=False)
        else:
            left.append(layer)
    return left


def _wrap_children(layer: Layer) -> None:
    """Put every child that works in float32 between a widening and a narrowing."""
    for name, value in vars(layer).items():
        if isinstance(value, IN_FLOAT32):
            setattr(layer, name, InFloat32(value))
        elif isinstance(value, list):
            value[:] = [InFloat32(v) if isinstance(v, IN_FLOAT32) else v for v in value]
