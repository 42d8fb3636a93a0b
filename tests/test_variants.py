"""Variants of a configuration: the boxes and maps that are left; border boxes take no part where they must not."""

import dataclasses

import numpy as np
import oracles
import pytest
from box_cases import random_boxes

from minissd.backend import to_cpu
from minissd.boxes.default_boxes import FeatureMap
from minissd.boxes.geometry import centers_to_corners, inside_image
from minissd.models.build import build_from_spec, model_spec
from minissd.models.detector import decode_detections
from minissd.models.loss import make_targets, usable_boxes
from minissd.models.variants import VARIANTS, only_maps, vary
from minissd.models.vgg import layer_names
from minissd.nn import Conv2d

SMALL = model_spec("minissd", 3, image_size=96, width=2)

# Boxes a cell of each map, and how many there are in all: the paper has 8732, 8764, 8942, 9864, 9025 and 8664.
SSD300_BOXES = {
    "": ([4, 6, 6, 6, 4, 4], 8732),
    "no-ratio-3": ([4, 4, 4, 4, 4, 4], 7760),
    "no-ratios": ([2, 2, 2, 2, 2, 2], 3880),
    "maps-all": ([4, 6, 6, 6, 4, 4], 8732),
    "maps-5": ([4, 6, 6, 6, 8], 8764),
    "maps-4": ([4, 6, 6, 14], 8892),
    "maps-3": ([4, 6, 12], 9142),
    "maps-2": ([4, 10], 9386),
    "maps-second": ([26], 9386),
}
SMALL_BOXES = {
    "": ([4, 6, 6, 6, 6], 876),
    "no-ratio-3": ([4, 4, 4, 4, 4], 776),
    "no-ratios": ([2, 2, 2, 2, 2], 388),
    "maps-4": ([4, 6, 6, 12], 894),
    "maps-3": ([4, 6, 18], 954),
    "maps-2": ([4, 9], 900),
    "maps-second": ([22], 792),
}


def counts(spec):
    return [m.boxes_per_cell for m in spec.maps], spec.n_default_boxes


@pytest.mark.parametrize("variant", SSD300_BOXES)
def test_box_counts_of_ssd300(variant):
    spec = vary(model_spec("ssd300"), variant)
    assert counts(spec) == SSD300_BOXES[variant]
    assert len(spec.default_boxes()) == spec.n_default_boxes


@pytest.mark.parametrize("variant", SMALL_BOXES)
def test_small_variants_are_built_and_answer_for_every_box(variant, rng):
    spec = vary(SMALL, variant)
    assert counts(spec) == SMALL_BOXES[variant]
    model = build_from_spec(spec, rng)
    scores, offsets = model.forward(rng.standard_normal((3, 96, 96, 3), np.float32))
    assert scores.shape == (3, spec.n_default_boxes, 4)
    assert model.backward(np.ones_like(scores), np.ones_like(offsets)) is None
    idle = [name for name, p in model.parameters().items() if not p.grad.any()]
    assert idle == []  # no layer is built that no map needs


def test_stacked_sizes_follow_the_cells_own_ones():
    stacked = FeatureMap(3, 100, 264, 315, (2.0,))
    feature_map = FeatureMap(3, 100, 213, 264, (), (stacked,))
    assert feature_map.boxes_per_cell == 6
    assert feature_map.shapes() == FeatureMap(3, 100, 213, 264, ()).shapes() + stacked.shapes()
    centers = feature_map.centers(300).reshape(9, 6, 4)
    np.testing.assert_array_equal(centers[:, 2:], stacked.centers(300).reshape(9, 4, 4))
    with pytest.raises(ValueError, match="stacked"):
        FeatureMap(3, 100, 213, 264, (), (FeatureMap(2, 100, 264, 315, ()),))


def test_no_size_is_lost_with_its_map():
    """Small squares of all six maps remain, whichever maps go."""
    sizes = [m.min_size for m in model_spec("ssd300").maps]
    for variant, change in VARIANTS.items():
        maps = change(model_spec("ssd300")).maps
        left = [m.min_size for m in maps] + [s.min_size for m in maps for s in m.stacked]
        assert sorted(left) == sizes, variant


@pytest.mark.parametrize(
    ("variant", "sources", "n_extras", "taps"),
    [
        ("maps-5", ("conv4_3", "fc7"), 3, 1),
        ("maps-2", ("conv4_3", "fc7"), 0, 1),
        ("maps-second", ("fc7",), 0, 0),
    ],
)
def test_vgg_keeps_the_names_of_its_layers(variant, sources, n_extras, taps, rng):
    spec = vary(model_spec("ssd300"), variant)
    assert (spec.network.sources, len(spec.network.extras)) == (sources, n_extras)
    assert len(spec.network.normalised) == taps
    slim = dataclasses.replace(spec.network, width=1, fc_channels=2)
    model = build_from_spec(dataclasses.replace(spec, network=slim), rng)
    layers = dict(model.layers())
    assert all(
        isinstance(layers[ours], Conv2d) for name, ours in layer_names(spec) if "norm" not in name
    )
    assert len([name for name, _ in layer_names(spec)]) == 15 + 2 * n_extras + taps


def test_maps_that_are_not_there_are_refused():
    with pytest.raises(ValueError, match="numbers"):
        only_maps(SMALL, [0, 5])
    with pytest.raises(ValueError, match="numbers"):
        vary(SMALL, "maps-6")
    with pytest.raises(ValueError, match="no gap"):
        only_maps(model_spec("ssd300"), [0, 2])
    with pytest.raises(ValueError, match="variant"):
        vary(SMALL, "maps-9")


def test_inside_means_within_the_image_or_at_its_border(xp):
    boxes = [[0, 0, 1, 1], [0.2, 0.2, 0.4, 1.01], [-0.01, 0.2, 0.4, 0.5], [0.1, 0.1, 0.2, 0.2]]
    inside = inside_image(xp.asarray(np.array(boxes, np.float32)))
    assert to_cpu(inside).tolist() == [True, False, False, True]


def plain_targets(spec, boxes, labels):
    """Labels and candidates of one image in loops: boxes that cross the border are not even looked at."""
    corners = centers_to_corners(spec.default_boxes(np.float64))
    inside = [k for k, c in enumerate(corners) if min(c) >= -1e-6 and max(c) <= 1 + 1e-6]
    owner, _ = oracles.match_one_to_one(corners[inside], boxes, spec.match_iou)
    target, candidates = np.zeros(len(corners), int), np.zeros(len(corners), bool)
    for k, o in zip(inside, owner):
        target[k] = labels[o] if o >= 0 else 0
        best = max((oracles.iou(corners[k], box) for box in boxes), default=0)
        candidates[k] = o < 0 and best < spec.negative_iou
    return target, candidates


def test_targets_without_border_boxes_equal_a_plain_loop(xp, rng):
    spec = vary(SMALL, "maps-all-inside")
    boxes = [random_boxes(rng, n) for n in (5, 1, 0)]
    boxes.append(np.array([[0.0, 0.0, 0.1, 0.1], [0.9, 0.0, 1.0, 1.0]]))  # border boxes fit these
    labels = [rng.integers(1, 4, len(b)) for b in boxes]
    centers = xp.asarray(spec.default_boxes(np.float64))
    targets = make_targets(
        centers, [xp.asarray(b) for b in boxes], [xp.asarray(v) for v in labels], spec
    )
    kept = make_targets(
        centers, [xp.asarray(b) for b in boxes], [xp.asarray(v) for v in labels], SMALL
    )
    for i, (image_boxes, image_labels) in enumerate(zip(boxes, labels)):
        wanted, candidates = plain_targets(spec, image_boxes, image_labels)
        np.testing.assert_array_equal(to_cpu(targets.labels)[i], wanted)
        np.testing.assert_array_equal(to_cpu(targets.candidates)[i], candidates)
        assert (wanted > 0).sum() >= len(image_boxes)  # every object still has a box
    assert (to_cpu(kept.labels) > 0).sum() > (to_cpu(targets.labels) > 0).sum()


def test_border_boxes_do_not_answer(xp, rng):
    spec = vary(SMALL, "maps-all-inside")
    centers = spec.default_boxes()
    used = usable_boxes(centers_to_corners(centers), spec)
    assert 0 < used.sum() < len(used)
    for row, expected in ((int(np.flatnonzero(used)[0]), 1), (int(np.flatnonzero(~used)[0]), 0)):
        scores = np.zeros((1, len(centers), 4), np.float32)
        scores[..., 0] = 20
        scores[0, row] = [0, 20, 0, 0]
        offsets = np.zeros((1, len(centers), 4), np.float32)
        (found,) = decode_detections(*map(xp.asarray, (scores, offsets, centers)), spec)
        assert len(found.scores) == expected
        (found,) = decode_detections(*map(xp.asarray, (scores, offsets, centers)), SMALL)
        assert len(found.scores) == 1
