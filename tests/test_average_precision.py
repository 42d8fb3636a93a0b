"""Average precision: against the devkit's rule, by hand, at the edges, and how the result is shown."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from evaluation_cases import BOX, FAR, found, random_scene, truth
from hypothesis import given, settings
from hypothesis import strategies as st
from oracles_ap import all_points, devkit_curve, devkit_overlap, eleven_points

from minissd.boxes.geometry import iou
from minissd.evaluation import Truth, average_precision, evaluate

# --- against the devkit's rule in pixels ----------------------------------------------------------------------------


@st.composite
def pixel_boxes(draw, width: int, height: int, n: int):
    """Inclusive 1-based boxes, many of them close to each other so that thresholds and duplicates matter."""
    boxes = []
    for _ in range(n):
        x = sorted(draw(st.tuples(st.integers(1, width), st.integers(1, width))))
        y = sorted(draw(st.tuples(st.integers(1, height), st.integers(1, height))))
        boxes.append((x[0], y[0], x[1], y[1]))
    return boxes


def fractions(boxes: list[tuple], width: int, height: int) -> np.ndarray:
    """Convert as `datasets/voc.py` does: xmin = (x - 1) / W, xmax = x / W."""
    pixels = np.array(boxes, float).reshape(-1, 4) - [1, 1, 0, 0]
    return pixels / [width, height, width, height]


@settings(max_examples=150, deadline=None)
@given(st.data(), st.integers(1, 500), st.integers(1, 500))
def test_plain_iou_of_fractions_is_the_devkits_iou_of_inclusive_pixels(data, width, height):
    a, b = data.draw(pixel_boxes(width, height, 2))
    ours = iou(fractions([a], width, height), fractions([b], width, height))[0, 0]
    assert ours == pytest.approx(max(devkit_overlap(a, b), 0), abs=1e-12)


@settings(max_examples=150, deadline=None)
@given(st.data(), st.sampled_from([(8, 8), (16, 4), (64, 32)]))
def test_whole_evaluation_is_the_devkits(data, image_size):
    """Sizes are powers of two: every fraction is exact, so ties and IoUs of just 0.5 must agree too."""
    width, height = image_size
    objects, detections, truths, answers = [], [], [], []
    for image in range(data.draw(st.integers(1, 3))):
        boxes = data.draw(pixel_boxes(width, height, data.draw(st.integers(0, 4))))
        difficult = [data.draw(st.booleans()) for _ in boxes]
        objects.append(list(zip(boxes, difficult)))
        truths.append(truth(*fractions(boxes, width, height), difficult=difficult))
        own = data.draw(pixel_boxes(width, height, data.draw(st.integers(0, 4))))
        guesses = own + data.draw(
            st.lists(st.sampled_from(boxes), max_size=3) if boxes else st.just([])
        )
        scores = [data.draw(st.sampled_from([0.2, 0.5, 0.7, 0.9])) for _ in guesses]
        detections += [(image, score, box) for score, box in zip(scores, guesses)]
        answers.append(found(*fractions(guesses, width, height), scores=scores))
    recall, precision, n_objects = devkit_curve(detections, objects)
    for method, oracle in (("11-point", eleven_points), ("all-point", all_points)):
        result = evaluate(answers, truths, ["cat"], method=method).per_class["cat"]
        assert result.n_objects == n_objects
        if n_objects:
            assert result.ap == pytest.approx(oracle(recall, precision), abs=1e-12)
        else:
            assert math.isnan(result.ap)


def test_each_class_alone_gives_the_same_answer_as_all_together(rng):
    detections, truths = random_scene(rng)
    together = evaluate(detections, truths, ["a", "b", "c"], method="all-point")
    for label, name in enumerate("abc", start=1):
        mine = [d.labels == label for d in detections]
        alone = evaluate(
            [found(*d.boxes[k], scores=d.scores[k]) for d, k in zip(detections, mine)],
            [
                truth(*t.boxes[t.labels == label], difficult=t.difficult[t.labels == label])
                for t in truths
            ],
            [name],
            method="all-point",
        )
        assert alone.mean_ap == together.per_class[name].ap
        assert 0.05 < alone.mean_ap < 0.95
    assert together.mean_ap == pytest.approx(np.mean([r.ap for r in together.per_class.values()]))


# --- from the curve to a number -------------------------------------------------------------------------------------


def test_average_precision_by_hand():
    # Five detections, right wrong right wrong right, of four objects.
    recall = np.array([1, 1, 2, 2, 3]) / 4
    precision = np.array([1, 1 / 2, 2 / 3, 2 / 4, 3 / 5])
    # Recalls 0, 0.1, 0.2 see precision 1; 0.3 to 0.5 see 2/3; 0.6 and 0.7 see 3/5; 0.8 and more see 0.
    assert average_precision(recall, precision) == pytest.approx((3 * 1 + 3 * 2 / 3 + 2 * 0.6) / 11)
    assert average_precision(recall, precision, "all-point") == pytest.approx((1 + 2 / 3 + 0.6) / 4)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.booleans(), max_size=30), st.integers(1, 40))
def test_average_precision_is_the_loops(verdict, n_objects):
    right = np.cumsum(verdict, dtype=int)
    n_objects = max(n_objects, int(right[-1])) if len(verdict) else n_objects
    recall, precision = right / n_objects, right / np.arange(1, len(verdict) + 1)
    lists = recall.tolist(), precision.tolist()
    assert average_precision(recall, precision) == pytest.approx(eleven_points(*lists), abs=1e-12)
    all_point = average_precision(recall, precision, "all-point")
    assert all_point == pytest.approx(all_points(*lists), abs=1e-12)
    assert 0 <= all_point <= 1


def test_three_of_ten_objects_reach_the_recall_point_of_three_tenths():
    recall = np.arange(1, 4) / 10
    assert average_precision(recall, np.ones(3)) == pytest.approx(4 / 11)
    assert np.arange(0, 1.1, 0.1)[3] > 3 / 10  # the trap


def test_perfect_and_empty_rankings():
    for method in ("11-point", "all-point"):
        assert average_precision(np.array([0.5, 1]), np.ones(2), method) == 1
        assert average_precision(np.zeros(0), np.zeros(0), method) == 0
        assert average_precision(np.zeros(3), np.zeros(3), method) == 0


# --- classes without objects, without detections, images without either ---------------------------------------------


def test_class_without_objects_is_nan_and_not_in_the_mean():
    result = evaluate([found(BOX, FAR, labels=[1, 3])], [truth(BOX)], ["cat", "dog", "cow"])
    assert result.per_class["cat"].ap == 1
    assert math.isnan(result.per_class["dog"].ap)
    assert math.isnan(result.per_class["cow"].ap)
    assert result.mean_ap == 1
    assert result.missing == ["dog", "cow"]
    assert "not in the mean, because without objects: dog, cow" in result.format_table()


def test_class_with_only_difficult_objects_has_no_objects():
    result = evaluate([found(BOX)], [truth(BOX, difficult=[True])], ["cat"])
    assert math.isnan(result.per_class["cat"].ap)
    assert result.per_class["cat"].n_difficult == 1
    assert result.per_class["cat"].n_detections == 0


def test_class_without_detections_is_zero():
    result = evaluate([found()], [truth(BOX)], ["cat"])
    assert result.per_class["cat"].ap == 0
    assert result.mean_ap == 0


def test_no_images_and_no_objects_have_an_answer():
    for detections, truths in (([], []), ([found()], [truth()]), ([found(BOX)], [truth()])):
        result = evaluate(detections, truths, ["cat"])
        assert math.isnan(result.mean_ap)
        assert math.isnan(result.pooled.ap)
        json.dumps(result.to_json(), allow_nan=False)
        assert "mean of 0 classes" in result.format_table()


def test_truth_without_difficult_has_no_difficult_object():
    result = evaluate([found(BOX)], [Truth(np.array([BOX]), np.array([1]))], ["cat"])
    assert result.settings["difficult"] == 0
    assert result.mean_ap == 1


# --- what comes back ------------------------------------------------------------------------------------------------


def test_pooled_ranks_all_classes_together():
    detections = found(BOX, FAR, (0.6, 0.1, 0.9, 0.4), labels=[1, 2, 1], scores=[0.9, 0.5, 0.7])
    result = evaluate([detections], [truth(BOX, FAR, labels=[1, 2])], ["cat", "dog"])
    assert result.pooled.scores.tolist() == [0.9, 0.7, 0.5]
    assert result.pooled.precision.tolist() == pytest.approx([1, 1 / 2, 2 / 3])
    assert result.pooled.recall.tolist() == [0.5, 0.5, 1]


def test_settings_come_with_the_result_and_the_floor_is_applied():
    detections, truths = [found(BOX, FAR, scores=[0.9, 0.2])], [truth(BOX, difficult=None)]
    result = evaluate(
        detections, truths, ["cat"], 0.6, "all-point", score_floor=0.2, details={"nms_iou": 0.45}
    )
    expected = {
        "iou_threshold": 0.6,
        "method": "all-point",
        "score_floor": 0.2,
        "images": 1,
        "objects": 1,
        "difficult": 0,
        "detections": 1,
        "nms_iou": 0.45,
    }
    assert expected.items() <= result.settings.items()
    text = result.format_table()
    assert "IoU threshold 0.6, method all-point, score floor 0.2, images 1" in text
    assert "nms IoU 0.45" in text


def test_table_has_a_line_for_every_class_and_size(rng):
    result = evaluate(*random_scene(rng), ["a", "b", "a class of a long name"])
    lines = result.format_table().splitlines()
    for name, one in result.per_class.items():
        line = next(line for line in lines if line.startswith(f"{name}  "))
        assert f"{one.ap:.4f}" in line
        assert str(one.n_objects) in line
    assert any(
        line.startswith("mean of 3 classes") and f"{result.mean_ap:.4f}" in line for line in lines
    )
    for name in ("small", "medium", "large"):
        assert any(line.startswith(name) for line in lines)
    assert max(map(len, lines[:6])) <= 100


def test_json_holds_the_numbers_and_no_nan(rng):
    result = evaluate(*random_scene(rng), ["a", "b", "c", "absent"])
    data = json.loads(json.dumps(result.to_json(), allow_nan=False))
    assert data["mean_ap"] == result.mean_ap
    assert data["per_class"]["a"]["ap"] == result.per_class["a"].ap
    assert data["per_class"]["absent"]["ap"] is None
    assert data["by_size"]["large"]["high"] is None
    assert data["missing"] == ["absent"]


def test_inputs_are_left_alone(rng):
    detections, truths = random_scene(rng)
    before = [[part.copy() for part in item[:3]] for item in (*detections, *truths)]
    evaluate(detections, truths, ["a", "b", "c"])
    for item, copy in zip((*detections, *truths), before):
        for part, old in zip(item, copy):
            np.testing.assert_array_equal(part, old)


# --- wrong input ----------------------------------------------------------------------------------------------------

NAN_BOX = (0.1, float("nan"), 0.5, 0.5)


@pytest.mark.parametrize(
    ("detections", "truths", "message"),
    [
        ([found()], [], r"detections: expected 0 images, got 1"),
        (
            [found(), found(BOX, labels=[3])],
            [truth()] * 2,
            r"detections\[1\].labels: row 0: .* 1 to 2, got 3",
        ),
        (
            [found()],
            [truth(BOX, FAR, labels=[1, 0])],
            r"truths\[0\].labels: row 1: .* 1 to 2, got 0",
        ),
        ([found(BOX, NAN_BOX)], [truth()], r"detections\[0\].boxes: row 1: .*finite numbers"),
        (
            [found(BOX, scores=[np.nan])],
            [truth()],
            r"detections\[0\].scores: row 0: .*finite numbers",
        ),
        ([found()], [truth(BOX, labels=[1, 1])], r"truths\[0\].labels: expected shape \(1\)"),
        (
            [found(BOX)._replace(labels=np.array([1.5]))],
            [truth()],
            r"labels: expected whole numbers",
        ),
    ],
)
def test_wrong_arrays_name_the_image_and_the_row(detections, truths, message):
    with pytest.raises(ValueError, match=message):
        evaluate(detections, truths, ["cat", "dog"])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"method": "12-point"}, r"method: expected 11-point \| all-point, got '12-point'"),
        ({"iou_threshold": 0}, "iou_threshold: expected above 0"),
        ({"class_names": ["cat", "cat"]}, "class_names: expected different names"),
        ({"class_names": []}, "class_names: expected different names"),
    ],
)
def test_wrong_settings_are_named(options, message):
    with pytest.raises(ValueError, match=message):
        evaluate([found()], [truth()], **{"class_names": ["cat"], **options})


def test_curve_of_two_lengths_is_refused():
    with pytest.raises(ValueError, match="precision: expected shape"):
        average_precision(np.zeros(3), np.zeros(2))
