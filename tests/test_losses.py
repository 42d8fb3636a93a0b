from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minissd.backend import to_cpu
from minissd.nn.losses import log_softmax, smooth_l1, softmax, softmax_cross_entropy

DTYPES = pytest.mark.parametrize("dtype", [np.float32, np.float64])
number = st.floats(-50, 50)


def entropy_of_row(row: list[float], label: int) -> float:
    """Plain and in high precision: the logarithm of the sum is taken with math.fsum."""
    top = max(row)
    return math.log(math.fsum(math.exp(v - top) for v in row)) + top - row[label]


@given(
    st.lists(st.lists(number, min_size=3, max_size=3), min_size=1, max_size=5), st.integers(0, 2)
)
@settings(deadline=None, max_examples=50)
def test_cross_entropy_is_that_of_the_plain_loop(rows, label):
    losses, gradient = softmax_cross_entropy(np.array(rows), np.full(len(rows), label))
    assert losses == pytest.approx([entropy_of_row(row, label) for row in rows], abs=1e-12)
    expected = softmax(np.array(rows)) - np.eye(3)[label]
    assert np.allclose(gradient, expected, rtol=0, atol=1e-14)
    assert np.allclose(gradient.sum(axis=1), 0, atol=1e-14)


@DTYPES
def test_values_agree_with_each_other_on_every_backend(xp, dtype, rng):
    host = rng.standard_normal((6, 5)).astype(dtype)
    labels = rng.integers(0, 5, 6)
    logits = xp.asarray(host)
    losses, gradient = softmax_cross_entropy(logits, xp.asarray(labels))
    rows = np.arange(6)
    tolerance = 20 * np.finfo(dtype).eps
    assert losses.shape == (6,)
    assert (
        losses.dtype
        == gradient.dtype
        == softmax(logits).dtype
        == log_softmax(logits).dtype
        == dtype
    )
    expected = -to_cpu(log_softmax(logits))[rows, labels]
    assert np.allclose(to_cpu(losses), expected, atol=tolerance)
    assert np.allclose(np.exp(to_cpu(log_softmax(logits))), to_cpu(softmax(logits)), atol=tolerance)
    assert np.array_equal(to_cpu(logits), host)


@DTYPES
def test_huge_logits_give_finite_answers(xp, dtype):
    logits = xp.asarray(np.array([[1e4, -1e4, 0], [-1e4, -1e4, -1e4], [1e4, 1e4, -1e4]], dtype))
    losses, gradient = softmax_cross_entropy(logits, xp.asarray(np.array([1, 2, 0])))
    assert to_cpu(losses) == pytest.approx([2e4, math.log(3), math.log(2)], rel=1e-6)
    expected = [[1, -1, 0], [1 / 3, 1 / 3, -2 / 3], [-0.5, 0.5, 0]]
    assert np.allclose(to_cpu(gradient), expected, atol=1e-6)
    assert np.isfinite(to_cpu(log_softmax(logits))).all()
    assert np.allclose(to_cpu(softmax(logits)).sum(axis=1), 1)


def test_a_row_does_not_feel_its_neighbours():
    """A shift by the maximum of all rows, as in the most copied code, gives infinity here."""
    losses, _ = softmax_cross_entropy(np.array([[1e4, 0], [-1e4, 0]]), np.array([0, 1]))
    assert losses.tolist() == [0, 0]


def test_equal_logits_cost_the_logarithm_of_the_number_of_classes():
    losses, _ = softmax_cross_entropy(np.zeros((2, 21), np.float32), np.array([0, 20]))
    assert losses == pytest.approx([math.log(21)] * 2, rel=1e-6)


def test_softmax_works_on_the_last_axis(rng):
    logits = rng.standard_normal((2, 3, 4))
    assert np.allclose(softmax(logits)[1, 2], softmax(logits[1, 2]))
    assert np.allclose(log_softmax(logits)[1, 2], log_softmax(logits[1, 2]))


def test_edges_of_the_shape(xp):
    losses, gradient = softmax_cross_entropy(xp.zeros((0, 4)), xp.zeros(0, np.int64))
    assert (losses.shape, gradient.shape) == ((0,), (0, 4))
    losses, gradient = softmax_cross_entropy(xp.ones((2, 1)), xp.zeros(2, np.int64))
    assert not to_cpu(losses).any()
    assert not to_cpu(gradient).any()


@pytest.mark.parametrize(
    ("labels", "text"),
    [
        ([0, 4, 1], r"labels: expected classes 0\.\.3, got 4 in row 1"),
        ([0, 1, -1], "got -1 in row 2"),
        ([0, 1], r"labels: expected shape \(3\), got \(2,\)"),
    ],
)
def test_labels_are_checked(labels, text):
    with pytest.raises(ValueError, match=text):
        softmax_cross_entropy(np.zeros((3, 4)), np.array(labels))


@given(number, number, st.floats(0.01, 5))
@settings(deadline=None, max_examples=100)
def test_smooth_l1_is_its_definition(prediction, target, beta):
    value, slope = (a.item() for a in smooth_l1(np.array([prediction]), np.array([target]), beta))
    d = prediction - target
    near = abs(d) < beta
    assert value == pytest.approx(
        d * d / (2 * beta) if near else abs(d) - beta / 2, rel=1e-12, abs=1e-12
    )
    assert slope == pytest.approx(d / beta if near else math.copysign(1, d), rel=1e-12)


def test_smooth_l1_by_hand(xp):
    prediction = xp.asarray(np.array([[0, 0.5, 3], [-0.5, -3, 1]], np.float32))
    target = xp.zeros((2, 3), np.float32)
    values, slopes = smooth_l1(prediction, target)
    assert to_cpu(values).tolist() == [[0, 0.125, 2.5], [0.125, 2.5, 0.5]]
    assert to_cpu(slopes).tolist() == [[0, 0.5, 1], [-0.5, -1, 1]]
    assert values.dtype == slopes.dtype == np.float32


def test_smooth_l1_of_a_huge_error_does_not_overflow():
    values, slopes = smooth_l1(np.full(2, 1e30, np.float32), np.zeros(2, np.float32), np.float64(1))
    assert values == pytest.approx([1e30, 1e30])
    assert slopes.tolist() == [1, 1]
    assert values.dtype == np.float32


def test_smooth_l1_checks_its_arguments():
    with pytest.raises(ValueError, match="beta: expected a number above 0, got 0"):
        smooth_l1(np.zeros(2), np.zeros(2), 0)
    with pytest.raises(ValueError, match="target"):
        smooth_l1(np.zeros((2, 3)), np.zeros(3))
