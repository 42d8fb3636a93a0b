"""torchvision's own `ssd300_vgg16` as a judge, at either precision; skips the importing file where it is missing."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
from peer_torch import import_torchvision, to_numpy, to_torch, torch

detection = import_torchvision()


@contextmanager
def working_in(dtype: type) -> Iterator[None]:
    """Let PyTorch make float64 tensors where it is not told a type, if that is the precision compared."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(tensor_type(dtype))
    try:
        yield
    finally:
        torch.set_default_dtype(before)


def tensor_type(dtype: type) -> torch.dtype:
    """Return PyTorch's name of a NumPy type."""
    return to_torch(np.empty(0, dtype)).dtype


def build(dtype: type, weights: bool = True) -> torch.nn.Module:
    """Build the published network, untrained, in training mode, all its layers learning.

    Args:
        dtype: Precision of the sides of its default boxes, which would always be float32.
        weights: Whether its layers need weights; without, only its box arithmetic can be used.
    """
    with working_in(dtype), torch.device("cpu" if weights else "meta"):
        judge = detection.ssd300_vgg16(weights=None, weights_backbone=None, num_classes=91)
    for parameter in judge.parameters():
        parameter.requires_grad_(True)  # torchvision freezes the first layers
    generator = judge.anchor_generator
    generator._wh_pairs = generator._generate_wh_pairs(6, dtype=tensor_type(dtype))
    return judge


def default_boxes(judge: torch.nn.Module, dtype: type, n_images: int = 1) -> list[torch.Tensor]:
    """Return the default boxes of each image as corners (K, 4) in pixels."""
    maps = [torch.empty(n_images, 1, side, side) for side in (38, 19, 10, 5, 3, 1)]
    maps = [each.to(tensor_type(dtype)) for each in maps]
    pictures = torch.empty(n_images, 3, 300, 300)
    images = detection.image_list.ImageList(pictures, [(300, 300)] * n_images)
    with working_in(dtype):
        return judge.anchor_generator(images, maps)


def detections(scores: np.ndarray, offsets: np.ndarray) -> list[list[np.ndarray]]:
    """Return boxes as fractions, labels and scores of each image, from the outputs of the heads in float64."""
    judge = build(np.float64, weights=False)
    anchors = default_boxes(judge, np.float64, len(scores))
    outputs = {"cls_logits": to_torch(scores), "bbox_regression": to_torch(offsets)}
    found = judge.postprocess_detections(outputs, anchors, [(300, 300)] * len(scores))
    return [
        [to_numpy(each["boxes"]) / 300, to_numpy(each["labels"]), to_numpy(each["scores"])]
        for each in found
    ]
