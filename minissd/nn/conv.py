"""Conv2d: the one face of convolution; the algorithms live beside it in `nn/convolution/`."""

from __future__ import annotations

from types import ModuleType

import numpy as np

from minissd.backend import Array
from minissd.errors import check, check_positive_int
from minissd.nn import init
from minissd.nn.activation import can_join
from minissd.nn.convolution import choice, winograd
from minissd.nn.convolution.im2col import ConvShape
from minissd.nn.convolution.kept import KeptKernels
from minissd.nn.convolution.sums import channel_sums
from minissd.nn.layer import Layer, Parameter
from minissd.nn.norm import BatchNorm2d

Pair = int | tuple[int, int]


def pair(value: Pair, argument: str, minimum: int = 1) -> tuple[int, int]:
    """Return one number, or two for (rows, columns), as a pair of checked ints."""
    values = value if isinstance(value, (tuple, list)) else (value, value)
    check(len(values) == 2, argument, "one whole number or a pair", value)
    return tuple(check_positive_int(v, argument, minimum) for v in values)


class Conv2d(Layer):
    """A bank of filters slid over a map: y[n, i, j, k] = bias[k] + sum over the window of x * weight[..., k].

    Args:
        in_channels: C of the input (N, H, W, C).
        out_channels: K of the output (N, OH, OW, K).
        kernel_size: Height and width of the window.
        stride: Step of the window, in pixels.
        padding: Rows and columns of zeros added on every side.
        dilation: Distance between the pixels that a window takes in.
        groups: Split of the channels into independent convolutions; `groups == in_channels` is depthwise.
        bias: Whether to add one learnt number a filter.
        algorithm: "auto" for the rule of `convolution.choice`, or the name of one.
        rng: Source of the initial weights (He normal); required, so that a run is repeatable.
        dtype: Of the parameters.

    Attributes:
        weight: Parameter (kh, kw, C / groups, K).
        bias: Parameter (K,) without weight decay, or None.
        input_gradient: Set to False on a network's first layer to save the gradient nobody reads; `backward` then
            returns None.
    Source: for dilation, Liu et al. 2016, section 3 (fc6 as an atrous convolution).
    """

    kept = ("_x",)

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Pair,
        stride: Pair = 1,
        padding: Pair = 0,
        dilation: Pair = 1,
        groups: int = 1,
        bias: bool = True,
        algorithm: str = "auto",
        *,
        rng: np.random.Generator,
        dtype: np.dtype | type = np.float32,
    ):
        self.in_channels = check_positive_int(in_channels, "in_channels")
        self.out_channels = check_positive_int(out_channels, "out_channels")
        groups = check_positive_int(groups, "groups")
        check(
            in_channels % groups == 0, "groups", f"a divisor of in_channels={in_channels}", groups
        )
        check(
            out_channels % groups == 0,
            "groups",
            f"a divisor of out_channels={out_channels}",
            groups,
        )
        self.shape = ConvShape(
            pair(kernel_size, "kernel_size"),
            pair(stride, "stride"),
            pair(padding, "padding", minimum=0),
            pair(dilation, "dilation"),
            groups,
        )
        weights = init.he_normal(
            (*self.shape.kernel, in_channels // groups, out_channels), rng, dtype=dtype
        )
        self.weight = Parameter(weights)
        self.bias = Parameter(np.zeros(out_channels, dtype), decay=False) if bias else None
        self.input_gradient = True
        self.algorithm = algorithm
        self._kept = KeptKernels()
        if algorithm != "auto":
            choice.named(algorithm, self.shape, in_channels, out_channels)

    def algorithm_for(self, x: Array) -> ModuleType:
        """Return the module of `nn/convolution/` that convolves `x`."""
        if self.algorithm == "auto":
            return choice.choose(self.shape, x, self.out_channels)
        return choice.choose_named(self.algorithm, self.shape, x, self.out_channels)

    def forward(self, x: Array) -> Array:
        """Convolve (N, H, W, C) into (N, OH, OW, K).

        Raises:
            ValueError: The input has other channels than the layer, or is smaller than the kernel.
        """
        return self._convolve(x)

    def joins(self, after: Layer) -> bool:
        """Say whether an activation can be applied where the output is written."""
        return can_join(self, Conv2d, after)

    def forward_with(self, x: Array, after: Layer) -> Array:
        """Do the same as `after.forward(self.forward(x))` in one pass over the output."""
        return after.keep(self._convolve(x, after.ceiling))

    def folds(self, norm: Layer) -> bool:
        """Say whether a layer is a batch norm in evaluation mode: it multiplies and shifts channels, as weights can."""
        plain = type(self).forward is Conv2d.forward and type(norm) is BatchNorm2d
        return plain and not norm.training and norm.channels == self.out_channels

    def forward_folded(self, x: Array, norm: BatchNorm2d, after: Layer | None) -> Array:
        """Convolve with weights times the norm's slopes: y = (x * weight + bias) * slope + shift."""
        self._check_input(x)
        return self._run(x, *self.folded(norm), None if after is None else after.ceiling)

    def folded(self, norm: BatchNorm2d) -> tuple[Array, Array]:
        """Return the weights and the bias with which this layer does what both do: see `folds`."""
        slope, shift = norm.as_affine()
        if self.bias is not None:
            shift = shift + self.bias.value * slope
        return self.weight.value * slope, shift

    def _convolve(self, x: Array, ceiling: float | None = None) -> Array:
        self._check_input(x)
        self._x = x
        bias = None if self.bias is None else self.bias.value
        return self._run(x, self.weight.value, bias, ceiling)

    def _run(self, x: Array, w: Array, bias: Array | None, ceiling: float | None) -> Array:
        algorithm = self.algorithm_for(x)
        if self.training:
            self._kept.drop()
        elif algorithm is winograd:
            return winograd.forward(x, w, self.shape, bias, ceiling, self._kept.of(w))
        return algorithm.forward(x, w, self.shape, bias, ceiling)

    def backward(self, dy: Array) -> Array | None:
        """Add dw = cols.T @ dy and db = sum of dy; return dx = the adjoint walk of dy @ w.T."""
        x = self._x
        algorithm = self.algorithm_for(x)
        self.weight.grad += algorithm.weight_gradient(x, dy, self.shape)
        if self.bias is not None:
            self.bias.grad += channel_sums(dy)
        if not self.input_gradient:
            return None
        return algorithm.input_gradient(dy, self.weight.value, self.shape, x.shape)

    def _check_input(self, x: Array) -> None:
        check(x.ndim == 4, "x", "a map (N, H, W, C)", tuple(x.shape))
        check(x.shape[-1] == self.in_channels, "x", f"{self.in_channels} channels", tuple(x.shape))
        out = self.shape.output_size(x.shape[1], x.shape[2])
        if min(out) < 1:
            raise ValueError(
                f"x: a map of {x.shape[1:3]} is smaller than the kernel of {self.shape}"
            )
