"""The table of parity: every public function of losses, boxes and the detector, and every optimiser, by name.

An entry is called as `entry(xp, rng, dtype)`: it draws its inputs on the host, computes with the array module, and
returns one array or a tuple of them. What is drawn must not depend on `xp`.
"""

from __future__ import annotations

import dataclasses

import numpy as np
from box_cases import random_boxes

from minissd import boxes as box_functions
from minissd.boxes.nms import batched_nms
from minissd.models.build import build_minissd
from minissd.models.detector import decode_detections
from minissd.models.loss import make_targets, multibox_loss, usable_boxes
from minissd.models.spec import published_spec
from minissd.nn import Parameter, losses, optim

SPEC = dataclasses.replace(published_spec("ssd300"), n_object_classes=3)
K = 40  # default boxes


def centers(rng, dtype):
    sides = rng.uniform(0.1, 0.5, (K, 2))
    return np.concatenate([rng.random((K, 2)), sides], axis=1).astype(dtype)


def of_boxes(function):
    """Make an entry of a function of boxes."""
    return lambda xp, rng, dtype: function(xp.asarray(random_boxes(rng, 30, dtype)))


def of_logits(function):
    return lambda xp, rng, dtype: function(
        xp.asarray((5 * rng.standard_normal((6, 5))).astype(dtype))
    )


def cross_entropy(xp, rng, dtype):
    logits = (5 * rng.standard_normal((6, 5))).astype(dtype)
    return losses.softmax_cross_entropy(xp.asarray(logits), xp.asarray(rng.integers(0, 5, 6)))


def smooth_l1(xp, rng, dtype):
    a, b = (2 * rng.standard_normal((2, 7, 4))).astype(dtype)
    return losses.smooth_l1(xp.asarray(a), xp.asarray(b), 0.5)


def iou(xp, rng, dtype):
    a, b = random_boxes(rng, 20, dtype), random_boxes(rng, 9, dtype)
    return box_functions.iou(xp.asarray(a), xp.asarray(b))


def encode(xp, rng, dtype):
    boxes, default = random_boxes(rng, K, dtype), centers(rng, dtype)
    return box_functions.encode(xp.asarray(boxes), xp.asarray(default))


def decode(xp, rng, dtype):
    offsets = rng.standard_normal((2, K, 4)).astype(dtype)
    return box_functions.decode(xp.asarray(offsets), xp.asarray(centers(rng, dtype)))


def match(rule):
    def entry(xp, rng, dtype):
        defaults, boxes = random_boxes(rng, K, dtype), random_boxes(rng, 6, dtype)
        return tuple(box_functions.match(xp.asarray(defaults), xp.asarray(boxes), 0.4, rule))

    return entry


def mine(xp, rng, dtype):
    hardness, positive = np.round(rng.random((3, K)), 1).astype(dtype), rng.random((3, K)) < 0.1
    return box_functions.mine_hard_negatives(xp.asarray(hardness), xp.asarray(positive))


def nms(xp, rng, dtype):
    boxes, scores = random_boxes(rng, K, dtype), np.round(rng.random(K), 1).astype(dtype)
    return box_functions.nms(xp.asarray(boxes), xp.asarray(scores))


def multiclass_nms(xp, rng, dtype):
    boxes, scores = random_boxes(rng, K, dtype), np.round(rng.random((K, 3)), 1).astype(dtype)
    return tuple(box_functions.multiclass_nms(xp.asarray(boxes), xp.asarray(scores)))


def nms_of_a_batch(xp, rng, dtype):
    boxes = random_boxes(rng, 3 * K, dtype).reshape(3, K, 4)
    scores = np.round(rng.random((3, K, 2)), 1).astype(dtype)
    scores[1] = 0  # nothing is found
    found = batched_nms(xp.asarray(boxes), xp.asarray(scores))
    return tuple(part for each in found for part in each)


def some_objects(rng):
    boxes = [random_boxes(rng, n, np.float32) for n in (3, 0, 5)]  # one image is empty
    return boxes, [rng.integers(1, 4, len(each)) for each in boxes]


def targets(**changes):
    spec = dataclasses.replace(SPEC, **changes)

    def entry(xp, rng, dtype):
        return tuple(make_targets(xp.asarray(centers(rng, dtype)), *some_objects(rng), spec))

    return entry


def usable(xp, rng, dtype):
    corners = box_functions.centers_to_corners(centers(rng, dtype))
    return usable_boxes(xp.asarray(corners), dataclasses.replace(SPEC, ignore_border=True))


def outputs(xp, rng, dtype):
    scores = (2 * rng.standard_normal((3, K, 4))).astype(dtype)
    return xp.asarray(scores), xp.asarray(rng.standard_normal((3, K, 4)).astype(dtype))


def loss(xp, rng, dtype):
    predicted = outputs(xp, rng, dtype)
    wanted = make_targets(xp.asarray(centers(rng, dtype)), *some_objects(rng), SPEC)
    return tuple(multibox_loss(*predicted, wanted))


def detections(xp, rng, dtype):
    predicted = outputs(xp, rng, dtype)
    found = decode_detections(*predicted, xp.asarray(centers(rng, dtype)), SPEC)
    return tuple(part for each in found for part in each)


def optimiser(make):
    def entry(xp, rng, dtype):
        value = Parameter(xp.asarray(rng.standard_normal((3, 4)).astype(dtype)))
        steps = make({"w": value}, 0.1, weight_decay=0.01)
        for _ in range(3):
            value.grad[...] = xp.asarray(rng.standard_normal((3, 4)).astype(dtype))
            steps.step()
        return value.value

    return entry


def clipped_gradients(xp, rng, dtype):
    value = Parameter(xp.asarray(rng.standard_normal((3, 4)).astype(dtype)))
    value.grad[...] = xp.asarray(rng.standard_normal((3, 4)).astype(dtype))
    return optim.clip_gradients({"w": value}, 0.5), value.grad


def network(xp, rng, dtype):
    """Train the small SSD on one batch, and let it detect."""
    model = build_minissd(3, 96, np.random.default_rng(0), width=2).astype(dtype).to(xp)
    images = rng.integers(0, 256, (3, 96, 96, 3), dtype=np.uint8)
    scores, offsets = model.forward(model.prepare(xp.asarray(images)).astype(dtype))
    default = model.default_centers(xp).astype(dtype)
    result = multibox_loss(scores, offsets, make_targets(default, *some_objects(rng), model.spec))
    model.backward(result.d_scores, result.d_offsets)
    gradients = [parameter.grad for parameter in model.parameters().values()]
    return result.loss, result.n_positives, scores, offsets, *gradients


CASES = {
    "softmax": of_logits(losses.softmax),
    "log_softmax": of_logits(losses.log_softmax),
    "softmax_cross_entropy": cross_entropy,
    "smooth_l1": smooth_l1,
    "area": of_boxes(box_functions.area),
    "centers_to_corners": of_boxes(box_functions.centers_to_corners),
    "corners_to_centers": of_boxes(box_functions.corners_to_centers),
    "clip": lambda xp, rng, dtype: box_functions.clip(
        xp.asarray(rng.uniform(-1, 2, (9, 4)).astype(dtype))
    ),
    "inside_image": lambda xp, rng, dtype: box_functions.inside_image(
        xp.asarray(rng.uniform(-0.3, 1.3, (30, 4)).astype(dtype))
    ),
    "iou": iou,
    "encode": encode,
    "decode": decode,
    "match one-to-one": match("one-to-one"),
    "match overwrite": match("overwrite"),
    "mine_hard_negatives": mine,
    "nms": nms,
    "multiclass_nms": multiclass_nms,
    "batched_nms": nms_of_a_batch,
    "make_targets": targets(),
    "make_targets overwrite, border": targets(matching="overwrite", ignore_border=True),
    "usable_boxes": usable,
    "multibox_loss": loss,
    "decode_detections": detections,
    "SGD": optimiser(optim.SGD),
    "Adam": optimiser(optim.Adam),
    "AdamW": optimiser(optim.AdamW),
    "clip_gradients": clipped_gradients,
}

# Public names without a case, and why.
ELSEWHERE = {
    "check_boxes": "looks at boxes on the host and returns nothing",
    "default_boxes": "computes on the host, once for each model",
    "pack_objects": "works on the host",
    "can_match_packed": "part of make_targets where there are kernels: test_matching_kernels.py",
    "match_packed": "likewise",
    "encode_matched": "likewise",
    "unpack_detections": "part of batched_nms",
    "Detector": "the network and decode_detections: test_device_path.py",
    "Optimizer": "what the optimisers have in common",
}
