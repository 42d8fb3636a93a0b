"""Small COCO data sets, made by hand for tests."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from minissd.plotting import save_image


def image(number: int, name: str | None = None, width: object = 100, height: object = 80) -> dict:
    """Return an entry of `images`."""
    return {
        "id": number,
        "file_name": name or f"{number:012d}.jpg",
        "width": width,
        "height": height,
    }


def box(
    number: int, image_id: int, category: int = 1, bbox: object = (10, 20, 50, 40), **more: Any
):
    """Return an entry of `annotations`."""
    bbox = list(bbox) if isinstance(bbox, tuple) else bbox
    entry = {"id": number, "image_id": image_id, "category_id": category, "bbox": bbox}
    return {**entry, "iscrowd": 0, "area": 1234.5, **more}


def coco(images: list, annotations: list, categories: dict[int, str] | None = None) -> dict:
    """Return the content of an annotation file."""
    categories = {1: "person", 3: "car"} if categories is None else categories
    named = [{"id": key, "name": name, "supercategory": "x"} for key, name in categories.items()]
    return {"info": {}, "images": images, "annotations": annotations, "categories": named}


def write_coco(root: Path, splits: dict[str, dict], pictures: bool = True) -> Path:
    """Write a data set as COCO has it: annotations/instances_SPLIT.json and a folder of pictures a split."""
    for split, content in splits.items():
        path = root / "annotations" / f"instances_{split}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(content), encoding="utf-8")
        for entry in content["images"] if pictures else []:
            save_image(np.full((80, 100, 3), 90, np.uint8), root / split / entry["file_name"])
    return root
