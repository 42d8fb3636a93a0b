"""Files of named shapes for the tests of names, and the network they are loaded into."""

from __future__ import annotations

from pathlib import Path

from weight_files import tensors, write_zip
from weight_names import Shapes, constant

from minissd.models.blank import build_blank
from minissd.models.build import model_spec
from minissd.models.ssd import SSD


def write_pth(path: Path, shapes: Shapes, change: dict | None = None) -> Path:
    """Write a state of constant tensors; `change` replaces some."""
    arrays = constant(shapes)
    return write_zip(path, tensors(arrays | (change or {})))


def ssd300() -> SSD:
    return build_blank(model_spec("ssd300"))
