"""The kernels of suppression give the detections of the array code: the same ones, in the same order, ties included."""

import dataclasses

import numpy as np
import pytest
from box_cases import grid_boxes, random_boxes
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from strict_array import strict

from minissd.backend import to_cpu
from minissd.boxes import multiclass_nms, nms
from minissd.boxes.nms import batched_nms
from minissd.boxes.nms_kernels import KERNELS, MOST
from minissd.cuda import Compiled, use_kernels
from minissd.models.detector import decode_detections
from minissd.models.spec import published_spec

ON_A_DEVICE = settings(
    deadline=None, max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
SPECS = ("ssd300", "ssd300-torchvision")


def assert_same(found, expected):
    """Compare detections bit for bit."""
    assert len(found) == len(expected)
    for one, other in zip(found, expected):
        for a, b in zip(one, other):
            np.testing.assert_array_equal(to_cpu(a), b)
            assert a.dtype == b.dtype


def check_batch(device, boxes, scores, *numbers):
    expected = [multiclass_nms(*image, *numbers) for image in zip(boxes, scores)]
    found = batched_nms(device.asarray(boxes), device.asarray(scores), *numbers)
    assert all(isinstance(part, np.ndarray) for each in found for part in each)
    assert_same(found, expected)
    return found


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(
    "n_boxes, numbers",
    [
        (150, (0.01, 0.45, 400, 200)),  # all candidates enter: three words, the last one short
        (150, (0.3, 0.45, 20, 10)),  # the best of them, and a limit
        (130, (0.0, 0.3, 128, 64)),  # two whole words
        (40, (0.9, 0.45, 3, 1)),
        (5, (-1.0, 1.0, 7, 500)),  # nothing is ever silenced, scores of 0 count
    ],
)
def test_a_batch_equals_the_array_code(device, rng, n_boxes, numbers, dtype):
    boxes = np.stack([random_boxes(rng, n_boxes, dtype) for _ in range(3)])
    scores = np.round(rng.random((3, n_boxes, 2)) ** 2, 2).astype(dtype)  # equal scores abound
    scores[1] = 0  # an image with nothing to find, where the floor is not below 0
    found = check_batch(device, boxes, scores, *numbers)
    assert (len(found[1].scores) == 0) == (numbers[0] >= 0)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_all_scores_equal_and_more_candidates_than_may_enter(device, rng, dtype):
    """Rows decide alone: 70 of 300 enter, which the search finds in the second byte of the rows."""
    boxes = random_boxes(rng, 300, dtype)[None] * np.array(0.2, dtype)
    scores = np.full((1, 300, 1), 0.25, dtype)
    check_batch(device, boxes, scores, 0.01, 0.45, 70, 50)
    scores[0, :, 0] = np.nextafter(np.array(0.25, dtype), rng.integers(0, 2, 300).astype(dtype))
    check_batch(device, boxes, scores, 0.01, 0.45, 70, 50)  # now the last bit does as well


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@ON_A_DEVICE
@given(boxes=grid_boxes(min_size=1, max_size=12), data=st.data())
def test_ties_everywhere(device, dtype, boxes, data):
    """On a coarse grid overlaps meet the threshold, and with five scores most are equal."""
    n, n_classes = len(boxes), 2
    score = st.integers(0, 4).map(lambda i: i / 4)
    numbers = data.draw(st.lists(score, min_size=n * n_classes, max_size=n * n_classes))
    scores = np.array(numbers, dtype).reshape(1, n, n_classes)
    threshold = data.draw(st.sampled_from([0.0, 0.25, 0.5, 1.0]))
    per_class, limit = data.draw(st.integers(1, 14)), data.draw(st.integers(1, 8))
    check_batch(device, boxes[None].astype(dtype), scores, 0.2, threshold, per_class, limit)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_scores_and_boxes_that_are_no_numbers(device, rng, dtype):
    boxes = random_boxes(rng, 40, dtype)[None]
    scores = rng.choice(
        np.array([np.nan, -np.inf, np.inf, -0.0, 0.0, 0.5, -0.5], dtype), (1, 40, 2)
    )
    boxes[0, ::7, 1] = np.nan  # overlap nothing
    boxes[0, 3] = 0.5  # no area
    for floor in (0.01, -0.1, -1.0):
        for most in (12, 30):  # 30: zeros of both signs enter, which are equal
            check_batch(device, boxes, scores, floor, 0.3, most, most)


@pytest.mark.parametrize("top_k", [None, 1, 66])
def test_one_class_equals_the_array_code(device, rng, top_k):
    boxes, scores = random_boxes(rng, 140), np.round(rng.random(140), 2)
    kept = nms(device.asarray(boxes), device.asarray(scores), 0.4, top_k)
    np.testing.assert_array_equal(to_cpu(kept), nms(boxes, scores, 0.4, top_k))
    assert kept.dtype == np.int64


def test_one_image_stays_on_the_device(device, rng):
    boxes, scores = random_boxes(rng, 30), np.round(rng.random((30, 3)), 1)
    found = multiclass_nms(device.asarray(boxes), device.asarray(scores))
    assert all(isinstance(part, device.ndarray) for part in found)
    assert_same([found], [multiclass_nms(boxes, scores)])
    nothing = multiclass_nms(device.asarray(boxes), device.zeros((30, 3)))
    assert nothing.boxes.shape == (0, 4)
    assert nothing.labels.shape == nothing.scores.shape == (0,)


@pytest.mark.parametrize("shape", [(0, 5, 2), (2, 0, 2), (2, 5, 0)])
def test_a_batch_of_nothing(device, shape):
    found = batched_nms(device.zeros((*shape[:2], 4)), device.zeros(shape))
    assert [len(each.scores) for each in found] == [0] * shape[0]


def test_what_the_kernels_do_not_take_goes_to_the_array_code(device, rng):
    boxes, scores = random_boxes(rng, 20)[None], rng.random((1, 20, 2))
    numbers = 0.01, 0.45, MOST + 1, 5
    check_batch(device, boxes, scores, *numbers)
    mixed = batched_nms(device.asarray(boxes.astype("float32")), device.asarray(scores))
    assert_same(mixed, [multiclass_nms(boxes[0].astype("float32"), scores[0])])
    agnostic = multiclass_nms(
        device.asarray(boxes[0]), device.asarray(scores[0]), class_agnostic=True
    )
    assert_same([agnostic], [multiclass_nms(boxes[0], scores[0], class_agnostic=True)])


def some_output(rng, dtype, n=3, k=60, n_classes=4):
    """Return scores, offsets and default boxes; the second image shows nothing."""
    # No ties: the kernel of the softmax adds up in another order, and which of two equal scores comes first changes.
    scores = (rng.standard_normal((n, k, n_classes)) * 2).astype(dtype)
    scores[1] = 0
    scores[1, :, 0] = 30
    centers = np.concatenate([rng.random((k, 2)), rng.uniform(0.1, 0.6, (k, 2))], axis=1)
    return scores, rng.standard_normal((n, k, 4)).astype(dtype), centers.astype(dtype)


@pytest.mark.parametrize("ignore_border", [False, True])
@pytest.mark.parametrize("name", SPECS)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_detections_of_a_network_equal_those_on_the_host(device, rng, dtype, name, ignore_border):
    """Both variants: boxes clipped after suppression, and before it with clamped sizes."""
    spec = dataclasses.replace(
        published_spec(name),
        ignore_border=ignore_border,
        candidates_per_class=30,
        max_detections=25,
    )
    outputs = some_output(rng, dtype)
    expected = decode_detections(*outputs, spec)
    found = decode_detections(*(device.asarray(each) for each in outputs), spec)
    tolerance = 1e-6 if dtype == "float32" else 1e-12
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_array_equal(one.labels, other.labels)
        np.testing.assert_allclose(one.scores, other.scores, rtol=tolerance)
        np.testing.assert_allclose(one.boxes, other.boxes, atol=tolerance)
    assert len(found[0].scores) > 0
    assert len(found[1].scores) == 0


@pytest.mark.parametrize("n", [1, 4])
def test_a_batch_is_asked_once(device, counted, rng, n):
    """One copy to the host and no shape that depends on data, for any number of images."""
    if device is not strict:
        pytest.skip("transfers are counted on the stand-in")
    outputs = [strict.asarray(each) for each in some_output(rng, "float32", n=max(n, 2))]
    outputs[:2] = [each[:n] for each in outputs[:2]]
    counted.reset()
    decode_detections(*outputs, published_spec("ssd300"))
    assert (counted.to_host, counted.to_device, counted.syncs) == (1, 0, 0)


@pytest.mark.parametrize("n", [1, 4])
def test_the_launches_do_not_depend_on_what_is_found(device, monkeypatch, rng, n):
    names = []
    launch = Compiled.launch

    def noted(self, name, size, block, args, shared=0):
        names.append(name)
        launch(self, name, size, block, args, shared)

    monkeypatch.setattr(Compiled, "launch", noted)
    boxes = device.asarray(np.stack([random_boxes(rng, 30)] * n))
    for scores in (rng.random((n, 30, 2)), np.zeros((n, 30, 2))):
        names.clear()
        batched_nms(boxes, device.asarray(scores))
        assert names == ["best_above", "silences", "sweep", "best_above", "collect"]


def test_kernels_can_be_switched_off(device, rng):
    boxes, scores = (
        device.asarray(random_boxes(rng, 20)[None]),
        device.asarray(rng.random((1, 20, 2))),
    )
    with use_kernels(False):
        assert KERNELS.of(scores) is None
        expected = batched_nms(boxes, scores)
    assert_same(batched_nms(boxes, scores), expected)
