"""Windows on a picture: what a patch and an expansion have in common.

A patch is a window inside the picture, an expansion one that reaches outside, and one after the other is again a
window. Windows lie on whole pixels, so that boxes and pixels correspond exactly.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from PIL import Image

from minissd.boxes.geometry import clip
from minissd.datasets.sample import Sample
from minissd.errors import check_positive_int


class Window(NamedTuple):
    """A rectangle of whole pixels in the coordinates of a picture; it may reach outside."""

    left: int
    top: int
    right: int
    bottom: int

    @property
    def size(self) -> tuple[int, int]:
        """Width and height in pixels."""
        return self.right - self.left, self.bottom - self.top

    def within(self, outer: Window) -> Window:
        """Return this window, given in coordinates of `outer`, in the coordinates `outer` is given in."""
        x, y = outer.left, outer.top
        return Window(self.left + x, self.top + y, self.right + x, self.bottom + y)


def centers_inside(boxes: np.ndarray, size: tuple[int, int], windows: np.ndarray) -> np.ndarray:
    """Say which boxes have their centre in which window, its border included.

    Args:
        boxes: Shape (M, 4), corners as fractions.
        size: Width and height of the picture, pixels.
        windows: Shape (windows, 4), whole pixels.

    Returns:
        Shape (windows, M), bool.
    """
    center = (boxes[:, :2].astype(np.float64) + boxes[:, 2:]) / 2 * np.array(size)  # (M, 2), pixels
    corners = windows[:, None]  # (windows, 1, 4) against (M, 2)
    return ((corners[..., :2] <= center) & (center <= corners[..., 2:])).all(axis=-1)


def cut_image(image: np.ndarray, window: Window, fill: tuple[int, int, int]) -> np.ndarray:
    """Copy a window's content, shape (window height, window width, 3); outside the picture it is `fill`."""
    height, width = image.shape[:2]
    left, top, right, bottom = window
    cropped = image[max(top, 0) : max(bottom, 0), max(left, 0) : max(right, 0)]
    if left >= 0 and top >= 0 and right <= width and bottom <= height:
        return cropped.copy()
    canvas = np.empty((bottom - top, right - left, 3), np.uint8)
    canvas[...] = fill
    y, x = max(-top, 0), max(-left, 0)
    canvas[y : y + cropped.shape[0], x : x + cropped.shape[1]] = cropped
    return canvas


def move_objects(sample: Sample, size: tuple[int, int], window: Window) -> Sample:
    """Give the objects as a window sees them; the picture stays.

    Args:
        sample: Its boxes are fractions of a picture of this `size`; not changed.
        size: Width and height, pixels.
        window: Within or around that picture.

    Returns:
        A sample with the objects whose centres lie in the window, their boxes cut at its border and given as
        fractions of it.
    """
    keep = centers_inside(sample.boxes, size, np.array([window]))[0]
    kept = sample.select(keep)
    pixels = kept.boxes * np.array(size * 2, np.float64)
    boxes = (pixels - np.array(window[:2] * 2)) / np.array(window.size * 2)
    return kept.replace(boxes=clip(boxes).astype(np.float32))


def resize_image(image: np.ndarray, size: int) -> np.ndarray:
    """Stretch a picture to a square.

    Args:
        image: Shape (H, W, 3), uint8.
        size: Side of the square, pixels.

    Returns:
        Shape (size, size, 3), uint8; bilinear, averaging over all pixels where the picture is made smaller.
    """
    size = check_positive_int(size, "size")
    picture = Image.fromarray(image).resize((size, size), Image.Resampling.BILINEAR)
    return np.array(picture)


def resize_window(
    image: np.ndarray, window: Window, size: int, fill: tuple[int, int, int]
) -> Image.Image:
    """Do what `resize_image` does to a window's content, without making the part outside the picture.

    Only the output pixels that the picture touches are computed, from the picture and a margin as wide as the filter
    reaches; all others are `fill`.

    Args:
        image: Shape (H, W, 3), uint8; not changed.
        window: What to show; it may reach outside the picture.
        size: Side of the square, pixels.
        fill: RGB of what lies outside.

    Returns:
        RGB, size x size.
    """
    height, width = image.shape[:2]
    x = _touched(window.left, window.right, width, size)
    y = _touched(window.top, window.bottom, height, size)
    whole = Image.new("RGB", (size, size), tuple(fill))
    if x.last <= x.first or y.last <= y.first:
        return whole
    source = Image.fromarray(cut_image(image, Window(x.start, y.start, x.stop, y.stop), fill))
    part = source.resize(
        (x.last - x.first, y.last - y.first),
        Image.Resampling.BILINEAR,
        box=(x.low, y.low, x.high, y.high),
    )
    if part.size == whole.size:
        return part
    whole.paste(part, (x.first, y.first))
    return whole


class _Touched(NamedTuple):
    """Along one axis: the output pixels first..last that the picture touches and what they are computed from.

    They read the picture's pixels start..stop (some may lie outside it: margin) and together cover low..high of these.
    """

    first: int
    last: int
    start: int
    stop: int
    low: float
    high: float


def _touched(left: int, right: int, length: int, size: int) -> _Touched:
    """Find what a window left..right on a picture of 0..length needs when it is resized to `size` pixels."""
    scale, reach = _filter(left, right, size)
    # Output pixel i has its centre at left + (i + 0.5) * scale and reads `reach` to either side of it.
    first = max(0, math.floor((-reach - left) / scale - 0.5))
    last = min(size, math.ceil((length + reach - left) / scale + 0.5))
    start = max(left, math.floor(left + (first + 0.5) * scale - reach) - 1)
    stop = min(right, math.ceil(left + (last - 0.5) * scale + reach) + 1)
    low, high = left + first * scale - start, min(left + last * scale - start, stop - start)
    return _Touched(first, last, start, stop, low, high)


def picture_region(
    window: Window, picture: tuple[int, int], size: int
) -> tuple[int, int, int, int] | None:
    """Say which pixels of a resized window show nothing but the picture.

    Args:
        window: What was resized.
        picture: Width and height of the picture, pixels.
        size: Side of the output, pixels.

    Returns:
        left, top, right, bottom in output pixels; None if there are none.
    """
    left, right = _covered(window.left, window.right, picture[0], size)
    top, bottom = _covered(window.top, window.bottom, picture[1], size)
    return (left, top, right, bottom) if left < right and top < bottom else None


def _covered(left: int, right: int, length: int, size: int) -> tuple[int, int]:
    """Along one axis: first and last (exclusive) output pixel that reads only pixels in 0..length."""
    scale, reach = _filter(left, right, size)
    first, last = 0, size
    if left < 0:
        first = max(0, math.ceil((reach - 0.5 - left) / scale - 0.5))
    if right > length:
        last = min(size, math.floor((length + 0.5 - reach - left) / scale - 0.5) + 1)
    return first, last


def _filter(left: int, right: int, size: int) -> tuple[float, float]:
    """Pixels of the window a pixel of the output, and how far the bilinear filter reaches from its centre."""
    scale = (right - left) / size
    return scale, max(scale, 1.0)
