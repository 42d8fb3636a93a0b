"""Tables of a network: its layers with shapes, work and memory, and its default boxes map by map."""

from __future__ import annotations

from minissd.models.spec import DetectorSpec
from minissd.models.ssd import SSD
from minissd.models.trace import Row, trace
from minissd.nn import Conv2d, Layer, MaxPool2d

NOTE = """\
MFLOP   millions of multiplications and additions for one image: two for each weight a convolution
        applies; biases, ReLU, pooling and normalisation are left out
MB      millions of bytes of the layer's output, one image in float32
field   side, in image pixels, of the square that one output pixel depends on, border not cut off
stride  image pixels from one output pixel to the next"""


def layer_table(model: SSD) -> str:
    """Return a table of every layer: name, kind, output shape, parameters, MFLOP, MB, receptive field, stride.

    What is counted is said below it. Nothing is computed: the shapes follow from the layers' numbers.
    """
    rows = trace(model)
    names = max(len(row.name) for row in rows)
    kinds = max(len(describe(row.layer)) for row in rows)
    head = ("layer", "kind", "output", "parameters", "MFLOP", "MB", "field", "stride")
    lines = [_line(head, names, kinds)]
    lines += [_line(_cells(row), names, kinds) for row in rows]
    total = (
        "total",
        "",
        "",
        f"{sum(row.n_parameters for row in rows):,}",
        f"{2 * sum(row.macs for row in rows) / 1e6:,.1f}",
        f"{sum(row.activation_bytes for row in rows) / 1e6:,.3f}",
        "",
        "",
    )
    return "\n".join([*lines, _line(total, names, kinds), "", NOTE])


def boxes_table(spec: DetectorSpec) -> str:
    """Return a table of the default boxes: map, step, sizes in pixels, shapes a cell, how many."""
    lines = [
        f"{'map':<9} {'step':>7} {'min size':>9} {'max size':>9} {'ratios':<8} {'a cell':>6} {'boxes':>7}"
    ]
    for m in spec.maps:
        largest = f"{m.max_size:.2f}" if m.max_size else "-"
        ratios = ", ".join(f"{r:g}" for r in m.ratios)
        lines.append(
            f"{m.size:>3} x {m.size:<3} {m.step:>7.2f} {m.min_size:>9.2f} {largest:>9} "
            f"{ratios:<8} {m.boxes_per_cell:>6} {m.n_boxes:>7,}"
        )
    lines.append(
        f"{spec.name}: {spec.n_default_boxes:,} default boxes on {spec.image_size} x {spec.image_size} pixels"
    )
    return "\n".join([*lines, _rules(spec)])


def _rules(spec: DetectorSpec) -> str:
    """Say in a line how boxes are limited, matched and decoded: what differs between the published codes."""
    parts = [
        "sizes cut down to whole pixels" if spec.integer_sizes else "sizes as they are",
        f"clip {spec.clip or 'none'}",
        f"matching {spec.matching}, IoU {spec.match_iou:g}",
        "no decode clamp" if spec.size_clamp is None else f"decode clamp {spec.size_clamp:.3f}",
    ]
    return "; ".join(parts)


def _line(cells: tuple[str, ...], names: int, kinds: int) -> str:
    name, kind, output, parameters, flops, memory, field, stride = cells
    text = (
        f"{name:<{names}} {kind:<{kinds}} {output:<14} {parameters:>10} {flops:>9} {memory:>7}"
        f" {field:>5} {stride:>6}"
    )
    return text.rstrip()


def _cells(row: Row) -> tuple[str, ...]:
    """Return what a row shows; a zero is left empty."""
    return (
        row.name,
        describe(row.layer),
        "x".join(str(n) for n in row.view.shape),
        f"{row.n_parameters:,}" if row.n_parameters else "",
        f"{2 * row.macs / 1e6:,.1f}" if row.macs else "",
        f"{row.activation_bytes / 1e6:,.3f}",
        f"{row.view.field}",
        f"{row.view.stride}",
    )


def describe(layer: Layer) -> str:
    """Return the kind of a layer and, of a convolution or pooling, its window: "3x3 /2 dil 6"."""
    if not isinstance(layer, (Conv2d, MaxPool2d)):
        return type(layer).__name__
    s = layer.shape
    text = f"{'Conv' if isinstance(layer, Conv2d) else 'MaxPool'} {s.kernel[0]}x{s.kernel[1]}"
    text += f" /{s.stride[0]}" if s.stride != (1, 1) else ""
    text += f" dilation {s.dilation[0]}" if s.dilation != (1, 1) else ""
    text += f" groups {s.groups}" if s.groups > 1 else ""
    return text
