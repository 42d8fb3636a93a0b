"""Sensitivity to size and shape: parts of a class, normalised average precision by hand and against loops."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from evaluation_cases import BOX, FAR, found, random_scene, truth
from oracles_errors import normalised

from minissd.evaluation.sensitivity import (
    ASPECTS,
    SIZES,
    analyse_sensitivity,
    five_parts,
    normalised_ap,
)

CLASSES = ["a", "b", "c", "never"]


def flags(text: str) -> np.ndarray:
    return np.array([letter == "x" for letter in text], bool)


def parts_by_loop(truths, label, value) -> list[set]:
    """The five parts of a class as sets of (image, index), by sorting and counting."""
    rows = []
    for image, t in enumerate(truths):
        for k, (box, own, hard) in enumerate(zip(t.boxes, t.labels, t.difficult)):
            if own == label and not hard:
                width, height = (box[2] - box[0]) * t.size[0], (box[3] - box[1]) * t.size[1]
                rows.append((value(width, height), image, k))
    rows.sort(key=lambda row: row[0])
    parts: list[set] = [set() for _ in range(5)]
    for place, (_, image, k) in enumerate(rows):
        share = (place + 0.5) / len(rows)
        number = sum(share >= cut for cut in (0.1, 0.3, 0.7, 0.9))
        parts[number].add((image, k))
    return parts


def test_every_part_has_the_normalised_ap_of_loops(rng):
    detections, truths = random_scene(rng, 80)
    truths = [t._replace(size=tuple(rng.integers(50, 500, 2).tolist())) for t in truths]
    result = analyse_sensitivity(detections, truths, CLASSES)
    assert list(result.per_class) == CLASSES[:3]
    values = {"size": (SIZES, lambda w, h: w * h), "aspect": (ASPECTS, lambda w, h: w / h)}
    seen = set()
    for label, name in enumerate(CLASSES[:3], start=1):
        ours = result.per_class[name]
        for characteristic, (names, value) in values.items():
            parts = parts_by_loop(truths, label, value)
            for part_name, part in zip(names, parts):
                one = getattr(ours, characteristic)[part_name]
                expected = normalised(detections, truths, label, part, result.n_reference)
                assert one.ap == pytest.approx(expected, abs=1e-12)
                assert one.n_objects == len(part) > 0
                seen.add(round(expected, 6))
        whole = set().union(*parts)
        expected = normalised(detections, truths, label, whole, result.n_reference)
        assert ours.overall.ap == pytest.approx(expected, abs=1e-12)
    assert len(seen) > 15
    n_objects = [each.overall.n_objects for each in result.per_class.values()]
    assert result.n_reference == np.mean(n_objects)


def test_normalised_ap_by_hand():
    # Four objects; right, wrong, right, and two never found. With N = 8: R N is 2, 2, 4 and F 0, 1, 1.
    # P_N = 1, 2/3, 4/5: the two found objects count 1 and 4/5, the others 0.
    ap, error = normalised_ap(flags("x-x"), flags("-x-"), 4, 8)
    assert ap == pytest.approx((1 + 4 / 5) / 4)
    mean = 9 / 20
    spread = math.sqrt(((1 - mean) ** 2 + (4 / 5 - mean) ** 2 + 2 * mean**2) / 3)
    assert error == pytest.approx(spread / 2)


def test_with_n_the_number_of_objects_it_is_the_precision_as_it_is():
    # right wrong right of two objects: precision 1, 1/2, 2/3.
    assert normalised_ap(flags("x-x"), flags("-x-"), 2, 2)[0] == pytest.approx((1 + 2 / 3) / 2)


def test_normalising_makes_parts_of_different_numbers_equal():
    # Half of the objects found after one wrong detection: one of two, or two of four.
    few = normalised_ap(flags("-x"), flags("x-"), 2, 10)[0]
    many = normalised_ap(flags("-xx"), flags("x--"), 4, 10)[0]
    assert few == pytest.approx(many) == pytest.approx(5 / 6 / 2)


def test_what_is_neither_right_nor_wrong_is_passed_over():
    assert normalised_ap(flags("--x"), flags("---"), 1, 5) == (1, 0)


def test_no_objects_and_no_detections_have_an_answer():
    assert all(math.isnan(number) for number in normalised_ap(flags(""), flags(""), 0, 5))
    assert normalised_ap(flags(""), flags(""), 2, 5) == (0, 0)
    nothing = analyse_sensitivity([], [], ["cat"])
    assert nothing.per_class == {}
    assert all(math.isnan(each) for each in nothing.span("size"))
    assert "-" in nothing.format_table()
    json.dumps(nothing.to_json(), allow_nan=False)


def test_parts_are_a_tenth_two_four_two_and_one():
    values = np.arange(40.0)[::-1]
    own = np.arange(40) % 2 == 0  # twenty objects, the largest first
    parts = five_parts(values, own)
    assert [int(part.sum()) for part in parts] == [2, 4, 8, 4, 2]
    assert np.flatnonzero(parts[0]).tolist() == [36, 38]
    assert np.flatnonzero(parts[4]).tolist() == [0, 2]
    np.testing.assert_array_equal(np.sum(parts, axis=0), own)


@pytest.mark.parametrize(
    ("count", "expected"),
    [(0, [0, 0, 0, 0, 0]), (1, [0, 0, 1, 0, 0]), (2, [0, 1, 0, 1, 0]), (5, [0, 1, 2, 1, 1])],
)
def test_few_objects_lie_in_the_middle_parts(count, expected):
    # Of five, the middles of their places are 0.1, 0.3, 0.5, 0.7, 0.9: at a cut, the higher part.
    parts = [int(part.sum()) for part in five_parts(np.arange(float(count)), np.ones(count, bool))]
    assert parts == expected


def test_wide_objects_are_wide_in_pixels():
    # In fractions both are squares; 400 x 100 pixels make the first wide, 100 x 400 the second tall.
    truths = [truth(BOX)._replace(size=size) for size in ((400, 100), (100, 400))]
    result = analyse_sensitivity([found(BOX), found()], truths, ["cat"])
    aspect = result.per_class["cat"].aspect
    assert (aspect["W"].ap, aspect["T"].ap) == (1, 0)
    assert math.isnan(aspect["XW"].ap)


def test_wrong_detections_count_for_every_part_and_found_objects_for_their_own():
    # A large and a small cat, the large one found first, then a wrong one; N = 2 objects.
    result = analyse_sensitivity(
        [found(BOX, (0.6, 0.1, 0.8, 0.3), FAR)], [truth(BOX, FAR)], ["cat"]
    )
    cat = result.per_class["cat"]
    assert cat.size["L"].ap == 1
    assert cat.size["S"].ap == pytest.approx(2 / 3)  # R N = 2, F = 1
    assert cat.overall.ap == pytest.approx((1 + 2 / 3) / 2)
    assert result.span("size") == pytest.approx((2 / 3, 5 / 6, 1))
    assert "worst part 0.667, whole class 0.833, best part 1.000" in result.format_table()
    assert result.to_json()["per_class"]["cat"]["size"]["XL"]["ap"] is None


def test_wrong_settings_are_named():
    with pytest.raises(ValueError, match="n_reference: expected above 0"):
        analyse_sensitivity([], [], ["cat"], n_reference=0)
    with pytest.raises(ValueError, match="characteristic: expected size"):
        analyse_sensitivity([], [], ["cat"]).span("colour")
