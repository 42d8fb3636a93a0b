"""Encoding and decoding: by hand, against the loop, there and back, and at the edges."""

import math

import numpy as np
import oracles
import pytest
from box_cases import grid_boxes, random_boxes
from hypothesis import given, settings
from hypothesis import strategies as st

from minissd.backend import to_cpu
from minissd.boxes import corners_to_centers, decode, encode

DEFAULT = np.array([[0.5, 0.5, 0.4, 0.2]])


def test_encode_by_hand(xp):
    box = xp.asarray(np.array([[0.44, 0.38, 0.64, 0.58]]))  # centre (0.54, 0.48), sides 0.2, 0.2
    expected = [[0.04 / 0.4 / 0.1, -0.02 / 0.2 / 0.1, math.log(0.5) / 0.2, 0]]  # 1, -1, -3.47, 0
    offsets = to_cpu(encode(box, xp.asarray(DEFAULT)))
    np.testing.assert_allclose(offsets, expected, atol=1e-12)


def test_a_default_box_is_the_origin(xp):
    defaults = xp.asarray(DEFAULT)
    corners = decode(xp.zeros((1, 4)), defaults)
    np.testing.assert_allclose(to_cpu(corners), [[0.3, 0.4, 0.7, 0.6]])
    np.testing.assert_allclose(to_cpu(encode(corners, defaults)), np.zeros((1, 4)), atol=1e-12)


@pytest.mark.parametrize("scales", [(0.1, 0.2), (1.0, 1.0), (0.3, 0.7)])
def test_equals_the_loop(xp, rng, scales):
    boxes = random_boxes(rng, 20)
    defaults = corners_to_centers(random_boxes(rng, 20))
    offsets = encode(xp.asarray(boxes), xp.asarray(defaults), *scales)
    expected = [oracles.encode(box, d, *scales) for box, d in zip(boxes, defaults)]
    np.testing.assert_allclose(to_cpu(offsets), expected, atol=1e-12)

    numbers = rng.normal(size=(20, 4))
    corners = decode(xp.asarray(numbers), xp.asarray(defaults), *scales, size_clamp=0.5)
    expected = [oracles.decode(n, d, *scales, 0.5) for n, d in zip(numbers, defaults)]
    np.testing.assert_allclose(to_cpu(corners), expected, atol=1e-12)


@settings(deadline=None, max_examples=60)
@given(
    boxes=grid_boxes(min_size=1, least_side=1),
    seed=st.integers(0, 2**31),
    center_scale=st.floats(0.05, 1),
    size_scale=st.floats(0.05, 1),
)
def test_decode_undoes_encode(boxes, seed, center_scale, size_scale):
    rng = np.random.default_rng(seed)
    defaults = corners_to_centers(random_boxes(rng, len(boxes)))
    offsets = encode(boxes, defaults, center_scale, size_scale)
    back = decode(offsets, defaults, center_scale, size_scale)
    np.testing.assert_allclose(back, boxes, atol=1e-12)


@settings(deadline=None, max_examples=60)
@given(seed=st.integers(0, 2**31))
def test_encode_undoes_decode(seed):
    rng = np.random.default_rng(seed)
    defaults = corners_to_centers(random_boxes(rng, 5))
    offsets = rng.normal(0, 3, size=(5, 4))
    np.testing.assert_allclose(encode(decode(offsets, defaults), defaults), offsets, atol=1e-9)


def test_batches_broadcast_and_float32_stays(xp, rng):
    defaults = corners_to_centers(random_boxes(rng, 6, np.float32))
    offsets = rng.normal(size=(3, 6, 4)).astype(np.float32)
    corners = decode(xp.asarray(offsets), xp.asarray(defaults))
    assert corners.shape == (3, 6, 4)
    assert corners.dtype == np.float32
    back = encode(corners, xp.asarray(defaults))
    assert back.dtype == np.float32
    np.testing.assert_allclose(to_cpu(back), offsets, atol=1e-4)


def test_a_box_without_width_is_encoded_as_a_millionth(xp):
    line = xp.asarray(np.array([[0.5, 0.4, 0.5, 0.6], [0.5, 0.5, 0.5, 0.5]], np.float32))
    offsets = to_cpu(encode(line, xp.asarray(np.repeat(DEFAULT, 2, axis=0).astype(np.float32))))
    assert np.isfinite(offsets).all()
    np.testing.assert_allclose(offsets[:, 2], math.log(1e-6 / 0.4) / 0.2, rtol=1e-5)
    np.testing.assert_allclose(offsets[0, 3], 0, atol=1e-5)


def test_size_clamp_as_torchvision_uses_it(xp):
    offsets = xp.asarray(np.array([[0.0, 0.0, 100.0, 1.0]]))
    corners = to_cpu(decode(offsets, xp.asarray(DEFAULT), size_clamp=math.log(1000 / 16)))
    width, height = corners[0, 2] - corners[0, 0], corners[0, 3] - corners[0, 1]
    assert width == pytest.approx(0.4 * 62.5)
    assert height == pytest.approx(0.2 * math.exp(0.2))


def test_a_network_that_diverged_still_gives_finite_boxes(xp):
    offsets = xp.asarray(np.array([[1e4, -1e4, 1e4, 1e30], [0, 0, -1e4, -1e30]], np.float32))
    corners = to_cpu(decode(offsets, xp.asarray(DEFAULT.astype(np.float32))))
    assert np.isfinite(corners).all()
    assert (corners[:, :2] <= corners[:, 2:]).all()


def test_no_boxes(xp):
    none = xp.zeros((0, 4))
    assert encode(none, none).shape == decode(none, none).shape == (0, 4)


def test_a_clamp_beyond_float32_is_refused():
    with pytest.raises(ValueError, match="size_clamp: expected at most 20"):
        decode(np.zeros((1, 4)), DEFAULT, size_clamp=100.0)
