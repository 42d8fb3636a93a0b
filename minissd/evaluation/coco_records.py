"""COCO's records: our objects and detections as its annotation and result files hold them.

A box is (left, top, width, height) in pixels, classes have the numbers that the data set gives them, and an object
that is difficult, as VOC says, is a crowd.

Source: the data format pages of the COCO data set.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from minissd.backend import to_cpu
from minissd.boxes.nms import Detections
from minissd.errors import check
from minissd.evaluation.ranking import Truth, image_sizes
from minissd.files import write_text


def ground_truth(
    truths: Sequence[Truth], class_names: Sequence[str], category_ids: Sequence[int] | None = None
) -> dict[str, Any]:
    """Return the objects of all images as COCO's annotation file holds them.

    Args:
        truths: One an image; `size` is needed.
        class_names: Name of label 1, 2, ...
        category_ids: Number of each class; None for 1, 2, ...

    Returns:
        A dict of images, categories and annotations that JSON can hold: boxes are (left, top, width, height) in
        pixels, difficult objects have `iscrowd` 1.
    """
    ids = _category_ids(class_names, category_ids)
    numbers = image_numbers(truths)
    annotations: list[dict[str, Any]] = []
    for truth, number, size in zip(truths, numbers, image_sizes(truths)):
        boxes = _left_top_width_height(truth.boxes, size)
        areas = boxes[:, 2] * boxes[:, 3] if truth.area is None else to_cpu(truth.area)
        crowd = np.zeros(len(boxes), int) if truth.difficult is None else to_cpu(truth.difficult)
        labels = to_cpu(truth.labels).tolist()
        for box, label, area, is_crowd in zip(boxes.tolist(), labels, areas.tolist(), crowd):
            check(1 <= label <= len(ids), "truths", f"labels 1 to {len(ids)}", label)
            record = {"image_id": number, "category_id": ids[label - 1], "bbox": box}
            # From 1 on: COCO's program takes an object of number 0 for none at all.
            record |= {"id": len(annotations) + 1, "area": area, "iscrowd": int(is_crowd)}
            annotations.append(record)
    sizes = image_sizes(truths).astype(int).tolist()
    return {
        "images": [{"id": n, "width": w, "height": h} for n, (w, h) in zip(numbers, sizes)],
        "categories": [{"id": i, "name": name} for i, name in zip(ids, class_names)],
        "annotations": annotations,
    }


def coco_results(
    detections: Sequence[Detections],
    truths: Sequence[Truth],
    class_names: Sequence[str],
    category_ids: Sequence[int] | None = None,
) -> list[dict[str, Any]]:
    """Return detections as COCO's result file holds them.

    Args:
        detections: One an image.
        truths: One an image, in the same order; `size` and `image_id` are used.
        class_names: Name of label 1, 2, ...
        category_ids: Number of each class; None for 1, 2, ...

    Returns:
        One dict a detection, image by image: image_id, category_id, bbox (left, top, width, height in pixels), score.
    """
    check(len(detections) == len(truths), "detections", f"{len(truths)} images", len(detections))
    ids = _category_ids(class_names, category_ids)
    rows = []
    for found, number, size in zip(detections, image_numbers(truths), image_sizes(truths)):
        boxes = _left_top_width_height(found.boxes, size).tolist()
        labels, scores = to_cpu(found.labels).tolist(), to_cpu(found.scores).tolist()
        for box, label, score in zip(boxes, labels, scores):
            check(1 <= label <= len(ids), "detections", f"labels 1 to {len(ids)}", label)
            row = {"image_id": number, "category_id": ids[label - 1], "bbox": box, "score": score}
            rows.append(row)
    return rows


def write_coco_results(
    path: str | Path,
    detections: Sequence[Detections],
    truths: Sequence[Truth],
    class_names: Sequence[str],
    category_ids: Sequence[int] | None = None,
) -> None:
    """Write detections as one COCO result file (JSON), for COCO's server or any program that reads it.

    Args:
        path: The file.
        detections: One an image.
        truths: One an image, in the same order; `size` and `image_id` are used.
        class_names: Name of label 1, 2, ...
        category_ids: Number of each class; None for 1, 2, ...

    Raises:
        InputError: The file cannot be written.
        ValueError: As `coco_results`.
    """
    rows = coco_results(detections, truths, class_names, category_ids)
    for row in rows:
        row["bbox"] = [round(side, 4) for side in row["bbox"]]
        row["score"] = float(f"{row['score']:.9g}")
    write_text(path, "[\n" + ",\n".join(map(json.dumps, rows)) + "\n]\n")


def image_numbers(truths: Sequence[Truth]) -> list[int] | list[str]:
    """Return the name of each image as COCO has it: a number where all are numbers, else the name itself.

    Images without names are counted from 1.

    Raises:
        ValueError: Two images have one name.
    """
    names = [truth.image_id for truth in truths]
    if not any(names):
        return list(range(1, len(names) + 1))
    numbers = [int(name) for name in names] if all(map(str.isdecimal, names)) else names
    twice = [name for name, count in Counter(numbers).items() if count > 1]
    check(not twice, "truths", "images of different names", twice[:3])
    return numbers


def _left_top_width_height(boxes: np.ndarray, size: np.ndarray) -> np.ndarray:
    pixels = np.asarray(to_cpu(boxes), np.float64).reshape(-1, 4) * np.tile(size, 2)
    pixels[:, 2:] -= pixels[:, :2]
    return pixels


def _category_ids(class_names: Sequence[str], category_ids: Sequence[int] | None) -> list[int]:
    if category_ids is None:
        return list(range(1, len(class_names) + 1))
    ids = [int(i) for i in category_ids]
    fits = len(ids) == len(class_names) == len(set(ids))
    check(fits, "category_ids", f"{len(class_names)} different numbers", category_ids)
    return ids
