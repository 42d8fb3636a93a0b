"""Layers and losses with one realistic fault each; the gradient checks must catch every one.

A faulty layer is a subclass with one method replaced. It names the case of the table in which it is to be caught, and
takes the place of the sound layer there. `BLIND` marks faults that an all-ones upstream gradient does not see.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

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
)
from minissd.nn.convolution import im2col
from minissd.nn.gradcheck_cases import (
    Case,
    FunctionCase,
    LayerCase,
    cross_entropy_function,
    smooth_l1_function,
    softmax_function,
)
from minissd.nn.losses import smooth_l1, softmax_cross_entropy

LABELS = np.array([0, 3, 1, 3, 2])  # any will do: value and gradient get the same


@dataclass(frozen=True)
class Fault:
    """One fault: its name, the layer and case where it is planted, and what to put there."""

    name: str
    layer: str
    case: str
    plant: Callable[[Case], Case]
    seen_by_ones: bool | None


FAULTS: list[Fault] = []
BLIND = False
ONLY_BY_ROUNDING = (
    None  # dx is zero up to rounding, and the rounding may or may not differ between passes
)


def planted(case: str, seen_by_ones: bool | None = True) -> Callable:
    """Register a faulty layer class; its direct base is the sound class."""

    def register(faulty: type[Layer]) -> type[Layer]:
        sound = faulty.__bases__[0]

        def plant(target: LayerCase) -> LayerCase:
            layer = copy.deepcopy(target.layer)
            next(part for _, part in layer.layers() if type(part) is sound).__class__ = faulty
            return replace(target, layer=layer)

        FAULTS.append(Fault(faulty.__name__, sound.__name__, case, plant, seen_by_ones))
        return faulty

    return register


def planted_function(layer: str, case: str, function: Callable, seen_by_ones: bool | None = True):
    """Register a faulty function, in the form that `check_function` takes."""

    def register(fault: Callable) -> Callable:
        def plant(target: FunctionCase) -> FunctionCase:
            return replace(target, function=function(fault))

        FAULTS.append(Fault(fault.__name__, layer, case, plant, seen_by_ones))
        return fault

    return register


# Convolution


@planted("3x3", BLIND)
class ConvDwOutputChannelsReversed(Conv2d):
    def backward(self, dy):
        self.weight.grad += im2col.weight_gradient(self._x, dy, self.shape)[..., ::-1]
        self.bias.grad += dy.sum(axis=(0, 1, 2))
        return im2col.input_gradient(dy, self.weight.value, self.shape, self._x.shape)


@planted("3x3", BLIND)
class ConvDwFromAnUpstreamTurnedAround(Conv2d):
    def backward(self, dy):
        turned = np.ascontiguousarray(dy[:, ::-1, ::-1])
        self.weight.grad += im2col.weight_gradient(self._x, turned, self.shape)
        self.bias.grad += dy.sum(axis=(0, 1, 2))
        return im2col.input_gradient(dy, self.weight.value, self.shape, self._x.shape)


@planted("3x3")
class ConvDwRowsAndColumnsTransposed(Conv2d):
    def backward(self, dy):
        dw = im2col.weight_gradient(self._x, dy, self.shape)
        self.weight.grad += dw.transpose(1, 0, 2, 3)
        self.bias.grad += dy.sum(axis=(0, 1, 2))
        return im2col.input_gradient(dy, self.weight.value, self.shape, self._x.shape)


def planted_dx(case: str) -> Callable:
    """Register a faulty dx of a convolution."""

    def register(dx: Callable) -> Callable:
        def backward(self, dy):
            Conv2d.backward(self, dy)
            return dx(self, dy)

        planted(case)(type(dx.__name__, (Conv2d,), {"backward": backward}))
        return dx

    return register


@planted_dx("3x3")
def conv_dx_kernel_flipped(self, dy):
    flipped = self.weight.value[::-1, ::-1]
    return im2col.input_gradient(dy, flipped, self.shape, self._x.shape)


@planted_dx("stride 2, odd map, padding 1")
def conv_dx_padding_off_by_one(self, dy):
    n, h, w, c = self._x.shape
    (ph, pw) = self.shape.padding
    unpadded = replace(self.shape, padding=(0, 0))
    framed = (n, h + 2 * ph, w + 2 * pw, c)
    dx = im2col.input_gradient(dy, self.weight.value, unpadded, framed)
    return dx[:, ph - 1 : ph - 1 + h, pw - 1 : pw - 1 + w]


@planted_dx("stride 2 leaves pixels out")
def conv_dx_stride_ignored_in_col2im(self, dy):
    stepped = replace(self.shape, stride=(1, 1))
    return im2col.input_gradient(dy, self.weight.value, stepped, self._x.shape)


@planted_dx("groups 2")
def conv_dx_groups_swapped(self, dy):
    swapped = np.roll(self.weight.value, self.out_channels // 2, axis=-1)
    return im2col.input_gradient(dy, swapped, self.shape, self._x.shape)


@planted_dx("dilation 2, padding 2")
def conv_dx_dilation_ignored(self, dy):
    dense = replace(self.shape, dilation=(1, 1))
    return im2col.input_gradient(dy, self.weight.value, dense, self._x.shape)


@planted("dilation 2, padding 2")
class ConvDwDilationIgnored(Conv2d):
    def backward(self, dy):
        dense = replace(self.shape, dilation=(1, 1))
        self.weight.grad += im2col.weight_gradient(self._x, dy, dense)
        self.bias.grad += dy.sum(axis=(0, 1, 2))
        return im2col.input_gradient(dy, self.weight.value, self.shape, self._x.shape)


@planted("kernel 2x3, stride 1x2, padding 1x0", BLIND)
class ConvBiasSummedOverTheWrongAxis(Conv2d):
    def backward(self, dy):  # as many columns as channels, so that the shapes fit
        kept = self.bias.grad.copy()
        dx = super().backward(dy)
        self.bias.grad[...] = kept + dy.sum(axis=(0, 1, 3))
        return dx


@planted("3x3")
class ConvBiasAveraged(Conv2d):
    def backward(self, dy):
        kept = self.bias.grad.copy()
        dx = super().backward(dy)
        self.bias.grad[...] = kept + dy.mean(axis=(0, 1, 2))
        return dx


# Linear and dropout


@planted("5 to 3")
class LinearGradientOverwritten(Linear):
    def backward(self, dy):
        self.zero_grad()
        return super().backward(dy)


@planted("a map")
class LinearSeesTheFirstImageOnly(Linear):
    def backward(self, dy):
        kept = self.weight.grad.copy()
        dx = super().backward(dy)
        first = self._x[0].reshape(-1, self.in_features)
        self.weight.grad[...] = kept + first.T @ dy[0].reshape(-1, self.out_features)
        return dx


@planted("p 0.4, same mask")
class DropoutNotRescaledOnTheWayBack(Dropout):
    def backward(self, dy):
        return dy * (self._mask > 0)


@planted("p 0.4, same mask")
class DropoutWithAnotherMaskOnTheWayBack(Dropout):
    def backward(self, dy):
        return dy * (self.rng.random(dy.shape) >= self.p) / (1 - self.p)


# Activations


@planted("both sides")
class ReLUMaskOfTheUpstream(ReLU):
    def backward(self, dy):
        return dy * (dy > 0)


@planted("both sides")
class ReLUChangesTheUpstream(ReLU):
    def backward(self, dy):
        dy *= self._y > 0
        return dy


@planted("both sides")
class ReLUChangesItsInput(ReLU):
    def forward(self, x):
        self._y = np.maximum(x, 0, out=x)
        return self._y


@planted("both sides")
class ReLUInFloat32(ReLU):
    def backward(self, dy):
        return super().backward(dy.astype(np.float32))


@planted("both sides")
class ReLUAddsUpItsInputGradients(ReLU):
    def backward(self, dy):
        self._sum = getattr(self, "_sum", 0) + super().backward(dy)
        return self._sum


@planted("both sides and the middle")
class ReLU6UpperSideNotMasked(ReLU6):
    def backward(self, dy):
        return dy * (self._y > 0)


# Pooling


@planted("ties in every window")
class MaxPoolTiesCountedTwice(MaxPool2d):
    def forward(self, x):
        self._x = x
        self._y = super().forward(x)
        return self._y

    def backward(self, dy):
        dx = np.zeros(self._framed_shape, dy.dtype)
        for cell in range(self._n_cells):
            window = self._window(cell, *dy.shape[1:3])
            dx[window] += dy * (self._x[window] == self._y)
        return dx


@planted("3x3 stride 1 padding 1 (pool5)")
class MaxPoolOverlapOverwritten(MaxPool2d):
    def backward(self, dy):
        dx = np.zeros(self._framed_shape, dy.dtype)
        for cell in range(self._n_cells):
            window, won = self._window(cell, *dy.shape[1:3]), self._winner == cell
            dx[window] = np.where(won, dy, dx[window])
        return dx[:, 1:-1, 1:-1]


@planted("3x3 stride 2 padding 1 ceil")
class MaxPoolBorderNotTakenOff(MaxPool2d):
    def backward(self, dy):
        n, h, w, c = self._input_shape
        shape, self._input_shape = self._input_shape, (n, h + 1, w + 1, c)
        dx = super().backward(dy)
        self._input_shape = shape
        return np.roll(dx, 1, axis=(1, 2))[:, :h, :w]


@planted("5x3")
class GlobalAvgPoolSumForMean(GlobalAvgPool):
    def backward(self, dy):
        return np.broadcast_to(dy, self._input_shape).copy()


# Normalisation


@planted("training", BLIND)
class BatchNormDxZeroed(BatchNorm2d):
    def backward(self, dy):
        return 0 * super().backward(dy)


def batch_norm_dx(layer, dy, mean=1.0, variance=1.0, inv_std=None):
    """The sound backward pass with a weight for each of its terms."""
    count = dy.size // layer.channels
    dgamma, dbeta = (dy * layer._x_hat).sum(axis=(0, 1, 2)), dy.sum(axis=(0, 1, 2))
    layer.gamma.grad += dgamma
    layer.beta.grad += dbeta
    slope = layer.gamma.value * (layer._inv_std if inv_std is None else inv_std)
    return slope * (dy - mean * dbeta / count - variance * layer._x_hat * dgamma / count)


@planted("training")
class BatchNormWithoutTheMeansGradient(BatchNorm2d):
    def backward(self, dy):
        return batch_norm_dx(self, dy, mean=0)


@planted("training", BLIND)
class BatchNormWithoutTheVariancesGradient(BatchNorm2d):
    def backward(self, dy):
        return batch_norm_dx(self, dy, variance=0)


@planted("training")
class BatchNormMissing1OverN(BatchNorm2d):
    def backward(self, dy):
        count = dy.size // self.channels
        return batch_norm_dx(self, dy, mean=count, variance=count)


@planted("training", ONLY_BY_ROUNDING)
class BatchNormRunningStatisticsOnTheWayBack(BatchNorm2d):
    def backward(self, dy):
        return batch_norm_dx(self, dy, inv_std=1 / np.sqrt(self.running_var + self.eps))


@planted("training")
class BatchNormBackwardOfEvaluation(BatchNorm2d):
    def backward(self, dy):
        return batch_norm_dx(self, dy, mean=0, variance=0)


@planted("training, large eps", BLIND)
class BatchNormUnbiasedVarianceOnTheWayBack(BatchNorm2d):
    def backward(self, dy):
        count = dy.size // self.channels
        return batch_norm_dx(self, dy, variance=count / (count - 1))


@planted("5 channels")
class L2NormalizeWithoutTheProjection(L2Normalize):
    def backward(self, dy):
        super().backward(dy)
        return dy * self.scale.value * self._inv_norm


@planted("5 channels")
class L2NormalizeScaleTimesTheWholeInput(L2Normalize):
    def backward(self, dy):
        kept = self.scale.grad.copy()
        dx = super().backward(dy)
        self.scale.grad[...] = kept + (dy * self._unit / self._inv_norm).sum(axis=(0, 1, 2))
        return dx


# Losses


@planted_function("softmax", "5 rows, 4 classes", lambda fault: fault, BLIND)
def softmax_dx_scaled(logits):
    p, backward = softmax_function(logits)
    return p, lambda dy: {"logits": -7 * backward(dy)["logits"]}


def entropy_fault(loss):
    return cross_entropy_function(LABELS, loss)


@planted_function("softmax_cross_entropy", "5 rows, 4 classes", entropy_fault)
def cross_entropy_gradient_averaged_over_rows(logits, labels):
    losses, gradient = softmax_cross_entropy(logits, labels)
    return losses, gradient / len(labels)


@planted_function("softmax_cross_entropy", "5 rows, 4 classes", entropy_fault)
def cross_entropy_without_the_label(logits, labels):
    losses, gradient = softmax_cross_entropy(logits, labels)
    gradient[np.arange(len(labels)), labels] += 1
    return losses, gradient


def smooth_l1_fault(loss):
    return smooth_l1_function(np.zeros((3, 4)), 0.1, loss)


@planted_function("smooth_l1", "beta 0.1", smooth_l1_fault)
def smooth_l1_slope_without_sign(prediction, target, beta):
    values, gradient = smooth_l1(prediction, target, beta)
    return values, np.abs(gradient)


@planted_function("smooth_l1", "beta 0.1", smooth_l1_fault)
def smooth_l1_slope_without_beta(prediction, target, beta):
    values, _ = smooth_l1(prediction, target, beta)
    return values, np.clip(prediction - target, -1, 1)
