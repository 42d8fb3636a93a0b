"""The table of gradient checks: every layer and loss in the shapes where faults show.

The shapes are awkward on purpose: two images, height unlike width, other channels out than in, strides that do not
divide the map, odd padding. Inputs of functions with kinks (ReLU, maximum, clipping) stay `MARGIN` away from them, a
thousand times the step of the check.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from minissd.backend import Array, array_module
from minissd.nn.activation import ReLU, ReLU6
from minissd.nn.conv import Conv2d
from minissd.nn.dropout import Dropout
from minissd.nn.gradcheck import DEFAULTS, CheckSettings, check_function, check_layer
from minissd.nn.gradcheck_report import GradientReport
from minissd.nn.l2_norm import L2Normalize
from minissd.nn.layer import Layer, Sequential
from minissd.nn.linear import Linear
from minissd.nn.losses import log_softmax, smooth_l1, softmax, softmax_cross_entropy
from minissd.nn.norm import BatchNorm2d
from minissd.nn.pool import GlobalAvgPool, MaxPool2d
from minissd.nn.residual import Residual

MARGIN = 1e-2  # distance of inputs from kinks


@dataclass(frozen=True)
class LayerCase:
    """A layer and an input that suits it.

    Attributes:
        name: Of the layer's class.
        case: What is special.
        layer: The layer.
        x: Its input, float64.
        settings: Of the check.
    """

    name: str
    case: str
    layer: Layer
    x: np.ndarray
    settings: CheckSettings = DEFAULTS

    def run(self, rng: np.random.Generator) -> GradientReport:
        """Check it."""
        report = check_layer(self.layer, self.x, rng, self.case, self.settings)
        return replace(report, layer=self.name)


@dataclass(frozen=True)
class FunctionCase:
    """A function with its gradients (see `check_function`), and inputs that suit it.

    Attributes:
        name: Of the function.
        case: What is special.
        function: Returns values and `backward`.
        inputs: Arrays by name, float64.
        settings: Of the check.
    """

    name: str
    case: str
    function: Callable
    inputs: dict[str, np.ndarray]
    settings: CheckSettings = DEFAULTS

    def run(self, rng: np.random.Generator) -> GradientReport:
        """Check it."""
        return check_function(self.function, self.inputs, rng, self.name, self.case, self.settings)


Case = LayerCase | FunctionCase


class DoublePixels(Layer):
    """Show every pixel twice, side by side: a maximum over both is a tie, and stays one under every nudge."""

    def forward(self, x: Array) -> Array:
        """Turn (N, H, W, C) into (N, H, 2W, C)."""
        return array_module(x).repeat(x, 2, axis=2)

    def backward(self, dy: Array) -> Array:
        """Add up what came back for the two copies."""
        n, h, w, c = dy.shape
        return dy.reshape(n, h, w // 2, 2, c).sum(axis=3)


def all_cases(rng: np.random.Generator) -> list[Case]:
    """Return every case, layers first.

    Args:
        rng: Source of weights and inputs.
    """
    makers = (conv_cases, pool_cases, dense_cases, activation_cases, norm_cases, loss_cases)
    return [case for make in makers for case in make(rng)]


def run_all(seed: int = 0, name_contains: str = "") -> list[GradientReport]:
    """Run the checks.

    Args:
        seed: Of weights, inputs and upstream gradients.
        name_contains: Only of layers and functions whose name contains this, in any case.

    Returns:
        A report for each case.
    """
    cases = all_cases(np.random.default_rng(seed))
    wanted = (case for case in cases if name_contains.lower() in case.name.lower())
    # A generator of its own for each case: what is drawn does not depend on the filter.
    return [
        case.run(np.random.default_rng([seed, zlib.crc32(f"{case.name} {case.case}".encode())]))
        for case in wanted
    ]


def conv_cases(rng: np.random.Generator) -> list[Case]:
    """Return convolutions: all that Conv2d offers, alone and together."""
    table = [
        ("3x3", (2, 5, 4, 3), (4, 3), {}),
        ("1x1", (2, 3, 4, 5), (2, 1), {}),
        ("no bias", (2, 4, 5, 2), (3, 3), {"bias": False, "padding": 1}),
        ("stride 2, odd map, padding 1", (2, 7, 5, 3), (4, 3), {"stride": 2, "padding": 1}),
        ("stride 3 above kernel 2", (2, 7, 9, 2), (3, 2), {"stride": 3}),
        ("stride 2 leaves pixels out", (2, 6, 8, 2), (3, 3), {"stride": 2}),
        (
            "kernel 2x3, stride 1x2, padding 1x0",
            (2, 5, 6, 3),
            (2, (2, 3)),
            {"stride": (1, 2), "padding": (1, 0)},
        ),
        ("padding 2 of 3", (2, 3, 4, 2), (3, 3), {"padding": 2}),
        ("dilation 2, padding 2", (2, 6, 5, 2), (3, 3), {"dilation": 2, "padding": 2}),
        ("dilation 3x2, stride 2", (2, 9, 8, 2), (3, 3), {"dilation": (3, 2), "stride": 2}),
        ("dilation 6, padding 6 (fc6)", (2, 4, 5, 2), (3, 3), {"dilation": 6, "padding": 6}),
        ("groups 2", (2, 4, 5, 4), (6, 3), {"groups": 2, "padding": 1}),
        ("depthwise", (2, 5, 4, 3), (3, 3), {"groups": 3, "padding": 1}),
        (
            "depthwise, stride 2x1",
            (2, 5, 6, 3),
            (3, 3),
            {"groups": 3, "stride": (2, 1), "padding": 1},
        ),
        ("depthwise x 2, stride 2", (2, 5, 6, 3), (6, 3), {"groups": 3, "stride": 2}),
        (
            "groups 2, dilation 2, stride 2, padding 3",
            (2, 5, 6, 4),
            (2, 3),
            {"groups": 2, "dilation": 2, "stride": 2, "padding": 3},
        ),
        ("one pixel", (2, 1, 1, 3), (4, 3), {"padding": 1}),
    ]
    return [
        LayerCase(
            "Conv2d",
            case,
            Conv2d(shape[-1], out, kernel, rng=rng, **options),
            rng.standard_normal(shape),
        )
        for case, shape, (out, kernel), options in table
    ]


def pool_cases(rng: np.random.Generator) -> list[Case]:
    """Return poolings; the pixels of an input differ by at least `MARGIN`."""
    table = [
        ("2x2", (2, 4, 6, 3), (2,), {}),
        ("2x2 ceil, odd map", (2, 5, 7, 3), (2, 2), {"ceil_mode": True}),
        ("3x3 stride 1 padding 1 (pool5)", (2, 4, 5, 2), (3, 1, 1), {}),
        ("3x3 stride 2 padding 1 ceil", (2, 6, 5, 2), (3, 2, 1), {"ceil_mode": True}),
        ("2x3 stride 1x2, pixels left out", (2, 5, 6, 2), ((2, 3), (1, 2)), {}),
        ("stride 3 above kernel 2", (2, 6, 8, 2), (2, 3), {"ceil_mode": True}),
    ]
    cases: list[Case] = [
        LayerCase("MaxPool2d", case, MaxPool2d(*args, **options), distinct(shape, rng))
        for case, shape, args, options in table
    ]
    ties = Sequential(DoublePixels(), MaxPool2d(2))
    overlapping = Sequential(DoublePixels(), MaxPool2d(3, 1, 1))
    cases += [
        LayerCase("MaxPool2d", "ties in every window", ties, distinct((2, 4, 3, 2), rng)),
        LayerCase("MaxPool2d", "ties, windows overlap", overlapping, distinct((2, 3, 4, 2), rng)),
        LayerCase("GlobalAvgPool", "5x3", GlobalAvgPool(), rng.standard_normal((2, 5, 3, 4))),
    ]
    return cases


def dense_cases(rng: np.random.Generator) -> list[Case]:
    """Return linear layers and dropout."""
    dropout = Dropout(0.4, rng=np.random.default_rng(rng.integers(2**32)))
    asleep = Dropout(0.4, rng=np.random.default_rng(0)).eval()
    return [
        LayerCase("Linear", "5 to 3", Linear(5, 3, rng=rng), rng.standard_normal((4, 5))),
        LayerCase("Linear", "no bias", Linear(3, 4, False, rng=rng), rng.standard_normal((2, 3))),
        LayerCase("Linear", "a map", Linear(3, 4, rng=rng), rng.standard_normal((2, 2, 3, 3))),
        LayerCase("Dropout", "p 0.4, same mask", dropout, rng.standard_normal((2, 3, 4, 5))),
        LayerCase("Dropout", "evaluation", asleep, rng.standard_normal((2, 3, 4, 5))),
    ]


def activation_cases(rng: np.random.Generator) -> list[Case]:
    """Return activations, whose inputs reach beyond all kinks, and layers in a row."""
    x = apart(rng.uniform(-3, 3, (2, 3, 4, 5)), (0.0,))
    wide = apart(rng.uniform(-3, 9, (2, 3, 4, 5)), (0.0, 6.0))
    detour = Residual(Conv2d(3, 3, 3, padding=1, rng=rng), BatchNorm2d(3))
    tower = Sequential(
        Conv2d(2, 3, 3, padding=1, rng=rng), BatchNorm2d(3), Conv2d(3, 2, 1, rng=rng)
    )
    return [
        LayerCase("ReLU", "both sides", ReLU(), x),
        LayerCase("ReLU6", "both sides and the middle", ReLU6(), wide),
        LayerCase("Sequential", "conv, batch norm, conv", tower, rng.standard_normal((2, 4, 3, 2))),
        LayerCase("Residual", "conv, batch norm", detour, rng.standard_normal((2, 4, 3, 3))),
    ]


def norm_cases(rng: np.random.Generator) -> list[Case]:
    """Return normalisations; channels have means and sizes of their own."""
    spread = rng.uniform(0.5, 2, 4) * rng.standard_normal((2, 3, 5, 4)) + rng.uniform(-2, 2, 4)
    evaluated = BatchNorm2d(4).eval()
    evaluated.running_mean[...] = rng.uniform(-1, 1, 4)
    evaluated.running_var[...] = rng.uniform(0.5, 2, 4)
    some_zero = rng.standard_normal((2, 3, 4, 5))
    some_zero[0, 1:, 2] = 0
    zero = np.zeros((2, 2, 1, 3))
    outside = L2Normalize(5, eps=0.5, rule="outside")
    return [
        LayerCase("BatchNorm2d", "training", BatchNorm2d(4), spread),
        LayerCase("BatchNorm2d", "training, large eps", BatchNorm2d(4, eps=0.5), spread),
        LayerCase("BatchNorm2d", "evaluation", evaluated, spread),
        LayerCase("L2Normalize", "5 channels", L2Normalize(5), rng.standard_normal((2, 3, 4, 5))),
        LayerCase("L2Normalize", "some pixels zero, eps 0.01", L2Normalize(5, eps=0.01), some_zero),
        LayerCase("L2Normalize", "floor", L2Normalize(5, eps=2.0, rule="floor"), some_zero),
        # All-zero pixels bend: within sqrt(eps) = 1e-5, or at once where eps stands outside the root.
        LayerCase("L2Normalize", "eps outside", outside, some_zero, CheckSettings(step=1e-7)),
        LayerCase("L2Normalize", "all pixels zero", L2Normalize(3), zero, CheckSettings(step=1e-9)),
    ]


def loss_cases(rng: np.random.Generator) -> list[Case]:
    """Return the losses."""
    labels = np.array([0, 3, 1, 3, 2])
    logits = rng.standard_normal((5, 4))
    # Rows where one logit is far ahead: the loss is a straight line, so a large step costs nothing.
    huge = 1e4 * np.array(
        [[1, -1, 0.5, 0], [-1, 1, 0, 0.5], [0.5, 0, -1, 1], [1, 0, 0.5, -1], [0, 1, -1, 0.5]]
    )
    entropy = cross_entropy_function(labels)
    target = rng.standard_normal((3, 4))
    distances = apart(rng.uniform(-3, 3, (3, 4)), (-1.0, 1.0))
    closer = apart(rng.uniform(-0.4, 0.4, (3, 4)), (-0.1, 0.1))
    return [
        FunctionCase("softmax_cross_entropy", "5 rows, 4 classes", entropy, {"logits": logits}),
        FunctionCase(
            "softmax_cross_entropy",
            "logits of +-1e4",
            entropy,
            {"logits": huge},
            CheckSettings(step=1e-2),
        ),
        FunctionCase("softmax", "5 rows, 4 classes", softmax_function, {"logits": logits}),
        FunctionCase("log_softmax", "5 rows, 4 classes", log_softmax_function, {"logits": logits}),
        FunctionCase(
            "smooth_l1", "beta 1", smooth_l1_function(target), {"prediction": target + distances}
        ),
        FunctionCase(
            "smooth_l1",
            "beta 0.1",
            smooth_l1_function(target, beta=0.1),
            {"prediction": target + closer},
        ),
    ]


def cross_entropy_function(labels: np.ndarray, loss: Callable = softmax_cross_entropy) -> Callable:
    """Return softmax cross-entropy with fixed labels in the form that `check_function` takes."""

    def function(logits: Array) -> tuple[Array, Callable]:
        losses, gradient = loss(logits, labels)
        return losses, lambda dy: {"logits": dy[:, None] * gradient}

    return function


def smooth_l1_function(
    target: np.ndarray, beta: float = 1.0, loss: Callable = smooth_l1
) -> Callable:
    """Return smooth L1 with a fixed target in the form that `check_function` takes."""

    def function(prediction: Array) -> tuple[Array, Callable]:
        values, gradient = loss(prediction, target, beta)
        return values, lambda dy: {"prediction": dy * gradient}

    return function


def softmax_function(logits: Array) -> tuple[Array, Callable]:
    """Return softmax in the form that `check_function` takes; dx = p * (dy - <p, dy>)."""
    p = softmax(logits)
    return p, lambda dy: {"logits": p * (dy - (p * dy).sum(axis=-1, keepdims=True))}


def log_softmax_function(logits: Array) -> tuple[Array, Callable]:
    """Return log-softmax in the form that `check_function` takes; dx = dy - p * sum(dy)."""
    p = softmax(logits)
    return log_softmax(logits), lambda dy: {"logits": dy - p * dy.sum(axis=-1, keepdims=True)}


def distinct(shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
    """Return numbers that differ from each other by at least `MARGIN`."""
    size = int(np.prod(shape))
    return (rng.permutation(size) - size / 3).reshape(shape) * MARGIN


def apart(x: np.ndarray, kinks: tuple[float, ...]) -> np.ndarray:
    """Move the numbers that lie within `MARGIN` of a kink to twice that distance from it."""
    for kink in kinks:
        close = np.abs(x - kink) < MARGIN
        x = np.where(close, kink + 2 * MARGIN, x)
    return x
