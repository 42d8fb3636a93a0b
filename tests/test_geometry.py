"""Box forms, area, IoU, clipping and the check of boxes."""

import re

import numpy as np
import oracles
import pytest
from box_cases import grid_boxes, random_boxes
from hypothesis import given, settings
from hypothesis import strategies as st

from minissd.backend import to_cpu
from minissd.boxes import area, centers_to_corners, check_boxes, clip, corners_to_centers, iou


def test_forms_by_hand(xp):
    corners = xp.asarray(np.array([[0.1, 0.2, 0.5, 0.8]]))
    centers = corners_to_centers(corners)
    np.testing.assert_allclose(to_cpu(centers), [[0.3, 0.5, 0.4, 0.6]])
    np.testing.assert_allclose(to_cpu(centers_to_corners(centers)), to_cpu(corners))


def test_forms_keep_leading_axes_and_dtype(xp, rng):
    boxes = random_boxes(rng, 6, np.float32).reshape(2, 3, 4)
    there = corners_to_centers(xp.asarray(boxes))
    back = centers_to_corners(there)
    assert there.shape == back.shape == (2, 3, 4)
    assert there.dtype == back.dtype == np.float32
    np.testing.assert_allclose(to_cpu(back), boxes, atol=1e-6)


def test_area_by_hand(xp):
    boxes = xp.asarray(np.array([[0, 0, 0.5, 0.25], [0.3, 0.1, 0.3, 0.9], [0.5, 0.5, 0.4, 0.4]]))
    np.testing.assert_allclose(to_cpu(area(boxes)), [0.125, 0, 0])


@pytest.mark.parametrize(
    "a, b, expected",
    [
        ((0, 0, 2, 2), (0, 0, 2, 2), 1),
        ((0, 0, 2, 2), (1, 1, 3, 3), 1 / 7),  # 1 / (4 + 4 - 1)
        ((0, 0, 4, 4), (1, 1, 3, 3), 4 / 16),  # one inside the other
        ((0, 0, 1, 1), (1, 0, 2, 1), 0),  # a common edge
        ((0, 0, 1, 1), (2, 2, 3, 3), 0),  # apart in both directions: no product of two negatives
        ((0, 0, 0, 1), (0, 0, 0, 1), 0),  # no area, though equal
        ((1, 1, 1, 1), (0, 0, 2, 2), 0),
    ],
)
def test_iou_by_hand(a, b, expected):
    assert iou(np.array([a], float), np.array([b], float))[0, 0] == pytest.approx(expected)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_iou_equals_the_loop(xp, rng, dtype):
    a, b = random_boxes(rng, 30, dtype), random_boxes(rng, 17, dtype)
    overlap = iou(xp.asarray(a), xp.asarray(b))
    assert overlap.shape == (30, 17)
    assert overlap.dtype == dtype
    tolerance = 1e-6 if dtype == np.float32 else 1e-14
    np.testing.assert_allclose(to_cpu(overlap), oracles.iou_matrix(a, b), atol=tolerance)


def test_iou_stays_in_range_where_precisions_meet(rng):
    a = random_boxes(rng, 2000, np.float32)
    b = a + rng.integers(-2, 3, a.shape) * np.spacing(
        a
    )  # float64, a few units in the last place off
    overlap = np.concatenate([iou(a[i : i + 50], b[i : i + 50]) for i in range(0, 2000, 50)])
    assert overlap.dtype == np.float64
    assert overlap.max() == 1


def test_iou_leaves_its_inputs_alone(xp, rng):
    a, b = random_boxes(rng, 5), random_boxes(rng, 4)
    device_a, device_b = xp.asarray(a.copy()), xp.asarray(b.copy())
    iou(device_a, device_b)
    np.testing.assert_array_equal(to_cpu(device_a), a)
    np.testing.assert_array_equal(to_cpu(device_b), b)


def test_iou_of_no_boxes(xp):
    none, some = xp.zeros((0, 4)), xp.ones((3, 4))
    assert iou(none, some).shape == (0, 3)
    assert iou(some, none).shape == (3, 0)


@settings(deadline=None, max_examples=60)
@given(grid_boxes(), grid_boxes())
def test_iou_properties(a, b):
    overlap = iou(a, b)
    assert np.isfinite(overlap).all()
    assert (overlap >= 0).all()
    assert (overlap <= 1).all()
    np.testing.assert_array_equal(overlap, iou(b, a).T)
    np.testing.assert_array_equal(np.diag(iou(a, a)), (area(a) > 0).astype(float))


@settings(deadline=None, max_examples=60)
@given(st.lists(st.tuples(*[st.floats(0, 1, width=32)] * 4), min_size=1, max_size=8))
def test_iou_stays_in_range_in_float32(numbers):
    boxes = np.array(numbers, np.float32)
    boxes = np.concatenate([boxes[:, :2], np.maximum(boxes[:, :2], boxes[:, 2:])], axis=1)
    overlap = iou(boxes, boxes)
    assert ((overlap >= 0) & (overlap <= 1)).all()
    np.testing.assert_array_equal(overlap, overlap.T)


def test_clip(xp):
    boxes = xp.asarray(np.array([[-0.5, 0.2, 0.5, 1.5], [1.2, 1.2, 1.4, 1.4]], np.float32))
    clipped = clip(boxes)
    assert clipped.dtype == np.float32
    np.testing.assert_allclose(to_cpu(clipped), [[0, 0.2, 0.5, 1], [1, 1, 1, 1]])
    assert to_cpu(area(clipped))[1] == 0


def test_check_boxes_lets_good_ones_pass(xp):
    check_boxes(xp.asarray(np.array([[0, 0, 1, 1], [0.5, 0.5, 0.5, 0.7], [-1, -1, 2, 2.0]])), "b")
    check_boxes(xp.zeros((0, 4)), "b")


@pytest.mark.parametrize(
    "bad", [[0.5, 0, 0.4, 1], [0, 0.5, 1, 0.4], [0, np.nan, 1, 1], [0, 0, np.inf, 1]]
)
def test_check_boxes_names_the_row(xp, bad):
    boxes = xp.asarray(np.array([[0, 0, 1, 1], bad, bad]))
    with pytest.raises(ValueError, match=r"truth: row 1: expected finite .* got " + re.escape("[")):
        check_boxes(boxes, "truth")


def test_check_boxes_names_the_shape():
    with pytest.raises(ValueError, match=r"truth: expected shape \(M, 4\), got \(4,\)"):
        check_boxes(np.zeros(4), "truth")


def test_arrays_of_two_devices_are_refused():
    from strict_array import strict

    with pytest.raises(TypeError, match="different devices"):
        iou(np.zeros((1, 4)), strict.zeros((1, 4)))
