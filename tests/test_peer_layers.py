"""Layers, losses and optimisers one by one against PyTorch: outputs, and gradients of every input and parameter."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from peer_report import EXACT, agree, agree_all
from peer_torch import hwio, nchw, nhwc, oihw, to_numpy, to_torch, torch

from minissd.nn import (
    BatchNorm2d,
    Conv2d,
    GlobalAvgPool,
    L2Normalize,
    Layer,
    Linear,
    MaxPool2d,
    ReLU,
    ReLU6,
)
from minissd.nn.gradcheck import randomize_parameters
from minissd.nn.losses import log_softmax, smooth_l1, softmax, softmax_cross_entropy
from minissd.nn.optim import SGD, Adam, AdamW, Optimizer, Parameter

pytestmark = pytest.mark.peer
F = torch.nn.functional

ROUNDED = 5e-6  # float32: sums of up to a thousand products, rounded in another order
precision = pytest.mark.parametrize(
    "dtype, allowed", [(np.float64, EXACT), (np.float32, ROUNDED)], ids=["float64", "float32"]
)

Tensors = dict[str, torch.Tensor]


def compare(
    group: str,
    layer: Layer,
    x: np.ndarray,
    judge: Callable[[torch.Tensor, Tensors], torch.Tensor],
    rng: np.random.Generator,
    allowed: float,
) -> None:
    """Run a layer on a map (N, H, W, C) both ways, forth and back, with random parameters and a random gradient.

    Args:
        group: Line of the table.
        layer: Ours.
        x: The input.
        judge: Computes the same from (N, C, H, W) and the parameters, weights being laid out as PyTorch wants them.
        rng: Source of parameters and gradient.
        allowed: Largest relative difference.
    """
    randomize_parameters(layer.astype(x.dtype), rng)
    layer.zero_grad()
    parameters = layer.parameters()
    theirs = {
        name: to_torch(oihw(p.value) if p.value.ndim == 4 else p.value, requires_grad=True)
        for name, p in parameters.items()
    }
    x_torch = to_torch(nchw(x), requires_grad=True)

    y = layer.forward(x)
    y_torch = judge(x_torch, theirs)
    agree(group, "y", y, nhwc(to_numpy(y_torch)), allowed)
    dy = rng.standard_normal(y.shape).astype(x.dtype)
    dx = layer.backward(dy)
    y_torch.backward(to_torch(nchw(dy)))
    agree(group, "dx", dx, nhwc(to_numpy(x_torch.grad)), allowed)
    gradients = {name: to_numpy(tensor.grad) for name, tensor in theirs.items()}
    gradients = {name: hwio(g) if g.ndim == 4 else g for name, g in gradients.items()}
    agree_all(group, {name: p.grad for name, p in parameters.items()}, gradients, allowed)


def signals(rng: np.random.Generator, shape: tuple[int, ...], dtype: type) -> np.ndarray:
    return (rng.standard_normal(shape) + 0.3).astype(dtype)


@precision
@pytest.mark.parametrize(
    "channels, size, kernel, stride, padding, dilation, groups",
    [
        ((3, 5), (7, 9), 3, 1, 1, 1, 1),
        ((3, 8), (23, 17), 7, 4, 3, 1, 1),
        ((6, 4), (9, 8), (3, 2), (2, 3), (1, 0), 1, 1),
        ((8, 6), (15, 13), 3, 1, 6, 6, 1),  # fc6
        ((8, 6), (10, 11), 3, 2, 2, 2, 2),
        ((4, 10), (6, 5), 1, 1, 0, 1, 1),
        ((6, 6), (9, 10), 3, 1, 1, 1, 6),  # depthwise
        ((5, 10), (9, 10), 3, 2, 1, 1, 5),  # depthwise, two filters a channel
        ((4, 3), (4, 4), 4, 1, 1, 1, 1),  # SSD512's last map
        ((4, 3), (5, 5), 3, 1, 0, 1, 1),
    ],
)
def test_conv2d(channels, size, kernel, stride, padding, dilation, groups, dtype, allowed, rng):
    layer = Conv2d(*channels, kernel, stride, padding, dilation, groups, rng=rng)

    def judge(x, p):
        return F.conv2d(x, p["weight"], p["bias"], stride, padding, dilation, groups)

    x = signals(rng, (2, *size, channels[0]), dtype)
    compare(f"Conv2d, {dtype.__name__}", layer, x, judge, rng, allowed)


@precision
def test_batch_norm_in_training(dtype, allowed, rng):
    layer, x = BatchNorm2d(5), signals(rng, (3, 4, 6, 5), dtype)
    mean, var = torch.zeros(5, dtype=to_torch(x).dtype), torch.ones(5, dtype=to_torch(x).dtype)

    def judge(x, p):
        return F.batch_norm(x, mean, var, p["gamma"], p["beta"], training=True)

    group = f"BatchNorm2d, {dtype.__name__}"
    compare(group, layer, x, judge, rng, allowed)
    agree(group, "running_mean", layer.running_mean, to_numpy(mean), allowed)
    agree(group, "running_var", layer.running_var, to_numpy(var), allowed)


@precision
def test_batch_norm_in_evaluation(dtype, allowed, rng):
    layer, x = BatchNorm2d(5).eval(), signals(rng, (3, 4, 6, 5), dtype)
    layer.running_mean[...] = rng.standard_normal(5)
    layer.running_var[...] = rng.uniform(0.5, 2, 5)
    mean, var = (to_torch(a.astype(dtype)) for a in (layer.running_mean, layer.running_var))

    def judge(x, p):
        return F.batch_norm(x, mean, var, p["gamma"], p["beta"], training=False)

    compare(f"BatchNorm2d, {dtype.__name__}", layer, x, judge, rng, allowed)


@precision
@pytest.mark.parametrize(
    "size, kernel, stride, padding, ceil_mode",
    [
        ((8, 6), 2, 2, 0, False),
        ((75, 9), 2, 2, 0, True),  # pool3 of SSD300
        ((9, 7), 2, 2, 0, False),
        ((7, 10), 3, 1, 1, False),  # pool5
        ((7, 8), 3, 2, 1, True),
        ((10, 11), (3, 2), (2, 3), (1, 0), True),
    ],
)
def test_max_pool(size, kernel, stride, padding, ceil_mode, dtype, allowed, rng):
    def judge(x, p):
        return F.max_pool2d(x, kernel, stride, padding, ceil_mode=ceil_mode)

    layer = MaxPool2d(kernel, stride, padding, ceil_mode)
    x = signals(rng, (2, *size, 3), dtype)
    compare(f"MaxPool2d, {dtype.__name__}", layer, x, judge, rng, allowed)


@precision
@pytest.mark.parametrize(
    "layer, judge",
    [
        (ReLU(), lambda x, p: F.relu(x)),
        (ReLU6(), lambda x, p: F.relu6(x)),
        (GlobalAvgPool(), lambda x, p: F.adaptive_avg_pool2d(x, 1)),
    ],
    ids=["ReLU", "ReLU6", "GlobalAvgPool"],
)
def test_layers_without_parameters(layer, judge, dtype, allowed, rng):
    x = 4 * signals(rng, (2, 7, 5, 3), dtype)
    group = f"ReLU, ReLU6, GlobalAvgPool, {dtype.__name__}"
    compare(group, layer, x, judge, rng, allowed)


@precision
def test_linear(dtype, allowed, rng):
    def judge(x, p):
        return F.linear(x.permute(0, 2, 3, 1), p["weight"].T, p["bias"]).permute(0, 3, 1, 2)

    layer = Linear(6, 4, rng=rng)
    x = signals(rng, (2, 3, 2, 6), dtype)
    compare(f"Linear, {dtype.__name__}", layer, x, judge, rng, allowed)


LENGTHS: dict[str, Callable[[torch.Tensor, float], torch.Tensor]] = {
    "inside": lambda x, eps: (x.square().sum(dim=1, keepdim=True) + eps).sqrt(),
    "outside": lambda x, eps: x.square().sum(dim=1, keepdim=True).sqrt() + eps,
    "floor": lambda x, eps: x / F.normalize(x, eps=eps),
}


@precision
@pytest.mark.parametrize(
    "rule, eps",
    [("inside", 1e-10), ("inside", 0.1), ("outside", 1e-10), ("outside", 0.1), ("floor", 1e-12)],
)
def test_l2_normalize(rule, eps, dtype, allowed, rng):
    """One pixel is so small that the epsilon of the rule counts."""

    def judge(x, p):
        return x / LENGTHS[rule](x, eps) * p["scale"][None, :, None, None]

    layer = L2Normalize(7, eps=eps, rule=rule)
    x = signals(rng, (2, 5, 4, 7), dtype)
    x[1, 2, 3] *= dtype(1e-5)
    compare(f"L2Normalize, {dtype.__name__}", layer, x, judge, rng, allowed)


@precision
def test_softmax_and_cross_entropy(dtype, allowed, rng):
    logits = (5 * rng.standard_normal((40, 21))).astype(dtype)
    labels = rng.integers(0, 21, 40)
    theirs = to_torch(logits, requires_grad=True)
    losses, gradients = softmax_cross_entropy(logits, labels)
    expected = F.cross_entropy(theirs, to_torch(labels), reduction="none")
    expected.sum().backward()
    group = f"losses, {dtype.__name__}"
    agree(group, "cross-entropy", losses, to_numpy(expected), allowed)
    agree(group, "its gradient", gradients, to_numpy(theirs.grad), allowed)
    agree(group, "softmax", softmax(logits), to_numpy(theirs.softmax(dim=1)), allowed)
    agree(group, "log softmax", log_softmax(logits), to_numpy(theirs.log_softmax(dim=1)), allowed)


@precision
@pytest.mark.parametrize("beta", [1.0, 0.3])
def test_smooth_l1(beta, dtype, allowed, rng):
    prediction, target = (signals(rng, (50, 4), dtype) for _ in range(2))
    theirs = to_torch(prediction, requires_grad=True)
    values, gradients = smooth_l1(prediction, target, beta)
    expected = F.smooth_l1_loss(theirs, to_torch(target), reduction="none", beta=beta)
    expected.sum().backward()
    group = f"losses, {dtype.__name__}"
    agree(group, "smooth L1", values, to_numpy(expected), allowed)
    agree(group, "its gradient", gradients, to_numpy(theirs.grad), allowed)


@pytest.mark.parametrize(
    "ours, theirs",
    [
        (
            lambda p: SGD(p, 0.1, momentum=0.9, weight_decay=0.03),
            lambda groups: torch.optim.SGD(groups, 0.1, momentum=0.9),
        ),
        (lambda p: Adam(p, 0.01, weight_decay=0.03), lambda groups: torch.optim.Adam(groups, 0.01)),
        (
            lambda p: AdamW(p, 0.01, betas=(0.8, 0.99), weight_decay=0.03),
            lambda groups: torch.optim.AdamW(groups, 0.01, betas=(0.8, 0.99)),
        ),
    ],
    ids=["SGD", "Adam", "AdamW"],
)
def test_optimizers(ours, theirs, rng):
    """Twenty steps on random gradients; weights decay, biases do not and learn twice as fast (the authors' solver)."""
    weight = Parameter(rng.standard_normal((4, 5)))
    bias = Parameter(rng.standard_normal(5), decay=False, rate=2.0)
    optimizer: Optimizer = ours({"weight": weight, "bias": bias})
    tensors = [to_torch(p.value, requires_grad=True) for p in (weight, bias)]
    rate = optimizer.lr
    groups = [
        {"params": tensors[:1], "weight_decay": 0.03},
        {"params": tensors[1:], "weight_decay": 0.0, "lr": 2 * rate},
    ]
    judge = theirs(groups)
    for _ in range(20):
        for parameter, tensor in zip((weight, bias), tensors):
            parameter.grad[...] = rng.standard_normal(parameter.grad.shape)
            tensor.grad = to_torch(parameter.grad)
        optimizer.step()
        judge.step()
    group = "optimisers, 20 steps, float64"
    agree(group, f"{type(optimizer).__name__} weight", weight.value, to_numpy(tensors[0]))
    agree(group, f"{type(optimizer).__name__} bias", bias.value, to_numpy(tensors[1]))
