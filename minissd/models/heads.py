"""A head's filters in the two forms they are found in: one convolution here, a pair of them elsewhere.

Other codes predict class scores and offsets with two convolutions a map. Ours is one, whose filters list for each box
shape of a cell first its class scores, then its four offsets. The pair is woven into the one once, when it is loaded.
"""

from __future__ import annotations

import numpy as np

from minissd.errors import check, check_positive_int


def interleave_head(class_weight: np.ndarray, box_weight: np.ndarray, n_classes: int) -> np.ndarray:
    """Weave the filters of a class and a box convolution into those of one head.

    Args:
        class_weight: (..., B * n_classes), the filters of a box shape next to each other, background first: weights
            (kh, kw, C, K) or biases (K,).
        box_weight: (..., B * 4) in the same order of box shapes, for cx, cy, w, h.
        n_classes: Classes with background.

    Returns:
        (..., B * (n_classes + 4)): for each of the B box shapes its scores, then its offsets.

    Raises:
        ValueError: The two do not belong to the same number of box shapes, or to the same map.
    """
    check_positive_int(n_classes, "n_classes")
    n_boxes = box_weight.shape[-1] // 4
    check(box_weight.shape[-1] % 4 == 0, "box_weight", "4 filters a box shape", box_weight.shape)
    expected = (*box_weight.shape[:-1], n_boxes * n_classes)
    check(class_weight.shape == expected, "class_weight", f"shape {expected}", class_weight.shape)
    scores = class_weight.reshape(*expected[:-1], n_boxes, n_classes)
    offsets = box_weight.reshape(*expected[:-1], n_boxes, 4)
    return np.concatenate([scores, offsets], axis=-1).reshape(*expected[:-1], -1)


def split_head(weight: np.ndarray, n_classes: int) -> tuple[np.ndarray, np.ndarray]:
    """Take a head apart into a class and a box convolution: the inverse of `interleave_head`.

    Args:
        weight: (..., B * (n_classes + 4)), weights or biases of a head.
        n_classes: Classes with background.

    Returns:
        (..., B * n_classes) and (..., B * 4).

    Raises:
        ValueError: The last axis is no multiple of n_classes + 4.
    """
    each = check_positive_int(n_classes, "n_classes") + 4
    check(weight.shape[-1] % each == 0, "weight", f"a multiple of {each} filters", weight.shape)
    rows = weight.reshape(*weight.shape[:-1], -1, each)
    flat = (*weight.shape[:-1], -1)
    return rows[..., :n_classes].reshape(flat), rows[..., n_classes:].reshape(flat)
