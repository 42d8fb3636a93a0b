"""Chapter 11: solutions. Try for yourself first; the checks' hints take you further than reading does."""

from __future__ import annotations

import numpy as np

from minissd.boxes import iou, nms


def kept_by_asking(boxes: np.ndarray, scores: np.ndarray, threshold: float) -> list[int]:
    """A box stays where no box kept before it, and so better than it, overlaps it above the threshold."""
    kept: list[int] = []
    for row in np.argsort(-scores, kind="stable"):
        if not (iou(boxes[row][None], boxes[kept]) > threshold).any():
            kept.append(int(row))
    return kept


# a: 0 silences 1, 2 stays and silences 3, 4 stays. b: 0 silences 1 and 2, 3 silences 4.
# c: 1 silences 0 and 2, then 3 silences 4.
three_rows = [[0, 2, 4], [0, 3], [1, 3]]


def last_step(
    boxes: np.ndarray,
    probabilities: np.ndarray,
    floor: float,
    threshold: float,
    top_k: int,
    most: int,
) -> list[tuple[float, int, int]]:
    """Class by class: floor, the best candidates, suppression; then the best of all classes."""
    answers = []
    for label in range(1, probabilities.shape[1]):
        scores = probabilities[:, label]
        rows = np.flatnonzero(scores > floor)
        rows = rows[np.argsort(-scores[rows], kind="stable")][:top_k]
        for row in rows[nms(boxes[rows], scores[rows], threshold)]:
            answers.append((scores[row], label, row))
    return sorted(answers, key=lambda one: -one[0])[:most]


# (w - s) / (w + s) = t gives s = w (1 - t) / (1 + t); boxes of different classes never meet.
side_by_side = [100 * 0.55 / 1.45, 100 * 0.3 / 1.7, 0]
