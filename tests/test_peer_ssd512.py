"""SSD512 by the authors' rules, against the same in PyTorch, with an eighth of the channels: 24,564 boxes."""

from __future__ import annotations

import dataclasses

import numpy as np
import peer_caffe
import pytest
from peer_report import agree, agree_all
from peer_state import caffe_judge, gradients, load
from peer_torch import nchw, to_numpy, to_torch

from minissd.models.build import build_from_spec
from minissd.models.loss import make_targets, multibox_loss
from minissd.models.spec import DetectorSpec, published_spec

pytestmark = pytest.mark.peer

DIVISOR = 8


def thin(spec: DetectorSpec) -> DetectorSpec:
    """Return the configuration with every number of channels divided."""
    network = spec.network
    extras = [
        dataclasses.replace(
            each, squeeze=each.squeeze // DIVISOR, channels=each.channels // DIVISOR
        )
        for each in network.extras
    ]
    network = dataclasses.replace(
        network,
        width=network.width // DIVISOR,
        fc_channels=network.fc_channels // DIVISOR,
        extras=tuple(extras),
    )
    return dataclasses.replace(spec, network=network)


def objects_of_all_sizes(rng: np.random.Generator) -> np.ndarray:
    """Return corners (8, 4) of objects, so that every map has boxes of the right size for one."""
    sides = np.array([35, 76, 153, 230, 307, 384, 460])[:, None] / 512
    sides = sides * rng.uniform(0.95, 1.05, (7, 2))
    low = rng.uniform(0, 1, (7, 2)) * (1 - sides)
    corner = np.array(
        [[0.002, 0.001, 0.624, 0.631]]
    )  # where a box of 384 pixels hangs over the border
    return np.concatenate([np.concatenate([low, low + sides], axis=1), corner])


def test_outputs_loss_and_gradients(rng):
    spec = thin(published_spec("ssd512"))
    model = build_from_spec(spec, rng).astype(np.float64)
    for name, parameter in model.parameters().items():
        if name.endswith(".bias"):
            parameter.value += 0.1 * rng.standard_normal(parameter.value.shape)
    judge = caffe_judge(peer_caffe.CaffeSSD(peer_caffe.SSD512, 21, DIVISOR))
    load(model, judge)
    x = rng.standard_normal((1, 512, 512, 3))
    boxes, labels = [objects_of_all_sizes(rng)], [np.arange(2, 10)]

    ours = model.forward(x)
    targets = make_targets(spec.default_boxes(np.float64), boxes, labels, spec)
    result = multibox_loss(*ours, targets, spec.negative_ratio)
    model.backward(result.d_scores, result.d_offsets)

    theirs = judge.module(to_torch(nchw(x)))
    defaults = to_torch(peer_caffe.default_boxes(peer_caffe.SSD512))
    objects = [to_torch(boxes[0])], [to_torch(labels[0])]
    loss = peer_caffe.multibox_loss(*theirs, defaults, *objects)
    (loss.class_loss + loss.box_loss).backward()

    group = "SSD512, an eighth of the channels, float64"
    agree(group, "scores", ours[0], to_numpy(theirs[0]))
    agree(group, "offsets", ours[1], to_numpy(theirs[1]))
    np.testing.assert_array_equal(result.mined, to_numpy(loss.mined))
    agree(group, "class loss", result.class_loss, to_numpy(loss.class_loss))
    agree(group, "box loss", result.box_loss, to_numpy(loss.box_loss))
    own = {name: parameter.grad for name, parameter in model.parameters().items()}
    agree_all(group, own, gradients(model, judge))
