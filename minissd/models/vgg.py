"""VGG16 as SSD uses it: its convolutions, fc6 and fc7 turned into convolutions, and the extra maps behind them.

The layers carry the names of the authors' Caffe code (conv1_1, ..., fc7, conv6_1, ...; the paper's figure 2 counts
the extra maps from Conv8), so that a parameter is called, say, `segments.1.fc6.weight`.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from minissd.errors import check
from minissd.models.backbones import Trunk
from minissd.models.network import Network
from minissd.models.spec import DetectorSpec
from minissd.nn import (
    BatchNorm2d,
    Conv2d,
    GlobalAvgPool,
    L2Normalize,
    Layer,
    MaxPool2d,
    ReLU,
    Sequential,
    init,
)

# Each block: how many 3x3 convolutions, and their filters as a multiple of the first layer's.
BLOCKS = ((2, 1), (2, 2), (3, 4), (3, 8), (3, 8))


class Named(Sequential):
    """Layers one after another, each under a name of its own."""

    def __init__(self, layers: dict[str, Layer]):
        super().__init__(*layers.values())
        self.names = tuple(layers)

    def children(self) -> Iterator[tuple[str, Layer]]:
        """Yield the layers under their names."""
        return zip(self.names, self.steps)


def vgg_trunk(spec: DetectorSpec, rng: np.random.Generator) -> Trunk:
    """Build VGG16 with the extra maps of a configuration.

    Args:
        spec: Its `network` says what is built.
        rng: Source of the first weights: He for VGG16, which is followed by ReLUs and usually loaded anyway, Xavier
            for the extra maps.

    Returns:
        Segments that end where SSD predicts, with an L2 normalisation as the tap of conv4_3.

    Raises:
        ValueError: A source is no layer of VGG16, or the sources do not stand in order.

    Source: Simonyan and Zisserman 2015, table 1, column D; Liu et al. 2016, section 3 and figure 2.
    """
    network = spec.network
    segments = _cut(_body(network, rng), network.sources)
    taps: list[Layer | None] = [
        _normalisation(network, _channels(network, source))
        if source in network.normalised
        else None
        for source in network.sources
    ]
    channels = [_channels(network, source) for source in network.sources]
    for number, extra in enumerate(network.extras, start=6):
        segments.append(_extra_map(number, channels[-1], network, rng))
        channels.append(extra.channels)
    if network.global_average:
        segments.append(Named({"pool6": GlobalAvgPool()}))
        channels.append(channels[-1])
    return Trunk(segments, channels, taps + [None] * (len(segments) - len(taps)))


def layer_names(spec: DetectorSpec) -> list[tuple[str, str]]:
    """Return (name in the authors' Caffe code, prefix of our parameters) of every layer of the trunk with weights.

    From conv1_1 to fc7, then the extra maps conv6_1, conv6_2, ..., and the normalisations ("conv4_3_norm"); without
    batch norm, which that code does not have.
    """
    network, pairs = spec.network, []
    ends = [_convolutions().index(source) for source in network.sources]
    for place, name in enumerate(_convolutions()):
        if place <= ends[-1]:
            segment = sum(place > end for end in ends)
            pairs.append((name, f"segments.{segment}.{name}"))
    for i in range(len(network.extras)):
        segment = f"segments.{len(network.sources) + i}"
        pairs += [(f"conv{6 + i}_{k}", f"{segment}.conv{6 + i}_{k}") for k in (1, 2)]
    return pairs + [
        (f"{source}_norm", f"taps.{i}")
        for i, source in enumerate(network.sources)
        if source in network.normalised
    ]


def head_names(spec: DetectorSpec) -> list[tuple[str, str]]:
    """Return (name of the map in the authors' Caffe code, prefix of our head's parameters) of every map.

    There the head on map `m` is two convolutions, `m_mbox_conf` and `m_mbox_loc`; see `heads.interleave_head`.
    """
    network = spec.network
    maps = [f"{s}_norm" if s in network.normalised else s for s in network.sources]
    maps += [f"conv{6 + i}_2" for i in range(len(network.extras))]
    maps += ["pool6"] if network.global_average else []
    return [(name, f"heads.{i}") for i, name in enumerate(maps)]


def _convolutions() -> list[str]:
    """Names of the body's convolutions in their order."""
    names = [f"conv{b}_{i}" for b, (n, _) in enumerate(BLOCKS, 1) for i in range(1, n + 1)]
    return [*names, "fc6", "fc7"]


def _channels(network: Network, source: str) -> int:
    """Channels of the map behind a convolution of the body."""
    if source.startswith("fc"):
        return network.fc_channels
    return BLOCKS[int(source[4]) - 1][1] * network.width


def _body(network: Network, rng: np.random.Generator) -> dict[str, Layer]:
    """Return VGG16's layers by name, from conv1_1 to relu7."""
    layers: dict[str, Layer] = {}
    channels, bias = 3, not network.batch_norm
    for block, (n_convolutions, multiple) in enumerate(BLOCKS, start=1):
        for i in range(1, n_convolutions + 1):
            filters = multiple * network.width
            conv = Conv2d(channels, filters, 3, padding=1, bias=bias, rng=rng)
            layers |= _with_relu("conv", f"{block}_{i}", conv, network)
            channels = filters
        window = (2, 2, 0) if block < 5 else network.pool5
        layers[f"pool{block}"] = MaxPool2d(*window, ceil_mode=block in network.ceil_pools)
    layers["conv1_1"].input_gradient = False  # nobody asks for the gradient of the image
    kernel, dilation, fc = network.fc6_kernel, network.fc6_dilation, network.fc_channels
    border = dilation * (kernel - 1) // 2  # keeps the size of the map
    fc6 = Conv2d(channels, fc, kernel, 1, border, dilation, bias=bias, rng=rng)
    fc7 = Conv2d(fc, fc, 1, bias=bias, rng=rng)
    return layers | _with_relu("fc", "6", fc6, network) | _with_relu("fc", "7", fc7, network)


def _with_relu(kind: str, number: str, conv: Conv2d, network: Network) -> dict[str, Layer]:
    """Return a convolution and its ReLU by name, with batch norm between where the network has it."""
    norm = {f"bn{number}": BatchNorm2d(conv.out_channels)} if network.batch_norm else {}
    return {f"{kind}{number}": conv, **norm, f"relu{number}": ReLU()}


def _cut(layers: dict[str, Layer], sources: tuple[str, ...]) -> list[Layer]:
    """Cut the body into segments, each ending with the ReLU behind a source; what follows the last is left out."""
    convolutions, names = _convolutions(), list(layers)
    known = bool(sources) and set(sources) <= set(convolutions)
    expected = "layers of VGG16 in their order"
    check(known, "sources", f"{expected}: {', '.join(convolutions)}", sources)
    numbers = [source.removeprefix("conv").removeprefix("fc") for source in sources]
    ends = [names.index(f"relu{number}") + 1 for number in numbers]
    check(ends == sorted(set(ends)), "sources", expected, sources)
    starts = [0, *ends[:-1]]
    return [
        Named({name: layers[name] for name in names[start:end]}) for start, end in zip(starts, ends)
    ]


def _normalisation(network: Network, channels: int) -> L2Normalize:
    return L2Normalize(channels, network.norm_scale, network.norm_eps, network.norm_rule)


def _extra_map(number: int, in_channels: int, network: Network, rng: np.random.Generator) -> Layer:
    """Return the extra map of this number (the first is 6): 1x1, ReLU, k x k, ReLU."""
    extra = network.extras[number - 6]
    bias = not network.batch_norm
    squeeze = Conv2d(in_channels, extra.squeeze, 1, bias=bias, rng=rng)
    walk = (extra.kernel, extra.stride, extra.padding)
    shrink = Conv2d(extra.squeeze, extra.channels, *walk, bias=bias, rng=rng)
    for conv in (squeeze, shrink):
        conv.weight.value = init.xavier_uniform(
            conv.weight.value.shape, rng, fan=network.xavier_fan
        )
    first = _with_relu("conv", f"{number}_1", squeeze, network)
    return Named(first | _with_relu("conv", f"{number}_2", shrink, network))
