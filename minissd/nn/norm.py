"""Normalisation: batch norm, which lets a network train from scratch, and SSD's L2 normalisation of conv4_3."""

from __future__ import annotations

import numpy as np

from minissd.backend import Array, array_module
from minissd.errors import check, check_positive_int
from minissd.nn.activation import can_join
from minissd.nn.layer import Layer, Parameter
from minissd.parallel import over_batch

NEAR = 2.0  # standard deviations


class BatchNorm2d(Layer):
    """Give every channel mean 0 and variance 1 over batch and pixels, then a learnt scale and shift.

    In training the statistics are the batch's own, and running averages of them are kept; in evaluation those running
    averages are used, and the layer is a fixed affine map.

    Args:
        channels: C of the input (N, H, W, C).
        eps: Added to the variance inside the root.
        momentum: Weight of the newest batch in the running statistics.
        dtype: Of the parameters.

    Attributes:
        gamma, beta: Parameters (C,): scale and shift, without weight decay.
        running_mean, running_var: (C,); the variance is the unbiased one, as in PyTorch.

    Source: Ioffe and Szegedy 2015, algorithm 1; the backward pass is the end of its section 3.
    """

    buffers = ("running_mean", "running_var")
    kept = ("_x",)

    def __init__(
        self,
        channels: int,
        eps: float = 1e-5,
        momentum: float = 0.1,
        dtype: np.dtype | type = np.float32,
    ):
        self.channels = check_positive_int(channels, "channels")
        self.eps = eps
        self.momentum = momentum
        self.gamma = Parameter(np.ones(channels, dtype), decay=False)
        self.beta = Parameter(np.zeros(channels, dtype), decay=False)
        self.running_mean = np.zeros(channels, dtype)
        self.running_var = np.ones(channels, dtype)

    def forward(self, x: Array) -> Array:
        """Normalise (N, H, W, C) channel by channel."""
        return self._normalise(x, None)

    def joins(self, after: Layer) -> bool:
        """Say whether an activation can be applied where the output is written, and where the gradient is read."""
        return can_join(self, BatchNorm2d, after)

    def forward_with(self, x: Array, after: Layer) -> Array:
        """Do the same as `after.forward(self.forward(x))` in one pass over the output."""
        return after.keep(self._normalise(x, after.ceiling))

    def as_affine(self) -> tuple[Array, Array]:
        """Return what the layer multiplies each channel with in evaluation, and what it adds then: (C,) each."""
        return self._affine(self.running_mean, self.running_var)[:2]

    def _affine(self, mean: Array, var: Array) -> tuple[Array, Array, Array]:
        """Return slope and shift for these statistics, and 1 / standard deviation."""
        inv_std = 1 / array_module(var).sqrt(var + self.eps)
        slope = self.gamma.value * inv_std
        return slope, self.beta.value - mean * slope, inv_std

    def _normalise(self, x: Array, ceiling: float | None) -> Array:
        """Normalise, and limit to [0, ceiling] if there is one."""
        check(x.shape[-1] == self.channels, "x", f"{self.channels} channels", tuple(x.shape))
        xp = array_module(x)
        if self.training:
            mean, var = _moments(x)
            self._near_zero = _is_near_zero(mean, var)
            self._update_running(mean, var, x.size // self.channels)
        else:
            mean, var = self.running_mean, self.running_var
        slope, shift, inv_std = self._affine(mean, var)
        self._x, self._mean, self._inv_std, self._used_batch = x, mean, inv_std, self.training
        y = xp.empty(x.shape, x.dtype)
        slopes, shifts = _along_rows(x, slope, shift)

        def scale_and_shift(block: slice) -> None:
            y_rows = _rows(y[block])
            xp.multiply(_rows(x[block]), slopes, out=y_rows)
            y_rows += shifts
            if ceiling is not None:
                xp.clip(y_rows, 0, ceiling, out=y_rows)

        over_batch(scale_and_shift, x)
        return y

    def backward(self, dy: Array) -> Array:
        """Return dx; mean and variance depend on x too, hence the two terms that are taken away.

        dx = gamma / std * (dy - mean(dy) - x_hat * mean(dy * x_hat)) with x_hat = (x - mean) / std
        """
        return self._go_back(dy, None)

    def backward_with(self, dy: Array, after: Layer) -> Array:
        """Do the same as `self.backward(after.backward(dy))` without a pass over the maps for the activation."""
        if not self._used_batch:
            return self.backward(after.backward(dy))
        return self._go_back(dy, after)

    def _go_back(self, dy: Array, after: Layer | None) -> Array:
        """Do what `backward` says: one pass over the maps for the sums, one for dx.

        The first pass also takes the gradient through the activation, and leaves it where dx will be.
        """
        xp = array_module(dy)
        x, channels = self._x, self.channels
        dx = xp.empty(dy.shape, dy.dtype)
        upstream = dy if after is None else dx
        near_zero = self._used_batch and self._near_zero
        (means,) = _along_rows(x, self._mean)

        def sums(block: slice) -> tuple[Array, Array]:
            if after is not None:
                xp.multiply(dy[block], after.open_where(after.output[block]), out=dx[block])
            rows, seen = _rows(upstream[block]), _rows(x[block])
            products = xp.einsum("rc,rc->c", rows, seen if near_zero else seen - means)
            return _sum_of_rows(rows), products

        totals, products = (sum(parts) for parts in zip(*over_batch(sums, dy)))
        if near_zero:
            products -= means * totals
        dbeta, dgamma = _fold(totals, channels), _fold(products, channels)
        dgamma *= self._inv_std
        self.beta.grad += dbeta
        self.gamma.grad += dgamma
        slope = self.gamma.value * self._inv_std
        if not self._used_batch:
            return dy * slope
        count = dy.size // channels
        along = self._inv_std * dgamma / count
        slopes, alongs, offsets = _along_rows(x, slope, along, dbeta / count - along * self._mean)

        def gradient(block: slice) -> None:
            taken = _rows(x[block]) * alongs
            taken += offsets
            dx_rows = _rows(dx[block])
            xp.subtract(_rows(upstream[block]), taken, out=dx_rows)
            dx_rows *= slopes

        over_batch(gradient, dy)
        return dx

    def _update_running(self, mean: Array, var: Array, count: int) -> None:
        unbiased = var * (count / max(count - 1, 1))
        self.running_mean += self.momentum * (mean - self.running_mean)
        self.running_var += self.momentum * (unbiased - self.running_var)


def _channel_sum(x: Array) -> Array:
    """Sum over all axes but the last.

    Done in two steps, columns of the maps first: long runs are fast, and short sums round less.
    """
    return _fold(_sum_of_rows(_rows(x)), x.shape[-1])


def _sum_of_rows(rows: Array) -> Array:
    """Add up rows (R, L): in NumPy as a product with ones, at twice the speed."""
    xp = array_module(rows)
    return xp.ones(len(rows), rows.dtype) @ rows if xp is np else rows.sum(axis=0)


def _rows(x: Array) -> Array:
    """Return a map (N, H, W, C) as its rows of pixels, (N * H, W * C): long runs for the processor."""
    n, h, w, c = x.shape
    return x.reshape(n * h, w * c)


def _along_rows(x: Array, *vectors: Array) -> list[Array]:
    """Return vectors (C,) written out for every pixel of a row of the map `x`: (W * C,) each."""
    xp = array_module(x)
    return [xp.concatenate([vector] * x.shape[2]) for vector in vectors]


def _fold(row: Array, channels: int) -> Array:
    """Add up what belongs to a channel in a row: (W * C,) to (C,)."""
    return row.reshape(-1, channels).sum(axis=0)


def _moments(x: Array) -> tuple[Array, Array]:
    """Return mean and variance of each channel of (N, H, W, C).

    Where the channels lie near zero, from sums of numbers and of their squares, in one pass. Else, and on a device,
    each block finds its own mean and squared deviations while it is in the cache; the deviations of all are those
    within the blocks and those of the blocks' means (Chan, Golub and LeVeque 1983, equation 2.1).
    """
    xp, channels, n_pixels = array_module(x), x.shape[3], x.shape[1] * x.shape[2]
    total = len(x) * n_pixels
    if xp is np:  # on a device, asking what the numbers are would make the host wait
        parts = over_batch(lambda block: _sums(_rows(x[block])), x)
        mean, squares = (_fold(sum(part), channels) / total for part in zip(*parts))
        var = squares - mean**2
        if _is_near_zero(mean, var):
            return mean, var

    def block_moments(block: slice) -> tuple[int, Array, Array]:
        part = x[block]
        count = len(part) * n_pixels
        mean = _channel_sum(part) / count
        deviation = _rows(part) - _along_rows(part, mean)[0]
        return count, mean, _fold(xp.einsum("rc,rc->c", deviation, deviation), channels)

    parts = over_batch(block_moments, x)
    mean = sum(count * part_mean for count, part_mean, _ in parts) / total
    squares = sum(
        part_squares + count * (part_mean - mean) ** 2 for count, part_mean, part_squares in parts
    )
    return mean, squares / total


def _sums(rows: Array) -> tuple[Array, Array]:
    """Return the sums of rows (R, L) and of their squares, (L,) each."""
    return _sum_of_rows(rows), np.einsum("rc,rc->c", rows, rows)


def _is_near_zero(mean: Array, var: Array) -> bool:
    """Say whether all channels lie so near zero that mean of squares - square of mean loses nothing that matters.

    That difference costs one pass less over the map than the deviations from the mean, but rounds (1 + mean^2 / var)
    times as much. After a convolution of normalised maps the mean is seldom above the deviation.
    """
    return array_module(mean, var) is np and bool((mean**2 <= NEAR**2 * var).all())


L2_RULES = ("inside", "outside", "floor")  # where the epsilon of an L2 norm stands


class L2Normalize(Layer):
    """Scale the channel vector of every pixel to length one, then each channel by a learnt factor.

    SSD applies it to conv4_3, whose features are much larger than those of the later maps. What keeps an all-zero
    pixel from dividing by zero differs between the published codes. With |x| the root of the sum of squares:

    | rule    | divisor                  | found in                     |
    | ------- | ------------------------ | ---------------------------- |
    | inside  | sqrt(sum of x^2 + eps)   | the authors' Caffe, eps 1e-10 |
    | outside | |x| + eps                | ssd.pytorch, eps 1e-10       |
    | floor   | max(|x|, eps)            | torchvision, eps 1e-12       |

    Args:
        channels: C of the input (N, H, W, C).
        scale: Starting value of the learnt factors.
        eps: Keeps the divisor above zero.
        rule: "inside", "outside" or "floor", as above.
        dtype: Of the parameters.

    Attributes:
        scale: Parameter (C,).

    Source: Liu et al. 2016, section 3.1 (after ParseNet).
    """

    kept = ("_unit", "_inv_norm")

    def __init__(
        self,
        channels: int,
        scale: float = 20.0,
        eps: float = 1e-10,
        rule: str = "inside",
        dtype: np.dtype | type = np.float32,
    ):
        self.channels = check_positive_int(channels, "channels")
        check(rule in L2_RULES, "rule", " | ".join(L2_RULES), rule)
        self.eps, self.rule = eps, rule
        self.scale = Parameter(np.full(channels, scale, dtype), decay=False)

    def forward(self, x: Array) -> Array:
        """Return scale * x / (length of x over channels, kept above zero)."""
        check(x.shape[-1] == self.channels, "x", f"{self.channels} channels", tuple(x.shape))
        xp = array_module(x)
        squares = (x * x).sum(axis=-1, keepdims=True)
        if self.rule == "inside":
            divisor, self._slope = xp.sqrt(squares + self.eps), 1
        else:
            divisor, self._slope = self._by_length(xp.sqrt(squares))
        self._inv_norm = 1 / divisor
        self._unit = x * self._inv_norm
        return self._unit * self.scale.value

    def _by_length(self, length: Array) -> tuple[Array, Array]:
        """Return the divisor D of rules "outside" and "floor", and D' D / |x|, by which the way back differs.

        Below the floor D' is 0. At x = 0 any finite number does, because there it is multiplied by x.
        """
        xp = array_module(length)
        if self.rule == "floor":
            return xp.maximum(length, self.eps), (length >= self.eps).astype(length.dtype)
        divisor = length + self.eps
        return divisor, divisor / xp.maximum(length, 1e-30)

    def backward(self, dy: Array) -> Array:
        """Return dx = (g - unit * <g, unit>) / norm with g = dy * scale: the part along the vector is taken out.

        With a divisor D(|x|) in place of the norm, <g, unit> is taken D' D / |x| times (1 for rule "inside").
        """
        self.scale.grad += _channel_sum(dy * self._unit)
        g = dy * self.scale.value
        along = (g * self._unit).sum(axis=-1, keepdims=True) * self._slope
        return (g - self._unit * along) * self._inv_norm
