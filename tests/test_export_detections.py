"""ONNX export of what follows the network: decoding and non-maximum suppression, fed with chosen numbers."""

from __future__ import annotations

import math

import numpy as np
import onnx_cases as cases
import pytest
from box_cases import random_boxes
from onnx_cases import assert_equal, maps

from minissd.boxes import decode, multiclass_nms
from minissd.boxes.geometry import clip
from minissd.export.onnx_check import pair_up
from minissd.models.detector import decode_detections
from minissd.models.spec import minissd_spec
from minissd.nn.losses import softmax


def few_boxes(n_object_classes=3, **settings):
    """A spec of 66 default boxes."""
    return minissd_spec(96, (3, 2, 1), n_object_classes, **settings)


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"size_clamp": math.log(1000 / 16), "clip_before_nms": True, "clip": "size"},
        {"center_scale": 0.3, "size_scale": 1, "size_clamp": 0.0},
    ],
    ids=["paper", "torchvision", "odd"],
)
def test_decoding(rng, settings):
    spec = few_boxes(**settings)
    scores, offsets = 5 * maps(rng, 2, 66, 4), 8 * maps(rng, 2, 66, 4)
    scores[0, :3] = [[1e4, -1e4, 0, 0], [-1e4] * 4, [1e4] * 4]
    offsets[0, 0] = [0, 0, 1e4, -1e4]  # a network that diverged
    boxes, probabilities = cases.run_decoding(spec, scores, offsets)
    scales = spec.center_scale, spec.size_scale, spec.size_clamp
    expected = decode(offsets, spec.default_boxes(), *scales)
    expected = clip(expected) if spec.clip_before_nms else expected
    np.testing.assert_allclose(boxes, expected, rtol=2e-6, atol=2e-6)
    np.testing.assert_allclose(probabilities, softmax(scores), rtol=1e-5, atol=1e-6)


def check_suppression(spec, boxes, probabilities):
    """The graph's detections are exactly those of `multiclass_nms`; the rest of its rows are 0."""
    found, outputs = cases.run_suppression(spec, boxes, probabilities)
    assert [len(each.scores) for each in found] == outputs["count"].tolist()
    for i, mine in enumerate(found):
        ours = multiclass_nms(
            boxes[i],
            probabilities[i, :, 1:],
            spec.score_floor,
            spec.nms_iou,
            spec.candidates_per_class,
            spec.max_detections,
        )
        np.testing.assert_array_equal(mine.labels, ours.labels)
        np.testing.assert_array_equal(mine.scores, ours.scores)
        np.testing.assert_array_equal(mine.boxes, clip(ours.boxes))
        assert not any(outputs[name][i, len(mine.scores) :].any() for name in mine._fields)
    return found


@pytest.mark.parametrize("n_images", [1, 3])
@pytest.mark.parametrize("n_object_classes", [1, 4])
@pytest.mark.parametrize(
    "floor, per_class, limit, iou",
    [
        (0.01, 400, 200, 0.45),
        (0.3, 20, 10, 0.3),
        (0.6, 3, 1, 1.0),
        (0.0, 7, 500, 0.0),
        (0, 66, 264, 0),
    ],
)
def test_suppression(rng, floor, per_class, limit, iou, n_object_classes, n_images):
    """Equal scores abound, boxes reach outside the image and some have no area."""
    spec = few_boxes(
        n_object_classes,
        score_floor=floor,
        candidates_per_class=per_class,
        max_detections=limit,
        nms_iou=iou,
    )
    boxes = np.stack([random_boxes(rng, 66, np.float32) for _ in range(n_images)]) * 1.4 - 0.2
    boxes[:, 5, 2] = boxes[:, 5, 0]
    boxes[:, 7] = boxes[:, 9] = boxes[:, 8]
    scores = np.round(rng.random((n_images, 66, n_object_classes + 1)) ** 3, 2)
    found = check_suppression(spec, boxes, scores.astype(np.float32))
    assert all(len(each.scores) for each in found)


def test_suppression_of_nothing(rng):
    """No image, or only one of several, has a score above the floor; a score may be no number."""
    spec = few_boxes(candidates_per_class=2, nms_iou=1)
    boxes = np.stack([random_boxes(rng, 66, np.float32)] * 3)
    nothing = np.full((3, 66, 4), 0.01, np.float32)  # not *above* the floor of 0.01
    assert [len(each.scores) for each in check_suppression(spec, boxes, nothing)] == [0, 0, 0]
    nothing[1, :60, 2] = np.nan  # these do not take the places of the candidates
    nothing[1, 4, 2] = nothing[1, 65, 2] = 0.5
    assert [len(each.scores) for each in check_suppression(spec, boxes, nothing)] == [0, 2, 0]


def test_iou_at_the_threshold_stays():
    spec = few_boxes(1, nms_iou=0.5)
    boxes = np.zeros((1, 66, 4), np.float32)
    boxes[0, :3] = [[0, 0, 1, 0.5], [0, 0, 1, 1], [0, 0, 1, 0.75]]  # IoU 1/2, 3/4, 2/3
    probabilities = np.zeros((1, 66, 2), np.float32)
    probabilities[0, :3, 1] = [0.9, 0.8, 0.7]
    (found,) = check_suppression(spec, boxes, probabilities)
    np.testing.assert_array_equal(found.scores, np.array([0.9, 0.8], np.float32))


def test_decoding_and_suppression_together(rng):
    """From the network's numbers to the detections, each in one go, on both sides."""
    spec = few_boxes(max_detections=30, clip_before_nms=True)
    scores, offsets = 3 * maps(rng, 2, 66, 4), maps(rng, 2, 66, 4)
    found, _ = cases.run_suppression(spec, *cases.run_decoding(spec, scores, offsets))
    ours = decode_detections(scores, offsets, spec.default_boxes(), spec)
    for mine, theirs in zip(ours, found):
        assert len(pair_up(mine, theirs)) == len(mine.scores) == len(theirs.scores) > 10
        assert_equal(theirs.boxes, mine.boxes)
        assert_equal(theirs.scores, mine.scores)
