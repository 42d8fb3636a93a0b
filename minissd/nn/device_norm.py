"""Normalisation by kernels: batch norm in as few passes over the map as its sums allow, and L2 normalisation.

`norm.py` calls these where `batch_kernels` or `l2_kernels` finds kernels for a map; its array code says what they
compute. What a map's statistics are is known on the device only, and nothing here waits for them.
"""

from __future__ import annotations

import math
from typing import NamedTuple

from minissd.backend import Array, array_module
from minissd.cuda import BLOCK, Compiled, Kernels, pack_width, use_kernels

BATCH = Kernels(__file__, "batch_norm.cu", half=True)
L2 = Kernels(__file__, "l2_norm.cu", half=True)
LANE_PIXELS = 8  # that a thread takes at least, before more blocks are asked for
MOST_GROUPS = 1024  # blocks of a launch: 262,144 threads fill the largest GPU of today
TOTALS_BLOCK = (32, 8)


class Statistics(NamedTuple):
    """What a batch norm keeps for its way back.

    Attributes:
        mean, var: (C,).
        eps: Added to the variance.
        used_batch: Whether they are the batch's own, and so depend on x.
    """

    mean: Array
    var: Array
    eps: float
    used_batch: bool


def batch_kernels(x: Array, layer_dtype: object, training: bool) -> Compiled | None:
    """Return batch norm's kernels for a map (N, H, W, C), or None; half precision is for evaluation only."""
    fits = x.dtype == layer_dtype and x.size and not (training and x.dtype.itemsize == 2)
    return BATCH.of(x, WIDTH=pack_width(x.shape[-1], x)) if fits else None


def l2_kernels(x: Array, layer_dtype: object) -> Compiled | None:
    """Return the kernels of L2 normalisation for a map (N, H, W, C), or None."""
    fits = x.dtype == layer_dtype and x.size
    return L2.of(x, WIDTH=pack_width(x.shape[-1], x)) if fits else None


def _walk(x: Array, width: int) -> tuple[tuple[int, int], tuple[int, int]]:
    """Return the grid (groups of channels, shares of pixels) and the block (columns, lanes) that walk a map."""
    packs, pixels = x.shape[-1] // width, x.size // x.shape[-1]
    columns = min(32, 1 << (packs - 1).bit_length())
    lanes, groups = BLOCK // columns, -(-packs // columns)
    shares = min(-(-pixels // (lanes * LANE_PIXELS)), max(1, MOST_GROUPS // groups))
    return (groups, shares), (columns, lanes)


def _number(x: Array) -> str:
    """Return the dtype that kernels compute in."""
    return "float32" if x.dtype.itemsize == 2 else str(x.dtype)


def batch_statistics(
    kernels: Compiled, x: Array, running_mean: Array, running_var: Array, momentum: float
) -> tuple[Array, Array]:
    """Return mean and variance (C,) of a map, read once, and move the running averages in place."""
    xp, channels = array_module(x), x.shape[-1]
    grid, block = _walk(x, kernels.width)
    parts = xp.empty((grid[1], 3, channels), x.dtype)
    args = (xp.ascontiguousarray(x), parts, x.size // channels, channels)
    kernels.launch("batch_moments", grid, block, args)
    mean, var = xp.empty(channels, x.dtype), xp.empty(channels, x.dtype)
    args = (parts, mean, var, running_mean, running_var, momentum, grid[1], channels)
    kernels.launch("batch_statistics", (-(-channels // 32),), TOTALS_BLOCK, args)
    return mean, var


def normalise(
    kernels: Compiled,
    x: Array,
    kept: Statistics,
    gamma: Array,
    beta: Array,
    ceiling: float | None,
) -> Array:
    """Return (x - mean) / std * gamma + beta in one pass, limited to [0, ceiling] if there is one."""
    xp = array_module(x)
    y = xp.empty(x.shape, x.dtype)
    limits = (-math.inf, math.inf) if ceiling is None else (0.0, ceiling)
    args = (xp.ascontiguousarray(x), y, kept.mean, kept.var, gamma, beta, kept.eps, *limits)
    args += (x.size // x.shape[-1], x.shape[-1])
    kernels.launch("normalise", *_walk(x, kernels.width), args)
    return y


def batch_gradients(
    dy: Array, x: Array, kept: Statistics, gamma: object, beta: object, ceiling: float | None
) -> Array:
    """Return dx and add the gradients of the parameters gamma and beta; reads dy and x twice.

    Args:
        dy: Gradient of the output: behind the activation if there is a ceiling.
        x: Input of the way there.
        kept: Its statistics.
        gamma: Parameter (C,) of the layer; its gradient is added to.
        beta: Likewise.
        ceiling: Of the activation that was joined, or None.
    """
    xp, channels = array_module(dy), dy.shape[-1]
    pixels, x, dy = x.size // channels, xp.ascontiguousarray(x), xp.ascontiguousarray(dy)
    with use_kernels(True):  # only the kernels know what the way there has kept
        kernels = BATCH.of(dy, WIDTH=pack_width(channels, x, dy))
    grid, block = _walk(dy, kernels.width)
    affine = (kept.mean, kept.var, gamma.value, beta.value, kept.eps)
    joined = (math.inf if ceiling is None else ceiling, ceiling is not None)
    parts, totals = (
        xp.empty((grid[1], 2, channels), _number(x)),
        xp.empty((2, channels), _number(x)),
    )
    args = (dy, x, *affine, *joined, parts, pixels, channels)
    kernels.launch("gradient_sums", grid, block, args)
    args = (parts, kept.var, kept.eps, totals, beta.grad, gamma.grad, grid[1], channels)
    kernels.launch("gradient_totals", (-(-channels // 32),), TOTALS_BLOCK, args)
    dx = xp.empty(dy.shape, dy.dtype)
    args = (dy, x, *affine, *joined, kept.used_batch, totals, dx, pixels, channels)
    kernels.launch("input_gradient", grid, block, args)
    return dx


def l2_normalise(
    kernels: Compiled, x: Array, scale: Array, eps: float, rule: int
) -> tuple[Array, Array]:
    """Return x over its length (the rule says how it is kept above zero) times scale, and what the way back needs.

    Returns:
        The output, and (2, pixels): one over the divisor of each pixel, and the slope of rules "outside" and "floor".
    """
    xp, channels = array_module(x), x.shape[-1]
    pixels = x.size // channels
    y, kept = xp.empty(x.shape, x.dtype), xp.empty((2, pixels), _number(x))
    args = (xp.ascontiguousarray(x), scale, y, kept[0], kept[1], eps, rule, pixels, channels)
    kernels.launch("l2_forward", 32 * pixels, BLOCK, args)
    return y, kept


def l2_gradients(dy: Array, x: Array, scale: object, kept: Array) -> Array:
    """Return dx and add the gradient of the parameter `scale`."""
    xp, channels = array_module(dy), dy.shape[-1]
    pixels, x, dy = x.size // channels, xp.ascontiguousarray(x), xp.ascontiguousarray(dy)
    with use_kernels(True):
        kernels = L2.of(dy, WIDTH=pack_width(channels, x, dy))
    grid, block = _walk(dy, kernels.width)
    parts = xp.empty((grid[1], channels), _number(x))
    kernels.launch("scale_sums", grid, block, (dy, x, kept[0], parts, pixels, channels))
    args = (parts, scale.grad, grid[1], channels)
    kernels.launch("scale_total", (-(-channels // 32),), TOTALS_BLOCK, args)
    dx = xp.empty(dy.shape, dy.dtype)
    args = (dy, x, scale.value, kept[0], kept[1], dx, pixels, channels)
    kernels.launch("l2_backward", 32 * pixels, BLOCK, args)
    return dx
