"""Chapter 12: solutions. Try for yourself first; the checks' hints take you further than reading does."""

from __future__ import annotations

import numpy as np

# Precision 1, 1/2, 1/3, 2/4, 3/5; recall 1/4, 1/4, 1/4, 2/4, 3/4. Best from there on: 1, then 3/5 twice.
_by_area = (1 + 3 / 5 + 3 / 5) / 4
# 0, 0.1, 0.2 read 1; the five points from 0.3 to 0.7 read 3/5; 0.8, 0.9 and 1 are not reached.
_by_points = (3 * 1 + 5 * 3 / 5 + 3 * 0) / 11
ap_by_hand = [_by_area, _by_points]


def right_in_rank(scores: np.ndarray, about: np.ndarray) -> np.ndarray:
    """Best first; the first about an object finds it, and what is about nothing is wrong."""
    found: set[int] = set()
    right = []
    for target in about[np.argsort(-scores, kind="stable")]:
        right.append(target >= 0 and target not in found)
        found.add(target)
    return np.array(right, bool)


def eleven_points(recall: np.ndarray, precision: np.ndarray) -> float:
    """Points are k / 10, not k * 0.1; where none reaches a point, it counts 0."""
    readings = [precision[recall >= k / 10].max(initial=0) for k in range(11)]
    return sum(readings) / 11


# The first is right. The second and third are about a difficult object: not counted. The fourth is wrong.
difficult = [1, 1, 2]
