"""A dilated convolution as plain ones: the pixels that a dilated kernel takes in together, side by side.

With dilation d a kernel that stands on pixel (i, j) sees only pixels whose row and column differ from i and j by
multiples of d. So the map falls into d * d maps, its *phases* (every d-th row and column), which never meet, and on
each of them the convolution is an undilated one.
"""

from __future__ import annotations

from minissd.backend import Array, array_module


def split_phases(x: Array, dilation: tuple[int, int]) -> Array:
    """Return the phases of (N, H, W, C) as a batch (dh * dw * N, ceil(H / dh), ceil(W / dw), C).

    Phases that are a row or column short have zeros there, which is what a convolution sees beyond the border.
    """
    xp = array_module(x)
    (n, h, w, c), (dh, dw) = x.shape, dilation
    phases = xp.zeros((dh, dw, n, -(-h // dh), -(-w // dw), c), x.dtype)
    for i in range(min(dh, h)):
        for j in range(min(dw, w)):
            part = x[:, i::dh, j::dw]
            phases[i, j, :, : part.shape[1], : part.shape[2]] = part
    return phases.reshape(-1, *phases.shape[3:])


def join_phases(phases: Array, dilation: tuple[int, int], size: tuple[int, int]) -> Array:
    """Return the map (N, H, W, C) of this size (H, W) to which the phases belong."""
    xp = array_module(phases)
    (h, w), (dh, dw) = size, dilation
    parts = phases.reshape(dh, dw, -1, *phases.shape[1:])
    y = xp.empty((parts.shape[2], h, w, parts.shape[-1]), phases.dtype)
    for i in range(min(dh, h)):
        for j in range(min(dw, w)):
            target = y[:, i::dh, j::dw]
            target[...] = parts[i, j, :, : target.shape[1], : target.shape[2]]
    return y
