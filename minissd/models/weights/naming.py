"""What a file calls its tensors, and how its network reads images: one `Naming` for each published family of files."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from minissd.models.spec import DetectorSpec

COUNTER = {r"\.num_batches_tracked$": "counters of batch norm"}


@dataclass(frozen=True)
class Naming:
    """One family of files.

    Attributes:
        title: How the family is called.
        body: The body its tensors belong to, see `build.BODIES`.
        layers: For each layer, by its name in the authors' Caffe code, what stands before ".weight" in the file.
        parts: The last parts of a tensor's name: of weights and of biases.
        norm: The tensor that scales the normalised conv4_3.
        heads: Templates of the class and of the box convolution of a map, from its number `i` or its Caffe name `map`;
            None: a file of a body, without heads.
        ignored: Pattern of names that are known and not needed -> what they are.
        bgr: Whether the first layer reads blue first.
        mean, std: What the network's input was normalised with, RGB, 0 to 255; None: as the spec has it.
        subsample: Whether fc6 and fc7 may be those of the classifier, to be thinned out.
        models: Models that the file can be for; empty: any of the body.
        settings: Fields of the spec in which the family's own code differs from the authors'.
        network: The same, fields of the spec's network.
    """

    title: str
    body: str
    layers: Mapping[str, str] = field(default_factory=dict)
    parts: tuple[str, str] = ("weight", "bias")
    norm: str = ""
    heads: tuple[str, str] | None = None
    ignored: Mapping[str, str] = field(default_factory=dict)
    bgr: bool = False
    mean: tuple[float, float, float] | None = None
    std: tuple[float, float, float] | None = None
    subsample: bool = False
    models: tuple[str, ...] = ()
    settings: Mapping[str, Any] = field(default_factory=dict)
    network: Mapping[str, Any] = field(default_factory=dict)

    def tensor(self, layer: str, part: str) -> str:
        """Return the file's name of a Caffe layer's "weight", "bias" or "scale"."""
        if part == "scale":
            return self.norm
        prefix = self.layers.get(layer, f"({layer})")  # brackets: the family has no such layer
        return f"{prefix}.{self.parts[part == 'bias']}"

    def head(self, number: int, caffe_map: str, part: str) -> tuple[str, str]:
        """Return the file's names of a map's class and box convolution, "weight" or "bias"."""
        stems = (each.format(i=number, map=caffe_map) for each in self.heads or ())
        return tuple(f"{stem}.{self.parts[part == 'bias']}" for stem in stems)

    def why_ignored(self, name: str) -> str | None:
        """Say what a tensor is that is known and not needed; None: it is not of that kind."""
        found = (why for pattern, why in self.ignored.items() if re.search(pattern, name))
        return next(found, None)

    def adapt(self, spec: DetectorSpec) -> DetectorSpec:
        """Return the spec with what the family's own code does differently."""
        network = dataclasses.replace(spec.network, **self.network)
        return dataclasses.replace(spec, network=network, **self.settings)
