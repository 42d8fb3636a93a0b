"""The kernels of matching and coding are their array code: for a batch at once, with the same ties and rules."""

import dataclasses

import numpy as np
import pytest
from box_cases import grid_boxes, random_boxes
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from strict_array import strict

from minissd.backend import to_cpu
from minissd.boxes import centers_to_corners, corners_to_centers, decode, encode, match
from minissd.boxes.matching import RULES, match_packed, pack_objects
from minissd.cuda import use_kernels
from minissd.models.loss import make_targets
from minissd.models.spec import published_spec

ON_A_DEVICE = settings(
    deadline=None, max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
TOLERANCE = {"float32": 1e-6, "float64": 1e-12}
pytestmark = pytest.mark.parametrize("dtype", ["float32", "float64"])


def check_batch(device, defaults, images, rule, threshold=0.5):
    """Compare each image of a batch with what the array code finds for it alone, bit for bit."""
    labels = [np.arange(1, len(boxes) + 1) for boxes in images]
    objects = device.asarray(pack_objects(images, labels, defaults.dtype))
    found = match_packed(device.asarray(defaults), objects, threshold, rule)
    for i, boxes in enumerate(images):
        expected = match(defaults, boxes.astype(defaults.dtype), threshold, rule)
        for part, other in zip(found, expected):
            np.testing.assert_array_equal(to_cpu(part)[i], other)
            assert part.dtype == other.dtype


@pytest.mark.parametrize("rule", RULES)
def test_a_batch_equals_the_array_code(device, rng, rule, dtype):
    """Few and many objects, none, and more than there are default boxes."""
    defaults = random_boxes(rng, 37, dtype)
    images = [random_boxes(rng, n) for n in (3, 0, 1, 45)]
    check_batch(device, defaults, images, rule)


@pytest.mark.parametrize("rule", RULES)
def test_more_default_boxes_than_threads(device, rng, rule, dtype):
    defaults = np.concatenate([random_boxes(rng, 300, dtype)] * 2)  # every pair has its double
    check_batch(device, defaults, [random_boxes(rng, 4), random_boxes(rng, 2)], rule)


@pytest.mark.parametrize("rule", RULES)
@ON_A_DEVICE
@given(
    defaults=grid_boxes(min_size=1),
    images=st.lists(grid_boxes(max_size=6), min_size=1, max_size=3),
    threshold=st.sampled_from([0.25, 0.5, 1.0]),
)
def test_ties_everywhere(device, rule, dtype, defaults, images, threshold):
    """On a coarse grid equal overlaps abound, and boxes without area occur."""
    check_batch(device, defaults.astype(dtype), images, rule, threshold)


@pytest.mark.parametrize("rule", RULES)
def test_all_objects_want_one_box(device, rule, dtype):
    """Each round takes the favourite of all that are left."""
    defaults = np.array([[0, 0, 0.5, 0.5], [0, 0, 0.5, 0.6], [0.1, 0, 0.5, 0.5], [0.8] * 4], dtype)
    check_batch(device, defaults, [np.tile(defaults[:1], (6, 1))], rule)


@pytest.mark.parametrize("rule", RULES)
def test_one_image_equals_the_array_code(device, rng, rule, dtype):
    defaults, boxes = random_boxes(rng, 30, dtype), random_boxes(rng, 5, dtype)
    found = match(device.asarray(defaults), device.asarray(boxes), 0.4, rule)
    for part, other in zip(found, match(defaults, boxes, 0.4, rule)):
        np.testing.assert_array_equal(to_cpu(part), other)


def some_centers(rng, k, dtype):
    sides = rng.uniform(0.1, 0.6, (k, 2))
    return np.concatenate([rng.random((k, 2)), sides], axis=1).astype(dtype)


VARIANTS = {
    "ours": {},
    "overwrite": {"matching": "overwrite"},
    "border": {"ignore_border": True},
    "border, overwrite": {"ignore_border": True, "matching": "overwrite"},
    "ignored": {"negative_iou": 0.3},
}


@pytest.mark.parametrize("changes", VARIANTS.values(), ids=VARIANTS)
def test_targets_of_a_batch_equal_those_of_the_host(device, rng, changes, dtype):
    spec = dataclasses.replace(published_spec("ssd300"), **changes)
    centers = some_centers(rng, 50, dtype)
    boxes = [random_boxes(rng, n, np.float32) for n in (4, 0, 1, 7)]
    boxes[2][0, 2] = boxes[2][0, 0]  # no width
    labels = [rng.integers(1, 21, len(each)) for each in boxes]
    expected = make_targets(centers, boxes, labels, spec)
    found = make_targets(device.asarray(centers), boxes, labels, spec)
    with use_kernels(False):
        plain = make_targets(device.asarray(centers), boxes, labels, spec)
    for name, other in expected._asdict().items():
        for part in (getattr(found, name), getattr(plain, name)):
            np.testing.assert_allclose(
                to_cpu(part), other, rtol=TOLERANCE[dtype], atol=TOLERANCE[dtype], err_msg=name
            )
            assert part.dtype == other.dtype
    assert (expected.labels > 0).any()


def test_targets_at_the_thresholds_themselves(device, dtype):
    """An object no box overlaps is forced on the first one, which is not usable; an IoU of 1/2 is too much."""
    spec = dataclasses.replace(
        published_spec("ssd300"),
        matching="overwrite",
        ignore_border=True,
        match_iou=0.9,
        negative_iou=0.5,
    )
    centers = np.array([[0, 0, 1, 1], [0.25, 0.25, 0.5, 0.5], [0.25, 0.125, 0.5, 0.25]], dtype)
    boxes = [np.array([[0.75, 0.75, 0.875, 0.875], [0, 0, 0.5, 0.5]])]
    for xp in (np, device):
        targets = make_targets(xp.asarray(centers), boxes, [np.array([7, 8])], spec)
        assert to_cpu(targets.labels).tolist() == [[0, 8, 0]]
        assert to_cpu(targets.candidates).tolist() == [[False, False, False]]


def test_targets_of_a_batch_without_objects(device, rng, dtype):
    centers = device.asarray(some_centers(rng, 20, dtype))
    nothing = [np.zeros((0, 4), np.float32)] * 2
    targets = make_targets(centers, nothing, [np.zeros(0, np.int64)] * 2, published_spec("ssd300"))
    assert not to_cpu(targets.labels).any()
    assert not to_cpu(targets.offsets).any()
    assert to_cpu(targets.candidates).all()
    assert make_targets(centers, [], [], published_spec("ssd300")).labels.shape == (0, 20)


def test_a_wrong_box_is_named(device, rng, dtype):
    centers = device.asarray(some_centers(rng, 20, dtype))
    wrong = np.array([[0, 0, 1, 1], [0.5, 0, 0.4, 1]])
    with pytest.raises(ValueError, match="boxes: row 1: expected finite corners"):
        make_targets(centers, [wrong], [np.array([1, 2])], published_spec("ssd300"))


@pytest.mark.parametrize("n", [1, 4])
def test_all_objects_come_in_one_copy(device, counted, rng, n, dtype):
    """Nothing is copied to the host, nothing waits, whatever the number of images."""
    if device is not strict:
        pytest.skip("transfers are counted on the stand-in")
    centers = strict.asarray(some_centers(rng, 20, dtype))
    boxes = [random_boxes(rng, 3, np.float32) for _ in range(n)]
    counted.reset()
    make_targets(centers, boxes, [np.array([1, 2, 3])] * n, published_spec("ssd300"))
    assert (counted.to_host, counted.to_device, counted.syncs) == (0, 1, 0)


@pytest.mark.parametrize("size_clamp", [None, 1.5])
def test_decoding_equals_the_array_code(device, rng, size_clamp, dtype):
    centers = some_centers(rng, 30, dtype)
    offsets = (rng.standard_normal((3, 30, 4)) * 5).astype(dtype)
    offsets[0, 0] = [0, 0, 1e4, -1e4]  # a network that diverged
    offsets[1, 1, 2:] = [np.nan, np.inf]
    found = decode(device.asarray(offsets), device.asarray(centers), size_clamp=size_clamp)
    expected = decode(offsets, centers, size_clamp=size_clamp)
    np.testing.assert_allclose(
        to_cpu(found), expected, rtol=TOLERANCE[dtype], atol=TOLERANCE[dtype]
    )
    assert found.dtype == dtype
    one = decode(device.asarray(offsets[0]), device.asarray(centers), size_clamp=size_clamp)
    np.testing.assert_array_equal(to_cpu(one), to_cpu(found)[0])


def test_coding_there_and_back(device, rng, dtype):
    boxes, centers = random_boxes(rng, 30, dtype), some_centers(rng, 30, dtype)
    offsets = encode(device.asarray(boxes), device.asarray(centers))
    back = to_cpu(decode(offsets, device.asarray(centers)))
    np.testing.assert_allclose(back, boxes, atol=10 * TOLERANCE[dtype])
    np.testing.assert_allclose(corners_to_centers(centers_to_corners(centers)), centers, atol=1e-6)
