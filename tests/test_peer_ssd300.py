"""SSD300 whole, against PyTorch: the same state gives the same outputs, mined boxes, loss, gradients and detections.

Two judges: the authors' network and rules, written again in `peer_caffe.py`, and torchvision's own `ssd300_vgg16`. Each
network runs forth and back once, on a batch of two images, and the tests look at what it left.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import peer_caffe
import peer_torchvision
import pytest
from peer_report import EXACT, agree, agree_all
from peer_state import caffe_judge, gradients, load, torchvision_judge
from peer_torch import nchw, to_numpy, to_torch, torch

from minissd.models.build import build_model
from minissd.models.detector import decode_detections
from minissd.models.loss import Targets, make_targets, multibox_loss
from minissd.models.spec import published_spec
from minissd.models.ssd import SSD

pytestmark = [pytest.mark.peer, pytest.mark.slow]

Arrays = dict[str, np.ndarray]

# Corners in pixels, and labels, of the objects of the two images.
OBJECTS = [
    (
        [[31.2, 40.9, 144.6, 201.3], [170.4, 22.8, 288.1, 97.7], [101.9, 187.3, 128.8, 219.4]],
        [7, 15, 1],
    ),
    ([[12.7, 88.4, 271.5, 290.6], [203.1, 14.2, 262.9, 66.3]], [20, 3]),
]
# In float32, sums of thousands of products are rounded in another order. That shows most in the gradients: a value near
# zero passes a ReLU in one framework and not in the other, and of two nearly equal pixels another one wins a pooling.
ROUNDED = {"output": 1e-5, "loss": 1e-5, "gradient": 2e-2}


@dataclass
class Side:
    """What one framework computed.

    Attributes:
        output: "scores" and "offsets".
        loss: "class loss" and "box loss".
        trained: (N, K) bool, boxes whose scores got a gradient: the matched and the mined ones.
        gradient: Of every parameter, under our names.
    """

    output: Arrays = field(default_factory=dict)
    loss: Arrays = field(default_factory=dict)
    trained: np.ndarray | None = None
    gradient: Arrays = field(default_factory=dict)


@dataclass
class Comparison:
    """One variant at one precision, on both sides."""

    name: str
    dtype: type
    ours: Side
    theirs: Side
    positives: np.ndarray

    def hold(self, what: str) -> None:
        """Compare the arrays of one field."""
        allowed = EXACT if self.dtype == np.float64 else ROUNDED[what]
        group = f"SSD300 {self.name}: {what}, {self.dtype.__name__}"
        agree_all(group, getattr(self.ours, what), getattr(self.theirs, what), allowed)


def random_model(name: str, rng: np.random.Generator, dtype: type) -> SSD:
    """Build a network in which nothing is zero or one by chance, and whose signals have about the size 1."""
    model = build_model(name, None, rng)
    parameters = model.parameters()
    for key, parameter in parameters.items():
        if key.endswith(".bias"):
            parameter.value[...] = 0.1 * rng.standard_normal(parameter.value.shape)
    parameters["segments.0.conv1_1.weight"].value /= 60  # pixels are much larger
    parameters["taps.0.scale"].value *= rng.uniform(0.5, 1.5, 512).astype(np.float32)
    return model.astype(dtype)


def random_images(rng: np.random.Generator) -> np.ndarray:
    """Draw patches of colour with noise on them: (2, 300, 300, 3) uint8."""
    patches = rng.integers(30, 226, (2, 15, 15, 3)).repeat(20, axis=1).repeat(20, axis=2)
    return (patches + rng.integers(-30, 30, patches.shape)).astype(np.uint8)


def run_ours(model: SSD, images: np.ndarray, dtype: type) -> tuple[Side, Targets]:
    """Run our network forth and back."""
    side, spec = Side(), model.spec
    centers = spec.default_boxes(dtype)
    boxes = [np.array(corners, dtype) / dtype(300) for corners, _ in OBJECTS]
    targets = make_targets(centers, boxes, [np.array(labels) for _, labels in OBJECTS], spec)
    exact = images.astype(dtype) - np.array(spec.input_mean, dtype)
    x = model.prepare(images) if dtype == np.float32 else exact
    scores, offsets = model.forward(x)
    result = multibox_loss(scores, offsets, targets, spec.negative_ratio)
    model.backward(result.d_scores, result.d_offsets)
    side.output = {"scores": scores, "offsets": offsets}
    side.loss = {"class loss": result.class_loss, "box loss": result.box_loss}
    side.trained = result.mined | (targets.labels > 0)
    side.gradient = {name: p.grad for name, p in model.parameters().items()}
    return side, targets


def run_caffe(model: SSD, images: np.ndarray, dtype: type) -> Side:
    """Run the authors' network and rules in PyTorch."""
    side = Side()
    judge = caffe_judge(peer_caffe.CaffeSSD(peer_caffe.SSD300, 21))
    load(model, judge)
    defaults = to_torch(peer_caffe.default_boxes(peer_caffe.SSD300).astype(dtype))
    x = to_torch(nchw(images.astype(dtype) - np.array([123, 117, 104], dtype)))
    scores, offsets = judge.module(x)
    scores.retain_grad()
    boxes = [to_torch(np.array(corners, dtype) / dtype(300)) for corners, _ in OBJECTS]
    labels = [torch.tensor(labels) for _, labels in OBJECTS]
    loss = peer_caffe.multibox_loss(scores, offsets, defaults, boxes, labels)
    (loss.class_loss + loss.box_loss).backward()
    side.output = {"scores": to_numpy(scores), "offsets": to_numpy(offsets)}
    side.loss = {"class loss": to_numpy(loss.class_loss), "box loss": to_numpy(loss.box_loss)}
    side.trained = to_numpy(scores.grad != 0).any(axis=2)
    side.gradient = gradients(model, judge)
    return side


def run_torchvision(model: SSD, images: np.ndarray, dtype: type) -> Side:
    """Run torchvision's own network, from images of 0 to 1 to the losses."""
    side, seen = Side(), {}
    judge = peer_torchvision.build(dtype)
    load(model, torchvision_judge(judge))
    judge.head.register_forward_hook(lambda module, x, y: seen.update(y))
    targets = [
        {"boxes": to_torch(np.array(corners, dtype)), "labels": torch.tensor(labels)}
        for corners, labels in OBJECTS
    ]
    losses = judge(list(to_torch(nchw(images.astype(dtype) / dtype(255)))), targets)
    scores, offsets = seen["cls_logits"], seen["bbox_regression"]
    scores.retain_grad()
    sum(losses.values()).backward()
    side.output = {"scores": to_numpy(scores), "offsets": to_numpy(offsets)}
    names = {"class loss": "classification", "box loss": "bbox_regression"}
    side.loss = {ours: to_numpy(losses[theirs]) for ours, theirs in names.items()}
    side.trained = to_numpy(scores.grad != 0).any(axis=2)
    side.gradient = gradients(model, torchvision_judge(judge))
    return side


JUDGES = {"ssd300": peer_caffe, "ssd300-torchvision": peer_torchvision}
RUNS = {"ssd300": run_caffe, "ssd300-torchvision": run_torchvision}
VARIANTS = [(name, dtype) for dtype in (np.float64, np.float32) for name in JUDGES]


def variant_id(variant: tuple[str, type]) -> str:
    return f"{variant[0]}-{variant[1].__name__}"


@pytest.fixture(scope="module", params=VARIANTS, ids=variant_id)
def compared(request) -> Comparison:
    """Both sides of one variant at one precision."""
    name, dtype = request.param
    rng = np.random.default_rng(300)
    model, images = random_model(name, rng, dtype), random_images(rng)
    ours, targets = run_ours(model, images, dtype)
    with peer_torchvision.working_in(dtype):
        theirs = RUNS[name](model, images, dtype)
    return Comparison(name, dtype, ours, theirs, targets.labels > 0)


def test_the_heads_answer_the_same(compared):
    compared.hold("output")


def test_the_same_boxes_are_trained_on(compared):
    """The matched ones and the mined ones: the judge's are those whose scores got a gradient."""
    np.testing.assert_array_equal(compared.ours.trained, compared.theirs.trained)
    positives = compared.positives.sum(axis=1)
    assert (positives > 3).all()
    np.testing.assert_array_equal(compared.ours.trained.sum(axis=1), 4 * positives)


def test_the_loss_is_the_same(compared):
    compared.hold("loss")


def test_every_parameter_has_the_same_gradient(compared):
    compared.hold("gradient")
    assert len(compared.ours.gradient) == 59


@pytest.mark.parametrize("compared", VARIANTS[:2], ids=variant_id, indirect=True)
def test_the_detections_are_the_same(compared):
    """In float64 only: rounded otherwise, two nearly equal scores change places, and all behind them may differ."""
    group = f"SSD300 {compared.name}: detections, float64"
    spec = published_spec(compared.name)
    found = decode_detections(
        **compared.ours.output, default_centers=spec.default_boxes(np.float64), spec=spec
    )
    expected = JUDGES[compared.name].detections(**compared.theirs.output)
    for ours, theirs in zip(found, expected, strict=True):
        assert len(ours[0]) == 200
        np.testing.assert_array_equal(ours[1], theirs[1])
        agree(group, "boxes", ours[0], theirs[0])
        agree(group, "scores", ours[2], theirs[2])
