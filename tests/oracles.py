"""Plain-loop versions of the box functions: slow, obvious, one box at a time, for the tests to compare with."""

from __future__ import annotations

import math

import numpy as np


def iou(a, b) -> float:
    """Overlap of two boxes, each (xmin, ymin, xmax, ymax)."""
    width = max(0.0, min(a[2], b[2]) - max(a[0], b[0]))
    height = max(0.0, min(a[3], b[3]) - max(a[1], b[1]))
    intersection = width * height
    area_a = max(0.0, a[2] - a[0]) * max(0.0, a[3] - a[1])
    area_b = max(0.0, b[2] - b[0]) * max(0.0, b[3] - b[1])
    union = area_a + area_b - intersection
    return intersection / union if union > 0 else 0.0


def iou_matrix(a, b) -> np.ndarray:
    return np.array([[iou(x, y) for y in b] for x in a]).reshape(len(a), len(b))


def default_boxes(maps, image_size, integer_sizes=False) -> np.ndarray:
    """Centre form, not clipped; `maps` have size, step, min_size, max_size, ratios."""
    boxes = []
    for m in maps:
        small, large = m.min_size, m.max_size
        if integer_sizes:
            small, large = int(small), large and int(large)
        shapes = [(small, small)]
        if large:
            shapes.append((math.sqrt(small * large), math.sqrt(small * large)))
        for ratio in m.ratios:
            for r in (ratio, 1 / ratio):
                shapes.append((small * math.sqrt(r), small / math.sqrt(r)))
        for row in range(m.size):
            for column in range(m.size):
                for width, height in shapes:
                    cx, cy = (column + 0.5) * m.step, (row + 0.5) * m.step
                    boxes.append([cx, cy, width, height])
    return np.array(boxes) / image_size


def match_one_to_one(default_corners, boxes, threshold):
    """Return (object of each default box or -1, whether it was forced), as Caffe matches."""
    overlap = iou_matrix(default_corners, boxes)
    n_defaults, n_objects = overlap.shape
    owner, forced = [-1] * n_defaults, [False] * n_defaults
    served = set()
    while len(served) < n_objects:
        best, best_pair = 1e-6, None
        for d in range(n_defaults):
            for o in range(n_objects):
                if owner[d] < 0 and o not in served and overlap[d, o] > best:
                    best, best_pair = overlap[d, o], (d, o)
        if best_pair is None:
            break
        owner[best_pair[0]], forced[best_pair[0]] = best_pair[1], True
        served.add(best_pair[1])
    for d in range(n_defaults):
        if owner[d] < 0:
            owner[d] = _best_above(overlap[d], threshold)
    return np.array(owner), np.array(forced)


def match_overwrite(default_corners, boxes, threshold):
    """Return (object of each default box or -1, whether it was forced), as torchvision matches."""
    overlap = iou_matrix(default_corners, boxes)
    n_defaults, n_objects = overlap.shape
    owner = [_best_above(overlap[d], threshold) for d in range(n_defaults)]
    forced = [False] * n_defaults
    for o in range(n_objects):
        favourite = 0
        for d in range(n_defaults):
            if overlap[d, o] > overlap[favourite, o]:
                favourite = d
        owner[favourite], forced[favourite] = o, True
    return np.array(owner), np.array(forced)


def _best_above(row, threshold) -> int:
    best = -1
    for o in range(len(row)):
        if row[o] >= threshold and (best < 0 or row[o] > row[best]):
            best = o
    return best


def encode(box, default, center_scale=0.1, size_scale=0.2) -> list[float]:
    """One box in corners, one default box in centers."""
    cx, cy = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2
    w, h = box[2] - box[0], box[3] - box[1]
    return [
        (cx - default[0]) / default[2] / center_scale,
        (cy - default[1]) / default[3] / center_scale,
        math.log(w / default[2]) / size_scale,
        math.log(h / default[3]) / size_scale,
    ]


def decode(offset, default, center_scale=0.1, size_scale=0.2, size_clamp=math.inf) -> list[float]:
    cx = default[0] + offset[0] * center_scale * default[2]
    cy = default[1] + offset[1] * center_scale * default[3]
    w = default[2] * math.exp(min(offset[2] * size_scale, size_clamp))
    h = default[3] * math.exp(min(offset[3] * size_scale, size_clamp))
    return [cx - w / 2, cy - h / 2, cx + w / 2, cy + h / 2]


def mine_hard_negatives(losses, positives, ratio=3.0, min_negatives=0, candidates=None):
    chosen = np.zeros(losses.shape, dtype=bool)
    for i in range(len(losses)):
        wanted = max(int(ratio * int(positives[i].sum())), min_negatives)
        allowed = [
            k
            for k in range(losses.shape[1])
            if not positives[i, k] and (candidates is None or candidates[i, k])
        ]
        allowed.sort(key=lambda k: -losses[i, k])  # stable: ties by index
        for k in allowed[:wanted]:
            chosen[i, k] = True
    return chosen


def nms(boxes, scores, iou_threshold, top_k=None) -> list[int]:
    order = sorted(range(len(boxes)), key=lambda i: -scores[i])[:top_k]  # stable: ties by index
    kept = []
    for i in order:
        if all(iou(boxes[i], boxes[j]) <= iou_threshold for j in kept):
            kept.append(i)
    return kept


def multiclass_nms(boxes, scores, floor, iou_threshold, per_class, limit) -> list[tuple]:
    """Return (row, label, score) of the detections: NMS for each class to its end, then the best."""
    found = []
    for c in range(scores.shape[1]):
        rows = [k for k in range(len(boxes)) if scores[k, c] > floor]
        kept = nms([boxes[k] for k in rows], [scores[k, c] for k in rows], iou_threshold, per_class)
        found += [(rows[i], c + 1, scores[rows[i], c]) for i in kept]
    found.sort(key=lambda detection: -detection[2])  # stable: ties by class, then as NMS left them
    return found[:limit]


def multiclass_nms_agnostic(boxes, scores, floor, iou_threshold, per_class, limit) -> list[tuple]:
    """Return (row, label, score): the best of each class first, then one NMS for all of them."""
    candidates = []
    for c in range(scores.shape[1]):
        rows = [k for k in range(len(boxes)) if scores[k, c] > floor]
        rows.sort(key=lambda k: -scores[k, c])
        candidates += [(k, c + 1, scores[k, c]) for k in rows[:per_class]]
    kept = nms([boxes[k] for k, _, _ in candidates], [s for _, _, s in candidates], iou_threshold)
    return [candidates[i] for i in kept[:limit]]
