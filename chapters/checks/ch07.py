"""Chapter 7: the class loss, and mining."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from .common import exercise, hint_if, run

_LOGITS = np.array([[2.0, 1.0, -1.0], [0.0, 0.0, 0.0], [-1.0, 3.0, 0.5]])
_LABELS = np.array([0, 2, 0])


def _row_losses(scores: np.ndarray, labels: np.ndarray) -> np.ndarray:
    values = []
    for row, label in zip(scores.tolist(), labels.tolist()):
        top = max(row)
        values.append(top + np.log(sum(np.exp(s - top) for s in row)) - row[label])
    return np.array(values)


@exercise("subtract something from each row before exp, and never take the log of a softmax.")
def check_safe_loss(answer: Callable[..., np.ndarray]) -> str:
    """Cross-entropy of every row, finite for huge logits."""
    with np.errstate(all="ignore"):
        got = np.asarray(run(answer, _LOGITS, _LABELS), float)
        right = _row_losses(_LOGITS, _LABELS)
        hint_if(got.shape == (), "one number came back: every row has a loss of its own.")
        hint_if(got.shape != (3,), "three rows, three losses: return shape (M,).")
        hint_if(
            np.allclose(got, -right), "right but for the sign: a loss is 0 at best, never below."
        )
        hint_if(
            np.allclose(got, np.exp(-right)),
            "these are the scores of the right classes, before any log.",
        )
        hint_if(
            np.allclose(got, right - _LOGITS.max(axis=1)),
            "the maximum was taken off in one place and not in the other: the two no longer cancel.",
        )
        hint_if(
            not np.allclose(got, right),
            "try one row alone: (2, 1, -1) with label 0. The first cell with a loss gave 0.349.",
        )
        huge = np.array([[1e4, 0.0, -1e4], [1e4, 0.0, -1e4]])
        got = np.asarray(run(answer, huge, np.array([0, 2])), float)
        hint_if(np.isnan(got).any(), "nan at logits of 1e4: exp overflows, and inf / inf is nan.")
        hint_if(
            np.isinf(got).any(),
            "inf at logits of 1e4: the log of a score that has rounded to 0.",
        )
        hint_if(
            not np.allclose(got, [0, 2e4]),
            f"finite at logits of 1e4, but {got[1]:.4g} for an answer that is wrong by 20,000: is"
            " something clipped?",
        )
        mixed = np.array([[1e4, 0.0, 0.0], [0.0, 1.0, 2.0]])
        got = np.asarray(run(answer, mixed, np.array([0, 1])), float)
        hint_if(
            not np.allclose(got, _row_losses(mixed, np.array([0, 1]))),
            "one large row spoils the row next to it: of what is your maximum taken?",
        )
    return "finite for every finite logit, and each row minds its own maximum."


def _mined(losses: np.ndarray, positives: np.ndarray, ratio: float) -> np.ndarray:
    chosen = np.zeros(losses.shape, bool)
    for i, row in enumerate(losses.tolist()):
        boxes = [k for k in range(len(row)) if not positives[i, k]]
        boxes.sort(key=lambda k: -row[k])
        chosen[i, boxes[: int(ratio * positives[i].sum())]] = True
    return chosen


_LOSSES = np.array(
    [
        [9.0, 0.5, 2.0, 1.0, 8.0, 3.0, 0.2, 4.0, 0.1, 0.3],
        [1.0, 6.0, 5.0, 7.0, 9.5, 8.5, 6.5, 7.5, 5.5, 9.0],
    ]
)
_POSITIVES = np.zeros((2, 10), bool)
_POSITIVES[0, 0] = _POSITIVES[1, 0] = True


@exercise("one picture first: put -inf where a box is positive, and ask np.partition for the cut.")
def check_mine_batch(answer: Callable[..., np.ndarray]) -> str:
    """Hard negatives picture by picture: a mask (N, K)."""
    got = np.asarray(run(answer, _LOSSES, _POSITIVES, 3))
    right = _mined(_LOSSES, _POSITIVES, 3)
    hint_if(got.shape != right.shape, "a mask of the shape of the losses is asked for, (N, K).")
    hint_if(got.dtype != bool, "the mask must be of dtype bool: True or False for every box.")
    hint_if(
        (got & _POSITIVES).any(), "a positive was mined: it counts already, whatever its loss is."
    )
    hint_if(
        got.sum() == 6 and not (got.sum(axis=1) == 3).all(),
        "six in all, but one picture takes from the other: each has its own count.",
    )
    hint_if(
        got.sum() == 6 and _LOSSES[got].max() < 7,
        "these are the *easiest* negatives, not the hardest.",
    )
    hint_if(
        got.sum(axis=1).tolist() == [2, 2],
        "each picture has one mined box too few: what of the box *at* the cut?",
    )
    hint_if(got[0].sum() != 3, f"1 positive, ratio 3: picture 0 has {got[0].sum()} mined boxes.")
    hint_if(not np.array_equal(got, right), "the count is right, the boxes are not.")
    nobody = np.zeros((2, 10), bool)
    nobody[1, 0] = True
    got = np.asarray(run(answer, _LOSSES, nobody, 3))
    hint_if(
        got[0].any(),
        "a picture without positives has mined boxes: what does a slice from -0 on contain?",
    )
    crowded = np.ones((2, 10), bool)
    crowded[0, 3:5] = crowded[1, 2:9] = False
    got = np.asarray(run(answer, _LOSSES, crowded, 3))
    hint_if((got & crowded).any(), "fewer negatives than asked for: positives were taken instead.")
    hint_if(
        not np.array_equal(got, ~crowded), "fewer negatives than asked for: take all there are."
    )
    flat = np.zeros((2, 10))
    got = np.asarray(run(answer, flat, _POSITIVES, 3))
    hint_if(
        (got.sum(axis=1) > 3).any(), "all losses equal: everything that reaches the cut was taken."
    )
    hint_if((got.sum(axis=1) < 3).any(), "all losses equal: too few, or none, lie *above* the cut.")
    hint_if(
        not got[:, 1:4].all(),
        "all losses equal: the count is right, but the first ones win. A partition promises no order"
        " among equals.",
    )
    got = np.asarray(run(answer, _LOSSES, _POSITIVES, 2))
    hint_if(got[0].sum() != 2, "right at 3 to 1, wrong at 2 to 1: is the ratio built in?")
    return "the same boxes as two sorts would give. A partition finds them with less work."


@exercise("write p - y for each box first; then ask what its weight is in the sum.")
def check_three_gradients(answer: Sequence[float]) -> str:
    """Gradients of an unmined negative, a mined negative and a positive."""
    three = np.asarray(answer, float)
    hint_if(three.shape != (3,), "three numbers are asked for, in one list.")
    right = np.array([0, 1 / 6, -1 / 3])
    hint_if(
        three[0] != 0 and np.allclose(three[1:], right[1:], atol=1e-3),
        "the unmined box: with which weight does its loss enter the sum?",
    )
    hint_if(
        three[0] != 0, "the first box is neither positive nor mined. What does the loss know of it?"
    )
    hint_if(
        np.allclose(three[1:], [1 / 3, -2 / 3], atol=1e-3),
        "p - y is right. The loss is divided by something that you left out.",
    )
    hint_if(
        np.allclose(three[1:], -right[1:], atol=1e-3),
        "the sizes are right. Which sign makes the right logit rise when one steps *against* it?",
    )
    hint_if(
        np.allclose(three[1:], [1 / 24, -1 / 12], atol=1e-3),
        "divided by all boxes that count. By which of them does SSD divide?",
    )
    hint_if(
        not np.isclose(three[1], right[1], atol=5e-3),
        "the mined box is labelled background, and its logit of class 1 is asked for.",
    )
    hint_if(
        not np.isclose(three[2], right[2], atol=5e-3), "the positive: its own class is asked for."
    )
    return "an unmined box is not pushed at all, not even a little: the step does not know of it."


@exercise("for each picture: how many are wanted, and how many are there?")
def check_how_many(answer: Sequence[int]) -> str:
    """Mined counts of three pictures of twelve boxes, without and with a minimum."""
    got = np.asarray(answer)
    hint_if(got.shape != (6,), "six whole numbers are asked for, in one list.")
    plain, least = got[:3].tolist(), got[3:].tolist()
    hint_if(plain[0] != 0, "no positives: how much is three times nothing?")
    hint_if(plain[2] == 15, "15 are wanted of the last picture, but it has only 12 boxes in all.")
    hint_if(plain[2] == 12, "the last picture has 12 boxes. Are all of them negatives?")
    hint_if(plain != [0, 6, 7], "first three: three for each positive, at most all negatives.")
    hint_if(least[0] == 0, "min_negatives is for just this case, the picture without objects.")
    hint_if(
        least == [4, 10, 7] or least == [4, 10, 11] or least == [4, 10, 12],
        "a *least* number is not added to what is wanted anyway.",
    )
    hint_if(least == [4, 4, 4], "a least number is no greatest number.")
    hint_if(
        least != [4, 6, 7], "last three: does the minimum change anything where more are mined?"
    )
    return "a minimum speaks only where there are few positives, above all where there are none."


@exercise("add what counts, then divide: by what, if there are no positives?")
def check_class_loss(answer: Callable[..., float]) -> str:
    """The class loss of a batch from the losses of all boxes."""
    losses = np.array([[3.0, 1.0, 0.5, 2.0, 7.0], [0.25, 4.0, 0.75, 6.0, 5.0]])
    positives = np.array([[True, False, False, True, False], [False] * 5])
    mined = np.array([[False, True, False, False, True], [False, True, False, False, True]])
    with np.errstate(all="ignore"):
        got = np.asarray(run(answer, losses, positives, mined), float)
        hint_if(got.shape != (), "one number is asked for: the loss of the whole batch.")
        hint_if(
            np.isclose(got, 22 / 6), "divided by all that count; SSD divides by positives only."
        )
        hint_if(
            np.isclose(got, 2.2), "divided by all boxes: then a picture's loss is hardly there."
        )
        hint_if(np.isclose(got, 2.5), "only the positives were added. What of the mined?")
        hint_if(np.isclose(got, 14.75), "every box was added, also those that nobody mined.")
        hint_if(
            np.isclose(got, 15.5) or np.isclose(got, 7.75),
            "each picture was divided by its own positives: SSD counts those of the whole batch.",
        )
        hint_if(not np.isclose(got, 11), "22 is what the boxes that count lose together.")
        nobody = np.zeros_like(positives)
        got = np.asarray(run(answer, losses, nobody, nobody), float)
        hint_if(
            np.isnan(got), "no positives, no mined: 0 / 0 is nan, and one nan ruins all weights."
        )
        hint_if(got != 0, "no positives, no mined: nothing is to be learnt, so the loss is 0.")
        got = np.asarray(run(answer, losses, nobody, mined), float)
        hint_if(np.isinf(got), "no positives, but mined negatives: something divided by 0 is inf.")
        hint_if(
            not np.isclose(got, 17),
            f"no positives, but mined negatives: they should count, yet the loss is {got:g}.",
        )
    return "max(1, positives): the one number that keeps a batch without objects from being nan."
