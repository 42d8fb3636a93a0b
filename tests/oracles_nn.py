"""Plain loops that say what layers compute, written without a look at how the layers do it."""

from __future__ import annotations

import math

import numpy as np


def conv2d(x, weight, bias, stride=(1, 1), padding=(0, 0), dilation=(1, 1), groups=1):
    """Convolve (N, H, W, C) with (kh, kw, C / groups, K), one output number at a time."""
    n, h, w, _ = x.shape
    kh, kw, per_group, k = weight.shape
    out_h = (h + 2 * padding[0] - dilation[0] * (kh - 1) - 1) // stride[0] + 1
    out_w = (w + 2 * padding[1] - dilation[1] * (kw - 1) - 1) // stride[1] + 1
    y = np.zeros((n, out_h, out_w, k))
    for image, i, j, filter_ in np.ndindex(y.shape):
        first = filter_ // (k // groups) * per_group  # the group's first input channel
        total = 0.0 if bias is None else float(bias[filter_])
        for a, b, channel in np.ndindex(kh, kw, per_group):
            row = i * stride[0] + a * dilation[0] - padding[0]
            column = j * stride[1] + b * dilation[1] - padding[1]
            if 0 <= row < h and 0 <= column < w:
                total += float(x[image, row, column, first + channel]) * float(
                    weight[a, b, channel, filter_]
                )
        y[image, i, j, filter_] = total
    return y


def pool_starts(size, kernel, stride, padding, ceil_mode):
    """List where the windows of one axis begin, border included: it is walked, not computed.

    Rounding down, a window must fit into the padded axis. Rounding up, one more window may stick out at the end, as
    long as it begins inside the map or its left border.
    """
    starts, start = [], -padding
    while start + kernel <= size + padding:
        starts.append(start)
        start += stride
    reached = starts[-1] + kernel if starts else -padding
    if ceil_mode and reached < size + padding and start < size:
        starts.append(start)
    return starts


def max_pool2d(x, kernel, stride, padding=(0, 0), ceil_mode=False):
    """Pool (N, H, W, C), one window at a time."""
    n, h, w, c = x.shape
    rows = pool_starts(h, kernel[0], stride[0], padding[0], ceil_mode)
    columns = pool_starts(w, kernel[1], stride[1], padding[1], ceil_mode)
    y = np.zeros((n, len(rows), len(columns), c))
    for image, i, j, channel in np.ndindex(y.shape):
        y[image, i, j, channel] = max(
            x[image, row, column, channel]
            for row in range(max(rows[i], 0), min(rows[i] + kernel[0], h))
            for column in range(max(columns[j], 0), min(columns[j] + kernel[1], w))
        )
    return y


def batch_norm(x, gamma, beta, eps):
    """Normalise (N, H, W, C) by the batch's statistics; return y, the means and the variances (divided by n)."""
    y, means, variances = np.zeros(x.shape), [], []
    for channel in range(x.shape[-1]):
        values = [float(v) for v in x[..., channel].ravel()]
        mean = math.fsum(values) / len(values)
        variance = math.fsum((v - mean) ** 2 for v in values) / len(values)
        y[..., channel] = (x[..., channel] - mean) / math.sqrt(variance + eps) * gamma[
            channel
        ] + beta[channel]
        means.append(mean)
        variances.append(variance)
    return y, np.array(means), np.array(variances)


def l2_normalize(x, scale, eps, rule="inside"):
    """Scale the channel vector of every pixel of (N, H, W, C) to length one, then channel by channel."""
    y = np.zeros(x.shape)
    for place in np.ndindex(x.shape[:3]):
        squares = math.fsum(float(v) ** 2 for v in x[place])
        divisor = {
            "inside": math.sqrt(squares + eps),
            "outside": math.sqrt(squares) + eps,
            "floor": max(math.sqrt(squares), eps),
        }[rule]
        y[place] = [float(v) / divisor * float(s) for v, s in zip(x[place], scale)]
    return y
