"""PyTorch as the outside judge: importing it, and carrying arrays and layouts over to it and back.

Importing this module skips the importing test file where PyTorch is missing.
"""

from __future__ import annotations

import sys
from importlib import import_module
from importlib.util import find_spec
from types import ModuleType

import numpy as np
import pytest

torch = pytest.importorskip(
    "torch", reason="not compared with PyTorch, which is not installed (`make test-peer` does it)"
)

OPERATORS = torch.library.Library("torchvision", "FRAGMENT")  # lives as long as the program


def to_torch(array: np.ndarray, requires_grad: bool = False) -> torch.Tensor:
    """Return a copy as a tensor."""
    return torch.tensor(np.ascontiguousarray(array), requires_grad=requires_grad)


def to_numpy(tensor: torch.Tensor) -> np.ndarray:
    """Return a copy as an array."""
    return tensor.detach().numpy().copy()


def nchw(x: np.ndarray) -> np.ndarray:
    """Lay a map (N, H, W, C) out as PyTorch does."""
    return np.ascontiguousarray(x.transpose(0, 3, 1, 2))


def nhwc(x: np.ndarray) -> np.ndarray:
    """Lay a map (N, C, H, W) out as minissd does."""
    return np.ascontiguousarray(x.transpose(0, 2, 3, 1))


def oihw(w: np.ndarray) -> np.ndarray:
    """Lay weights (kh, kw, C / groups, K) out as PyTorch does."""
    return np.ascontiguousarray(w.transpose(3, 2, 0, 1))


def hwio(w: np.ndarray) -> np.ndarray:
    """Lay weights (K, C / groups, kh, kw) out as minissd does."""
    return np.ascontiguousarray(w.transpose(2, 3, 1, 0))


def plain_nms(boxes: torch.Tensor, scores: torch.Tensor, iou_threshold: float) -> torch.Tensor:
    """Return the rows that greedy non-maximum suppression keeps, best first; boxes (M, 4) are corners."""
    order = scores.argsort(descending=True, stable=True)
    boxes = boxes[order]
    area = (boxes[:, 2:] - boxes[:, :2]).prod(dim=1)
    low = torch.maximum(boxes[:, None, :2], boxes[:, :2])
    high = torch.minimum(boxes[:, None, 2:], boxes[:, 2:])
    shared = (high - low).clamp(min=0).prod(dim=2)
    silences = shared / (area[:, None] + area - shared) > iou_threshold
    silent = torch.zeros(len(boxes), dtype=torch.bool)
    kept = []
    for row in range(len(boxes)):
        if not silent[row]:
            kept.append(row)
            silent |= silences[row]
    return order[kept]


def import_torchvision() -> ModuleType:
    """Import torchvision's detection models, or skip the importing test file where they are missing.

    torchvision is compiled for one build of PyTorch. Next to another (the CPU's, say) its Python files work, but they
    ask for the operators at import; then `plain_nms` takes the place of the compiled one.
    """
    if find_spec("torchvision") is None:
        pytest.skip(
            "not compared with torchvision, which is not installed", allow_module_level=True
        )
    try:
        return import_module("torchvision.models.detection")
    except RuntimeError as error:
        if "torchvision::nms" not in str(error):
            raise
    for name in [name for name in sys.modules if name.partition(".")[0] == "torchvision"]:
        del sys.modules[name]  # halves of the first attempt
    for operator in ("nms", "qnms"):
        OPERATORS.define(f"{operator}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    OPERATORS.impl("nms", plain_nms, "CPU")
    detection = import_module("torchvision.models.detection")
    sys.modules["torchvision.extension"]._has_ops = lambda: True
    return detection
