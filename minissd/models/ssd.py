"""The network: maps of several sizes, and on each a head that answers for every default box of every cell.

The order contract: predictions are rows, and row k answers for default box k. A head's output (N, H, W, B * (C + 5))
lists, for each cell, its B boxes one after another, each with C + 1 class scores and 4 offsets. With channels last the
rows are already in the order map, row, column, box shape, so a reshape is all that the order takes.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from types import ModuleType

import numpy as np

from minissd.backend import Array, array_module, to_device
from minissd.cuda import BLOCK, Kernels, pack_width
from minissd.errors import check
from minissd.models.backbones import Trunk
from minissd.models.spec import DetectorSpec
from minissd.nn import Conv2d, Layer, init
from minissd.nn.layer import forget, maps_are_kept, without_backward
from minissd.nn.residual import add
from minissd.parallel import over_batch

KERNELS = Kernels(__file__, "prepare.cu")


class SSD(Layer):
    """Single Shot MultiBox Detector: a trunk of segments and one prediction head a feature map.

    Args:
        spec: Every number of the configuration.
        trunk: Segments and their channels, one for each of the spec's feature maps.
        rng: Source of the heads' initial weights (Xavier, as the authors').

    Attributes:
        spec: The configuration.
        segments: The trunk's layers.
        taps: For each map the layer between it and its head (the L2 normalisation of conv4_3), or None.
        heads: One 3x3 convolution a map, with (C + 1 + 4) filters for each box shape of a cell.

    Source: Liu et al. 2016, section 2.1: "(c + 4) k filters".
    """

    def __init__(self, spec: DetectorSpec, trunk: Trunk, rng: np.random.Generator):
        n_maps, n_segments = len(spec.maps), len(trunk.segments)
        check(n_segments == n_maps, "trunk", f"{n_maps} segments", n_segments)
        taps = [None] * n_maps if trunk.taps is None else trunk.taps
        check(len(taps) == n_maps, "trunk", f"{n_maps} taps", len(taps))
        self.spec = spec
        self.segments = trunk.segments
        self.taps = taps
        self.heads = [
            self._head(channels, feature_map.boxes_per_cell, rng)
            for channels, feature_map in zip(trunk.channels, spec.maps)
        ]

    def _head(self, channels: int, boxes_per_cell: int, rng: np.random.Generator) -> Conv2d:
        filters = boxes_per_cell * (self.n_classes + 4)
        head = Conv2d(channels, filters, 3, padding=1, rng=rng)
        weights = init.xavier_uniform(
            head.weight.value.shape, rng, fan=self.spec.network.xavier_fan
        )
        head.weight.value[...] = weights * self.spec.network.head_gain
        prior = self.spec.network.background_prior
        if prior is not None:  # softmax of (b, 0, ..., 0) gives the background e^b / (e^b + C)
            bias = math.log(self.spec.n_object_classes * prior / (1 - prior))
            head.bias.value.reshape(boxes_per_cell, -1)[:, 0] = bias
        return head

    @property
    def n_classes(self) -> int:
        """Object classes and the background."""
        return self.spec.n_object_classes + 1

    def prepare(self, images: Array) -> Array:
        """Turn uint8 images (N, S, S, 3) into what the network reads: float32, mean taken away, scaled."""
        xp, mean, scale = array_module(images), self.spec.input_mean, 1 / self.spec.input_std
        x = xp.empty(images.shape, np.float32)
        kernels = KERNELS.of(x, WIDTH=pack_width(x.size, x, images))
        if kernels is not None and images.dtype == np.uint8 and images.shape[-1] == len(mean) == 3:
            packs = x.size // kernels.width
            args = (xp.ascontiguousarray(images), x, *mean, scale, packs)
            kernels.launch("prepare", packs, BLOCK, args)
            return x
        w, c = images.shape[2:]
        own = self._constant("input_mean", lambda: np.asarray(mean, np.float32), xp)
        means = xp.concatenate([own] * w)  # for a row of pixels: long runs for the processor

        def normalise(part: slice) -> None:
            rows = x[part].reshape(-1, w * c)
            xp.subtract(images[part].reshape(-1, w * c), means, out=rows)
            rows *= np.float32(scale)

        over_batch(normalise, x)
        return x

    def forward(self, x: Array) -> tuple[Array, Array]:
        """Predict for every default box.

        Args:
            x: Prepared images (N, S, S, 3).

        Returns:
            Class scores before softmax (N, K, C + 1), background first, and offsets (N, K, 4).

        Raises:
            ValueError: A feature map has another size than the spec's default boxes were made for.
        """
        rows = []
        parts = zip(self.segments, self.taps, self.heads, self.spec.maps)
        for segment, tap, head, feature_map in parts:
            x = segment.forward(x)
            if x.shape[1:3] != (feature_map.size, feature_map.size):
                raise ValueError(
                    f"x: its feature map came out {x.shape[1]}x{x.shape[2]}, but the default boxes of "
                    f"{self.spec.name} want {feature_map.size}x{feature_map.size}; the images must be "
                    f"{self.spec.image_size} pixels square"
                )
            seen = x if tap is None else tap.forward(x)  # the next segment goes on from x
            rows.append(head.forward(seen).reshape(len(x), -1, self.n_classes + 4))
            if not maps_are_kept():
                forget(segment, head, tap)
        predictions = array_module(x).concatenate(rows, axis=1)  # (N, K, C + 1 + 4)
        return predictions[..., : self.n_classes], predictions[..., self.n_classes :]

    def predict(self, images: Array) -> tuple[Array, Array]:
        """Prepare uint8 images (N, S, S, 3) and do what `forward` does, in little memory: no `backward` can follow.

        It works in the dtype of the weights, which is float16 after `half.halved`.
        """
        x = self.prepare(images).astype(self.heads[0].weight.value.dtype, copy=False)
        with without_backward():
            return self.forward(x)

    def backward(self, d_scores: Array, d_offsets: Array) -> Array | None:
        """Add the gradients of all parameters, from those of scores (N, K, C + 1) and offsets (N, K, 4).

        A map feeds its head (through its tap, if it has one) and the next segment, so the gradients of both meet there
        and are added.
        """
        xp = array_module(d_scores, d_offsets)
        d_rows = xp.concatenate([d_scores, d_offsets], axis=-1)
        ends = np.cumsum([m.n_boxes for m in self.spec.maps]).tolist()
        starts = [0, *ends[:-1]]
        dx = None
        for i in reversed(range(len(self.segments))):
            m = self.spec.maps[i]
            d_head = d_rows[:, starts[i] : ends[i]].reshape(len(d_rows), m.size, m.size, -1)
            d_map = self.heads[i].backward(xp.ascontiguousarray(d_head))
            if self.taps[i] is not None:
                d_map = self.taps[i].backward(d_map)
            forget(self.heads[i], self.taps[i])
            dx = self.segments[i].backward(d_map if dx is None else add(d_map, dx))
        return dx

    def default_centers(self, xp: object = np) -> Array:
        """Return the default boxes (K, 4) in centre form as an array of module `xp`, computed once for each."""
        return self._constant("default_centers", self.spec.default_boxes, xp)

    def _constant(self, name: str, make: Callable[[], np.ndarray], xp: ModuleType) -> Array:
        """Return an array that is made, and copied to the device, when first asked for."""
        made = self.__dict__.setdefault("_constants", {})
        if (name, xp.__name__) not in made:
            made[name, xp.__name__] = to_device(make(), xp)
        return made[name, xp.__name__]
