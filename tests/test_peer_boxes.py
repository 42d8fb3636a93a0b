"""Default boxes, matching, coding, loss and detections on random outputs, against torchvision and plain PyTorch."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np
import peer_caffe
import peer_report
import peer_torchvision
import pytest
from box_cases import random_boxes
from peer_report import EXACT, agree
from peer_torch import to_numpy, to_torch, torch

from minissd.boxes.coding import decode, encode
from minissd.boxes.geometry import centers_to_corners, iou
from minissd.boxes.matching import match
from minissd.models.detector import decode_detections
from minissd.models.loss import make_targets, multibox_loss
from minissd.models.spec import DetectorSpec, published_spec

pytestmark = pytest.mark.peer
box_iou = peer_torchvision.detection.ssd.box_ops.box_iou

JUDGES = {"ssd300": peer_caffe, "ssd300-torchvision": peer_torchvision}
CAFFE = {"ssd300": peer_caffe.SSD300, "ssd512": peer_caffe.SSD512}
N_CLASSES = 8  # with background: enough for the rules, and quick


@pytest.fixture(scope="module")
def judge() -> torch.nn.Module:
    """torchvision's box arithmetic in float64."""
    return peer_torchvision.build(np.float64, weights=False)


@pytest.fixture
def unrecorded(monkeypatch) -> None:
    """Keep faults that are made on purpose out of the table."""
    monkeypatch.setattr(peer_report, "FOUND", [])


def few_classes(name: str, **settings: object) -> DetectorSpec:
    return dataclasses.replace(published_spec(name), n_object_classes=N_CLASSES - 1, **settings)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_default_boxes_are_those_of_torchvision(dtype):
    """With the sides cut to the image's; torchvision's in float32 are those it is published with."""
    (theirs,) = peer_torchvision.default_boxes(peer_torchvision.build(dtype, weights=False), dtype)
    ours = centers_to_corners(published_spec("ssd300-torchvision").default_boxes(dtype))
    group = f"default boxes of torchvision, {dtype.__name__}"
    agree(group, "corners", ours, to_numpy(theirs) / dtype(300), allowed=1e-6)
    assert (ours[:, 2:] - ours[:, :2]).max() <= 1 + 1e-6  # 261 √2 pixels would be more


@pytest.mark.parametrize("name", CAFFE)
def test_default_boxes_are_those_of_the_plain_loop(name):
    ours = centers_to_corners(published_spec(name).default_boxes(np.float64))
    agree("default boxes of Caffe", name, ours, peer_caffe.default_boxes(CAFFE[name]))


# Worked out from the prior-box layer: the centre of cell (row, column) is ((column + 0.5) step, (row + 0.5) step); the
# sizes 35.84, 76.8, 153.6, 230.4, ..., 460.8, 537.6 are cut to 35, 76, 153, 230, ..., 460, 537; then come the small
# square, the square of side √(min max), and for each ratio a first min √a x min / √a and then min / √a x min √a.
SSD512_ROWS = {
    # 64 x 64 cells, step 8, sizes 35 and 76, ratio 2. Centre (4, 4), 4 ∓ 17.5:
    0: (-13.5, -13.5, 21.5, 21.5),
    # √(35 · 76) = √2660 = 51.57518783; 4 ∓ 25.78759392
    1: (-21.78759392, -21.78759392, 29.78759392, 29.78759392),
    # 35 √2 = 49.49747468 wide, 35 / √2 = 24.74873734 high; 4 ∓ 24.74873734 and 4 ∓ 12.37436867
    2: (-20.74873734, -8.37436867, 28.74873734, 16.37436867),
    3: (-8.37436867, -20.74873734, 16.37436867, 28.74873734),
    # the next cell is the one to the right: centre (12, 4)
    4: (-5.5, -13.5, 29.5, 21.5),
    # after 64 cells of 4 boxes, the next row: centre (4, 12)
    256: (-13.5, -5.5, 21.5, 29.5),
    # 64 · 64 · 4 = 16384: 32 x 32 cells, step 16, sizes 76 and 153, ratios 2 and 3. Centre (8, 8), 8 ∓ 38:
    16384: (-30, -30, 46, 46),
    # √(76 · 153) = √11628 = 107.83320453; 8 ∓ 53.91660227
    16385: (-45.91660227, -45.91660227, 61.91660227, 61.91660227),
    # ratio 3 after ratio 2: 76 √3 = 131.63586138 wide, 76 / √3 = 43.87862046 high
    16388: (-57.81793069, -13.93931023, 73.81793069, 29.93931023),
    16389: (-13.93931023, -57.81793069, 29.93931023, 73.81793069),
    # 16384 + 32 · 32 · 6 = 22528: step 32, centre (16, 16), √(153 · 230) = √35190 = 187.58997841
    22529: (-77.79498921, -77.79498921, 109.79498921, 109.79498921),
    # the last map is one cell with 4 boxes: centre (256, 256), 256 ∓ 230
    24560: (26, 26, 486, 486),
    # √(460 · 537) = √247020 = 497.01106628
    24561: (7.49446686, 7.49446686, 504.50553314, 504.50553314),
    # 460 √2 = 650.53823869 wide, 460 / √2 = 325.26911935 high: it reaches out of the image
    24562: (-69.26911935, 93.36544033, 581.26911935, 418.63455967),
}


def test_literal_rows_of_ssd512():
    ours = centers_to_corners(published_spec("ssd512").default_boxes(np.float64)) * 512
    rows = list(SSD512_ROWS)
    group = "default boxes of Caffe, literal rows"
    agree(group, "ssd512", ours[rows], np.array(list(SSD512_ROWS.values()), float))
    assert len(ours) == 24564
    assert ours[0, 2] - ours[0, 0] == pytest.approx(35)  # and not 35.84


def test_literal_rows_of_ssd512_for_coco():
    """Sizes 20.48, 51.2, ..., 460.8, 542.72 are cut to 20, 51, ..., 460, 542."""
    ours = centers_to_corners(published_spec("ssd512-coco").default_boxes(np.float64)) * 512
    expected = [
        (-6, -6, 14, 14),  # 4 ∓ 10
        (-11.96871942, -11.96871942, 19.96871942, 19.96871942),  # √(20 · 51) = √1020 = 31.93743885
        (6.34023152, 6.34023152, 505.65976848, 505.65976848),  # √(460 · 542) = 499.31953697
    ]
    group = "default boxes of Caffe, literal rows"
    agree(group, "ssd512-coco", ours[[0, 1, 24561]], np.array(expected, float))


def crowd(rng: np.random.Generator, n: int = 6) -> np.ndarray:
    """Return corners (n, 4) in which the second wants the default box of the first."""
    boxes = random_boxes(rng, n)
    boxes[1] = boxes[0] + 1e-4
    return boxes


@pytest.mark.parametrize("seed", range(5))
def test_matching_is_that_of_torchvision(seed, judge):
    boxes = crowd(np.random.default_rng(seed))
    defaults = centers_to_corners(published_spec("ssd300-torchvision").default_boxes(np.float64))
    overlap = box_iou(to_torch(boxes), to_torch(defaults))
    agree("matching of torchvision", "IoU", iou(boxes, defaults), to_numpy(overlap))
    ours = match(defaults, boxes, 0.5, "overwrite").object_index
    np.testing.assert_array_equal(ours, to_numpy(judge.proposal_matcher(overlap)))
    first, second = overlap[:2].argmax(dim=1).tolist()
    assert first == second
    assert ours[first] == 1  # the later object has it


@pytest.mark.parametrize("seed", range(5))
def test_matching_is_that_of_the_plain_rounds(seed):
    boxes = crowd(np.random.default_rng(seed))
    defaults = peer_caffe.default_boxes(peer_caffe.SSD300)
    theirs = peer_caffe.match(to_torch(boxes), to_torch(defaults))
    ours = match(defaults, boxes, 0.5, "one-to-one").object_index
    np.testing.assert_array_equal(ours, to_numpy(theirs))
    assert set(range(6)) <= set(ours.tolist())  # every object has a box


def test_coding_is_that_of_torchvision(judge, rng):
    """Sizes beyond the clamp are among the offsets to be decoded."""
    centers = published_spec("ssd300-torchvision").default_boxes(np.float64)
    corners = to_torch(centers_to_corners(centers) * 300)
    boxes = random_boxes(rng, len(centers))
    theirs = judge.box_coder.encode_single(to_torch(boxes * 300), corners)
    agree("coding of torchvision", "encoded", encode(boxes, centers), to_numpy(theirs))
    offsets = rng.normal(0, 10, centers.shape)
    assert (offsets[:, 2:] * 0.2 > np.log(1000 / 16)).any()
    theirs = to_numpy(judge.box_coder.decode_single(to_torch(offsets), corners))
    ours = decode(offsets, centers, size_clamp=published_spec("ssd300-torchvision").size_clamp)
    agree("coding of torchvision", "decoded", ours, theirs / 300)


def random_outputs(
    rng: np.random.Generator, n_images: int, spec: DetectorSpec
) -> tuple[np.ndarray, np.ndarray]:
    """Draw scores (N, K, C) and offsets (N, K, 4) as spread out as a trained network's."""
    k = spec.n_default_boxes
    scores = 3 * rng.standard_normal((n_images, k, N_CLASSES))
    scores[..., 0] += 4  # mostly background
    return scores, 1.5 * rng.standard_normal((n_images, k, 4))


def torchvision_loss(judge, scores, offsets, boxes, labels) -> tuple[torch.Tensor, torch.Tensor]:
    """Return class and box loss as torchvision computes them."""
    anchors = peer_torchvision.default_boxes(judge, np.float64, len(scores))
    targets = [
        {"boxes": to_torch(each * 300), "labels": to_torch(names)}
        for each, names in zip(boxes, labels)
    ]
    matched = []
    for each, defaults in zip(boxes, anchors):
        overlap = box_iou(to_torch(each * 300), defaults)
        nothing = torch.full((len(defaults),), -1)
        matched.append(judge.proposal_matcher(overlap) if len(each) else nothing)
    outputs = {"cls_logits": scores, "bbox_regression": offsets}
    losses = judge.compute_loss(targets, outputs, anchors, matched)
    return losses["classification"], losses["bbox_regression"]


def caffe_loss(judge, scores, offsets, boxes, labels) -> tuple[torch.Tensor, torch.Tensor]:
    """Return class and box loss by the authors' rules."""
    defaults = to_torch(peer_caffe.default_boxes(peer_caffe.SSD300))
    objects = [to_torch(each) for each in boxes], [to_torch(each) for each in labels]
    return peer_caffe.multibox_loss(scores, offsets, defaults, *objects)[:2]


LOSSES: dict[str, Callable] = {"ssd300": caffe_loss, "ssd300-torchvision": torchvision_loss}


def compare_losses(name: str, seed: int, judge: torch.nn.Module, **settings: object) -> None:
    """Compare on four images: a crowd with two objects that want one box, none, one, and one that is nearly all.

    Args:
        name: Configuration, and with it the judge.
        seed: Of objects and outputs.
        judge: torchvision's box arithmetic.
        settings: Fields of the spec that are not the configuration's.
    """
    rng, spec = np.random.default_rng(seed), few_classes(name, **settings)
    boxes = [crowd(rng, 12), np.zeros((0, 4)), random_boxes(rng, 1), np.array([[0, 0.01, 1, 0.98]])]
    labels = [rng.integers(1, N_CLASSES, len(each)) for each in boxes]
    scores, offsets = random_outputs(rng, 4, spec)
    tensors = [to_torch(each, requires_grad=True) for each in (scores, offsets)]
    parts = LOSSES[name](judge, *tensors, boxes, labels)
    sum(parts).backward()
    targets = make_targets(spec.default_boxes(np.float64), boxes, labels, spec)
    ours = multibox_loss(scores, offsets, targets, spec.negative_ratio, spec.min_negatives)
    d_scores, d_offsets = (to_numpy(each.grad) for each in tensors)
    trained = ours.mined | (targets.labels > 0)
    np.testing.assert_array_equal(trained, (d_scores != 0).any(axis=2))
    group = f"loss on random outputs, {name}, float64"
    agree(group, "class loss", ours.class_loss, to_numpy(parts[0]))
    agree(group, "box loss", ours.box_loss, to_numpy(parts[1]))
    agree(group, "d scores", ours.d_scores, d_scores)
    agree(group, "d offsets", ours.d_offsets, d_offsets)


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("seed", [1, 2])
def test_the_loss_and_its_gradients(name, seed, judge):
    compare_losses(name, seed, judge)


@pytest.mark.parametrize(
    "name, wrong",
    [
        ("ssd300", {"matching": "overwrite"}),
        ("ssd300-torchvision", {"matching": "one-to-one"}),
        ("ssd300", {"clip": "size"}),
        ("ssd300-torchvision", {"clip": None}),
        ("ssd300", {"match_iou": 0.51}),
        ("ssd300-torchvision", {"negative_iou": 0.4}),
        ("ssd300", {"negative_ratio": 2.9}),
        ("ssd300-torchvision", {"min_negatives": 1}),
        ("ssd300", {"size_scale": 0.1}),
    ],
)
def test_the_loss_by_another_rule_is_told_apart(name, wrong, judge, unrecorded):
    with pytest.raises(AssertionError):
        compare_losses(name, 1, judge, **wrong)


def compare_detections(name: str, **settings: object) -> None:
    """Compare on two images; the second is full of large boxes of one class, of which few are left."""
    rng, spec = np.random.default_rng(9), few_classes(name, **settings)
    scores, offsets = random_outputs(rng, 2, spec)
    scores[1, :7942, 1:] -= 40  # the two finest maps are sure of their background
    scores[1, :, 1:3] -= 40
    scores[1, :, 4:] -= 40
    ours = decode_detections(scores, offsets, spec.default_boxes(np.float64), spec)
    theirs = JUDGES[name].detections(scores, offsets)
    assert [len(each.boxes) for each in ours] == [len(each[0]) for each in theirs]
    assert len(ours[0].boxes) == 200 > len(ours[1].boxes) > 10
    group = f"detections on random outputs, {name}, float64"
    for one, other in zip(ours, theirs):
        np.testing.assert_array_equal(one.labels, other[1])
        agree(group, "boxes", one.boxes, other[0], EXACT)
        agree(group, "scores", one.scores, other[2], EXACT)


@pytest.mark.parametrize("name", JUDGES)
def test_detections(name):
    compare_detections(name)


@pytest.mark.parametrize(
    "name, wrong",
    [
        ("ssd300", {"clip_before_nms": True}),
        ("ssd300-torchvision", {"clip_before_nms": False}),
        ("ssd300", {"nms_iou": 0.46}),
        ("ssd300-torchvision", {"score_floor": 0.02}),
        ("ssd300", {"candidates_per_class": 300}),
        ("ssd300-torchvision", {"center_scale": 0.11}),
    ],
)
def test_detections_by_another_rule_are_told_apart(name, wrong, unrecorded):
    with pytest.raises(AssertionError):
        compare_detections(name, **wrong)
