"""Batch normalisation, which lets a network train from scratch."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from minissd.backend import Array, array_module
from minissd.cuda import Compiled
from minissd.errors import check, check_positive_int
from minissd.nn import device_norm
from minissd.nn.activation import can_join
from minissd.nn.device_norm import Statistics, batch_kernels
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
        across: Where several processes share a batch and its statistics are to be those of the whole: a function that
            replaces an array by its sum over all of them and returns it. None: each process has its own statistics.

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
        self.across: Callable[[Array], Array] | None = None

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
        shared = self.training and self.across is not None  # kernels know the map of one process
        kernels = None if shared else batch_kernels(x, self.gamma.value.dtype, self.training)
        if kernels is not None:
            return self._launch(kernels, x, ceiling)
        self._statistics, xp = None, array_module(x)
        if self.training:
            mean, var, self._count = self._batch_statistics(x)
            self._near_zero = _is_near_zero(mean, var)
            self._update_running(mean, var)
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

    def _launch(self, kernels: Compiled, x: Array, ceiling: float | None) -> Array:
        """Do what `_normalise` says with kernels."""
        moments = running = (self.running_mean, self.running_var)
        if self.training:
            moments = device_norm.batch_statistics(kernels, x, *running, self.momentum)
        self._x, self._statistics = x, Statistics(*moments, self.eps, self.training)
        gamma, beta = self.gamma.value, self.beta.value
        return device_norm.normalise(kernels, x, self._statistics, gamma, beta, ceiling)

    def backward(self, dy: Array) -> Array:
        """Return dx; mean and variance depend on x too, hence the two terms that are taken away.

        dx = gamma / std * (dy - mean(dy) - x_hat * mean(dy * x_hat)) with x_hat = (x - mean) / std
        """
        return self._go_back(dy, None)

    def backward_with(self, dy: Array, after: Layer) -> Array:
        """Do the same as `self.backward(after.backward(dy))` without a pass over the maps for the activation."""
        if self._statistics is None and not self._used_batch:
            return self.backward(after.backward(dy))
        return self._go_back(dy, after)

    def _go_back(self, dy: Array, after: Layer | None) -> Array:
        """Do what `backward` says: one pass over the maps for the sums, one for dx.

        The first pass also takes the gradient through the activation, and leaves it where dx will be.
        """
        if self._statistics is not None:
            kept = (self._x, self._statistics, self.gamma, self.beta)
            return device_norm.batch_gradients(dy, *kept, None if after is None else after.ceiling)
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
        if self.across is not None:
            everywhere = self.across(xp.stack([dbeta, dgamma]))
            dbeta, dgamma = everywhere[0], everywhere[1]
        count = self._count
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

    def _batch_statistics(self, x: Array) -> tuple[Array, Array, int | Array]:
        """Return mean, variance and number of pixels of the batch, those of other processes too where they share it."""
        mean, var = _moments(x)
        count = x.size // self.channels
        if self.across is None:
            return mean, var, count
        xp = array_module(x)
        sums = self.across(xp.concatenate([mean * count, xp.full(1, count, x.dtype)]))
        total = sums[-1]
        common = sums[:-1] / total
        squares = self.across((var + (mean - common) ** 2) * count)
        return common, squares / total, total

    def _update_running(self, mean: Array, var: Array) -> None:
        before = self._count - 1
        more = max(before, 1) if self.across is None else array_module(var).maximum(before, 1)
        unbiased = var * (self._count / more)
        self.running_mean += self.momentum * (mean - self.running_mean)
        self.running_var += self.momentum * (unbiased - self.running_var)


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
    """Add up what belongs to a channel in a row: (W * C,) to (C,).

    The second step of a sum over a map, after that of its rows: long runs are fast, and short sums round less.
    """
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
        count, rows = len(part) * n_pixels, _rows(part)
        mean = _fold(_sum_of_rows(rows), channels) / count
        deviation = rows - _along_rows(part, mean)[0]
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
