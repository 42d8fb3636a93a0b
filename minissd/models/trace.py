"""Following one image through a network on paper: shapes, work and receptive fields, without computing a number."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import NamedTuple

from minissd.models.ssd import SSD
from minissd.nn import Conv2d, GlobalAvgPool, Layer, Linear, MaxPool2d, Residual, Sequential


class View(NamedTuple):
    """A feature map, and what of the image its pixels see.

    Attributes:
        shape: (height, width, channels).
        field: Receptive field: side of the square of image pixels that one pixel of the map depends on; what reaches
            over the border of the image is counted too.
        stride: Image pixels from one pixel of the map to the next.
    """

    shape: tuple[int, int, int]
    field: int = 1
    stride: int = 1


@dataclass(frozen=True)
class Row:
    """One layer without children, as one image meets it.

    Attributes:
        name: Dotted name of the layer, as its parameters have it.
        layer: The layer itself.
        view: Its output.
        n_parameters: Numbers it learns.
        macs: Multiplications with a weight (each followed by an addition) for one image.
    """

    name: str
    layer: Layer
    view: View
    n_parameters: int = field(init=False)
    macs: int = field(init=False)

    def __post_init__(self) -> None:
        """Count."""
        count = sum(p.value.size for p in self.layer.parameters().values())
        object.__setattr__(self, "n_parameters", count)
        weighs = isinstance(self.layer, (Conv2d, Linear))
        pixels = self.view.shape[0] * self.view.shape[1]
        object.__setattr__(self, "macs", pixels * self.layer.weight.value.size if weighs else 0)

    @property
    def activation_bytes(self) -> int:
        """Bytes of the output for one image in float32."""
        return 4 * math.prod(self.view.shape)


def trace(model: SSD) -> list[Row]:
    """Follow one image through the network.

    Args:
        model: Any SSD; its weights are not looked at.

    Returns:
        One row for each layer that has no layers below it, in the order in which the network runs them.

    Raises:
        TypeError: A layer is made of others in a way this module does not know.
    """
    size = model.spec.image_size
    rows: list[Row] = []
    view = View((size, size, 3))
    for i, (segment, tap, head) in enumerate(zip(model.segments, model.taps, model.heads)):
        view = follow(segment, view, f"segments.{i}", rows)
        seen = view if tap is None else follow(tap, view, f"taps.{i}", rows)
        follow(head, seen, f"heads.{i}", rows)
    return rows


def follow(layer: Layer, view: View, name: str, rows: list[Row]) -> View:
    """Return what a layer makes of a map, and add a row for it and each layer below it to `rows`."""
    if isinstance(layer, Residual):
        return follow(layer.body, view, f"{name}.body", rows)  # the detour sees no less
    if isinstance(layer, Sequential):
        for child_name, child in layer.children():
            view = follow(child, view, f"{name}.{child_name}", rows)
        return view
    if any(layer.children()):
        raise TypeError(f"{name}: {type(layer).__name__} is made of layers in an unknown way")
    view = _output(layer, view)
    rows.append(Row(name, layer, view))
    return view


def _output(layer: Layer, view: View) -> View:
    """Return what a layer without children makes of a map; whatever is not named here keeps its shape."""
    height, width, channels = view.shape
    if isinstance(layer, GlobalAvgPool):
        return View((1, 1, channels), view.field + (height - 1) * view.stride, height * view.stride)
    if isinstance(layer, Linear):
        return View((1, 1, layer.weight.value.shape[1]), view.field, view.stride)
    if not isinstance(layer, (Conv2d, MaxPool2d)):
        return view
    walk = layer.shape
    if isinstance(layer, Conv2d):
        shape = (*walk.output_size(height, width), layer.out_channels)
    else:
        shape = (*layer.output_size(height, width), channels)
    reach = walk.dilation[0] * (walk.kernel[0] - 1)
    return View(shape, view.field + reach * view.stride, view.stride * walk.stride[0])
