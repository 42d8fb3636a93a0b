"""Layers and losses with one realistic fault each; all are registered in `planting.FAULTS`."""

from __future__ import annotations

import numpy as np
from planting import BLIND, ONLY_BY_ROUNDING, planted, planted_function

from minissd.nn import (
    BatchNorm2d,
    Dropout,
    GlobalAvgPool,
    L2Normalize,
    Linear,
    MaxPool2d,
    ReLU,
    ReLU6,
)
from minissd.nn.gradcheck_cases import cross_entropy_function, smooth_l1_function, softmax_function
from minissd.nn.losses import smooth_l1, softmax_cross_entropy

LABELS = np.array([0, 3, 1, 3, 2])  # any will do: value and gradient get the same


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
        first = self.x[0].reshape(-1, self.in_features)
        self.weight.grad[...] = kept + first.T @ dy[0].reshape(-1, self.out_features)
        return dx


@planted("p 0.4, same mask")
class DropoutNotRescaledOnTheWayBack(Dropout):
    def backward(self, dy):
        return dy * (self.y != 0)


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
        dy *= self.x > 0
        return dy


@planted("both sides")
class ReLUChangesItsInput(ReLU):
    def forward(self, x):
        super().forward(x)
        return np.maximum(x, 0, out=x)


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
        return dy * (self.x > 0)


# Pooling


@planted("ties in every window")
class MaxPoolTiesCountedTwice(MaxPool2d):
    def backward(self, dy):  # 2x2 windows without padding
        def spread(a):
            return a.repeat(2, axis=1).repeat(2, axis=2)

        return spread(dy) * (self.x == spread(self.y))


@planted("3x3 stride 1 padding 1 (pool5)")
class MaxPoolOverlapOverwritten(MaxPool2d):
    def backward(self, dy):
        dx = np.zeros_like(self.x)
        for place in np.ndindex(dy.shape):
            dx[self.x == self.y[place]] = dy[place]  # all pixels differ, so this is the winner
        return dx


@planted("3x3 stride 2 padding 1 ceil")
class MaxPoolBorderOffByOne(MaxPool2d):
    def backward(self, dy):
        return np.roll(super().backward(dy), 1, axis=(1, 2))


@planted("5x3")
class GlobalAvgPoolSumForMean(GlobalAvgPool):
    def backward(self, dy):
        return np.broadcast_to(dy, self.x.shape).copy()


# Normalisation


@planted("training", BLIND)
class BatchNormDxZeroed(BatchNorm2d):
    def backward(self, dy):
        return 0 * super().backward(dy)


def batch_norm_dx(layer, dy, mean=1.0, variance=1.0, var=None):
    """The sound backward pass with a weight for each of its terms."""
    axes, count = (0, 1, 2), dy.size // layer.channels
    inv_std = 1 / np.sqrt(layer.x.var(axis=axes) + layer.eps)
    x_hat = (layer.x - layer.x.mean(axis=axes)) * inv_std
    dgamma, dbeta = (dy * x_hat).sum(axis=axes), dy.sum(axis=axes)
    layer.gamma.grad += dgamma
    layer.beta.grad += dbeta
    slope = layer.gamma.value * (inv_std if var is None else 1 / np.sqrt(var + layer.eps))
    return slope * (dy - mean * dbeta / count - variance * x_hat * dgamma / count)


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
        return batch_norm_dx(self, dy, var=self.running_var)


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
        return dy * self.scale.value / np.linalg.norm(self.x, axis=-1, keepdims=True)


@planted("5 channels")
class L2NormalizeScaleTimesTheWholeInput(L2Normalize):
    def backward(self, dy):
        kept = self.scale.grad.copy()
        dx = super().backward(dy)
        self.scale.grad[...] = kept + (dy * self.x).sum(axis=(0, 1, 2))
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
