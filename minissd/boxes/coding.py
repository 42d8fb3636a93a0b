"""Coding: a box written relative to a default box, and back.

The network does not predict boxes but offsets: how far the centre lies from the default box's, measured in its
widths and heights, and how much larger the box is, as a logarithm. Divided by two small constants the targets come
out at about the size of 1, where a network learns best. (Caffe calls these constants variances. They are divisors.)
"""

from __future__ import annotations

from minissd.backend import Array, array_module
from minissd.boxes.geometry import centers_to_corners, corners_to_centers
from minissd.errors import check

SMALLEST_SIDE = 1e-6  # fraction of the image; a box without width is encoded as if it had this
LARGEST_LOG_SIZE = 20.0  # exp(20) = 5e8 default boxes: far outside any image, far inside float32


def encode(
    boxes: Array, default_centers: Array, center_scale: float = 0.1, size_scale: float = 0.2
) -> Array:
    """Write boxes as offsets from default boxes.

    Args:
        boxes: Shape (..., 4), float, corners. A side below 1e-6 counts as 1e-6, so that the result is finite.
        default_centers: Shape (..., 4), float, centers; one for each box (or broadcast), with sides above 0.
        center_scale: Divisor of the centre's offsets.
        size_scale: Divisor of the size's offsets.

    Returns:
        Shape (..., 4), offsets (x, y, w, h).

    Source: equation 2 of the paper (there without the divisors).
    """
    xp = array_module(boxes, default_centers)
    box = corners_to_centers(boxes)
    default_size = default_centers[..., 2:]
    size = xp.maximum(box[..., 2:], SMALLEST_SIDE)
    # x: (cx - default cx) / default w / center_scale       w: log(w / default w) / size_scale
    center_offset = (box[..., :2] - default_centers[..., :2]) / default_size / center_scale
    size_offset = xp.log(size / default_size) / size_scale
    return xp.concatenate([center_offset, size_offset], axis=-1)


def decode(
    offsets: Array,
    default_centers: Array,
    center_scale: float = 0.1,
    size_scale: float = 0.2,
    size_clamp: float | None = None,
) -> Array:
    """Turn offsets back into boxes: the inverse of `encode`.

    Args:
        offsets: Shape (..., 4), float, offsets (x, y, w, h).
        default_centers: Shape (..., 4), float, centers.
        center_scale: The divisor that `encode` used.
        size_scale: The divisor that `encode` used.
        size_clamp: Largest log(w / default w) and log(h / default h); torchvision uses log(1000 / 16). None: 20,
            which no usable box reaches and which keeps the answer of a network that diverged finite.

    Returns:
        Shape (..., 4), corners as fractions of the image, not clipped to it.

    Raises:
        ValueError: `size_clamp` is above 20.
    """
    limit = LARGEST_LOG_SIZE if size_clamp is None else size_clamp
    check(limit <= LARGEST_LOG_SIZE, "size_clamp", f"at most {LARGEST_LOG_SIZE}", size_clamp)
    xp = array_module(offsets, default_centers)
    default_size = default_centers[..., 2:]
    center = default_centers[..., :2] + offsets[..., :2] * center_scale * default_size
    size = default_size * xp.exp(xp.minimum(offsets[..., 2:] * size_scale, limit))
    return centers_to_corners(xp.concatenate([center, size], axis=-1))
