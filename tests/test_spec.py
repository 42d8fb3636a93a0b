"""The published configurations: their counts and literal rows, worked by hand; and the project's own."""

import dataclasses
import math

import numpy as np
import oracles
import pytest

from minissd.boxes import centers_to_corners
from minissd.models.network import ExtraMap
from minissd.models.spec import (
    PUBLISHED,
    DetectorSpec,
    geometric_scales,
    minissd_spec,
    published_spec,
)

EXPECTED = {  # map sizes, boxes a cell, boxes in all
    "ssd300": ((38, 19, 10, 5, 3, 1), (4, 6, 6, 6, 4, 4), 8732),
    "ssd300-coco": ((38, 19, 10, 5, 3, 1), (4, 6, 6, 6, 4, 4), 8732),
    "ssd300-torchvision": ((38, 19, 10, 5, 3, 1), (4, 6, 6, 6, 4, 4), 8732),
    "ssd512": ((64, 32, 16, 8, 4, 2, 1), (4, 6, 6, 6, 6, 4, 4), 24564),
    "ssd512-coco": ((64, 32, 16, 8, 4, 2, 1), (4, 6, 6, 6, 6, 4, 4), 24564),
    "ssd300-v1": ((38, 19, 10, 5, 3, 1), (3, 6, 6, 6, 6, 6), 7308),
    "ssd500-v1": ((63, 32, 16, 8, 4, 2, 1), (3, 6, 6, 6, 6, 6, 6), 20097),
}


def test_every_published_configuration_is_expected_here():
    assert set(PUBLISHED) == set(EXPECTED)


@pytest.mark.parametrize("name", EXPECTED)
def test_counts(name):
    spec = published_spec(name)
    map_sizes, boxes_per_cell, total = EXPECTED[name]
    assert tuple(m.size for m in spec.maps) == map_sizes
    assert tuple(m.boxes_per_cell for m in spec.maps) == boxes_per_cell
    assert [m.n_boxes for m in spec.maps] == [s * s * b for s, b in zip(map_sizes, boxes_per_cell)]
    assert spec.n_default_boxes == len(spec.default_boxes()) == total


@pytest.mark.parametrize("name", [name for name in EXPECTED if PUBLISHED[name].clip is None])
def test_rows_equal_the_loop(name):
    spec = published_spec(name)
    expected = oracles.default_boxes(spec.maps, spec.image_size, spec.integer_sizes)
    np.testing.assert_allclose(spec.default_boxes(np.float64), expected, rtol=1e-13)


def row_of(spec, map_index, row, column, shape) -> np.ndarray:
    """Return one default box in pixels, found by its place in the order."""
    start = sum(m.n_boxes for m in spec.maps[:map_index])
    m = spec.maps[map_index]
    place = start + (row * m.size + column) * m.boxes_per_cell + shape
    return spec.default_boxes(np.float64)[place] * spec.image_size


ROOT2, ROOT3 = math.sqrt(2), math.sqrt(3)


@pytest.mark.parametrize(
    "name, place, expected",
    [  # place: map, row, column, shape; expected: cx, cy, w, h in pixels
        ("ssd300", (0, 0, 0, 0), (4, 4, 30, 30)),
        ("ssd300", (0, 0, 0, 1), (4, 4, math.sqrt(1800), math.sqrt(1800))),
        ("ssd300", (0, 0, 1, 2), (12, 4, 30 * ROOT2, 30 / ROOT2)),
        ("ssd300", (0, 37, 0, 3), (4, 300, 30 / ROOT2, 30 * ROOT2)),
        ("ssd300", (1, 2, 3, 4), (56, 40, 60 * ROOT3, 60 / ROOT3)),
        ("ssd300", (2, 9, 9, 0), (304, 304, 111, 111)),  # step 32: the centre is outside
        ("ssd300", (4, 1, 2, 1), (250, 150, math.sqrt(213 * 264), math.sqrt(213 * 264))),
        ("ssd300", (5, 0, 0, 3), (150, 150, 264 / ROOT2, 264 * ROOT2)),
        ("ssd300-coco", (0, 0, 0, 1), (4, 4, math.sqrt(21 * 45), math.sqrt(21 * 45))),
        ("ssd300-coco", (5, 0, 0, 0), (150, 150, 261, 261)),
        ("ssd512", (0, 0, 0, 0), (4, 4, 35, 35)),
        ("ssd512", (0, 0, 0, 1), (4, 4, math.sqrt(35 * 76), math.sqrt(35 * 76))),
        ("ssd512", (1, 0, 0, 0), (8, 8, 76, 76)),
        ("ssd512", (2, 1, 0, 2), (16, 48, 153 * ROOT2, 153 / ROOT2)),
        ("ssd512", (6, 0, 0, 1), (256, 256, math.sqrt(460 * 537), math.sqrt(460 * 537))),
        ("ssd512-coco", (0, 0, 0, 1), (4, 4, math.sqrt(20 * 51), math.sqrt(20 * 51))),
        ("ssd512-coco", (6, 0, 0, 1), (256, 256, math.sqrt(460 * 542), math.sqrt(460 * 542))),
        ("ssd300-v1", (0, 10, 10, 0), (10.5 * 300 / 38, 10.5 * 300 / 38, 30, 30)),
        ("ssd300-v1", (1, 9, 9, 1), (150, 150, math.sqrt(60 * 114), math.sqrt(60 * 114))),
        ("ssd500-v1", (0, 31, 31, 2), (250, 250, 35 / ROOT2, 35 * ROOT2)),
        ("ssd300-torchvision", (0, 0, 0, 1), (4, 4, math.sqrt(21 * 45), math.sqrt(21 * 45))),
        ("ssd300-torchvision", (5, 0, 0, 2), (150, 150, 300, 261 / ROOT2)),  # 261 √2 is cut to 300
    ],
)
def test_literal_rows(name, place, expected):
    np.testing.assert_allclose(row_of(published_spec(name), *place), expected, rtol=1e-12)


@pytest.mark.parametrize(
    "name, integers",
    [
        ("ssd512", [35, 76, 153, 230, 307, 384, 460]),
        ("ssd512-coco", [20, 51, 133, 215, 296, 378, 460]),
    ],
)
def test_integer_sizes_of_ssd512(name, integers):
    spec = published_spec(name)
    assert [m.shapes(spec.integer_sizes)[0][0] for m in spec.maps] == integers


@pytest.mark.parametrize("name", ["ssd300-v1", "ssd500-v1"])
def test_early_versions_lie_inside_the_image(name):
    spec = published_spec(name)
    assert spec.maps[0].max_size is None
    corners = centers_to_corners(spec.default_boxes(np.float64))
    assert corners.min() >= -1e-12
    assert corners.max() <= 1 + 1e-12


def test_one_choice_that_differs_changes_few_numbers():
    """The COCO boxes of Caffe and torchvision differ only in the size limit."""
    caffe = published_spec("ssd300-coco").default_boxes(np.float64)
    torchvision = published_spec("ssd300-torchvision").default_boxes(np.float64)
    np.testing.assert_allclose(np.minimum(caffe[:, 2:], 1), torchvision[:, 2:], rtol=1e-12)
    np.testing.assert_array_equal(caffe[:, :2], torchvision[:, :2])


def test_the_numbers_that_all_share():
    for spec in PUBLISHED.values():
        assert (spec.center_scale, spec.size_scale, spec.match_iou) == (0.1, 0.2, 0.5)
        assert (spec.score_floor, spec.nms_iou) == (0.01, 0.45)
        assert (spec.candidates_per_class, spec.max_detections) == (400, 200)
        assert (spec.negative_ratio, spec.min_negatives) == (3.0, 0)
        np.testing.assert_allclose(spec.input_mean, (123, 117, 104), atol=0.01)
    classes = {name: spec.n_object_classes for name, spec in PUBLISHED.items()}
    assert (classes["ssd300"], classes["ssd512-coco"], classes["ssd300-torchvision"]) == (
        20,
        80,
        90,
    )


def test_a_spec_is_changed_by_replace_and_checked_again():
    spec = dataclasses.replace(published_spec("ssd300"), n_object_classes=3)
    assert spec.n_object_classes == 3
    assert published_spec("ssd300").n_object_classes == 20
    with pytest.raises(ValueError, match="matching: expected one-to-one"):
        dataclasses.replace(spec, matching="best")
    with pytest.raises(ValueError, match="clip: expected None"):
        dataclasses.replace(spec, clip="yes")
    with pytest.raises(ValueError, match="n_object_classes: expected at least 1"):
        dataclasses.replace(spec, n_object_classes=0)
    with pytest.raises(ValueError, match="maps: expected at least one"):
        DetectorSpec("empty", 300, ())


def test_the_choices_that_differ():
    """Where the codes go separate ways: matching, clip, whole pixels, clamp, epsilon, steps."""
    rows = {
        name: (
            spec.matching,
            spec.clip,
            spec.integer_sizes,
            spec.size_clamp,
            spec.step_rule,
            spec.network.norm_rule,
            spec.network.norm_eps,
        )
        for name, spec in PUBLISHED.items()
    }
    caffe = ("one-to-one", None, False, None, "fixed", "inside", 1e-10)
    whole = ("one-to-one", None, True, None, "fixed", "inside", 1e-10)
    early = ("one-to-one", "corners", False, None, "map", "inside", 1e-10)
    torchvision = ("overwrite", "size", False, math.log(62.5), "fixed", "floor", 1e-12)
    assert rows == {
        "ssd300": caffe,
        "ssd300-coco": caffe,
        "ssd512": whole,
        "ssd512-coco": whole,
        "ssd300-v1": early,
        "ssd500-v1": early,
        "ssd300-torchvision": torchvision,
    }


def test_steps_taken_from_the_maps_must_be_theirs():
    spec = published_spec("ssd300-v1")
    with pytest.raises(ValueError, match="maps: expected steps of image / map"):
        dataclasses.replace(spec, image_size=301)
    with pytest.raises(ValueError, match=r"step_rule: expected fixed \| map, got 'map-derived'"):
        dataclasses.replace(spec, step_rule="map-derived")


@pytest.mark.parametrize(
    "fields, message",
    [
        ({"width": 0}, "width: expected at least 1"),
        ({"fc_channels": 1.5}, "fc_channels: expected a whole number"),
        ({"fc6_kernel": 4}, "fc6_kernel: expected an odd number, got 4"),
        ({"pool5": (3, 1)}, r"pool5: expected \(kernel, stride, padding\)"),
        ({"norm_rule": "caffe"}, r"norm_rule: expected inside \| outside \| floor"),
        ({"norm_eps": 0.0}, "norm_eps: expected more than 0"),
        ({"ceil_pools": (0, 3)}, "ceil_pools: expected numbers from 1 to 5"),
        ({"normalised": ("conv5_3",)}, "normalised: expected some of the sources"),
        ({"xavier_fan": "out of"}, r"xavier_fan: expected average \| in \| out"),
        ({"head_gain": 0}, "head_gain: expected more than 0"),
    ],
)
def test_fields_of_a_network_are_checked(fields, message):
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(published_spec("ssd300").network, **fields)


@pytest.mark.parametrize("row", [(0, 256), (128, 256, 0), (128, 256, 3, 0), (128, 256, 3, 1, -1)])
def test_rows_of_extra_maps_are_checked(row):
    with pytest.raises(ValueError, match=r"(squeeze|kernel|stride|padding): expected at least"):
        ExtraMap(*row)


def test_an_unknown_name_is_answered_with_the_known_ones():
    with pytest.raises(ValueError, match=r"name: expected ssd300 \| .*, got 'ssd321'"):
        published_spec("ssd321")


def test_minissd_spec():
    spec = minissd_spec(160, (20, 10, 5, 3, 2), n_object_classes=6)
    assert [m.boxes_per_cell for m in spec.maps] == [4, 6, 6, 6, 6]
    assert [m.step for m in spec.maps] == [8, 16, 32, 160 / 3, 80]
    assert spec.maps[0].min_size == pytest.approx(16)
    assert spec.maps[-1].min_size == pytest.approx(144)
    assert [m.max_size for m in spec.maps[:-1]] == [m.min_size for m in spec.maps[1:]]
    assert spec.n_default_boxes == len(spec.default_boxes()) == 1600 + 600 + 150 + 54 + 24
    assert spec.n_object_classes == 6


def test_minissd_spec_takes_other_numbers():
    spec = minissd_spec(
        100, (4, 2), scales=(0.2, 0.4, 0.9), ratios=((), (2.0,)), name="tiny", min_negatives=5
    )
    assert spec.name == "tiny"
    assert spec.min_negatives == 5
    assert [(m.min_size, m.max_size) for m in spec.maps] == [(20, 40), (40, 90)]
    assert [m.boxes_per_cell for m in spec.maps] == [2, 4]


def test_geometric_scales_rise_by_one_factor():
    scales = geometric_scales(5)
    growth = np.divide(scales[1:5], scales[:4])
    np.testing.assert_allclose(growth, 9**0.25)
    np.testing.assert_allclose([scales[0], scales[4], scales[5]], [0.1, 0.9, 1.05])
    assert geometric_scales(1) == (0.10, 1.05)
    with pytest.raises(ValueError, match="expected 0 < smallest < largest"):
        geometric_scales(3, smallest=0.5, largest=0.4)


def test_minissd_spec_refuses_lengths_that_do_not_fit():
    with pytest.raises(ValueError, match="scales: expected 3 numbers for 2 maps"):
        minissd_spec(100, (4, 2), scales=(0.2, 0.4))
    with pytest.raises(ValueError, match="ratios: expected 2 tuples for 2 maps"):
        minissd_spec(100, (4, 2), ratios=((2.0,),))
    with pytest.raises(ValueError, match="map_sizes: expected at least one"):
        minissd_spec(100, ())
