"""The authors' SSD written a second time, in PyTorch and with plain loops: default boxes, network, matching, mining,
loss, decoding, suppression. Nothing of minissd is imported here; autograd finds the gradients.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from peer_torch import plain_nms, torch

F = torch.nn.functional


class Caffe(NamedTuple):
    """What the authors' solver script says of one network; sizes in pixels.

    Attributes:
        image: Side of the input.
        maps, steps, smallest, largest, ratios: For each map its side, step, min and max size, and aspect ratios.
        extras: For each map behind fc7: filters of the 1x1, of the second convolution; its kernel, stride, padding.
        whole: Whether sizes are whole pixels (its prior-box layer stores them as integers).
    """

    image: int
    maps: tuple[int, ...]
    steps: tuple[int, ...]
    smallest: tuple[float, ...]
    largest: tuple[float, ...]
    ratios: tuple[tuple[int, ...], ...]
    extras: tuple[tuple[int, int, int, int, int], ...]
    whole: bool = False


SSD300 = Caffe(
    image=300,
    maps=(38, 19, 10, 5, 3, 1),
    steps=(8, 16, 32, 64, 100, 300),
    smallest=(30, 60, 111, 162, 213, 264),
    largest=(60, 111, 162, 213, 264, 315),
    ratios=((2,), (2, 3), (2, 3), (2, 3), (2,), (2,)),
    extras=((256, 512, 3, 2, 1), (128, 256, 3, 2, 1), (128, 256, 3, 1, 0), (128, 256, 3, 1, 0)),
)
SSD512 = Caffe(
    image=512,
    maps=(64, 32, 16, 8, 4, 2, 1),
    steps=(8, 16, 32, 64, 128, 256, 512),
    smallest=(35.84, 76.8, 153.6, 230.4, 307.2, 384.0, 460.8),
    largest=(76.8, 153.6, 230.4, 307.2, 384.0, 460.8, 537.6),
    ratios=((2,), (2, 3), (2, 3), (2, 3), (2, 3), (2,), (2,)),
    extras=((256, 512, 3, 2, 1), *[(128, 256, 3, 2, 1)] * 3, (128, 256, 4, 1, 1)),
    whole=True,
)


def default_boxes(net: Caffe) -> np.ndarray:
    """List all default boxes as corners (K, 4) in fractions of the image, one by one."""
    boxes = []
    for side, step, small, large, ratios in zip(*net[1:6]):
        if net.whole:
            small, large = int(small), int(large)
        middle = math.sqrt(small * large)
        shapes = [(small, small), (middle, middle)]
        for ratio in ratios:
            for a in (ratio, 1 / ratio):
                shapes.append((small * math.sqrt(a), small / math.sqrt(a)))
        for row in range(side):
            for column in range(side):
                x, y = (column + 0.5) * step, (row + 0.5) * step
                for w, h in shapes:
                    boxes.append((x - w / 2, y - h / 2, x + w / 2, y + h / 2))
    return np.array(boxes) / net.image


class CaffeSSD(torch.nn.Module):
    """The network: VGG16, fc6 and fc7 as convolutions, the extra maps, two heads a map; layers by the authors' names.

    Args:
        net: Extra maps and box shapes.
        n_classes: With background.
        divisor: Divides every number of channels, for a network that is quick.
    """

    def __init__(self, net: Caffe, n_classes: int, divisor: int = 1):
        super().__init__()
        self.n_classes = n_classes
        layers: dict[str, torch.nn.Conv2d] = {}
        channels = 3
        for block, (count, width) in enumerate([(2, 64), (2, 128), (3, 256), (3, 512), (3, 512)]):
            for i in range(count):
                conv = torch.nn.Conv2d(channels, width // divisor, 3, padding=1)
                layers[f"conv{block + 1}_{i + 1}"] = conv
                channels = width // divisor
        wide = 1024 // divisor
        layers["fc6"] = torch.nn.Conv2d(channels, wide, 3, padding=6, dilation=6)
        layers["fc7"] = torch.nn.Conv2d(wide, wide, 1)
        predicting, channels, self.sources = [channels, wide], wide, {"fc7"}
        for i, (squeezed, width, *walk) in enumerate(net.extras, start=6):
            layers[f"conv{i}_1"] = torch.nn.Conv2d(channels, squeezed // divisor, 1)
            channels = width // divisor
            layers[f"conv{i}_2"] = torch.nn.Conv2d(squeezed // divisor, channels, *walk)
            predicting.append(channels)
            self.sources.add(f"conv{i}_2")
        self.layers = torch.nn.ModuleDict(layers)
        self.scale = torch.nn.Parameter(torch.full((predicting[0],), 20.0))  # conv4_3_norm
        shapes = [2 + 2 * len(each) for each in net.ratios]
        self.conf, self.loc = (
            torch.nn.ModuleList(
                torch.nn.Conv2d(c, b * n, 3, padding=1) for c, b in zip(predicting, shapes)
            )
            for n in (n_classes, 4)
        )

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return scores (N, K, classes) before softmax and offsets (N, K, 4) for images (N, 3, S, S)."""
        maps = []
        for name, layer in self.layers.items():
            x = F.relu(layer(x))
            if name == "conv4_3":
                length = (x.square().sum(dim=1, keepdim=True) + 1e-10).sqrt()
                maps.append(x / length * self.scale[None, :, None, None])
            elif name in self.sources:
                maps.append(x)
            if name in ("conv1_2", "conv2_2", "conv3_3", "conv4_3"):
                x = F.max_pool2d(x, 2, 2, ceil_mode=True)
            elif name == "conv5_3":
                x = F.max_pool2d(x, 3, 1, padding=1)
        return self._rows(self.conf, maps, self.n_classes), self._rows(self.loc, maps, 4)

    @staticmethod
    def _rows(heads: torch.nn.ModuleList, maps: list[torch.Tensor], n: int) -> torch.Tensor:
        """Apply a head to each map and list the answers (N, K, n) by map, row, column and box shape."""
        answers = [head(x).permute(0, 2, 3, 1) for head, x in zip(heads, maps)]
        return torch.cat([y.reshape(len(y), -1, n) for y in answers], dim=1)


def overlaps(boxes: torch.Tensor, others: torch.Tensor) -> torch.Tensor:
    """Return the IoU (M, K) of corner boxes (M, 4) and (K, 4)."""
    low = torch.maximum(boxes[:, None, :2], others[:, :2])
    high = torch.minimum(boxes[:, None, 2:], others[:, 2:])
    shared = (high - low).clamp(min=0).prod(dim=2)
    one, other = ((each[:, 2:] - each[:, :2]).prod(dim=1) for each in (boxes, others))
    return shared / (one[:, None] + other - shared)


def match(boxes: torch.Tensor, defaults: torch.Tensor, threshold: float = 0.5) -> torch.Tensor:
    """Return for each default box the row of its object, or -1: rounds one to one, then the threshold of the IoU."""
    iou = overlaps(boxes, defaults)
    owner = torch.full((len(defaults),), -1)
    if len(boxes) == 0:
        return owner
    free = iou.clone()
    for _ in boxes:
        row, column = divmod(int(free.argmax()), len(defaults))
        if free[row, column] <= 1e-6:
            break
        owner[column] = row
        free[row], free[:, column] = -1, -1
    for k in range(len(defaults)):
        if owner[k] < 0 and iou[:, k].max() >= threshold:
            owner[k] = iou[:, k].argmax()
    return owner


def encode(boxes: torch.Tensor, defaults: torch.Tensor) -> torch.Tensor:
    """Return the offsets of boxes (M, 4) from default boxes (M, 4), both corners, with variances 0.1 and 0.2."""
    center, size = (boxes[:, :2] + boxes[:, 2:]) / 2, boxes[:, 2:] - boxes[:, :2]
    middle, sides = (defaults[:, :2] + defaults[:, 2:]) / 2, defaults[:, 2:] - defaults[:, :2]
    return torch.cat([(center - middle) / sides / 0.1, (size / sides).log() / 0.2], dim=1)


def decode(offsets: torch.Tensor, defaults: torch.Tensor) -> torch.Tensor:
    """Return the corners (K, 4) that offsets (K, 4) from default boxes (K, 4) stand for."""
    middle, sides = (defaults[:, :2] + defaults[:, 2:]) / 2, defaults[:, 2:] - defaults[:, :2]
    center, size = middle + 0.1 * offsets[:, :2] * sides, (0.2 * offsets[:, 2:]).exp() * sides
    return torch.cat([center - size / 2, center + size / 2], dim=1)


class Loss(NamedTuple):
    """The parts of the loss, and the mined boxes (N, K)."""

    class_loss: torch.Tensor
    box_loss: torch.Tensor
    mined: torch.Tensor


def multibox_loss(
    scores: torch.Tensor,
    offsets: torch.Tensor,
    defaults: torch.Tensor,
    boxes: list[torch.Tensor],
    labels: list[torch.Tensor],
    threshold: float = 0.5,
) -> Loss:
    """Compute the loss image by image; three negatives to a positive, those with the least certain background."""
    class_loss, box_loss, total = [], [], 0
    mined = torch.zeros(scores.shape[:2], dtype=torch.bool)
    for i in range(len(scores)):
        owner = match(boxes[i], defaults, threshold)
        positive = owner >= 0
        total += int(positive.sum())
        surprise = -scores[i].detach().log_softmax(dim=1)[:, 0]
        order = [k for k in surprise.argsort(descending=True).tolist() if not positive[k]]
        mined[i, order[: 3 * int(positive.sum())]] = True
        target = torch.zeros(len(defaults), dtype=torch.int64)
        target[positive] = labels[i][owner[positive]]
        used = positive | mined[i]
        class_loss.append(F.cross_entropy(scores[i][used], target[used], reduction="sum"))
        wanted = encode(boxes[i][owner[positive]], defaults[positive])
        box_loss.append(F.smooth_l1_loss(offsets[i][positive], wanted, reduction="sum"))
    return Loss(sum(class_loss) / max(1, total), sum(box_loss) / max(1, total), mined)


def detect(scores: torch.Tensor, offsets: torch.Tensor, defaults: torch.Tensor) -> list[np.ndarray]:
    """Return boxes (D, 4) cut at the border, labels and scores of one image: (K, classes), (K, 4) -> best 200."""
    probabilities, boxes = scores.softmax(dim=1), decode(offsets, defaults)
    found = []
    for label in range(1, scores.shape[1]):
        rows = torch.where(probabilities[:, label] > 0.01)[0]
        rows = rows[probabilities[rows, label].argsort(descending=True)][:400]
        for row in rows[plain_nms(boxes[rows], probabilities[rows, label], 0.45)].tolist():
            found.append((float(probabilities[row, label]), label, row))
    found = sorted(found, reverse=True)[:200]
    best, labels, rows = (list(each) for each in zip(*found))
    corners = boxes[rows].clamp(0, 1).numpy()
    return [corners, np.array(labels), np.array(best, corners.dtype)]


def detections(scores: np.ndarray, offsets: np.ndarray) -> list[list[np.ndarray]]:
    """Return boxes, labels and scores of each image, from the outputs of SSD300 in float64."""
    defaults = torch.from_numpy(default_boxes(SSD300))
    return [detect(*map(torch.tensor, each), defaults) for each in zip(scores, offsets)]
