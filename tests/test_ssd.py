"""The network and its loss: shapes, the order contract, and the gradient of everything at once."""

import numpy as np
import pytest
from network_gradient import batch, check_network_gradient

from minissd.boxes.geometry import centers_to_corners
from minissd.models.build import build_minissd, small_map_sizes
from minissd.models.loss import make_targets, multibox_loss


def small_model(rng, image_size=96, classes=3, width=2):
    return build_minissd(classes, image_size, rng, width=width)


@pytest.mark.parametrize("image_size", [96, 97, 128, 160, 223, 300, 320])
def test_every_size_gives_one_row_for_each_default_box(image_size, rng):
    model = small_model(rng, image_size).eval()
    scores, offsets = model.forward(np.zeros((1, image_size, image_size, 3), np.float32))
    n_boxes = sum(m.size**2 * m.boxes_per_cell for m in model.spec.maps)
    assert scores.shape == (1, n_boxes, 4)
    assert offsets.shape == (1, n_boxes, 4)
    assert model.default_centers().shape == (n_boxes, 4)
    assert tuple(m.size for m in model.spec.maps) == small_map_sizes(image_size)


@pytest.mark.parametrize("image_size", [95, 321, 0])
def test_sizes_outside_the_range_are_refused(image_size, rng):
    with pytest.raises(ValueError, match="image_size"):
        small_model(rng, image_size)


def test_an_image_of_another_size_is_refused_with_both_numbers(rng):
    model = small_model(rng)
    with pytest.raises(ValueError, match=r"16x16.*12x12.*96 pixels"):
        model.forward(np.zeros((1, 128, 128, 3), np.float32))


def test_row_k_answers_for_default_box_k(rng):
    """A value planted in one cell and one box shape of a head's output appears in the row of that default box."""
    model = small_model(rng).eval()
    images = np.zeros((1, 96, 96, 3), np.float32)
    for number, feature_map in enumerate(model.spec.maps):
        head = model.heads[number]
        row, column, shape = feature_map.size - 1, feature_map.size // 2, 1
        plain = type(head).forward

        def planted(x, head=head, plain=plain, row=row, column=column, shape=shape):
            y = plain(head, x)
            y[0, row, column, shape * (model.n_classes + 4) + 2] = 1e6  # score of class 2
            return y

        head.forward = planted
        scores, _ = model.forward(images)
        del head.forward
        (k,) = np.flatnonzero(scores[0, :, 2] > 1e5)
        cx, cy, w, h = model.default_centers()[k]
        step = feature_map.step / model.spec.image_size
        np.testing.assert_allclose([cx, cy], [(column + 0.5) * step, (row + 0.5) * step], rtol=1e-5)
        side = np.sqrt(feature_map.min_size * feature_map.max_size) / model.spec.image_size
        np.testing.assert_allclose([w, h], [side, side], rtol=1e-5)


def test_gradient_of_the_whole_network_and_its_loss(rng):
    """Batch norm is in training mode, and the maps that feed a head and the next segment sum both gradients."""
    # two images would leave batch norm on 1x1 maps no slope
    check_network_gradient(small_model(rng), rng, n_images=4)


def test_head_and_trunk_gradients_are_summed(rng):
    """With the head's share left out, the trunk's gradient must differ: the check above can see the sum."""
    model = small_model(rng).astype(np.float64).train()
    images, boxes, labels = batch(rng, model)
    targets = make_targets(model.default_centers().astype(np.float64), boxes, labels, model.spec)
    result = multibox_loss(*model.forward(images), targets)
    gradients = []
    for keep_head in (True, False):
        model.zero_grad()
        if not keep_head:
            head = model.heads[0]
            head.backward = lambda dy, head=head: 0 * type(head).backward(head, dy)
        model.forward(images)
        model.backward(result.d_scores, result.d_offsets)
        gradients.append(model.parameters()["segments.0.0.weight"].grad.copy())
    assert np.abs(gradients[0] - gradients[1]).max() > 1e-3 * np.abs(gradients[0]).max()


def test_targets_of_an_image_without_objects_are_background(rng):
    model = small_model(rng)
    centers = model.default_centers()
    targets = make_targets(
        centers, [np.zeros((0, 4), np.float32)], [np.zeros(0, np.int64)], model.spec
    )
    assert not targets.labels.any()
    assert not targets.offsets.any()


def test_an_object_equal_to_a_default_box_gets_offsets_zero(rng):
    model = small_model(rng)
    centers = model.default_centers()
    k = 100
    box = centers_to_corners(centers[k : k + 1])
    targets = make_targets(centers, [box], [np.array([2])], model.spec)
    assert targets.labels[0, k] == 2
    np.testing.assert_allclose(targets.offsets[0, k], 0, atol=1e-4)


@pytest.mark.parametrize("width", [8, 32])
@pytest.mark.parametrize("training", [True, False])
def test_a_fresh_network_answers_with_every_class_alike(rng, width, training):
    """At the start the class loss is about ln(C + 1) for each of the 1 + 3 boxes a positive: no wild guesses."""
    model = small_model(rng, classes=6, width=width).train(training)
    _, boxes, labels = batch(rng, model, n=8)
    images = model.prepare(rng.integers(0, 256, (8, 96, 96, 3), dtype=np.uint8))
    targets = make_targets(model.default_centers(), boxes, labels, model.spec)
    result = multibox_loss(*model.forward(images), targets)
    assert 0.9 < result.class_loss / (4 * np.log(7)) < 1.5
