"""Tables of a network: its layers with shapes and parameters, and its default boxes map by map."""

from __future__ import annotations

import numpy as np

from minissd.models.spec import DetectorSpec
from minissd.models.ssd import SSD
from minissd.nn import Conv2d, Layer


def layer_table(model: SSD) -> str:
    """Return a table of every layer: name, what it is, output shape, parameters, multiply-adds of one image."""
    shapes = _output_shapes(model)
    lines = [f"{'layer':<18} {'kind':<30} {'output':<16} {'parameters':>11} {'MMAC':>8}"]
    total_parameters, total_macs = 0, 0
    for name, layer in model.layers():
        if layer not in shapes:
            continue
        shape = shapes[layer]
        n_parameters = sum(p.value.size for p in layer.parameters().values())
        macs = shape[0] * shape[1] * layer.weight.value.size if isinstance(layer, Conv2d) else 0
        total_parameters += n_parameters
        total_macs += macs
        size = " x ".join(str(n) for n in shape)
        mmac = f"{macs / 1e6:.2f}" if macs else ""
        lines.append(f"{name:<18} {_describe(layer):<30} {size:<16} {n_parameters:>11,} {mmac:>8}")
    lines.append(
        f"{'total':<18} {'':<30} {'':<16} {total_parameters:>11,} {total_macs / 1e6:>8.2f}"
    )
    return "\n".join(lines)


def boxes_table(spec: DetectorSpec) -> str:
    """Return a table of the default boxes: map, step, sizes in pixels, shapes a cell, how many."""
    lines = [
        f"{'map':<9} {'step':>7} {'min size':>9} {'max size':>9} {'ratios':<8} {'a cell':>6} {'boxes':>7}"
    ]
    for m in spec.maps:
        largest = f"{m.max_size:.1f}" if m.max_size else "-"
        ratios = ", ".join(f"{r:g}" for r in m.ratios)
        lines.append(
            f"{m.size:>3} x {m.size:<3} {m.step:>7.1f} {m.min_size:>9.1f} {largest:>9} "
            f"{ratios:<8} {m.boxes_per_cell:>6} {m.n_boxes:>7,}"
        )
    lines.append(
        f"{spec.name}: {spec.n_default_boxes:,} default boxes on {spec.image_size} x {spec.image_size} pixels"
    )
    return "\n".join(lines)


def _output_shapes(model: SSD) -> dict[Layer, tuple[int, int, int]]:
    """Run an empty image through the network and note (height, width, channels) of every leaf's output."""
    shapes: dict[Layer, tuple[int, int, int]] = {}
    leaves = [layer for _, layer in model.layers() if not any(layer.children())]
    size, training = model.spec.image_size, model.training

    def watch(layer: Layer) -> None:
        def forward(x: np.ndarray) -> np.ndarray:
            y = type(layer).forward(layer, x)
            shapes[layer] = y.shape[1:]
            return y

        layer.forward = forward

    try:
        for leaf in leaves:
            watch(leaf)
        model.eval().forward(np.zeros((1, size, size, 3), np.float32))
    finally:
        for leaf in leaves:
            leaf.__dict__.pop("forward", None)
        model.train(training)
    return shapes


def _describe(layer: Layer) -> str:
    if not isinstance(layer, Conv2d):
        return type(layer).__name__
    s = layer.shape
    text = f"Conv2d {s.kernel[0]}x{s.kernel[1]}"
    text += f" /{s.stride[0]}" if s.stride != (1, 1) else ""
    text += f" dilation {s.dilation[0]}" if s.dilation != (1, 1) else ""
    text += f" groups {s.groups}" if s.groups > 1 else ""
    return f"{text}  {layer.in_channels} -> {layer.out_channels}"
