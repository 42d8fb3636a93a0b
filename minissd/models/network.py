"""What a network is made of, as data: its body, the maps it adds, and how conv4_3 is normalised.

The rows of `spec.py` name one of these each. What differs between the published networks is a field here; the body
that reads the fields stands in a module of its own (`vgg.py` for VGG16).
"""

from __future__ import annotations

from dataclasses import dataclass

from minissd.errors import check, check_positive_int
from minissd.nn.init import FANS
from minissd.nn.l2_norm import L2_RULES


@dataclass(frozen=True)
class ExtraMap:
    """A map added behind the body: a 1x1 convolution to fewer channels, then one that makes the map smaller.

    Attributes:
        squeeze: Filters of the 1x1 convolution.
        channels: Filters of the second one, and so of the map.
        kernel, stride, padding: Of the second one.

    Source: Liu et al. 2016, figure 2: "Conv8_2 to Conv11_2".
    """

    squeeze: int
    channels: int
    kernel: int = 3
    stride: int = 1
    padding: int = 0

    def __post_init__(self) -> None:
        """Check the numbers where they are written down."""
        for name in ("squeeze", "channels", "kernel", "stride"):
            check_positive_int(getattr(self, name), name)
        check_positive_int(self.padding, "padding", 0)


@dataclass(frozen=True)
class Network:
    """The layers behind a configuration; the defaults are those of the authors' VGG16.

    Attributes:
        body: Which body, see `build.BODIES`.
        width: Channels of its first layer; those of the others follow.
        sources: The body's layers on whose output SSD predicts, in order; a body may have a fixed set (empty here).
        extras: Maps added behind the body; each is predicted on.
        global_average: Whether the mean over the last map is one more map, of a single cell.
        normalised: Sources whose map is L2-normalised on the way to its head.
        norm_rule, norm_eps: How that keeps from dividing by zero, see `L2Normalize`.
        norm_scale: Where its learnt scale starts.
        ceil_pools: VGG16's poolings (1 to 5) that round the size of their map up.
        pool5: Kernel, stride and padding of VGG16's last pooling.
        batch_norm: Whether batch norm stands behind every convolution of VGG16 and of its extra maps, in place of the
            bias, so that they learn from random weights. (Other bodies have it where they have it.)
        fc_channels: Filters of fc6 and fc7.
        fc6_kernel, fc6_dilation: Of fc6; its padding keeps the size of the map.
        xavier_fan: Which fan the first weights of extra maps and heads go by, see `init.xavier_uniform`.
        predict: Numbers of the maps that are predicted on, from 0; empty: all. Layers behind the last are not made.
        head_gain: Factor on the first weights of the heads; below 1, the untrained network is undecided.
        background_prior: Probability of background that the untrained heads answer, through their biases; None: the
            biases are 0. Of three mined negatives to each positive, 0.75 are background, and a network that must first
            learn this loses hundreds of steps (after RetinaNet: Lin et al. 2017, section 3.3).
    """

    body: str = "vgg16"
    width: int = 64
    sources: tuple[str, ...] = ("conv4_3", "fc7")
    extras: tuple[ExtraMap, ...] = ()
    global_average: bool = False
    normalised: tuple[str, ...] = ("conv4_3",)
    norm_rule: str = "inside"
    norm_eps: float = 1e-10
    norm_scale: float = 20.0
    ceil_pools: tuple[int, ...] = (1, 2, 3, 4, 5)
    pool5: tuple[int, int, int] = (3, 1, 1)
    batch_norm: bool = False
    fc_channels: int = 1024
    fc6_kernel: int = 3
    fc6_dilation: int = 6
    xavier_fan: str = "in"
    predict: tuple[int, ...] = ()
    head_gain: float = 1.0
    background_prior: float | None = None

    def __post_init__(self) -> None:
        """Check what can be misspelt; a body checks the names of its sources."""
        for name in ("width", "fc_channels", "fc6_kernel", "fc6_dilation"):
            check_positive_int(getattr(self, name), name)
        check(self.fc6_kernel % 2 == 1, "fc6_kernel", "an odd number", self.fc6_kernel)
        check(len(self.pool5) == 3, "pool5", "(kernel, stride, padding)", self.pool5)
        check(self.norm_rule in L2_RULES, "norm_rule", " | ".join(L2_RULES), self.norm_rule)
        check(self.norm_eps > 0, "norm_eps", "more than 0", self.norm_eps)
        known = set(self.ceil_pools) <= {1, 2, 3, 4, 5}
        check(known, "ceil_pools", "numbers from 1 to 5", self.ceil_pools)
        known = set(self.normalised) <= set(self.sources)
        check(known, "normalised", f"some of the sources {self.sources}", self.normalised)
        check(self.xavier_fan in FANS, "xavier_fan", " | ".join(FANS), self.xavier_fan)
        rising = list(self.predict) == sorted({n for n in self.predict if n >= 0})
        check(rising, "predict", "rising numbers from 0", self.predict)
        check(self.head_gain > 0, "head_gain", "more than 0", self.head_gain)
        prior = self.background_prior
        check(prior is None or 0 < prior < 1, "background_prior", "between 0 and 1, or None", prior)


_SHRINKING = ExtraMap(128, 256, 3, 2, 1)
_FIRST_EXTRA = ExtraMap(256, 512, 3, 2, 1)

SSD300 = Network(extras=(_FIRST_EXTRA, _SHRINKING, ExtraMap(128, 256), ExtraMap(128, 256)))
SSD512 = Network(extras=(_FIRST_EXTRA, *[_SHRINKING] * 3, ExtraMap(128, 256, 4, 1, 1)))
SSD300_V1 = Network(extras=(_FIRST_EXTRA, *[_SHRINKING] * 2), global_average=True)
SSD500_V1 = Network(extras=(_FIRST_EXTRA, *[_SHRINKING] * 3), global_average=True)

SMALL = Network("minissd", width=32, sources=(), normalised=(), xavier_fan="average", head_gain=0.1)
