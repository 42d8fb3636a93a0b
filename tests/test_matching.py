"""Matching: both rules against their loops, the promises of each, and the cases at the edge."""

import numpy as np
import oracles
import pytest
from box_cases import grid_boxes, random_boxes
from hypothesis import given, settings

from minissd.backend import to_cpu
from minissd.boxes import Matching, centers_to_corners, iou, match
from minissd.models.spec import published_spec

ORACLES = {"one-to-one": oracles.match_one_to_one, "overwrite": oracles.match_overwrite}
RULES = list(ORACLES)


def on_host(found: Matching) -> Matching:
    return Matching(*(to_cpu(part) for part in found))


def check_equals_loop(xp, defaults, boxes, rule, threshold=0.5):
    found = on_host(match(xp.asarray(defaults), xp.asarray(boxes), threshold, rule))
    owner, forced = ORACLES[rule](defaults, boxes, threshold)
    np.testing.assert_array_equal(found.object_index, owner)
    np.testing.assert_array_equal(found.forced, forced)
    overlap = oracles.iou_matrix(defaults, boxes)
    matched = np.take_along_axis(overlap, np.maximum(owner, 0)[:, None], axis=1)[:, 0]
    expected = np.where(owner >= 0, matched, overlap.max(axis=1))
    np.testing.assert_allclose(found.iou, expected, atol=1e-6)


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("n_objects", [1, 2, 7, 40])
def test_equals_the_loop(xp, rng, rule, n_objects):
    """With 40 objects for 30 default boxes, one-to-one runs out of boxes."""
    check_equals_loop(xp, random_boxes(rng, 30), random_boxes(rng, n_objects), rule)


@pytest.mark.parametrize("rule", RULES)
@settings(deadline=None, max_examples=60)
@given(defaults=grid_boxes(min_size=1), boxes=grid_boxes(min_size=1, max_size=6))
def test_equals_the_loop_with_ties(rule, defaults, boxes):
    """On a coarse grid equal overlaps abound: the order of the choice must be the loop's."""
    check_equals_loop(np, defaults, boxes, rule, threshold=0.25)


@pytest.mark.parametrize("rule", RULES)
def test_ssd300_in_float32_on_real_default_boxes(rng, rule):
    defaults = centers_to_corners(published_spec("ssd300").default_boxes(np.float64))
    boxes = random_boxes(rng, 5)
    nearby = iou(defaults, boxes).max(axis=1) > 0.3  # the loop need not see the others
    single = match(defaults.astype(np.float32), boxes.astype(np.float32), rule=rule)
    check_equals_loop(np, defaults[nearby], boxes, rule)
    owner, _ = ORACLES[rule](defaults[nearby], boxes, 0.5)
    np.testing.assert_array_equal(single.object_index[nearby], owner)
    assert (single.object_index[~nearby] == -1).all()
    assert single.object_index.dtype == np.int64
    assert single.iou.dtype == np.float32


@settings(deadline=None, max_examples=80)
@given(defaults=grid_boxes(min_size=1), boxes=grid_boxes(min_size=1, max_size=6))
def test_promises_of_one_to_one(defaults, boxes):
    threshold = 0.5
    found = match(defaults, boxes, threshold)
    overlap = iou(defaults, boxes)
    winners = found.object_index[found.forced]
    assert len(set(winners)) == len(winners)  # no object is forced on two boxes
    for d in np.flatnonzero(found.forced):
        assert overlap[d, found.object_index[d]] > 1e-6
    # An object without a box of its own found every box that it overlaps taken by another.
    for o in set(range(len(boxes))) - set(winners):
        assert found.forced[overlap[:, o] > 1e-6].all()
    # All others follow the threshold, to the object that they overlap most.
    rest = ~found.forced
    np.testing.assert_array_equal(
        found.object_index[rest] >= 0, overlap.max(axis=1)[rest] >= threshold
    )
    for d in np.flatnonzero(rest & (found.object_index >= 0)):
        assert overlap[d, found.object_index[d]] == overlap[d].max()


@settings(deadline=None, max_examples=60)
@given(boxes=grid_boxes(min_size=1, max_size=8, least_side=1))
def test_every_object_gets_a_box_where_there_are_enough(boxes):
    """As many overlapping default boxes as objects, all over the image: each object is served."""
    defaults = np.tile([[0.0, 0.0, 1.0, 1.0]], (len(boxes), 1))
    found = match(defaults, boxes)
    assert sorted(found.object_index) == list(range(len(boxes)))


@settings(deadline=None, max_examples=60)
@given(defaults=grid_boxes(min_size=1), boxes=grid_boxes(min_size=1, max_size=6))
def test_promises_of_overwrite(defaults, boxes):
    found = match(defaults, boxes, 0.5, "overwrite")
    overlap = iou(defaults, boxes)
    favourite = overlap.argmax(axis=0)
    assert found.object_index[favourite[-1]] == len(boxes) - 1  # the last object always has its way
    np.testing.assert_array_equal(np.flatnonzero(found.forced), np.unique(favourite))


# Two objects that want default box 0; the second best of object 0 is default box 1.
WANTED = np.array([[0, 0, 0.5, 0.5], [0.1, 0, 0.6, 0.5], [0.7, 0.7, 0.9, 0.9]])
RIVALS = np.array([[0.02, 0, 0.52, 0.5], [0, 0, 0.5, 0.48]])


def test_two_objects_one_box(xp):
    """One-to-one serves both, overwrite leaves the first object whatever the threshold gives."""
    defaults, boxes = xp.asarray(WANTED), xp.asarray(RIVALS)
    fair = on_host(match(defaults, boxes, threshold=0.99))
    np.testing.assert_array_equal(fair.object_index, [1, 0, -1])
    np.testing.assert_array_equal(fair.forced, [True, True, False])
    harsh = on_host(match(defaults, boxes, threshold=0.99, rule="overwrite"))
    np.testing.assert_array_equal(harsh.object_index, [1, -1, -1])


def test_an_object_that_no_box_fits(xp):
    far = xp.asarray(np.array([[0.62, 0.0, 0.68, 0.2]]))
    assert (to_cpu(match(xp.asarray(WANTED), far).object_index) == -1).all()
    forced = on_host(match(xp.asarray(WANTED), far, rule="overwrite"))
    np.testing.assert_array_equal(forced.object_index, [0, -1, -1])  # at IoU 0, as torchvision
    assert forced.iou[0] == 0


def test_an_object_below_the_threshold_still_gets_its_box(xp):
    small = xp.asarray(np.array([[0.75, 0.75, 0.8, 0.8]]))  # IoU 1/16 with the third box
    found = on_host(match(xp.asarray(WANTED), small))
    np.testing.assert_array_equal(found.object_index, [-1, -1, 0])
    assert found.forced[2]
    assert found.iou[2] == pytest.approx(1 / 16)


def test_an_object_without_area_is_not_matched_one_to_one(xp):
    boxes = xp.asarray(np.array([[0.2, 0.2, 0.2, 0.4], WANTED[0]]))
    found = on_host(match(xp.asarray(WANTED), boxes))
    np.testing.assert_array_equal(found.object_index, [1, 1, -1])
    np.testing.assert_array_equal(found.forced, [True, False, False])


def test_the_threshold_itself_matches(xp):
    defaults = xp.asarray(np.array([[0, 0, 1, 1], [0, 0, 1, 0.5]]))
    found = on_host(match(defaults, xp.asarray(np.array([[0, 0, 1, 1.0]])), threshold=0.5))
    np.testing.assert_array_equal(found.object_index, [0, 0])
    np.testing.assert_array_equal(found.forced, [True, False])


@pytest.mark.parametrize("rule", RULES)
def test_an_image_without_objects_is_all_background(xp, rule):
    found = match(
        xp.asarray(WANTED.astype(np.float32)), xp.zeros((0, 4), dtype=np.float32), 0.5, rule
    )
    assert found.object_index.dtype == np.int64
    assert found.iou.dtype == np.float32
    np.testing.assert_array_equal(to_cpu(found.object_index), [-1, -1, -1])
    assert not to_cpu(found.forced).any()
    assert not to_cpu(found.iou).any()


def test_no_default_boxes(xp):
    assert match(xp.zeros((0, 4)), xp.asarray(RIVALS)).object_index.shape == (0,)


def test_only_the_objects_are_copied_to_the_host(counted):
    """On a device the rounds do not wait for the host; the check of the objects is the one copy."""
    from strict_array import strict

    defaults, boxes = strict.asarray(WANTED), strict.asarray(RIVALS)
    for rule in RULES:
        counted.reset()
        match(defaults, boxes, rule=rule)
        assert (counted.to_host, counted.to_device, counted.syncs) == (1, 0, 0)


def test_refusals():
    with pytest.raises(ValueError, match=r"rule: expected one-to-one \| overwrite, got 'best'"):
        match(WANTED, RIVALS, rule="best")
    for threshold in (0, 1.5):
        with pytest.raises(ValueError, match="threshold: expected a number in"):
            match(WANTED, RIVALS, threshold=threshold)
    with pytest.raises(ValueError, match=r"default_corners: expected shape \(K, 4\)"):
        match(WANTED[0], RIVALS)
    with pytest.raises(ValueError, match="boxes: row 1: expected finite corners"):
        match(WANTED, np.array([RIVALS[0], [0.5, 0, 0.4, 1]]))
