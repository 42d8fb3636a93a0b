"""Chapter 13: solutions. Try for yourself first; the checks' hints take you further than reading does."""

from __future__ import annotations


def count_layer(height: int, width: int, n_in: int, n_out: int) -> tuple[int, int]:
    """An output value meets 9 * n_in weights; each costs a multiplication and an addition."""
    weights = 9 * n_in * n_out
    return 2 * height * width * weights, 4 * (height * width * (n_in + n_out) + weights)


def two_outputs(d: list, w: list) -> list:
    """One product a point: 0, 1, -1 and infinity."""
    at_0 = (d[0] - d[2]) * w[0]
    at_1 = (d[1] + d[2]) * ((w[0] + w[1] + w[2]) / 2)
    at_minus_1 = (d[2] - d[1]) * ((w[0] - w[1] + w[2]) / 2)
    at_infinity = (d[3] - d[1]) * w[2]
    return [at_0 + at_1 + at_minus_1, at_1 - at_minus_1 + at_infinity]


def multiplications(size: int, tile: int) -> int:
    """Tiles, rounded up, times the points of one."""
    tiles = -(-size // tile)
    return tiles**2 * (tile + 2) ** 2


def band_rows(width: int, channels: int, kernel: int) -> int:
    """The bytes of one row of windows, and how often they fit."""
    return max(1, 2**20 // (4 * width * kernel * kernel * channels))


def times_faster(alone: float, threads: int) -> float:
    """The time is the part alone and a share of the rest."""
    return 1 / (alone + (1 - alone) / threads)
