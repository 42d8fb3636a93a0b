"""Default boxes: counts, order, literal rows worked by hand, clipping in all its ways."""

import math

import numpy as np
import oracles
import pytest

from minissd.boxes import FeatureMap, centers_to_corners, default_boxes

ONE_MAP = (FeatureMap(size=2, step=50, min_size=30, max_size=60, ratios=(2.0,)),)


def test_all_sixteen_rows_of_a_small_map_by_hand():
    boxes = default_boxes(ONE_MAP, image_size=100, dtype=np.float64)
    between = math.sqrt(30 * 60) / 100  # 0.4243
    wide, narrow = 0.3 * math.sqrt(2), 0.3 / math.sqrt(2)  # 0.4243, 0.2121
    shapes = [(0.3, 0.3), (between, between), (wide, narrow), (narrow, wide)]
    cells = [(0.25, 0.25), (0.75, 0.25), (0.25, 0.75), (0.75, 0.75)]  # (cx, cy): columns first
    expected = [(*cell, *shape) for cell in cells for shape in shapes]
    np.testing.assert_allclose(boxes, expected, rtol=1e-15)


def test_elongated_boxes_keep_the_area_of_the_small_square():
    shapes = FeatureMap(1, 10, 7, 9, (2.0, 3.0)).shapes()
    areas = [width * height for width, height in shapes]
    np.testing.assert_allclose(areas, [49, 63, 49, 49, 49, 49])
    np.testing.assert_allclose([w / h for w, h in shapes], [1, 1, 2, 1 / 2, 3, 1 / 3])


@pytest.mark.parametrize(
    "max_size, ratios, expected",
    [(None, (), 1), (20, (), 2), (None, (2.0,), 3), (20, (2.0,), 4), (20, (2.0, 3.0), 6)],
)
def test_boxes_per_cell(max_size, ratios, expected):
    feature_map = FeatureMap(3, 10, 10, max_size, ratios)
    assert feature_map.boxes_per_cell == expected == len(feature_map.shapes())
    assert default_boxes([feature_map], 30).shape == (9 * expected, 4)
    assert feature_map.n_boxes == 9 * expected


def test_integer_sizes_cut_down_before_the_square_root():
    feature_map = FeatureMap(1, 512, 35.84, 76.8, (2.0,))
    shapes = feature_map.shapes(integer_sizes=True)
    assert shapes[0] == (35, 35)
    assert shapes[1] == pytest.approx((math.sqrt(35 * 76),) * 2)
    assert shapes[2] == pytest.approx((35 * math.sqrt(2), 35 / math.sqrt(2)))
    assert feature_map.shapes()[0] == (35.84, 35.84)


@pytest.mark.parametrize("integer_sizes", [False, True])
def test_equals_the_loop(integer_sizes):
    maps = (
        FeatureMap(5, 20.5, 12.3, 31.7, (2.0, 3.0)),
        FeatureMap(3, 33, 31.7, 50.9, (2.0,)),
        FeatureMap(1, 100, 50.9, None, (1.5,)),
    )
    boxes = default_boxes(maps, 100, integer_sizes=integer_sizes, dtype=np.float64)
    expected = oracles.default_boxes(maps, 100, integer_sizes)
    np.testing.assert_allclose(boxes, expected, rtol=1e-14)


def test_dtype_is_float32_unless_asked():
    assert default_boxes(ONE_MAP, 100).dtype == np.float32
    assert default_boxes(ONE_MAP, 100, dtype=np.float64).dtype == np.float64


LARGE = (FeatureMap(1, 140, 60, 240, (4.0,)),)  # centre 0.7; sides 0.6; 1.2; 1.2 x 0.3; 0.3 x 1.2


@pytest.mark.parametrize(
    "clip, expected",
    [
        (None, [[0.7, 0.7, 0.6, 0.6], [0.7, 0.7, 1.2, 1.2], [0.7, 0.7, 1.2, 0.3]]),
        ("size", [[0.7, 0.7, 0.6, 0.6], [0.7, 0.7, 1.0, 1.0], [0.7, 0.7, 1.0, 0.3]]),
        ("centers", [[0.7, 0.7, 0.6, 0.6], [0.7, 0.7, 1.0, 1.0], [0.7, 0.7, 1.0, 0.3]]),
        # corners 0.4..1.0; 0.1..1.3 -> 0.1..1.0; 0.1..1.3 x 0.55..0.85
        ("corners", [[0.7, 0.7, 0.6, 0.6], [0.55, 0.55, 0.9, 0.9], [0.55, 0.7, 0.9, 0.3]]),
    ],
)
def test_clip_by_hand(clip, expected):
    boxes = default_boxes(LARGE, 100, clip=clip, dtype=np.float64)
    assert boxes.shape == (4, 4)
    np.testing.assert_allclose(boxes[:3], expected)


def test_clip_centers_also_moves_centres():
    outside = (FeatureMap(3, 64, 30, None, ()),)  # the last centre lies at 160 of 150 pixels
    free = default_boxes(outside, 150, clip="size")
    held = default_boxes(outside, 150, clip="centers")
    assert free[-1, 0] == pytest.approx(160 / 150)
    assert held[-1, 0] == 1


def test_clip_corners_leaves_nothing_outside():
    corners = centers_to_corners(default_boxes(LARGE, 100, clip="corners", dtype=np.float64))
    assert corners.min() >= -1e-12
    assert corners.max() <= 1 + 1e-12


@pytest.mark.parametrize(
    "change, message",
    [
        ({"size": 0}, "size: expected at least 1, got 0"),
        ({"size": 2.5}, "size: expected a whole number"),
        ({"step": 0}, "step: expected more than 0"),
        ({"min_size": -1}, "min_size: expected more than 0"),
        ({"max_size": 30}, "max_size: expected more than min_size = 30"),
        ({"ratios": (1.0,)}, "ratios: expected numbers above 0 other than 1"),
    ],
)
def test_feature_map_refuses(change, message):
    good = {"size": 2, "step": 50, "min_size": 30, "max_size": 60, "ratios": (2.0,)}
    with pytest.raises(ValueError, match=message):
        FeatureMap(**{**good, **change})


def test_default_boxes_refuses():
    with pytest.raises(ValueError, match=r"clip: expected None \| corners .* got 'centre'"):
        default_boxes(ONE_MAP, 100, clip="centre")
    with pytest.raises(ValueError, match="maps: expected at least one"):
        default_boxes((), 100)
    with pytest.raises(ValueError, match="image_size: expected more than 0"):
        default_boxes(ONE_MAP, 0)
