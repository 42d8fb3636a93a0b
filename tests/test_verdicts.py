"""Right, wrong or ignored: the rule by which a detection is judged, over all sizes and within a range of them."""

from __future__ import annotations

import math

import numpy as np
import pytest
from evaluation_cases import BOX, FAR, NEAR, found, random_scene, truth

from minissd.boxes.geometry import iou
from minissd.boxes.nms import Detections
from minissd.evaluation import Truth, evaluate, judge_images
from minissd.evaluation.ranking import rank
from minissd.evaluation.verdicts import IGNORED, RIGHT, WRONG, judge


def verdicts(detections: Detections, objects: Truth, **options) -> list[int]:
    ranking, known = rank([detections], [objects])
    return judge(ranking, known, **options).tolist()


# --- the rule -------------------------------------------------------------------------------------------------------


def test_first_detection_of_an_object_is_right_and_its_duplicate_wrong():
    assert verdicts(found(NEAR, BOX), truth(BOX)) == [RIGHT, WRONG]


def test_a_detection_is_about_the_object_it_overlaps_most_even_if_that_is_taken():
    # The second detection reaches 0.5 with both objects, but most with the first one: a duplicate.
    left, right = (0.0, 0.0, 0.4, 0.4), (0.1, 0.0, 0.5, 0.4)
    between = (0.04, 0.0, 0.44, 0.4)
    assert iou(np.array([between]), np.array([left, right])).min() > 0.5
    assert verdicts(found(left, between), truth(left, right)) == [RIGHT, WRONG]


def test_detection_of_a_difficult_object_counts_neither_way():
    assert verdicts(found(BOX, NEAR, FAR), truth(BOX, difficult=[True])) == [
        IGNORED,
        IGNORED,
        WRONG,
    ]


def test_only_objects_of_the_same_class_are_looked_at():
    assert verdicts(found(BOX, labels=[2]), truth(BOX, labels=[1])) == [WRONG]
    objects = truth(BOX, NEAR, labels=[1, 2])
    assert verdicts(found(BOX, labels=[2]), objects) == [RIGHT]


def test_threshold_is_inclusive():
    half = (0.0, 0.0, 0.5, 1.0)
    assert verdicts(found(half), truth((0.0, 0.0, 1.0, 1.0)), iou_threshold=0.5) == [RIGHT]
    assert verdicts(found(half), truth((0.0, 0.0, 1.0, 1.0)), iou_threshold=0.501) == [WRONG]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_an_overlap_of_just_the_threshold_survives_rounding(rng, dtype):
    size = np.array([500, 375, 500, 375])
    low = rng.integers(0, (250, 175), (200, 2))
    half = rng.integers(40, 100, (200, 2))
    objects = np.concatenate([low, low + half * [2, 1]], 1) / size
    halves = np.concatenate([low, low + half], 1) / size
    ranking, known = rank(
        [found(box)._replace(boxes=box[None].astype(dtype)) for box in halves],
        [truth(box)._replace(boxes=box[None].astype(dtype)) for box in objects],
    )
    assert ((ranking.iou != 0.5) & (abs(ranking.iou - 0.5) < 1e-5)).any()
    assert (judge(ranking, known) == RIGHT).all()
    short = (0.0, 0.0, 0.5 - 2e-6, 1.0)
    assert verdicts(found(short), truth((0.0, 0.0, 1.0, 1.0))) == [WRONG]


def test_equal_scores_are_ranked_by_image_then_index():
    detections = [found(FAR, BOX, scores=[0.5, 0.5]), found(BOX, scores=[0.5])]
    ranking, _ = rank(detections, [truth(BOX), truth(BOX)])
    assert ranking.image.tolist() == [0, 0, 1]
    assert ranking.index.tolist() == [0, 1, 0]
    result = evaluate(detections, [truth(BOX), truth(BOX)], ["cat"]).per_class["cat"]
    assert result.precision.tolist() == pytest.approx([0, 1 / 2, 2 / 3])


def test_judge_images_answers_in_the_order_of_each_image():
    detections = [found(FAR, BOX, scores=[0.2, 0.7]), found(), found(BOX, scores=[0.9])]
    truths = [truth(BOX, FAR, labels=[1, 2]), truth(BOX), truth(FAR, BOX, difficult=[False, True])]
    answers = judge_images(detections, truths)
    assert [v.tolist() for v, _ in answers] == [[WRONG, RIGHT], [], [IGNORED]]
    assert [about.tolist() for _, about in answers] == [[-1, 0], [], [1]]
    assert judge_images([], []) == []


# --- by size --------------------------------------------------------------------------------------------------------


def test_objects_and_lone_detections_of_another_size_are_ignored():
    small, large = (0.0, 0.0, 0.1, 0.1), (0.3, 0.3, 0.9, 0.9)
    objects = truth(small, large)
    detections = found(small, large, (0.5, 0.0, 0.6, 0.1), (0.0, 0.4, 0.7, 1.0))
    assert verdicts(detections, objects, size_range=(0, 0.16)) == [RIGHT, IGNORED, WRONG, IGNORED]
    assert verdicts(detections, objects, size_range=(0.4, None)) == [IGNORED, RIGHT, IGNORED, WRONG]
    result = evaluate([detections], [objects], ["cat"])
    assert [result.by_size[n].n_objects for n in ("small", "medium", "large")] == [1, 0, 1]
    assert math.isnan(result.by_size["medium"].mean_ap)


def test_a_duplicate_counts_where_its_object_counts():
    object_, duplicate = (0.0, 0.0, 0.42, 0.42), (0.0, 0.0, 0.42, 0.36)  # sizes 0.42 and 0.389
    options = {"size_range": (0.4, None)}
    assert verdicts(found(object_, duplicate), truth(object_), **options) == [RIGHT, WRONG]


def test_ranges_share_out_objects_and_verdicts(rng):
    ranking, objects = rank(*random_scene(rng))
    whole = judge(ranking, objects)
    parts = np.stack(
        [judge(ranking, objects, 0.5, r) for r in ((0, 0.16), (0.16, 0.4), (0.4, None))]
    )
    counted = parts != IGNORED
    np.testing.assert_array_equal(counted.sum(axis=0), whole != IGNORED)
    np.testing.assert_array_equal(np.where(counted, parts, 0).sum(axis=0), whole == RIGHT)
    result = evaluate(*random_scene(rng), ["a", "b", "c"])
    assert sum(r.n_objects for r in result.by_size.values()) == result.pooled.n_objects


def test_limits_of_a_size_range_are_half_open():
    box = (0.0, 0.0, 0.25, 0.25)  # size exactly 0.25
    assert verdicts(found(box), truth(box), size_range=(0.25, 0.5)) == [RIGHT]
    assert verdicts(found(box), truth(box), size_range=(0.0, 0.25)) == [IGNORED]
