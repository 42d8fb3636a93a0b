"""Between fractions of a picture and VOC's pixels, which are counted from 1 and whose last one is part of the box."""

from __future__ import annotations

import numpy as np


def pixels_to_fractions(
    boxes: np.ndarray, width: int, height: int, first_pixel: int = 1
) -> np.ndarray:
    """Convert VOC's boxes, whose last pixel is part of the box, to fractions of the picture.

    Args:
        boxes: Shape (..., 4), pixels (xmin, ymin, xmax, ymax), inclusive.
        width: Of the picture, in pixels.
        height: Of the picture, in pixels.
        first_pixel: Number of the first pixel: 1 in VOC, 0 in some other tools.

    Returns:
        Shape (..., 4): xmin becomes (xmin - first_pixel) / width, xmax becomes (xmax - first_pixel + 1) / width.
    """
    start = np.array([first_pixel, first_pixel, first_pixel - 1, first_pixel - 1])
    return (boxes - start) / np.array([width, height, width, height])


def fractions_to_pixels(boxes: np.ndarray, width: int, height: int) -> np.ndarray:
    """Convert fractions of the picture to VOC's pixels, 1-based and inclusive; undoes `pixels_to_fractions`."""
    return np.asarray(boxes, np.float64) * [width, height, width, height] + [1, 1, 0, 0]
