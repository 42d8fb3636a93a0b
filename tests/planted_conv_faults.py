"""Convolutions with one realistic fault each; all are registered in `planting.FAULTS`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
from planting import BLIND, planted

from minissd.nn import Conv2d
from minissd.nn.convolution import im2col


def planted_dw(case: str, seen_by_ones: bool | None = True) -> Callable:
    """Register a faulty gradient of a convolution's weights."""

    def register(dw: Callable) -> Callable:
        def backward(self, dy):
            kept = self.weight.grad.copy()
            dx = Conv2d.backward(self, dy)
            self.weight.grad[...] = kept + dw(self, dy)
            return dx

        planted(case, seen_by_ones)(type(dw.__name__, (Conv2d,), {"backward": backward}))
        return dw

    return register


def planted_dx(case: str, seen_by_ones: bool | None = True) -> Callable:
    """Register a faulty gradient of a convolution's input."""

    def register(dx: Callable) -> Callable:
        def backward(self, dy):
            Conv2d.backward(self, dy)
            return dx(self, dy)

        planted(case, seen_by_ones)(type(dx.__name__, (Conv2d,), {"backward": backward}))
        return dx

    return register


def sound_dw(self, dy, **changes):
    return im2col.weight_gradient(self.x, dy, replace(self.shape, **changes))


def sound_dx(self, dy, weight=None, **changes):
    weight = self.weight.value if weight is None else weight
    return im2col.input_gradient(dy, weight, replace(self.shape, **changes), self.x.shape)


@planted_dw("3x3", BLIND)
def conv_dw_output_channels_reversed(self, dy):
    return sound_dw(self, dy)[..., ::-1]


@planted_dw("3x3", BLIND)
def conv_dw_from_an_upstream_turned_around(self, dy):
    return sound_dw(self, np.ascontiguousarray(dy[:, ::-1, ::-1]))


@planted_dw("3x3")
def conv_dw_rows_and_columns_transposed(self, dy):
    return sound_dw(self, dy).transpose(1, 0, 2, 3)


@planted_dw("dilation 2, padding 2")
def conv_dw_dilation_ignored(self, dy):
    return sound_dw(self, dy, dilation=(1, 1))


@planted_dx("padding 2 of 3")
def conv_dx_input_and_output_channels_confused(self, dy):  # C = 2 and K = 3, laid out as K, C
    kh, kw, c, k = self.weight.value.shape
    confused = self.weight.value.reshape(kh, kw, k, c).transpose(0, 1, 3, 2)
    return sound_dx(self, dy, np.ascontiguousarray(confused))


@planted_dx("3x3")
def conv_dx_kernel_flipped(self, dy):
    return sound_dx(self, dy, np.ascontiguousarray(self.weight.value[::-1, ::-1]))


@planted_dx("stride 2, odd map, padding 1")
def conv_dx_padding_off_by_one(self, dy):
    return np.roll(sound_dx(self, dy), 1, axis=(1, 2))


@planted_dx("stride 2 leaves pixels out")
def conv_dx_stride_ignored_in_col2im(self, dy):
    return sound_dx(self, dy, stride=(1, 1))


@planted_dx("dilation 2, padding 2")
def conv_dx_dilation_ignored(self, dy):
    return sound_dx(self, dy, dilation=(1, 1))


@planted_dx("groups 2")
def conv_dx_groups_swapped(self, dy):
    return sound_dx(self, dy, np.roll(self.weight.value, self.out_channels // 2, axis=-1))


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
