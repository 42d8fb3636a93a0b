"""From the settings of a run to its optimiser: which parameters learn at another rate, and which decay."""

from __future__ import annotations

from collections.abc import Mapping

from minissd.models.ssd import SSD
from minissd.nn import L2Normalize
from minissd.nn.layer import Parameter
from minissd.nn.optim import SGD, AdamW, Group
from minissd.training.config import TrainConfig


def make_optimizer(model: SSD, config: TrainConfig) -> SGD | AdamW:
    """Return the optimiser that the settings name; each parameter's own `rate` and `decay` are set by them too.

    The body learns at `body_rate` of the others' rate, biases at `bias_rate` of the weights' and without decay, which
    neither gamma and beta of a batch norm have. In the authors' solver the scale of the L2 normalisation is a weight
    like any other: its layer names no multipliers, and Caffe's are 1 for rate and decay. That is `norm_decay`.

    Source: the solver and layer settings of the authors' Caffe code.
    """
    parameters = model.parameters()
    for name, parameter in parameters.items():
        if name.endswith(".bias"):
            parameter.rate = config.bias_rate
    for _, layer in model.layers():
        if isinstance(layer, L2Normalize):
            layer.scale.decay = config.norm_decay
    groups = body_groups(model, parameters, config.body_rate)
    decay = config.weight_decay
    if config.optimizer == "sgd":
        return SGD(parameters, config.lr, config.momentum, weight_decay=decay, groups=groups)
    return AdamW(parameters, config.lr, weight_decay=decay, groups=groups)


def body_groups(model: SSD, parameters: Mapping[str, Parameter], body_rate: float) -> list[Group]:
    """Return the optimiser's group of the body's parameters, or none where they learn like the others."""
    n_body = len(model.spec.network.sources)  # segments; those of the extra maps come after them
    body = tuple(f"segments.{i}." for i in range(n_body))
    if body_rate == 1 or not any(name.startswith(body) for name in parameters):
        return []
    return [(lambda name: name.startswith(body), {"lr_scale": body_rate})]
