"""Non-maximum suppression: against the loops, its promises, and the classes of a whole detector."""

import importlib

import numpy as np
import oracles
import pytest
from box_cases import grid_boxes, random_boxes
from hypothesis import given, settings
from hypothesis import strategies as st

from minissd.backend import to_cpu
from minissd.boxes import Detections, iou, multiclass_nms, nms


def test_by_hand(xp):
    """A chain: B overlaps A and goes, C overlaps only B and stays."""
    boxes = xp.asarray(np.array([[0, 0, 0.4, 1], [0.1, 0, 0.5, 1], [0.2, 0, 0.6, 1.0]]))
    scores = xp.asarray(np.array([0.9, 0.8, 0.7]))  # A-B and B-C: IoU 0.6, A-C: 1/3
    kept = nms(boxes, scores, 0.45)
    assert kept.dtype == np.int64
    np.testing.assert_array_equal(to_cpu(kept), [0, 2])


@pytest.mark.parametrize("n", [1, 5, 150, 300])
@pytest.mark.parametrize("top_k", [None, 100])
def test_equals_the_loop(xp, rng, n, top_k):
    """More boxes than fit into one block, and many equal scores."""
    boxes, scores = random_boxes(rng, n), np.round(rng.random(n), 2)
    kept = nms(xp.asarray(boxes), xp.asarray(scores), 0.45, top_k)
    np.testing.assert_array_equal(to_cpu(kept), oracles.nms(boxes, scores, 0.45, top_k))


@settings(deadline=None, max_examples=80)
@given(
    boxes=grid_boxes(max_size=20),
    data=st.data(),
    threshold=st.sampled_from([0.0, 0.25, 0.5, 1.0]),
)
def test_equals_the_loop_and_keeps_its_promises(boxes, data, threshold):
    n = len(boxes)
    score = st.integers(0, 5).map(lambda i: i / 5)
    scores = np.array(data.draw(st.lists(score, min_size=n, max_size=n)), float)
    kept = nms(boxes, scores, threshold)
    np.testing.assert_array_equal(kept, oracles.nms(boxes, scores, threshold))
    overlap = iou(boxes, boxes)
    among_kept = overlap[np.ix_(kept, kept)]
    assert (among_kept[~np.eye(len(kept), dtype=bool)] <= threshold).all()
    for i in set(range(n)) - set(kept):
        better = [j for j in kept if (scores[j], -j) > (scores[i], -i)]
        assert (overlap[i, better] > threshold).any()


def test_the_blocks_do_not_matter(monkeypatch, rng):
    module = importlib.import_module("minissd.boxes.nms")  # the attribute is the function
    boxes, scores = random_boxes(rng, 200), rng.random(200)
    whole = nms(boxes, scores, 0.3)
    for block in (1, 7, 64, 1000):
        monkeypatch.setattr(module, "BLOCK", block)
        np.testing.assert_array_equal(nms(boxes, scores, 0.3), whole)


def test_iou_at_the_threshold_stays(xp):
    boxes = xp.asarray(np.array([[0, 0, 1, 1], [0, 0, 1, 0.5]]))  # IoU 1/2
    scores = xp.asarray(np.array([0.5, 0.9]))
    np.testing.assert_array_equal(to_cpu(nms(boxes, scores, 0.5)), [1, 0])
    np.testing.assert_array_equal(to_cpu(nms(boxes, scores, 0.49)), [1])


def test_equal_scores_keep_their_order_and_boxes_without_area_stay(xp):
    boxes = xp.asarray(np.array([[0, 0, 1, 1], [0, 0, 1, 1], [0.5, 0.5, 0.5, 0.6], [0.5] * 4]))
    kept = nms(boxes, xp.asarray(np.array([0.5, 0.5, 0.5, 0.5])))
    np.testing.assert_array_equal(to_cpu(kept), [0, 2, 3])


def test_nms_of_nothing(xp):
    kept = nms(xp.zeros((0, 4)), xp.zeros(0))
    assert kept.shape == (0,)
    assert kept.dtype == np.int64


def check_detections(found: Detections, boxes, expected):
    """Compare with the loop's list of (row, label, score)."""
    rows = [row for row, _, _ in expected]
    np.testing.assert_array_equal(to_cpu(found.labels), [label for _, label, _ in expected])
    np.testing.assert_array_equal(to_cpu(found.scores), [score for _, _, score in expected])
    np.testing.assert_array_equal(to_cpu(found.boxes), boxes[rows].reshape(-1, 4))


@pytest.mark.parametrize("agnostic", [False, True])
@pytest.mark.parametrize(
    "floor, per_class, limit", [(0.01, 400, 200), (0.3, 20, 10), (0.9, 3, 1), (0.0, 7, 500)]
)
def test_multiclass_equals_the_loop(xp, rng, agnostic, floor, per_class, limit):
    boxes = random_boxes(rng, 60, np.float32)
    scores = np.round(rng.random((60, 4)) ** 3, 2).astype(np.float32)  # equal scores abound
    args = floor, 0.45, per_class, limit
    found = multiclass_nms(xp.asarray(boxes), xp.asarray(scores), *args, class_agnostic=agnostic)
    loop = oracles.multiclass_nms_agnostic if agnostic else oracles.multiclass_nms
    check_detections(found, boxes, loop(boxes, scores, *args))
    assert found.boxes.dtype == found.scores.dtype == np.float32
    assert found.labels.dtype == np.int64


@settings(deadline=None, max_examples=60)
@given(boxes=grid_boxes(max_size=10), data=st.data())
def test_multiclass_properties(boxes, data):
    n, n_classes = len(boxes), 3
    score = st.integers(0, 4).map(lambda i: i / 4)
    numbers = data.draw(st.lists(score, min_size=n * n_classes, max_size=n * n_classes))
    scores = np.array(numbers, float).reshape(n, n_classes)
    per_class, limit = data.draw(st.integers(1, 6)), data.draw(st.integers(1, 8))
    found = multiclass_nms(boxes, scores, 0.2, 0.5, per_class, limit)
    args = boxes, scores, 0.2, 0.5, per_class, limit
    check_detections(found, boxes, oracles.multiclass_nms(*args))
    assert (np.diff(found.scores) <= 0).all()
    assert len(found.scores) <= limit


def test_two_classes_on_one_spot(xp):
    """Class by class both stay; class-agnostic only the better one."""
    boxes = xp.asarray(np.array([[0.1, 0.1, 0.5, 0.5]]))
    scores = xp.asarray(np.array([[0.6, 0.7]]))
    both = multiclass_nms(boxes, scores)
    np.testing.assert_array_equal(to_cpu(both.labels), [2, 1])
    one = multiclass_nms(boxes, scores, class_agnostic=True)
    np.testing.assert_array_equal(to_cpu(one.labels), [2])


def test_a_class_never_seen_and_a_score_that_is_no_number(xp):
    boxes = xp.asarray(np.array([[0, 0, 0.5, 0.5], [0.5, 0.5, 1, 1]]))
    scores = xp.asarray(np.array([[0.0, 0.5, np.nan], [0.01, 0.0, 0.2]]))  # 0.01 is not above 0.01
    found = multiclass_nms(boxes, scores)
    np.testing.assert_array_equal(to_cpu(found.labels), [2, 3])


def test_nothing_above_the_floor(xp):
    found = multiclass_nms(xp.ones((5, 4), dtype=np.float32), xp.zeros((5, 3), dtype=np.float32))
    assert found.boxes.shape == (0, 4)
    assert found.labels.shape == found.scores.shape == (0,)
    assert (found.boxes.dtype, found.labels.dtype) == (np.float32, np.int64)
    assert multiclass_nms(xp.zeros((0, 4)), xp.zeros((0, 3))).boxes.shape == (0, 4)


def test_a_device_is_asked_once_and_answered_once(counted, rng):
    from strict_array import strict

    boxes, scores = strict.asarray(random_boxes(rng, 50)), strict.asarray(rng.random((50, 3)))
    counted.reset()
    multiclass_nms(boxes, scores)
    assert (counted.to_host, counted.to_device, counted.syncs) == (2, 3, 0)


def test_refusals():
    boxes, scores = np.zeros((3, 4)), np.zeros(3)
    with pytest.raises(ValueError, match=r"scores: expected shape \(3\), got \(2,\)"):
        nms(boxes, scores[:2])
    with pytest.raises(ValueError, match="iou_threshold: expected a number in"):
        nms(boxes, scores, 45)
    with pytest.raises(ValueError, match="top_k: expected at least 1, got 0"):
        nms(boxes, scores, top_k=0)
    with pytest.raises(ValueError, match=r"scores: expected shape \(3, n_object_classes\)"):
        multiclass_nms(boxes, scores)
    with pytest.raises(ValueError, match="max_detections: expected at least 1"):
        multiclass_nms(boxes, scores[:, None], max_detections=0)
    with pytest.raises(ValueError, match="candidates_per_class: expected at least 1"):
        multiclass_nms(boxes, scores[:, None], candidates_per_class=0)
