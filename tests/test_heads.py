"""Heads woven from pairs of convolutions, and taken apart again."""

import numpy as np
import pytest

from minissd.models.heads import interleave_head, split_head
from minissd.nn import Conv2d

N_CLASSES, N_BOXES = 3, 2


def pair(rng, *lead):
    return (
        rng.standard_normal((*lead, N_BOXES * N_CLASSES)),
        rng.standard_normal((*lead, N_BOXES * 4)),
    )


@pytest.mark.parametrize("lead", [(3, 3, 5), ()], ids=["weights", "biases"])
def test_woven_and_taken_apart_is_the_same(rng, lead):
    scores, offsets = pair(rng, *lead)
    head = interleave_head(scores, offsets, N_CLASSES)
    assert head.shape == (*lead, N_BOXES * (N_CLASSES + 4))
    for before, after in zip((scores, offsets), split_head(head, N_CLASSES)):
        np.testing.assert_array_equal(before, after)


def test_each_box_shape_has_its_scores_then_its_offsets():
    scores, offsets = np.arange(6), 100 + np.arange(8)
    expected = [0, 1, 2, 100, 101, 102, 103, 3, 4, 5, 104, 105, 106, 107]
    assert interleave_head(scores, offsets, N_CLASSES).tolist() == expected


def test_one_head_answers_as_the_pair_does(rng):
    """The rows of the one convolution are those of the two, reshaped to (box, class) and (box, 4)."""
    scores, offsets = pair(rng, 3, 3, 5)
    x = rng.standard_normal((2, 4, 3, 5))

    def run(weight):
        conv = Conv2d(5, weight.shape[-1], 3, padding=1, rng=rng)
        conv.weight.value = weight
        return conv.forward(x)

    head = run(interleave_head(scores, offsets, N_CLASSES)).reshape(2, -1, N_CLASSES + 4)
    np.testing.assert_allclose(head[..., :N_CLASSES], run(scores).reshape(2, -1, N_CLASSES))
    np.testing.assert_allclose(head[..., N_CLASSES:], run(offsets).reshape(2, -1, 4))


def test_what_does_not_belong_together_is_refused(rng):
    scores, offsets = pair(rng, 3, 3, 5)
    with pytest.raises(ValueError, match=r"class_weight: expected shape \(3, 3, 5, 8\)"):
        interleave_head(scores, offsets, 4)
    with pytest.raises(ValueError, match="class_weight: expected shape"):
        interleave_head(scores[:, :, :4], offsets, N_CLASSES)
    with pytest.raises(ValueError, match="box_weight: expected 4 filters a box shape"):
        interleave_head(scores, offsets[..., :7], N_CLASSES)
    with pytest.raises(ValueError, match="weight: expected a multiple of 8 filters"):
        split_head(np.zeros(14), 4)
