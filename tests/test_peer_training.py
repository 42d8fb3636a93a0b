"""Twenty training steps of the small SSD against PyTorch: the same start and batches must end in the same numbers."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import peer_caffe
import pytest
from box_cases import random_boxes
from peer_report import agree, agree_all
from peer_torch import hwio, nchw, oihw, to_numpy, to_torch, torch
from torch import nn

from minissd.boxes.geometry import centers_to_corners
from minissd.datasets.loader import Batch
from minissd.models.build import build_minissd
from minissd.models.ssd import SSD
from minissd.nn import BatchNorm2d, Conv2d
from minissd.training.config import TrainConfig
from minissd.training.trainer import Trainer

pytestmark = pytest.mark.peer

STEPS, SIZE, CLASSES, WIDTH = 20, 96, 3, 16


def conv_bn_relu(n_in: int, n_out: int, kernel: int, stride: int) -> list[nn.Module]:
    conv = nn.Conv2d(n_in, n_out, kernel, stride, kernel // 2, bias=False)
    return [conv, nn.BatchNorm2d(n_out), nn.ReLU()]


class Residual(nn.Module):
    """x + two convolutions of x, then ReLU."""

    def __init__(self, n: int):
        super().__init__()
        second = nn.Conv2d(n, n, 3, padding=1, bias=False)
        self.body = nn.Sequential(*conv_bn_relu(n, n, 3, 1), second, nn.BatchNorm2d(n))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return (x + self.body(x)).relu()


class SmallSSD(nn.Module):
    """The small SSD, written again."""

    def __init__(self, width: int, shapes: list[int], n_classes: int):
        super().__init__()
        n, w, v = width, 2 * width, 4 * width
        stem = [nn.Conv2d(3, n, 7, 4, 3, bias=False), nn.BatchNorm2d(n), nn.ReLU()]
        segments = [
            [*stem, *conv_bn_relu(n, w, 3, 2), Residual(w), Residual(w)],
            [*conv_bn_relu(w, v, 3, 2), Residual(v)],
            *[conv_bn_relu(v, w, 1, 1) + conv_bn_relu(w, v, 3, 2) for _ in range(3)],
        ]
        self.segments = nn.ModuleList(nn.Sequential(*layers) for layers in segments)
        self.heads = nn.ModuleList(
            nn.Conv2d(channels, b * (n_classes + 4), 3, padding=1)
            for channels, b in zip((w, v, v, v, v), shapes)
        )
        self.n_classes = n_classes

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return scores (N, K, classes) and offsets (N, K, 4)."""
        rows = []
        for segment, head in zip(self.segments, self.heads):
            x = segment(x)
            y = head(x).permute(0, 2, 3, 1)
            rows.append(y.reshape(len(x), -1, self.n_classes + 4))
        scores, offsets = torch.cat(rows, dim=1).split([self.n_classes, 4], dim=2)
        return scores, offsets


def pairs(model: SSD, judge: SmallSSD) -> Iterator[tuple[str, torch.Tensor]]:
    """Yield (name in our state, the judge's tensor) of everything that is learnt or kept."""
    for ours, theirs, names in (
        (Conv2d, nn.Conv2d, {"weight": "weight", "bias": "bias"}),
        (
            BatchNorm2d,
            nn.BatchNorm2d,
            {
                "gamma": "weight",
                "beta": "bias",
                "running_mean": "running_mean",
                "running_var": "running_var",
            },
        ),
    ):
        prefixes = [prefix for prefix, layer in model.layers() if isinstance(layer, ours)]
        modules = [module for module in judge.modules() if isinstance(module, theirs)]
        for prefix, module in zip(prefixes, modules, strict=True):
            for name, tensor in names.items():
                if getattr(module, tensor) is not None:
                    yield f"{prefix}.{name}", getattr(module, tensor)


def float64_model(rng: np.random.Generator) -> SSD:
    """Build our network so that every number from image to loss is float64."""
    model = build_minissd(CLASSES, SIZE, rng, width=WIDTH).astype(np.float64)
    spec = model.spec
    boxes = spec.default_boxes(np.float64)
    model.default_centers = lambda xp=np: boxes
    model.prepare = lambda images: (images - np.array(spec.input_mean)) / spec.input_std
    for name, parameter in model.parameters().items():
        if name.endswith(".bias"):
            parameter.rate = 2.0  # the authors' solver
            parameter.value += 0.1 * rng.standard_normal(parameter.value.shape)
    return model


def batches(rng: np.random.Generator) -> list[Batch]:
    """Draw three batches of four images with one to three objects each; one image has none."""
    drawn = []
    for _ in range(3):
        images = rng.integers(0, 256, (4, 12, 12, 3)).repeat(8, axis=1).repeat(8, axis=2)
        boxes = [random_boxes(rng, n) for n in (1, 3, 0, 2)]
        labels = [rng.integers(1, CLASSES + 1, len(each)) for each in boxes]
        easy = [np.zeros(len(each), bool) for each in boxes]
        drawn.append(Batch(images.astype(np.uint8), boxes, labels, easy, list("abcd")))
    return drawn


class JudgeTrainer:
    """The training step in PyTorch.

    Args:
        model: Ours; its state, spec and learning rules are taken over.
        make: Makes the optimiser from groups of one tensor each.
        decay: Weight decay.
        clip: Longest gradient over all parameters.
        caffe: Whether the learning rate goes into the velocity, as in the authors' solver. PyTorch multiplies it in
            afterwards, so its own rate is then 1, and gradient and decay bring the real one along.
    """

    def __init__(self, model: SSD, make: Callable, decay: float, clip: float, caffe: bool):
        spec = model.spec
        shapes = [each.boxes_per_cell for each in spec.maps]
        self.module = SmallSSD(WIDTH, shapes, CLASSES + 1).double()
        self.threshold = spec.match_iou
        self.defaults = to_torch(centers_to_corners(spec.default_boxes(np.float64)))
        self.prepare, self.clip, self.caffe = model.prepare, clip, caffe
        state, parameters = model.state(), model.parameters()
        groups = []
        for name, tensor in pairs(model, self.module):
            value = state.pop(name)
            tensor.data = to_torch(oihw(value) if value.ndim == 4 else value)
            if name in parameters:
                p = parameters[name]
                kept = decay if p.decay else 0.0
                groups.append({"params": [tensor], "rate": p.rate, "decay": kept, "lr": 1.0})
        assert not state, f"not given to the judge: {sorted(state)}"
        self.optimizer = make(groups)

    def step(self, batch: Batch, lr: float) -> float:
        """Train on one batch; return the loss."""
        self.optimizer.zero_grad()
        scores, offsets = self.module(to_torch(nchw(self.prepare(batch.images))))
        objects = [to_torch(each) for each in batch.boxes], [to_torch(e) for e in batch.labels]
        loss = peer_caffe.multibox_loss(scores, offsets, self.defaults, *objects, self.threshold)
        (loss.class_loss + loss.box_loss).backward()
        gradients = [p.grad for group in self.optimizer.param_groups for p in group["params"]]
        length = torch.stack([gradient.square().sum() for gradient in gradients]).sum().sqrt()
        shrink = min(1.0, self.clip / float(length))
        for group in self.optimizer.param_groups:
            rate = lr * group["rate"]
            group["params"][0].grad *= shrink * (rate if self.caffe else 1)
            group["weight_decay"] = group["decay"] * (rate if self.caffe else 1)
            group["lr"] = 1.0 if self.caffe else rate
        self.optimizer.step()
        self.clipped = shrink < 1
        return (loss.class_loss + loss.box_loss).item()


OPTIMIZERS = {
    "sgd": (lambda groups: torch.optim.SGD(groups, lr=1.0, momentum=0.9), 0.005, 5e-4),
    "adamw": (lambda groups: torch.optim.AdamW(groups, lr=1.0), 0.003, 0.01),
}


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_twenty_steps_end_in_the_same_numbers(name, rng):
    """Warm-up, cosine, clipped gradients, batch norm in training mode, an image without objects in every batch."""
    make, lr, decay = OPTIMIZERS[name]
    model, data, clip = float64_model(rng), batches(rng), 10.0
    start = model.state()
    judge = JudgeTrainer(model, make, decay, clip, caffe=name == "sgd")
    config = TrainConfig(
        data="",
        image_size=SIZE,
        optimizer=name,
        lr=lr,
        warmup=4,
        weight_decay=decay,
        bias_rate=2.0,  # as `float64_model` says it to the judge
        clip_norm=clip,
    )
    trainer = Trainer(model, config, STEPS)
    group = f"{STEPS} training steps, {name}, float64"
    ours, theirs, clipped = [], [], []
    for i in range(STEPS):
        result = trainer.step(data[i % len(data)])
        ours.append(result.loss)
        theirs.append(judge.step(data[i % len(data)], result.lr))
        clipped.append(judge.clipped)
    agree(group, "losses", np.array(ours), np.array(theirs))
    assert any(clipped)
    assert not all(clipped)
    state = model.state()
    tensors = {key: to_numpy(tensor) for key, tensor in pairs(model, judge.module)}
    tensors = {key: hwio(value) if value.ndim == 4 else value for key, value in tensors.items()}
    agree_all(group, state, tensors)
    assert ours[-1] < 0.8 * ours[0]
    assert not any(np.array_equal(start[key], state[key]) for key in state)
