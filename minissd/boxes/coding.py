"""Coding: a box written relative to a default box, and back.

The network does not predict boxes but offsets: how far the centre lies from the default box's, measured in its
widths and heights, and how much larger the box is, as a logarithm. Divided by two small constants the targets come
out at about the size of 1, where a network learns best. (Caffe calls these constants variances. They are divisors.)
"""

from __future__ import annotations

from minissd.backend import Array, array_module
from minissd.boxes.geometry import centers_to_corners, corners_to_centers
from minissd.cuda import BLOCK, Kernels
from minissd.errors import check

KERNELS = Kernels(__file__, "coding.cu", header="geometry.h")
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
    kernels = KERNELS.of(offsets)
    fits = offsets.shape[-2:] == default_centers.shape and offsets.dtype == default_centers.dtype
    if kernels is not None and fits and offsets.size > 0:  # the batch of a network
        boxes = xp.empty(offsets.shape, offsets.dtype)
        arrays = (xp.ascontiguousarray(offsets), xp.ascontiguousarray(default_centers), boxes)
        sizes = boxes.size // 4, len(default_centers)
        args = (*arrays, *sizes, center_scale, size_scale, limit)
        kernels.launch("decode", sizes[0], BLOCK, args)
        return boxes
    default_size = default_centers[..., 2:]
    center = default_centers[..., :2] + offsets[..., :2] * center_scale * default_size
    size = default_size * xp.exp(xp.minimum(offsets[..., 2:] * size_scale, limit))
    return centers_to_corners(xp.concatenate([center, size], axis=-1))


def encode_matched(
    objects: Array,
    default_centers: Array,
    usable: Array,
    object_index: Array,
    overlap: Array,
    negative_iou: float,
    center_scale: float = 0.1,
    size_scale: float = 0.2,
) -> tuple[Array, Array, Array]:
    """Write down what every default box of a batch should answer, on a device that has kernels.

    Args:
        objects: Shape (N, M, 5), from `pack_objects`.
        default_centers: Shape (K, 4), float, centers.
        usable: Shape (K,), bool, the default boxes that take part.
        object_index: Shape (N, K), int64, what `match_packed` found.
        overlap: Shape (N, K), float, likewise.
        negative_iou: An unmatched default box that overlaps an object by this or more is no candidate.
        center_scale: Divisor of the centre's offsets.
        size_scale: Divisor of the size's offsets.

    Returns:
        Labels (N, K) int64, 0 for background; offsets (N, K, 4), 0 for background; and which background boxes may be
        mined as negatives, (N, K) bool.
    """
    xp, (n, rows, _) = array_module(objects), objects.shape
    k = len(default_centers)
    labels, offsets = xp.empty((n, k), "int64"), xp.empty((n, k, 4), objects.dtype)
    candidates = xp.empty((n, k), "bool")
    inputs = (objects, xp.ascontiguousarray(default_centers), usable, object_index, overlap)
    numbers = (center_scale, size_scale, SMALLEST_SIDE, negative_iou)
    args = (*inputs, labels, offsets, candidates, n, k, rows, *numbers)
    KERNELS.of(objects).launch("encode_matched", n * k, BLOCK, args)
    return labels, offsets, candidates
