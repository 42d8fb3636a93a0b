"""What kinds of errors a detector makes: of the detections it is most sure of, which are wrong, and in what way.

Every detection is of one of five kinds, the first that fits:

Cor  correct: the best scored one that overlaps an object of its class by at least 0.5
Loc  badly placed: it overlaps an object of its class by at least 0.1; or a duplicate of one that was found already
Sim  it overlaps an object of a similar class by at least 0.1: a cat taken for a dog
Oth  it overlaps an object of any other class by at least 0.1
BG   background: nothing that the data set knows is there

Detections of difficult objects are left out, as in average precision. A difficult object is an object all the same: to
take it for something else is no error of background.

Source: Hoiem et al., "Diagnosing Error in Object Detectors", ECCV 2012; Liu et al. 2016, section 3.1, figure 3.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType

import numpy as np

from minissd.boxes.geometry import iou
from minissd.boxes.nms import Detections
from minissd.errors import check
from minissd.evaluation.error_results import (
    BG,
    COR,
    KINDS,
    LOC,
    OTH,
    SIM,
    ClassErrors,
    ErrorAnalysis,
)
from minissd.evaluation.ranking import Objects, Ranking, Truth, rank
from minissd.evaluation.verdicts import IGNORED, RIGHT, ROUNDING, counted, judge

__all__ = [
    "BG",
    "COR",
    "KINDS",
    "LOC",
    "OTH",
    "SIM",
    "ClassErrors",
    "ErrorAnalysis",
    "analyse_errors",
    "classify",
    "similarity",
]

Groups = Mapping[str, Sequence[str]]

# Classes of VOC that Hoiem et al. call similar to each other, section 3.1.
VOC_SIMILAR: Groups = MappingProxyType(
    {
        "animals": ("bird", "cat", "cow", "dog", "horse", "person", "sheep"),
        "vehicles": ("aeroplane", "bicycle", "boat", "bus", "car", "motorbike", "train"),
        "furniture": ("chair", "diningtable", "sofa"),
        "what flies": ("aeroplane", "bird"),
    }
)
# The groups of which the paper's figure 3 shows one panel each.
VOC_GROUPS: Groups = MappingProxyType(
    {name: VOC_SIMILAR[name] for name in ("animals", "vehicles", "furniture")}
)


def analyse_errors(
    detections: Sequence[Detections],
    truths: Sequence[Truth],
    class_names: Sequence[str],
    similar: Groups | None = None,
    groups: Groups | None = None,
    iou_threshold: float = 0.5,
    weak_threshold: float = 0.1,
) -> ErrorAnalysis:
    """Say of every detection whether it is correct, and if not, in what way it is wrong.

    Args:
        detections: One an image.
        truths: One an image, in the same order.
        class_names: Name of label 1, 2, ...
        similar: Sets of classes that are similar to each other, by name; a class may be in several. None for those
            of VOC, as far as their names occur here.
        groups: Classes to show together, by name; None for the sets of similar classes (VOC: animals, vehicles,
            furniture). Classes in no group become "others", or "all classes" where there is no group at all.
        iou_threshold: Least overlap of a correct detection.
        weak_threshold: Least overlap by which a detection is about an object at all.

    Raises:
        ValueError: An argument is not as described; the message names it.
    """
    names = list(class_names)
    check(len(set(names)) == len(names) > 0, "class_names", "different names, at least one", names)
    check(0 < iou_threshold <= 1, "iou_threshold", "above 0 and at most 1", iou_threshold)
    fits = 0 < weak_threshold <= iou_threshold
    check(fits, "weak_threshold", f"above 0 and at most {iou_threshold}", weak_threshold)
    sets = _chosen(similar, VOC_SIMILAR, names, "similar")
    shown = _chosen(groups, similar if similar is not None else VOC_GROUPS, names, "groups")
    ranking, objects = rank(detections, truths, len(names))
    verdict = judge(ranking, objects, iou_threshold)
    kinds = classify(ranking, objects, verdict, similarity(sets, names), weak_threshold)
    weak = judge(ranking, objects, weak_threshold) == RIGHT
    to_find, counts = counted(objects), verdict != IGNORED
    per_class = {}
    for label, name in enumerate(names, start=1):
        rows = counts & (ranking.label == label)
        n_objects = int(to_find[objects.label == label].sum())
        per_class[name] = ClassErrors(n_objects, kinds[rows], weak[rows], ranking.score[rows])
    settings = {
        "iou_threshold": iou_threshold,
        "weak_threshold": weak_threshold,
        "similar": {name: list(classes) for name, classes in sets.items()},
    }
    return ErrorAnalysis(per_class, _with_the_rest(shown, names), settings)


def classify(
    ranking: Ranking,
    objects: Objects,
    verdict: np.ndarray,
    similar: np.ndarray,
    weak_threshold: float = 0.1,
) -> np.ndarray:
    """Say of each detection which of the five kinds it is.

    Args:
        ranking: Detections, from `rank`.
        objects: Objects, from `rank`.
        verdict: Shape (D,), from `judge`.
        similar: Shape (C + 1, C + 1), bool, from `similarity`.
        weak_threshold: Least overlap by which a detection is about an object at all.

    Returns:
        Shape (D,), int8, places in `KINDS`. (What is ignored gets one too: Loc.)
    """
    kinds = np.full(len(verdict), BG, np.int8)
    threshold = weak_threshold - ROUNDING
    order = np.argsort(ranking.image, kind="stable")
    image = ranking.image[order]
    for number in np.unique(objects.image):
        rows = order[slice(*np.searchsorted(image, [number, number + 1]))]
        there = slice(*np.searchsorted(objects.image, [number, number + 1]))
        label, other = ranking.label[rows], objects.label[there]
        near = iou(ranking.box[rows], objects.box[there]) >= threshold  # (D, M) of this image
        kinds[rows[near.any(axis=1)]] = OTH
        kinds[rows[(near & similar[label[:, None], other]).any(axis=1)]] = SIM
        kinds[rows[(near & (label[:, None] == other)).any(axis=1)]] = LOC
    kinds[verdict == RIGHT] = COR
    return kinds


def similarity(sets: Groups, class_names: Sequence[str]) -> np.ndarray:
    """Return which labels are similar to which: shape (C + 1, C + 1), bool, False on the diagonal and for 0."""
    similar = np.zeros((len(class_names) + 1,) * 2, bool)
    label = {name: number for number, name in enumerate(class_names, start=1)}
    for names in sets.values():
        members = [label[name] for name in names]
        similar[np.ix_(members, members)] = True
    np.fill_diagonal(similar, False)
    return similar


def _chosen(
    given: Groups | None, default: Groups, names: Sequence[str], argument: str
) -> dict[str, tuple[str, ...]]:
    """The sets that were given, checked, or the part of the default ones that occurs here."""
    if given is None:
        found = {
            title: tuple(name for name in members if name in names)
            for title, members in default.items()
        }
        return {title: members for title, members in found.items() if members}
    for title, members in given.items():
        unknown = [name for name in members if name not in names]
        check(not unknown, f"{argument}: {title!r}", f"classes among {', '.join(names)}", unknown)
    return {title: tuple(members) for title, members in given.items() if len(members)}


def _with_the_rest(
    groups: dict[str, tuple[str, ...]], names: Sequence[str]
) -> dict[str, tuple[str, ...]]:
    """Add the classes that are in no group."""
    rest = tuple(name for name in names if not any(name in each for each in groups.values()))
    return {**groups, ("others" if groups else "all classes"): rest} if rest else groups
