"""The six forms of the `shapes` data set as outlines, and their masks.

A form is a closed outline around the origin (a ring has a second one, cut out of the first). Classes differ by form
alone: turning and mild stretching are free, colour and texture are decided elsewhere.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw

SHAPE_CLASSES = ("circle", "cross", "ring", "square", "star", "triangle")

# Masks are drawn this much larger and averaged down, which gives smooth edges.
_OVERSAMPLE = 4


def _turn(n_points: int, start: float = 0.0) -> np.ndarray:
    """Shape (n_points, 2): points on the unit circle."""
    angles = start + 2 * np.pi * np.arange(n_points) / n_points
    return np.stack([np.cos(angles), np.sin(angles)], axis=-1)


def _cross(arm: float) -> np.ndarray:
    """Shape (12, 2): a plus sign of half width 1 whose arms are 2 * arm wide."""
    corner = np.array([[arm, 1.0], [arm, arm], [1.0, arm]])
    quarter = np.array([[0.0, 1.0], [-1.0, 0.0]])  # (x, y) -> (y, -x): clockwise by 90 degrees
    points = [corner]
    for _ in range(3):
        points.append(points[-1] @ quarter.T)
    return np.concatenate(points)


def _star(inner: float) -> np.ndarray:
    """Shape (10, 2): five points, with the inner corners at radius `inner`."""
    radius = np.where(np.arange(10) % 2 == 0, 1.0, inner)
    return _turn(10) * radius[:, None]


def outlines(rng: np.random.Generator, name: str) -> list[np.ndarray]:
    """Draw the proportions of a form and return its outline, then the outline of its hole if it has one."""
    if name == "circle":
        return [_turn(64)]
    if name == "ring":
        return [_turn(64), _turn(64) * rng.uniform(0.5, 0.65)]
    if name == "cross":
        return [_cross(rng.uniform(0.25, 0.38))]
    if name == "star":
        return [_star(rng.uniform(0.36, 0.46))]
    if name == "square":
        return [_turn(4)]
    if name == "triangle":
        return [_turn(3)]
    raise ValueError(f"name: expected one of {', '.join(SHAPE_CLASSES)}, got {name!r}")


@dataclass(frozen=True)
class Mask:
    """How much of every pixel of a patch a form covers, and its rim if it has one: (h, w), float32, 0..1."""

    cover: np.ndarray
    rim: np.ndarray | None = None

    def part(self, slices: tuple[slice, slice]) -> Mask:
        """Return the mask of a part of the patch."""
        return Mask(self.cover[slices], None if self.rim is None else self.rim[slices])


def draw_form(
    rng: np.random.Generator, name: str, side: float, rim_width: float, max_stretch: float = 1.35
) -> Mask:
    """Draw a form, turned and stretched at random, whose box has a given area.

    Args:
        rng: Source of randomness.
        name: One of `SHAPE_CLASSES`.
        side: Square root of the area of the form's tight box, in pixels.
        rim_width: Width of the rim inside the outline, in pixels; 0 for none.
        max_stretch: Greatest ratio of the stretched to the unstretched axis.

    Returns:
        The mask on the smallest patch of whole pixels that holds the form.
    """
    stretch = np.exp(rng.uniform(-1, 1) * np.log(max_stretch) / 2)
    angle = rng.uniform(0, 2 * np.pi)
    # Stretched along a random axis of the form first, then turned.
    first = rng.uniform(0, 2 * np.pi)
    matrix = _rotation(angle) @ np.diag([stretch, 1 / stretch]) @ _rotation(first)
    paths = [points @ matrix.T for points in outlines(rng, name)]
    low, high = paths[0].min(axis=0), paths[0].max(axis=0)
    scale = side / np.sqrt(np.prod(high - low))
    paths = [(points - low) * scale for points in paths]
    width, height = np.ceil((high - low) * scale).astype(int).tolist()
    return _rasterize(paths, max(width, 1), max(height, 1), rim_width)


def _rotation(angle: float) -> np.ndarray:
    c, s = np.cos(angle), np.sin(angle)
    return np.array([[c, -s], [s, c]])


def _rasterize(paths: list[np.ndarray], width: int, height: int, rim_width: float) -> Mask:
    # ImageDraw counts pixel centres: the outline's corner (0, 0) is half a pixel before the first centre.
    points = [[tuple(point) for point in (path * _OVERSAMPLE - 0.5).tolist()] for path in paths]
    size = (width * _OVERSAMPLE, height * _OVERSAMPLE)
    cover = Image.new("L", size)
    for path, value in zip(points, (255, 0)):  # the second path is the hole
        ImageDraw.Draw(cover).polygon(path, fill=value)
    whole = _reduce(cover)
    if rim_width <= 0:
        return Mask(whole)
    rim = Image.new("L", size)
    for path in points:  # half of the line falls outside the form and is cut off
        line = [*path, path[0], path[1]]
        ImageDraw.Draw(rim).line(line, fill=255, width=round(2 * rim_width * _OVERSAMPLE))
    return Mask(whole, np.minimum(_reduce(rim), whole))


def _reduce(image: Image.Image) -> np.ndarray:
    return np.asarray(image.reduce(_OVERSAMPLE), np.float32) / np.float32(255)
