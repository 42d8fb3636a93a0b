"""The MultiBox loss against a plain loop, its gradient, and its edge cases."""

import numpy as np
import pytest

from minissd.backend import to_cpu
from minissd.models.loss import Targets, multibox_loss


def plain_multibox_loss(scores, offsets, labels, target_offsets, ratio, min_negatives):
    """The paper's equations 1 to 3 with a loop over images and boxes."""
    n_images, n_boxes, _ = scores.shape
    class_loss = box_loss = 0.0
    positives = int((labels > 0).sum())
    mined = np.zeros(labels.shape, bool)
    for i in range(n_images):
        cross_entropy = []
        for k in range(n_boxes):
            row = scores[i, k] - scores[i, k].max()
            cross_entropy.append(np.log(np.exp(row).sum()) - row[labels[i, k]])
        n_positive = int((labels[i] > 0).sum())
        negatives = [k for k in range(n_boxes) if labels[i, k] == 0]
        negatives.sort(key=lambda k: (-cross_entropy[k], k))
        for k in negatives[: max(int(ratio * n_positive), min_negatives)]:
            mined[i, k] = True
            class_loss += cross_entropy[k]
        for k in range(n_boxes):
            if labels[i, k] > 0:
                class_loss += cross_entropy[k]
                for a in np.abs(offsets[i, k] - target_offsets[i, k]):
                    box_loss += 0.5 * a * a if a < 1 else a - 0.5
    norm = max(1, positives)
    return class_loss / norm, box_loss / norm, mined


def problem(rng, n=3, k=40, classes=4, share=0.1):
    labels = np.where(rng.random((n, k)) < share, rng.integers(1, classes + 1, (n, k)), 0)
    target_offsets = rng.standard_normal((n, k, 4)) * (labels > 0)[..., None]
    scores, offsets = rng.standard_normal((n, k, classes + 1)), 2 * rng.standard_normal((n, k, 4))
    return scores, offsets, labels.astype(np.int64), target_offsets


@pytest.mark.parametrize("ratio", [3.0, 1.0, 0.0, 1.5])
@pytest.mark.parametrize("min_negatives", [0, 5])
@pytest.mark.parametrize("share", [0.0, 0.1, 0.9])
def test_equals_the_plain_loop(xp, rng, ratio, min_negatives, share):
    scores, offsets, labels, target_offsets = problem(rng, share=share)
    targets = Targets(xp.asarray(labels), xp.asarray(target_offsets))
    result = multibox_loss(xp.asarray(scores), xp.asarray(offsets), targets, ratio, min_negatives)
    class_loss, box_loss, mined = plain_multibox_loss(
        scores, offsets, labels, target_offsets, ratio, min_negatives
    )
    np.testing.assert_array_equal(to_cpu(result.mined), mined)
    np.testing.assert_allclose(to_cpu(result.class_loss), class_loss, rtol=1e-12)
    np.testing.assert_allclose(to_cpu(result.box_loss), box_loss, rtol=1e-12)
    np.testing.assert_allclose(to_cpu(result.loss), class_loss + box_loss, rtol=1e-12)


def test_gradient_with_the_mined_set_held_fixed(rng):
    scores, offsets, labels, target_offsets = problem(rng, n=2, k=12)
    targets = Targets(labels, target_offsets)
    first = multibox_loss(scores, offsets, targets)
    step = 1e-6
    for values, gradient in ((scores, first.d_scores), (offsets, first.d_offsets)):
        for index in np.ndindex(values.shape):
            old = values[index]
            values[index] = old + step
            up = multibox_loss(scores, offsets, targets, mined=first.mined)
            moved_up = multibox_loss(scores, offsets, targets).mined
            values[index] = old - step
            down = multibox_loss(scores, offsets, targets, mined=first.mined)
            moved_down = multibox_loss(scores, offsets, targets).mined
            values[index] = old
            numeric = (up.loss - down.loss) / (2 * step)
            assert abs(numeric - gradient[index]) < 1e-8, index
            assert (moved_up == first.mined).all(), f"the mined set moved with {index}"
            assert (moved_down == first.mined).all(), f"the mined set moved with {index}"


def test_boxes_neither_positive_nor_mined_have_no_gradient(rng):
    scores, offsets, labels, target_offsets = problem(rng)
    result = multibox_loss(scores, offsets, Targets(labels, target_offsets))
    ignored = (labels == 0) & ~result.mined
    assert ignored.any()
    assert not result.d_scores[ignored].any()
    assert not result.d_offsets[labels == 0].any()
    assert (np.abs(result.d_scores[~ignored]).sum(axis=-1) > 0).all()


def test_a_batch_without_objects_has_loss_zero_and_no_gradient(rng):
    scores, offsets, labels, target_offsets = problem(rng, share=0.0)
    result = multibox_loss(scores, offsets, Targets(labels, target_offsets))
    assert result.loss == 0
    assert result.n_positives == 0
    assert not result.d_scores.any()
    assert not result.d_offsets.any()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_keeps_the_dtype_and_stays_finite_at_huge_logits(rng, dtype):
    scores, offsets, labels, target_offsets = problem(rng)
    scores = (np.sign(scores) * 1e4).astype(dtype)
    targets = Targets(labels, target_offsets.astype(dtype))
    result = multibox_loss(scores, offsets.astype(dtype), targets)
    for part in (result.loss, result.class_loss, result.d_scores, result.d_offsets):
        assert part.dtype == dtype
        assert np.isfinite(part).all()


def test_changes_none_of_its_inputs(rng):
    arrays = problem(rng)
    copies = [a.copy() for a in arrays]
    scores, offsets, labels, target_offsets = arrays
    multibox_loss(scores, offsets, Targets(labels, target_offsets))
    for now, before in zip(arrays, copies):
        np.testing.assert_array_equal(now, before)
