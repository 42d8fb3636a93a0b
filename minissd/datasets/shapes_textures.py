"""Colours and textures for the generated pictures: backgrounds and the fill of objects come from the same box.

A texture is a field of numbers from 0 to 1 that mixes two colours. Nothing here knows of classes.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from PIL import Image

Color = np.ndarray  # shape (3,), float32, RGB 0..255

# What separates two colours, in 0..255 units: the eye weighs green most and blue least.
_EYE = np.array([0.55, 0.75, 0.36], np.float32)


def color_distance(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Distance of colours (..., 3) as the eye weighs it, in units of 0..255."""
    return np.sqrt((((a - b) * _EYE) ** 2).sum(axis=-1))


def random_color(rng: np.random.Generator, away_from: np.ndarray | None = None) -> Color:
    """A random colour, as far as sixteen draws allow from one or several others.

    Args:
        rng: Source of randomness.
        away_from: Shape (..., 3): colours to keep clear of; None for any colour.
    """
    if away_from is None:
        return rng.uniform(15, 240, 3).astype(np.float32)
    draws = rng.uniform(15, 240, (16, 3)).astype(np.float32)
    distances = color_distance(draws[:, None], away_from.reshape(1, -1, 3)).min(axis=1)
    # The first that is clearly apart, so that the choice stays varied; else the best of them.
    apart = np.flatnonzero(distances > 70)
    return draws[apart[0] if apart.size else distances.argmax()]


def _axes(width: int, height: int) -> tuple[np.ndarray, np.ndarray]:
    """Coordinates (height, 1) and (1, width), centred, in pixels."""
    y = np.arange(height, dtype=np.float32)[:, None] - height / 2
    x = np.arange(width, dtype=np.float32)[None] - width / 2
    return y, x


def _along(rng: np.random.Generator, width: int, height: int) -> np.ndarray:
    """Position of every pixel along a random direction, in pixels."""
    y, x = _axes(width, height)
    angle = rng.uniform(0, 2 * np.pi)
    return np.float32(np.cos(angle)) * x + np.float32(np.sin(angle)) * y


def _flat(rng: np.random.Generator, width: int, height: int) -> np.ndarray:
    return np.full((height, width), rng.uniform(), np.float32)


def linear_gradient(rng: np.random.Generator, width: int, height: int) -> np.ndarray:
    """A field (height, width) that rises from 0 to 1 along a random direction."""
    along = _along(rng, width, height)
    low, high = along.min(), along.max()
    return (along - low) / max(high - low, np.float32(1))


def _radial_gradient(rng: np.random.Generator, width: int, height: int) -> np.ndarray:
    y, x = _axes(width, height)
    x = x - np.float32(rng.uniform(-0.5, 0.5) * width)
    y = y - np.float32(rng.uniform(-0.5, 0.5) * height)
    return np.minimum(np.sqrt(x * x + y * y) / np.float32(max(width, height)), np.float32(1))


def _wave(rng: np.random.Generator, along: np.ndarray, period: float) -> np.ndarray:
    """Stripes from 0 to 1, from soft (a sine) to nearly hard."""
    hardness = np.float32(rng.uniform(0.5, 3))
    wave = np.sin(along * np.float32(2 * np.pi / period) + np.float32(rng.uniform(0, 6.3)))
    return np.clip(wave * hardness, -1, 1) * np.float32(0.5) + np.float32(0.5)


def _period(rng: np.random.Generator, width: int, height: int) -> float:
    side = min(width, height)
    return max(5.0, side * np.exp(rng.uniform(np.log(0.06), np.log(0.4))))


def _stripes(rng: np.random.Generator, width: int, height: int) -> np.ndarray:
    return _wave(rng, _along(rng, width, height), _period(rng, width, height))


def _checks(rng: np.random.Generator, width: int, height: int) -> np.ndarray:
    y, x = _axes(width, height)
    angle = rng.uniform(0, np.pi / 2)
    c, s = np.float32(np.cos(angle)), np.float32(np.sin(angle))
    period = _period(rng, width, height)
    a = 2 * _wave(rng, c * x + s * y, period) - 1
    b = 2 * _wave(rng, c * y - s * x, period) - 1
    return a * b * np.float32(0.5) + np.float32(0.5)


def smooth_noise(rng: np.random.Generator, width: int, height: int, cell: float) -> np.ndarray:
    """Noise (height, width) in 0..1 that changes over about `cell` pixels: a coarse grid, enlarged."""
    columns = max(2, round(width / cell) + 1)
    rows = max(2, round(height / cell) + 1)
    grid = Image.fromarray(rng.random((rows, columns), np.float32))
    return np.asarray(grid.resize((width, height), Image.Resampling.BICUBIC))


def _noise(rng: np.random.Generator, width: int, height: int) -> np.ndarray:
    coarse = max(width, height) * rng.uniform(0.15, 0.5)
    field = np.zeros((height, width), np.float32)
    for share, cell in ((0.55, coarse), (0.3, coarse / 4), (0.15, max(coarse / 16, 2))):
        field += np.float32(share) * smooth_noise(rng, width, height, cell)
    return field


def _blotches(rng: np.random.Generator, width: int, height: int) -> np.ndarray:
    cell = max(width, height) * rng.uniform(0.05, 0.3)
    return np.clip((smooth_noise(rng, width, height, cell) - 0.5) * 5 + 0.5, 0, 1)


Field = Callable[[np.random.Generator, int, int], np.ndarray]
FIELDS: dict[str, Field] = {
    "flat": _flat,
    "linear": linear_gradient,
    "radial": _radial_gradient,
    "stripes": _stripes,
    "checks": _checks,
    "noise": _noise,
    "blotches": _blotches,
}


def texture(
    rng: np.random.Generator,
    width: int,
    height: int,
    contrast: float,
    away_from: np.ndarray | None = None,
    kind: str | None = None,
) -> np.ndarray:
    """Paint a patch with two colours mixed by a random field.

    Args:
        rng: Source of randomness.
        width: Pixels across.
        height: Pixels down.
        contrast: How far apart the two colours may be, 0 (one colour) to 1 (any two).
        away_from: Shape (..., 3): colours that both of its colours keep clear of.
        kind: One of `FIELDS`; None for a random one.

    Returns:
        Shape (3, height, width), float32, RGB 0..255: whole planes, over which arrays work fastest.
    """
    names = list(FIELDS)
    field = FIELDS[kind or names[rng.integers(len(names))]](rng, width, height)
    first = random_color(rng, away_from)
    second = random_color(rng, away_from)
    step = (second - first) * np.float32(contrast)
    planes = field.astype(np.float32, copy=False) * step[:, None, None]
    planes += first[:, None, None]
    return planes
