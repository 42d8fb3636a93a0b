"""Small folders in VOC layout, made by hand for tests."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from minissd.plotting import save_image


def xml_object(
    name: str = "dog", box: Sequence[object] = (11, 21, 60, 70), inside: str = "", tags: str = ""
) -> str:
    """Return the XML of one object; `inside` and `tags` are put before its box."""
    corners = "".join(
        f"<{tag}>{value}</{tag}>" for tag, value in zip(("xmin", "ymin", "xmax", "ymax"), box)
    )
    return f"<object>{inside}<name>{name}</name>{tags}<bndbox>{corners}</bndbox></object>"


def xml(*objects: str, width: object = 100, height: object = 80) -> str:
    """Return the XML of an annotation."""
    size = f"<size><width>{width}</width><height>{height}</height><depth>3</depth></size>"
    return f"<annotation>{size}{''.join(objects)}</annotation>"


def write_voc(root: Path, annotations: dict[str, str], lists: dict[str, str] | None = None) -> Path:
    """Write a folder in VOC layout with gray pictures of 100 x 80 pixels; without lists, all are in trainval."""
    for name in ("JPEGImages", "Annotations", "ImageSets/Main"):
        (root / name).mkdir(parents=True)
    for image_id, text in annotations.items():
        save_image(np.full((80, 100, 3), 90, np.uint8), root / "JPEGImages" / f"{image_id}.jpg")
        (root / "Annotations" / f"{image_id}.xml").write_text(text, encoding="utf-8")
    if lists is None:
        lists = {"trainval": "\n".join(annotations)}
    for split, text in lists.items():
        (root / "ImageSets" / "Main" / f"{split}.txt").write_text(text, encoding="utf-8")
    return root
