"""Average precision against the devkit's rule in loops, on random sets of many classes, straight and through files."""

from __future__ import annotations

import math

import numpy as np
import pytest
from devkit_cases import CLASSES, METHODS, as_ours, devkit_ap, random_set, shaken

from minissd.boxes.nms import Detections
from minissd.boxes.pixels import fractions_to_pixels, pixels_to_fractions
from minissd.datasets.voc import VOC_CLASSES, VocDataset
from minissd.evaluation import Truth, evaluate, read_voc_results
from minissd.training.inference import Subset, read_truths


@pytest.mark.parametrize("pixel_rule, last_pixel", [("inclusive", 1), ("exclusive", 0)])
@pytest.mark.parametrize("method", METHODS)
def test_random_sets_of_many_classes_have_the_devkits_ap(method, pixel_rule, last_pixel):
    seen = []
    for seed in range(150):
        images, detections = random_set(seed)
        if last_pixel == 0:  # a box of one pixel's width would have none, and overlap nothing
            detections = [d for d in detections if (d[3][2:] > d[3][:2]).all()]
        ours = evaluate(*as_ours(images, detections), CLASSES, method=method, pixel_rule=pixel_rule)
        expected = {
            name: devkit_ap(images, detections, label, method, last_pixel)
            for label, name in enumerate(CLASSES, start=1)
        }
        for name, ap in expected.items():
            assert ours.per_class[name].ap == pytest.approx(ap, abs=1e-12, nan_ok=True), (
                seed,
                name,
            )
        known = [ap for ap in expected.values() if not math.isnan(ap)]
        if known:
            assert ours.mean_ap == pytest.approx(math.fsum(known) / len(known), abs=1e-12)
        seen += known
    assert len(seen) > 250
    assert len(set(seen)) > 100  # not all of them 0 or 1


def test_the_two_pixel_rules_differ_where_boxes_are_small():
    # Pixels 1 to 4 against 1 to 2, full height 8: inclusive 2/4, exclusive (2 - 1)/(4 - 1) = 1/3.
    boxes = [pixels_to_fractions(np.array([[1, 1, right, 8]]), 8, 8) for right in (4, 2)]
    truths = [Truth(boxes[0], np.array([1]), size=(8, 8))]
    detections = [Detections(boxes[1], np.array([1]), np.array([0.5]))]
    assert evaluate(detections, truths, ["cat"]).mean_ap == 1
    result = evaluate(detections, truths, ["cat"], pixel_rule="exclusive")
    assert result.mean_ap == 0
    assert "pixel rule exclusive" in result.format_table()
    with pytest.raises(ValueError, match=r"truths\[0\].size: expected width and height"):
        evaluate(detections, [truths[0]._replace(size=None)], ["cat"], pixel_rule="exclusive")
    with pytest.raises(ValueError, match="pixel_rule: expected inclusive"):
        evaluate(detections, truths, ["cat"], pixel_rule="0-based")


def test_ties_go_by_image_then_index_or_as_they_are_told():
    box, other = np.array([[0.1, 0.1, 0.5, 0.5]]), np.array([[0.6, 0.6, 0.9, 0.9]])
    one, score = np.array([1]), np.array([0.5])
    detections = [Detections(other, one, score), Detections(box, one, score)]
    truths = [Truth(box, one), Truth(box, one)]
    plain = evaluate(detections, truths, ["cat"], method="all-point")
    assert plain.mean_ap == pytest.approx(
        1 / 2 * 1 / 2
    )  # wrong, right: precision 1/2 at recall 1/2
    told = evaluate(
        detections, truths, ["cat"], method="all-point", tie_order=[np.array([7]), np.array([3])]
    )
    assert told.mean_ap == pytest.approx(1 / 2)  # right, wrong


@pytest.mark.photos
def test_annotations_of_real_photographs_through_files_have_the_devkits_ap(voc_root, tmp_path, rng):
    """Boxes come as float32 fractions of annotation files, detections as whole pixels of result files."""
    data = Subset(VocDataset(voc_root, "val", VOC_CLASSES), 400)
    truths = read_truths(data.dataset)[: len(data)]
    images, detections = [], []
    for number, one in enumerate(truths):
        boxes = np.round(fractions_to_pixels(one.boxes, *one.size), 3)  # as the files have them
        images.append((*one.size, list(zip(one.labels.tolist(), boxes, one.difficult.tolist()))))
        for label, box, _ in images[-1][2]:
            for _ in range(rng.integers(0, 4)):
                named = label if rng.random() < 0.8 else int(rng.integers(1, 21))
                guess = shaken(rng, box.astype(int), *one.size)
                detections.append((number, named, round(float(rng.random()), 2), guess))
    for label, name in enumerate(VOC_CLASSES, start=1):
        rows = [
            f"{truths[image].image_id} {score} {' '.join(map(str, box))}\n"
            for image, own, score, box in detections
            if own == label
        ]
        (tmp_path / f"comp4_det_val_{name}.txt").write_text("".join(rows))
    back, lines = read_voc_results(tmp_path, truths, VOC_CLASSES, "val")
    for method in METHODS:
        ours = evaluate(back, truths, VOC_CLASSES, method=method, tie_order=lines)
        for label, name in enumerate(VOC_CLASSES, start=1):
            expected = devkit_ap(images, detections, label, method, 1)
            assert ours.per_class[name].ap == pytest.approx(expected, abs=1e-12, nan_ok=True)
        assert 0.1 < ours.mean_ap < 0.9
