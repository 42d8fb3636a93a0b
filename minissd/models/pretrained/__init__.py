"""Trained networks that come with the package; README.md beside this file is their model card."""

from pathlib import Path

PHOTOS = Path(__file__).parent / "ssd-mobilenetv2-voc07.safetensors"  # VOC's 20 classes, 224 pixels
