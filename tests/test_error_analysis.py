"""Kinds of errors: against loops, by hand, and how the analysis is shown."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from evaluation_cases import BOX, FAR, NEAR, found, random_scene, truth
from oracles_errors import kinds_of, matches

from minissd.boxes.geometry import iou
from minissd.evaluation.errors import KINDS, VOC_SIMILAR, analyse_errors, similarity

CLASSES = [
    "cat",
    "dog",
    "car",
    "cup",
]  # cat and dog are similar, car and cup are similar to nothing here
BADLY = (0.1, 0.1, 0.5, 0.2)  # IoU with BOX is 1/4
LOOSE = (0.0, 0.0, 0.9, 0.9)  # contains BOX and FAR: IoU 16/81 and 9/81
HIDDEN = (0.55, 0.1, 0.9, 0.5)  # touches neither BOX nor FAR


def kinds(detections, objects, class_name="cat", **options) -> list[str]:
    analysis = analyse_errors([detections], [objects], CLASSES, **options)
    return [KINDS[kind] for kind in analysis.per_class[class_name].kinds]


def crowded_scene(rng):
    """Random pictures in which detections are often badly placed or of another class."""
    detections, truths = random_scene(rng, 60, 4)
    for i, (d, t) in enumerate(zip(detections, truths)):
        if len(t.labels):
            near = t.boxes[rng.integers(0, len(t.labels), len(d.labels))]
            near = near + rng.normal(0, 0.08, near.shape)
            near = np.concatenate([np.minimum(near[:, :2], near[:, 2:]), near[:, 2:] + 0.01], 1)
            detections[i] = d._replace(
                boxes=np.where(rng.random((len(near), 1)) < 0.7, near, d.boxes)
            )
    return detections, truths


# --- against loops --------------------------------------------------------------------------------------------------


def test_every_detection_has_the_kind_that_loops_give_it():
    seen = []
    for seed in range(6):
        detections, truths = crowded_scene(np.random.default_rng(seed))
        analysis = analyse_errors(detections, truths, CLASSES)
        for label, name in enumerate(CLASSES, start=1):
            expected = kinds_of(detections, truths, label, {(1, 2), (2, 1)})
            ours = analysis.per_class[name]
            assert [KINDS[kind] for kind in ours.kinds] == expected
            assert (np.diff(ours.scores) <= 0).all()
            seen += expected
    assert min(seen.count(kind) for kind in KINDS if kind != "Sim") > 30
    assert seen.count("Sim") > 30


def test_recall_is_that_of_loops_by_both_criteria():
    detections, truths = crowded_scene(np.random.default_rng(7))
    analysis = analyse_errors(detections, truths, CLASSES)
    for label, name in enumerate(CLASSES, start=1):
        ours = analysis.per_class[name]
        n_objects = sum(int((~t.difficult[t.labels == label]).sum()) for t in truths)
        assert ours.n_objects == n_objects
        strong = [v for v, _, _ in matches(detections, truths, label, 0.5)]
        weak = [v for v, _, _ in matches(detections, truths, label, 0.1)]
        weak = [w for s, w in zip(strong, weak) if s != "ignored"]
        strong = [s for s in strong if s != "ignored"]
        for multiple in (0.25, 1, 2, 50):
            top = min(max(round(multiple * n_objects), 1), len(strong))
            assert ours.top(multiple) == top
            assert ours.recall(multiple) == strong[:top].count("right") / n_objects
            assert ours.recall(multiple, weak=True) == weak[:top].count("right") / n_objects
            assert ours.recall(multiple) <= ours.recall(multiple, weak=True)


# --- by hand --------------------------------------------------------------------------------------------------------


def test_the_five_kinds_by_hand():
    objects = truth(BOX, FAR, labels=[1, 2])  # a cat and a dog
    assert kinds(found(BOX), objects) == ["Cor"]
    assert kinds(found(BADLY), objects) == ["Loc"]
    assert kinds(found(FAR), objects) == ["Sim"]
    assert kinds(found(FAR, labels=[3]), objects, "car") == ["Oth"]
    assert kinds(found(HIDDEN), objects) == ["BG"]


def test_a_duplicate_is_badly_placed_even_if_it_fits_well():
    assert kinds(found(BOX, NEAR), truth(BOX)) == ["Cor", "Loc"]


def test_the_first_kind_that_fits_is_taken():
    # LOOSE overlaps a cat by 16/81 and a dog by 9/81, both above 0.1.
    assert iou(np.array([LOOSE]), np.array([BOX, FAR]))[0] == pytest.approx([16 / 81, 9 / 81])
    objects = truth(BOX, FAR, labels=[1, 2])
    assert kinds(found(LOOSE), objects) == ["Loc"]
    assert kinds(found(LOOSE, labels=[2]), objects, "dog") == ["Loc"]
    assert kinds(found(LOOSE, labels=[1]), truth(BOX, FAR, labels=[3, 2])) == ["Sim"]
    assert kinds(found(LOOSE, labels=[3]), objects, "car") == ["Oth"]


def test_the_weak_threshold_is_inclusive():
    wide, tenth = (0.0, 0.0, 1.0, 0.5), (0.0, 0.0, 0.1, 0.5)  # IoU 1/10
    assert kinds(found(tenth), truth(wide)) == ["Loc"]
    assert kinds(found((0.0, 0.0, 0.0999, 0.5)), truth(wide)) == ["BG"]
    assert kinds(found(tenth), truth(wide), weak_threshold=0.2) == ["BG"]


def test_difficult_objects_are_left_out_but_are_no_background():
    objects = truth(BOX, FAR, labels=[1, 2], difficult=[True, True])
    assert kinds(found(BOX, HIDDEN), objects) == ["BG"]
    assert kinds(found(FAR), objects) == ["Sim"]
    assert kinds(found(BADLY), objects) == ["Loc"]


def test_shares_and_recall_by_hand():
    # Two cats; ranked: Cor, BG, Loc, Loc, Cor. N = 2.
    objects = truth(BOX, FAR)
    detections = found(BOX, (0.6, 0.1, 0.8, 0.3), BADLY, NEAR, FAR)
    analysis = analyse_errors([detections], [objects], CLASSES)
    cats = analysis.per_class["cat"]
    assert cats.shares().tolist() == [1 / 2, 0, 0, 0, 1 / 2]
    assert cats.shares(2).tolist() == [1 / 4, 2 / 4, 0, 0, 1 / 4]
    assert cats.shares(99).tolist() == pytest.approx([2 / 5, 2 / 5, 0, 0, 1 / 5])
    assert cats.shares(0.01).tolist() == [1, 0, 0, 0, 0]  # one detection at least
    assert (cats.recall(), cats.recall(3)) == (1 / 2, 1)
    assert cats.wrong_shares(1).tolist() == [0, 0, 0, 1]
    assert cats.wrong_shares(99).tolist() == pytest.approx([2 / 3, 0, 0, 1 / 3])
    # The group holds classes without objects too; they are not in its mean.
    assert analysis.shares("animals").tolist() == cats.shares().tolist()
    assert np.isnan(analysis.shares("vehicles")).all()
    assert math.isnan(analysis.recall("vehicles"))


def test_a_group_is_the_mean_of_its_classes():
    objects = truth(BOX, FAR, labels=[1, 2])
    detections = found(BOX, HIDDEN, labels=[1, 2])
    analysis = analyse_errors([detections], [objects], CLASSES)
    assert analysis.shares("animals").tolist() == [1 / 2, 0, 0, 0, 1 / 2]
    assert analysis.recall("animals") == 1 / 2
    # A cat that is found has no wrong detection: the mean is over the dogs alone.
    assert analysis.wrong_shares("animals", 5).tolist() == [0, 0, 0, 1]


def test_nothing_there_and_nothing_found_have_an_answer():
    for detections, truths in (([], []), ([found()], [truth()]), ([found()], [truth(BOX)])):
        analysis = analyse_errors(detections, truths, CLASSES)
        assert np.isnan(analysis.per_class["cat"].shares()).all()
        assert "-" in analysis.format_table()
        json.dumps(analysis.to_json(), allow_nan=False)
    assert kinds(found(BOX, labels=[1]), truth()) == ["BG"]


# --- similar classes and groups -------------------------------------------------------------------------------------


def test_similar_classes_of_voc_are_those_of_the_paper():
    names = sorted({name for names in VOC_SIMILAR.values() for name in names})
    matrix = similarity(VOC_SIMILAR, names)
    label = {name: i for i, name in enumerate(names, start=1)}
    for one, other, expected in (
        ("cat", "dog", True),
        ("person", "horse", True),
        ("chair", "sofa", True),
        ("aeroplane", "bird", True),
        ("aeroplane", "car", True),
        ("bird", "car", False),
        ("cat", "cat", False),
        ("chair", "cat", False),
    ):
        assert matrix[label[one], label[other]] == matrix[label[other], label[one]] == expected


def test_other_data_sets_have_their_own_sets():
    options = {"similar": {"wheels": ["car", "cup"]}}
    objects = truth(BOX, labels=[4])
    assert kinds(found(BOX, labels=[3]), objects, "car", **options) == ["Sim"]
    assert kinds(found(BOX, labels=[1]), objects, "cat", **options) == ["Oth"]
    analysis = analyse_errors([], [], CLASSES, **options)
    assert analysis.groups == {"wheels": ("car", "cup"), "others": ("cat", "dog")}
    analysis = analyse_errors([], [], CLASSES, **options, groups={"pets": ["cat"]})
    assert analysis.groups == {"pets": ("cat",), "others": ("dog", "car", "cup")}
    assert analyse_errors([], [], ["nut", "bolt"]).groups == {"all classes": ("nut", "bolt")}
    assert analyse_errors([], [], ["cat", "sofa"]).groups == {
        "animals": ("cat",),
        "furniture": ("sofa",),
    }


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"similar": {"pets": ["cat", "rat"]}},
            r"similar: 'pets': expected classes among .*\['rat'\]",
        ),
        ({"groups": {"pets": ["rat"]}}, "groups: 'pets'"),
        ({"weak_threshold": 0.6}, "weak_threshold: expected above 0 and at most 0.5"),
        ({"iou_threshold": 0}, "iou_threshold: expected above 0"),
    ],
)
def test_wrong_settings_are_named(options, message):
    with pytest.raises(ValueError, match=message):
        analyse_errors([], [], CLASSES, **options)


def test_the_table_has_a_line_for_every_class_and_group():
    analysis = analyse_errors([found(BOX, BADLY)], [truth(BOX, FAR)], CLASSES)
    lines = {line.split("  ")[0]: line for line in analysis.format_table().splitlines()}
    assert lines["cat"].split() == [
        "cat",
        "2",
        "50.0%",
        "50.0%",
        "0.0%",
        "0.0%",
        "0.0%",
        "50.0%",
        "50.0%",
    ]
    assert lines["dog"].split() == ["dog", "0", "-", "-", "-", "-", "-", "-", "-"]
    assert lines["animals"].split()[1:] == lines["cat"].split()[1:]
    row = analysis.to_json()["per_class"]["cat"]
    assert row == {
        "n_objects": 2, "Cor": 0.5, "Loc": 0.5, "Sim": 0, "Oth": 0, "BG": 0,
        "recall": 0.5, "weak_recall": 0.5,
    }  # fmt: skip
