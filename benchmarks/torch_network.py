"""Our SSD rebuilt in PyTorch, layer by layer with the same weights, and its training step as its users write it."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from minissd import nn as ours
from minissd.models.loss import Targets
from minissd.models.spec import DetectorSpec
from minissd.models.ssd import SSD


class TorchSSD(nn.Module):
    """The same network; images go in as uint8 (N, S, S, 3), which in PyTorch's words is "channels last"."""

    def __init__(self, model: SSD):
        super().__init__()
        self.segments = nn.ModuleList(convert(layer) for layer in model.segments)
        taps = [nn.Identity() if tap is None else convert(tap) for tap in model.taps]
        self.taps = nn.ModuleList(taps)
        self.heads = nn.ModuleList(convert(layer) for layer in model.heads)
        self.n_classes = model.n_classes
        size = model.spec.image_size
        means = torch.tensor(model.spec.input_mean, dtype=torch.float32).repeat(size)
        self.register_buffer("means", means)  # of a row of pixels: as fast for PyTorch as for us
        self.factor = 1 / model.spec.input_std

    def forward(self, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return self.predict(self.prepare(images))

    def prepare(self, images: torch.Tensor) -> torch.Tensor:
        """Turn uint8 images (N, S, S, 3) into float32 (N, 3, S, S), mean taken away, scaled."""
        rows = images.flatten(2).float().sub_(self.means.float()).mul_(self.factor)
        return rows.view(images.shape).permute(0, 3, 1, 2)

    def predict(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        rows = []
        for segment, tap, head in zip(self.segments, self.taps, self.heads):
            x = segment(x)
            y = head(tap(x)).permute(0, 2, 3, 1)
            rows.append(y.reshape(len(y), -1, self.n_classes + 4))
        predictions = torch.cat(rows, dim=1)
        return predictions[..., : self.n_classes], predictions[..., self.n_classes :]


class Shortcut(nn.Module):
    """x + body(x)."""

    def __init__(self, body: nn.Module):
        super().__init__()
        self.body = body

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.body(x)


class L2Norm(nn.Module):
    """Each pixel's channels to length one, then scaled."""

    def __init__(self, scale: np.ndarray, eps: float):
        super().__init__()
        self.scale = nn.Parameter(torch.from_numpy(scale.copy())[None, :, None, None])
        self.eps = eps

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        length = (x.square().sum(dim=1, keepdim=True) + self.eps).sqrt()
        return x / length * self.scale


def convert(layer: ours.Layer) -> nn.Module:
    """Return PyTorch's layer for one of ours, with its weights."""
    if isinstance(layer, ours.Residual):
        return Shortcut(convert(layer.body))
    if isinstance(layer, ours.Sequential):
        return nn.Sequential(*(convert(child) for _, child in layer.children()))
    if isinstance(layer, ours.Conv2d):
        return _convolution(layer)
    if isinstance(layer, ours.BatchNorm2d):
        return _batch_norm(layer)
    if isinstance(layer, ours.MaxPool2d):
        s = layer.shape
        return nn.MaxPool2d(s.kernel, s.stride, s.padding, ceil_mode=layer.ceil_mode)
    if isinstance(layer, ours.L2Normalize):
        return L2Norm(layer.scale.value, layer.eps)
    simple = {ours.ReLU: nn.ReLU, ours.ReLU6: nn.ReLU6}
    if type(layer) in simple:
        return simple[type(layer)](inplace=True)
    raise TypeError(f"no counterpart in PyTorch for {type(layer).__name__}")


def _convolution(layer: ours.Conv2d) -> nn.Conv2d:
    s, bias = layer.shape, layer.bias
    channels = layer.in_channels, layer.out_channels
    conv = nn.Conv2d(
        *channels, s.kernel, s.stride, s.padding, s.dilation, s.groups, bias is not None
    )
    with torch.no_grad():
        conv.weight.copy_(torch.from_numpy(layer.weight.value.transpose(3, 2, 0, 1).copy()))
        if bias is not None:
            conv.bias.copy_(torch.from_numpy(bias.value))
    return conv


def _batch_norm(layer: ours.BatchNorm2d) -> nn.BatchNorm2d:
    norm = nn.BatchNorm2d(layer.channels, eps=layer.eps, momentum=layer.momentum)
    with torch.no_grad():
        for theirs, value in (
            (norm.weight, layer.gamma.value),
            (norm.bias, layer.beta.value),
            (norm.running_mean, layer.running_mean),
            (norm.running_var, layer.running_var),
        ):
            theirs.copy_(torch.from_numpy(value))
    return norm


def multibox_loss(
    scores: torch.Tensor, offsets: torch.Tensor, targets: list[torch.Tensor]
) -> torch.Tensor:
    """Return the MultiBox loss; autograd does the rest.

    Args:
        scores: (N, K, C + 1).
        offsets: (N, K, 4).
        targets: Labels (N, K), offsets (N, K, 4), and where negatives may be mined (N, K).
    """
    labels, target_offsets, candidates = targets
    losses = F.cross_entropy(scores.flatten(0, 1), labels.flatten(), reduction="none")
    losses = losses.view(labels.shape)
    positives = labels > 0
    with torch.no_grad():
        hardness = torch.where(candidates, losses, -torch.inf)
        rank = hardness.argsort(dim=1, descending=True).argsort(dim=1)
        mined = (rank < 3 * positives.sum(dim=1, keepdim=True)) & candidates
    class_loss = (losses * (positives | mined)).sum()
    box_loss = F.smooth_l1_loss(offsets[positives], target_offsets[positives], reduction="sum")
    return (class_loss + box_loss) / positives.sum().clamp(min=1)


def to_torch(targets: Targets) -> list[torch.Tensor]:
    """Return our targets as tensors."""
    return [torch.from_numpy(part) for part in targets]


def decode_and_suppress(
    scores: torch.Tensor, offsets: torch.Tensor, centers: torch.Tensor, spec: DetectorSpec
) -> list[tuple[torch.Tensor, ...]]:
    """Return boxes, labels and scores of each image on the host: our `decode_detections` with torchvision's NMS.

    Args:
        scores: (N, K, C + 1) before softmax.
        offsets: (N, K, 4).
        centers: (K, 4), default boxes in centre form.
        spec: Gives score floor, candidates a class, NMS threshold, most detections and scales.
    """
    from torchvision.ops import batched_nms

    middle = centers[:, :2] + offsets[..., :2] * spec.center_scale * centers[:, 2:]
    size = centers[:, 2:] * torch.exp(offsets[..., 2:] * spec.size_scale)
    corners = torch.cat([middle - size / 2, middle + size / 2], dim=-1)
    found = []
    for boxes, chances in zip(corners, scores.softmax(dim=-1)[..., 1:]):
        best, rows = chances.topk(min(spec.candidates_per_class, len(boxes)), dim=0)
        row, column = (best > spec.score_floor).nonzero(as_tuple=True)
        score, own, label = best[row, column], boxes[rows[row, column]], column + 1
        kept = batched_nms(own, score, label, spec.nms_iou)[: spec.max_detections]
        found.append(tuple(part[kept].cpu() for part in (own.clamp(0, 1), label, score)))
    return found
