"""Carrying the state of our SSD over to another framework's, and its gradients back, layer by layer in their order."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from peer_caffe import CaffeSSD
from peer_torch import hwio, oihw, to_numpy, to_torch, torch

from minissd.models.ssd import SSD
from minissd.models.vgg import layer_names


@dataclass
class Judge:
    """Another framework's SSD.

    Attributes:
        module: The network.
        convs: Convolutions of the trunk in the order they are passed.
        norm: Scale of the L2 normalisation.
        heads: For each map the convolution of the class scores and that of the offsets.
    """

    module: torch.nn.Module
    convs: list[torch.nn.Conv2d]
    norm: torch.nn.Parameter
    heads: list[tuple[torch.nn.Conv2d, torch.nn.Conv2d]]


def caffe_judge(module: CaffeSSD) -> Judge:
    """Name the parts of the authors' network."""
    heads = list(zip(module.conf, module.loc))
    return Judge(module, list(module.layers.values()), module.scale, heads)


def torchvision_judge(module: torch.nn.Module) -> Judge:
    """Name the parts of torchvision's network."""
    convs = [m for m in module.backbone.modules() if isinstance(m, torch.nn.Conv2d)]
    head = module.head
    heads = list(zip(head.classification_head.module_list, head.regression_head.module_list))
    return Judge(module, convs, module.backbone.scale_weight, heads)


def _pairs(model: SSD, judge: Judge) -> Iterator[tuple[str, torch.nn.Conv2d]]:
    """Yield (prefix of our parameters, the judge's convolution) along the trunk."""
    prefixes = [prefix for name, prefix in layer_names(model.spec) if not name.endswith("_norm")]
    yield from zip(prefixes, judge.convs, strict=True)


def load(model: SSD, judge: Judge) -> None:
    """Give the judge our parameters; every one of its parameters gets a value.

    A head of ours lists, for each box shape of a cell, its class scores and then its four offsets.
    """
    ours = {name: p.value for name, p in model.parameters().items()}
    todo = dict(judge.module.named_parameters())

    def give(tensor: torch.nn.Parameter, value: np.ndarray) -> None:
        (name,) = [name for name, each in todo.items() if each is tensor]
        assert todo.pop(name).shape == value.shape, name
        tensor.data = to_torch(value)

    for prefix, conv in _pairs(model, judge):
        give(conv.weight, oihw(ours.pop(f"{prefix}.weight")))
        give(conv.bias, ours.pop(f"{prefix}.bias"))
    give(judge.norm, ours.pop("taps.0.scale"))
    for i, (conf, loc) in enumerate(judge.heads):
        for name in ("weight", "bias"):
            value = ours.pop(f"heads.{i}.{name}")
            by_shape = value.reshape(*value.shape[:-1], -1, model.n_classes + 4)
            scores, offsets = np.split(by_shape, [model.n_classes], axis=-1)
            for conv, part in ((conf, scores), (loc, offsets)):
                part = part.reshape(*value.shape[:-1], -1)
                give(getattr(conv, name), oihw(part) if name == "weight" else part)
    assert not ours, f"not given to the judge: {sorted(ours)}"
    assert not todo, f"the judge got no {sorted(todo)}"


def gradients(model: SSD, judge: Judge) -> dict[str, np.ndarray]:
    """Return the judge's gradients under the names and in the layout of our parameters."""
    found = {"taps.0.scale": to_numpy(judge.norm.grad)}
    for prefix, conv in _pairs(model, judge):
        found[f"{prefix}.weight"] = hwio(to_numpy(conv.weight.grad))
        found[f"{prefix}.bias"] = to_numpy(conv.bias.grad)
    for i, convs in enumerate(judge.heads):
        for name in ("weight", "bias"):
            parts = []
            for conv, n in zip(convs, (model.n_classes, 4)):
                grad = to_numpy(getattr(conv, name).grad)
                grad = hwio(grad) if name == "weight" else grad
                parts.append(grad.reshape(*grad.shape[:-1], -1, n))
            both = np.concatenate(parts, axis=-1)
            found[f"heads.{i}.{name}"] = both.reshape(*both.shape[:-2], -1)
    return found
