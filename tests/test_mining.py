"""Hard-negative mining: against the loop, its counts, ties, and images where something is missing."""

import numpy as np
import oracles
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minissd.backend import to_cpu
from minissd.boxes import mine_hard_negatives


def mine(xp, losses, positives, *args, candidates=None):
    candidates = None if candidates is None else xp.asarray(candidates)
    return to_cpu(
        mine_hard_negatives(xp.asarray(losses), xp.asarray(positives), *args, candidates=candidates)
    )


def test_by_hand(xp):
    losses = np.array([[5.0, 1, 4, 2, 3], [1, 2, 3, 4, 5]])
    positives = np.array([[True, False, False, False, False], [False] * 5])
    expected = np.array([[False, False, True, True, True], [False] * 5])  # no positives, none mined
    np.testing.assert_array_equal(mine(xp, losses, positives), expected)


@pytest.mark.parametrize("ratio, least", [(3.0, 0), (0.5, 0), (0.0, 2), (2.7, 4), (100.0, 0)])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_equals_the_loop(xp, rng, ratio, least, dtype):
    losses = rng.exponential(size=(5, 40)).astype(dtype)
    losses[:, ::3] = 0.5  # ties
    positives = rng.random((5, 40)) < np.array([0, 0.05, 0.2, 0.6, 1])[:, None]
    expected = oracles.mine_hard_negatives(losses, positives, ratio, least)
    np.testing.assert_array_equal(mine(xp, losses, positives, ratio, least), expected)


@settings(deadline=None, max_examples=100)
@given(data=st.data(), n=st.integers(1, 3), k=st.integers(1, 12))
def test_equals_the_loop_and_keeps_its_promises(data, n, k):
    draw = data.draw
    numbers = st.lists(st.integers(0, 4), min_size=n * k, max_size=n * k)
    flags = st.lists(st.booleans(), min_size=n * k, max_size=n * k)
    losses = np.array(draw(numbers), float).reshape(n, k)
    positives = np.array(draw(flags)).reshape(n, k)
    candidates = np.array(draw(flags)).reshape(n, k) if draw(st.booleans()) else None
    ratio, least = draw(st.sampled_from([0.0, 0.5, 1.0, 3.0])), draw(st.integers(0, 5))
    chosen = mine(np, losses, positives, ratio, least, candidates=candidates)

    expected = oracles.mine_hard_negatives(losses, positives, ratio, least, candidates)
    np.testing.assert_array_equal(chosen, expected)
    allowed = ~positives if candidates is None else ~positives & candidates
    assert not (chosen & ~allowed).any()
    wanted = np.maximum((ratio * positives.sum(axis=1)).astype(int), least)
    np.testing.assert_array_equal(chosen.sum(axis=1), np.minimum(wanted, allowed.sum(axis=1)))
    for row in range(n):
        passed_over = losses[row][allowed[row] & ~chosen[row]]
        if chosen[row].any() and len(passed_over):
            assert losses[row][chosen[row]].min() >= passed_over.max()


def test_fewer_negatives_than_asked(xp):
    """Three positives ask for nine negatives where two exist: these two, and no positive twice."""
    positives = np.array([[True, True, True, False, False]])
    chosen = mine(xp, np.array([[9.0, 9, 9, 1, 2]]), positives)
    np.testing.assert_array_equal(chosen, ~positives)


def test_an_image_without_objects_may_still_teach(xp):
    losses = np.array([[1.0, 3, 2, 0]])
    chosen = mine(xp, losses, np.zeros((1, 4), bool), 3.0, 2)
    np.testing.assert_array_equal(chosen, [[False, True, True, False]])


def test_all_positive_leaves_nothing(xp):
    assert not mine(xp, np.ones((2, 3)), np.ones((2, 3), bool), 3.0, 5).any()


def test_equal_losses_go_to_the_first(xp):
    positives = np.array([[False, False, True, False, False, False]])
    chosen = mine(xp, np.ones((1, 6)), positives)
    np.testing.assert_array_equal(chosen, [[True, True, False, True, False, False]])


def test_no_boxes_and_no_images(xp):
    assert mine(xp, np.ones((2, 0)), np.ones((2, 0), bool)).shape == (2, 0)
    assert mine(xp, np.ones((0, 5)), np.ones((0, 5), bool)).shape == (0, 5)


def test_nothing_is_copied_or_waited_for(counted, rng):
    from strict_array import strict

    losses, positives = strict.asarray(rng.random((2, 9))), strict.asarray(rng.random((2, 9)) < 0.2)
    counted.reset()
    mine_hard_negatives(losses, positives)
    assert (counted.to_host, counted.to_device, counted.syncs) == (0, 0, 0)


def test_refusals():
    losses, positives = np.ones((2, 3)), np.zeros((2, 3), bool)
    with pytest.raises(ValueError, match=r"positives: expected shape \(2, 3\), got \(3,\)"):
        mine_hard_negatives(losses, positives[0])
    with pytest.raises(ValueError, match=r"candidates: expected shape \(2, 3\)"):
        mine_hard_negatives(losses, positives, candidates=positives[:1])
    with pytest.raises(ValueError, match="ratio: expected a number of at least 0"):
        mine_hard_negatives(losses, positives, ratio=-1)
    with pytest.raises(ValueError, match="min_negatives: expected a number of at least 0"):
        mine_hard_negatives(losses, positives, min_negatives=-1)
    with pytest.raises(ValueError, match="positives: expected dtype bool, got 'uint8'"):
        mine_hard_negatives(losses, positives.astype(np.uint8))  # ~1 is 254, which is true
    with pytest.raises(ValueError, match="candidates: expected dtype bool, got 'int64'"):
        mine_hard_negatives(losses, positives, candidates=positives.astype(np.int64))
