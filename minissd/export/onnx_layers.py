"""Each kind of layer as ONNX nodes: one small function a kind, found by the kind.

A translation takes the graph, the layer, the map that goes in and the layer's name, adds nodes, and returns the map
that comes out. Layers are translated as they are in evaluation: batch norm with its running statistics, no dropout.
"""

from __future__ import annotations

from collections.abc import Callable

from minissd.errors import check
from minissd.export.onnx_graph import Graph, Map
from minissd.nn import (
    BatchNorm2d,
    Conv2d,
    Dropout,
    GlobalAvgPool,
    L2Normalize,
    Layer,
    Linear,
    MaxPool2d,
    ReLU,
    ReLU6,
    Residual,
    Sequential,
)

Translation = Callable[[Graph, Layer, Map, str], Map]
TRANSLATIONS: dict[type[Layer], Translation] = {}


def translates(kind: type[Layer]) -> Callable[[Translation], Translation]:
    """Say for which kind of layer a function is: a decorator."""

    def register(translation: Translation) -> Translation:
        TRANSLATIONS[kind] = translation
        return translation

    return register


def add_layer(graph: Graph, layer: Layer, x: Map, name: str) -> Map:
    """Add a layer and all layers inside it to the graph.

    Args:
        graph: Grows.
        layer: Of a kind with a translation, or of a kind that inherits the `forward` of one.
        x: The map that goes in.
        name: Of the layer, as in `Layer.layers`; its nodes and constants are named after it.

    Returns:
        The map that comes out.

    Raises:
        ValueError: There is no translation for this kind of layer; the message names both.
    """
    kinds = type(layer).__mro__
    kind = next(each for each in kinds if each in TRANSLATIONS or "forward" in vars(each))
    translation = TRANSLATIONS.get(kind)
    if translation is None:
        known = ", ".join(sorted(each.__name__ for each in TRANSLATIONS))
        raise ValueError(
            f"{name}: a layer of kind {type(layer).__name__} cannot be written as ONNX; known are {known}"
        )
    return translation(graph, layer, x, name)


def _check_channels(x: Map, channels: int, name: str) -> None:
    """Refuse a layer made for another number of channels: ONNX's checker does not look."""
    check(x.channels == channels, name, f"a map of {channels} channels", x.channels)


@translates(Conv2d)
def _conv(graph: Graph, layer: Conv2d, x: Map, name: str) -> Map:
    _check_channels(x, layer.in_channels, name)
    s = layer.shape
    weight = layer.weight.value.transpose(3, 2, 0, 1)  # (kh, kw, C / g, K) -> (K, C / g, kh, kw)
    inputs = [x.name, graph.constant(weight, f"{name}.weight")]
    if layer.bias is not None:
        inputs.append(graph.constant(layer.bias.value, f"{name}.bias"))
    y = graph.node(
        "Conv",
        *inputs,
        name=name,
        kernel_shape=s.kernel,
        strides=s.stride,
        pads=(*s.padding, *s.padding),
        dilations=s.dilation,
        group=s.groups,
    )
    return Map(y, layer.out_channels, *s.output_size(x.height, x.width))


@translates(Linear)
def _linear(graph: Graph, layer: Linear, x: Map, name: str) -> Map:
    """Write it as a 1x1 convolution: on the channels of every pixel, as `Linear` works on the last axis."""
    _check_channels(x, layer.in_features, name)
    weight = layer.weight.value.T[:, :, None, None]  # (C, K) -> (K, C, 1, 1)
    inputs = [x.name, graph.constant(weight, f"{name}.weight")]
    if layer.bias is not None:
        inputs.append(graph.constant(layer.bias.value, f"{name}.bias"))
    y = graph.node("Conv", *inputs, name=name, kernel_shape=(1, 1))
    return Map(y, layer.out_features, x.height, x.width)


@translates(BatchNorm2d)
def _batch_norm(graph: Graph, layer: BatchNorm2d, x: Map, name: str) -> Map:
    _check_channels(x, layer.channels, name)
    values = {
        "gamma": layer.gamma.value,
        "beta": layer.beta.value,
        "running_mean": layer.running_mean,
        "running_var": layer.running_var,
    }
    inputs = [graph.constant(value, f"{name}.{key}") for key, value in values.items()]
    y = graph.node("BatchNormalization", x.name, *inputs, name=name, epsilon=layer.eps)
    return Map(y, x.channels, x.height, x.width)


@translates(L2Normalize)
def _l2_normalize(graph: Graph, layer: L2Normalize, x: Map, name: str) -> Map:
    """Write scale * x / divisor step by step; the rule says where the epsilon keeps the divisor above zero."""
    _check_channels(x, layer.channels, name)
    eps = graph.constant(layer.eps, f"{name}.eps")
    square = graph.node("Mul", x.name, x.name, name=f"{name}.square")
    channels = graph.integers([1], f"{name}.axis")
    total = graph.node("ReduceSum", square, channels, name=f"{name}.sum", keepdims=1)
    if layer.rule == "inside":
        total = graph.node("Add", total, eps, name=f"{name}.plus")
    divisor = graph.node("Sqrt", total, name=f"{name}.root")
    if layer.rule != "inside":
        keep = {"outside": "Add", "floor": "Max"}[layer.rule]
        divisor = graph.node(keep, divisor, eps, name=f"{name}.divisor")
    unit = graph.node("Div", x.name, divisor, name=f"{name}.unit")
    scale = graph.constant(layer.scale.value[:, None, None], f"{name}.scale")
    return Map(graph.node("Mul", unit, scale, name=name), x.channels, x.height, x.width)


@translates(MaxPool2d)
def _max_pool(graph: Graph, layer: MaxPool2d, x: Map, name: str) -> Map:
    """Pad below and on the right just so far that rounding down gives the output size of `MaxPool2d`.

    ONNX has a ceil mode of its own, but runtimes have disagreed about windows that begin in the border; with the
    border written out there is nothing to disagree about. What is padded never wins, as in `MaxPool2d`.
    """
    s = layer.shape
    out = layer.output_size(x.height, x.width)
    ends = []
    for axis, size in enumerate((x.height, x.width)):
        reach = (out[axis] - 1) * s.stride[axis] + s.kernel[axis]
        ends.append(max(0, reach - s.padding[axis] - size))
    pads = (*s.padding, *ends)
    y = graph.node("MaxPool", x.name, name=name, kernel_shape=s.kernel, strides=s.stride, pads=pads)
    return Map(y, x.channels, *out)


@translates(GlobalAvgPool)
def _global_average(graph: Graph, layer: GlobalAvgPool, x: Map, name: str) -> Map:
    return Map(graph.node("GlobalAveragePool", x.name, name=name), x.channels, 1, 1)


@translates(ReLU)
def _relu(graph: Graph, layer: ReLU, x: Map, name: str) -> Map:
    return Map(graph.node("Relu", x.name, name=name), x.channels, x.height, x.width)


@translates(ReLU6)
def _relu6(graph: Graph, layer: ReLU6, x: Map, name: str) -> Map:
    low, high = graph.constant(0.0, f"{name}.low"), graph.constant(6.0, f"{name}.high")
    y = graph.node("Clip", x.name, low, high, name=name)
    return Map(y, x.channels, x.height, x.width)


@translates(Dropout)
def _dropout(graph: Graph, layer: Dropout, x: Map, name: str) -> Map:
    return x  # in evaluation nothing is dropped


@translates(Sequential)
def _sequential(graph: Graph, layer: Sequential, x: Map, name: str) -> Map:
    for part, child in layer.children():
        x = add_layer(graph, child, x, f"{name}.{part}")
    return x


@translates(Residual)
def _residual(graph: Graph, layer: Residual, x: Map, name: str) -> Map:
    y = add_layer(graph, layer.body, x, f"{name}.body")
    return Map(graph.node("Add", x.name, y.name, name=name), x.channels, x.height, x.width)
