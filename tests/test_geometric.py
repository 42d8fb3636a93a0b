import itertools

import numpy as np
import pytest
from augment_samples import (
    GRAY,
    assert_painted,
    assert_same,
    assert_valid,
    copy_of,
    painted_sample,
    random_sample,
    samples,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from minissd.datasets import augment, geometric
from minissd.datasets.geometric import Expansion, Patches, draw_expansion, draw_patch
from minissd.datasets.windows import Window

seeds = st.integers(0, 2**32 - 1)
TRANSFORMS = {
    "expand": geometric.expand,
    "crop_patch": geometric.crop_patch,
    "flip": geometric.flip,
    "resize": lambda sample, rng: geometric.resize(sample, 13),
    "photometric_distort": augment.photometric_distort,
    "Augment": augment.Augment(16),
    "Augment light": augment.Augment.named("light", 16),
    "Resize": augment.Resize(16),
}


@pytest.mark.parametrize("name", TRANSFORMS)
@settings(deadline=None, max_examples=25)
@given(sample=samples(), seed=seeds)
def test_every_transform_is_valid_repeatable_and_leaves_its_input_alone(name, sample, seed):
    before = copy_of(sample)
    result = TRANSFORMS[name](sample, np.random.default_rng(seed))
    assert_valid(result)
    assert_same(sample, before)
    assert_same(result, TRANSFORMS[name](sample, np.random.default_rng(seed)))
    assert result.image_id == sample.image_id
    assert len(result.boxes) <= len(sample.boxes)
    assert len(result.boxes) > 0 or len(sample.boxes) == 0


@pytest.mark.parametrize("name", TRANSFORMS)
@pytest.mark.parametrize("n_objects", [0, 1])
def test_picture_of_one_pixel(name, n_objects, rng):
    sample = random_sample(rng, 1, 1, n_objects)
    for _ in range(20):
        result = TRANSFORMS[name](sample, rng)
        assert_valid(result)
        assert len(result.boxes) == n_objects


@pytest.mark.parametrize("transform", [geometric.expand, geometric.crop_patch, geometric.flip])
@settings(deadline=None, max_examples=40)
@given(picture=st.integers(0, 1000), seed=seeds)
def test_boxes_hold_exactly_the_pixels_of_their_objects(transform, picture, seed):
    result = transform(painted_sample(picture), np.random.default_rng(seed))
    assert_painted(result)


@settings(deadline=None, max_examples=40)
@given(picture=st.integers(0, 1000), seed=seeds)
def test_boxes_hold_exactly_their_pixels_after_all_transforms(picture, seed):
    rng = np.random.default_rng(seed)
    sample = geometric.crop_patch(geometric.expand(painted_sample(picture), rng), rng)
    assert_painted(geometric.flip(sample, rng))


@settings(deadline=None, max_examples=40)
@given(sample=samples(), seed=seeds)
def test_flipping_twice_gives_the_sample_back(sample, seed):
    rng = np.random.default_rng(seed)
    once = geometric.flip(sample, rng, probability=1.0)
    np.testing.assert_array_equal(once.image, sample.image[:, ::-1])
    twice = geometric.flip(once, rng, probability=1.0)
    # 1 - (1 - x) loses the digits of x below the precision of 1.
    np.testing.assert_allclose(twice.boxes, sample.boxes, atol=1.2e-7, rtol=0)
    assert_same(twice.replace(boxes=sample.boxes), sample)


def test_flip_happens_about_half_the_time(rng):
    sample = random_sample(rng, 4, 4, 1)
    flips = sum(geometric.flip(sample, rng) is not sample for _ in range(400))
    assert 150 < flips < 250
    assert geometric.flip(sample, rng, probability=0.0) is sample


@settings(deadline=None, max_examples=30)
@given(sample=samples(), size=st.integers(1, 50))
def test_resize_keeps_the_boxes(sample, size):
    result = geometric.resize(sample, size)
    assert result.image.shape == (size, size, 3)
    assert_same(result.replace(image=sample.image), sample)


def test_resize_to_the_same_size_keeps_the_pixels(rng):
    sample = random_sample(rng, 9, 9, 1)
    assert_same(geometric.resize(sample, 9), sample)


# Expansion


@settings(deadline=None, max_examples=40)
@given(sample=samples(), seed=seeds, max_ratio=st.floats(1, 6))
def test_expansion_shows_the_whole_picture_and_the_mean_elsewhere(sample, seed, max_ratio):
    mean, choice = (9, 200, 31), Expansion(1.0, max_ratio)
    width, height = sample.size
    window = draw_expansion(np.random.default_rng(seed), sample.size, choice)
    result = geometric.expand(sample, np.random.default_rng(seed), mean, choice)
    assert result.size == window.size
    assert window.left <= 0 <= window.right - width
    assert window.top <= 0 <= window.bottom - height
    canvas = np.empty_like(result.image)
    canvas[...] = mean
    x, y = -window.left, -window.top
    canvas[y : y + height, x : x + width] = sample.image
    np.testing.assert_array_equal(result.image, canvas)
    assert len(result.boxes) == len(sample.boxes)


def test_expansion_has_the_published_chance_and_ratios(rng):
    windows = [draw_expansion(rng, (1000, 500)) for _ in range(600)]
    expanded = [window for window in windows if window != Window(0, 0, 1000, 500)]
    assert 240 < len(expanded) < 360
    ratios = np.array([window.size for window in expanded]) / (1000, 500)
    np.testing.assert_allclose(ratios[:, 0], ratios[:, 1], atol=2e-3)
    assert 1 <= ratios.min() < 1.1
    assert 3.9 < ratios.max() <= 4
    # The picture is found everywhere on the canvas, up to both borders.
    share = [-w.left / (w.size[0] - 1000) for w in expanded if w.size[0] > 1100]
    assert min(share) < 0.03
    assert max(share) > 0.97


# Patches


def plain_iou(a, b):
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    both = max(width, 0) * max(height, 0)
    return both / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - both)


def center_inside(box, window, size):
    x, y = (box[0] + box[2]) / 2 * size[0], (box[1] + box[3]) / 2 * size[1]
    return window.left <= x <= window.right and window.top <= y <= window.bottom


@pytest.mark.parametrize("overlap", [0.0, 0.1, 0.3, 0.5, 0.7, 0.9])
@settings(deadline=None, max_examples=40)
@given(picture=st.integers(0, 1000), seed=seeds)
def test_patch_keeps_its_promise(overlap, picture, seed):
    sample = painted_sample(picture, 120, 90)
    size = sample.size
    window = draw_patch(np.random.default_rng(seed), sample.boxes, size, Patches((overlap,)))
    if window == Window(0, 0, *size):
        return
    boxes = sample.boxes.astype(float).tolist()
    fraction = np.array(window) / (size * 2)
    assert max(plain_iou(fraction, box) for box in boxes) >= overlap - 1e-6
    assert any(center_inside(box, window, size) for box in boxes)
    assert 0 <= window.left < window.right <= size[0]
    assert 0 <= window.top < window.bottom <= size[1]


@settings(deadline=None, max_examples=40)
@given(sample=samples(min_objects=1), seed=seeds)
def test_objects_stay_exactly_if_their_centre_is_inside(sample, seed):
    window = draw_patch(np.random.default_rng(seed), sample.boxes, sample.size)
    result = geometric.crop_patch(sample, np.random.default_rng(seed))
    inside = [center_inside(box.astype(float), window, sample.size) for box in sample.boxes]
    np.testing.assert_array_equal(result.labels, sample.labels[inside])
    np.testing.assert_array_equal(result.difficult, sample.difficult[inside])
    np.testing.assert_array_equal(
        result.image, sample.image[window.top : window.bottom, window.left : window.right]
    )


def test_patches_are_actually_taken(rng):
    """A large object in the middle: nearly every option can be had, so few pictures stay whole."""
    box = np.array([[0.2, 0.2, 0.8, 0.8]], np.float32)
    whole = sum(draw_patch(rng, box, (300, 300)) == Window(0, 0, 300, 300) for _ in range(500))
    assert 0.08 < whole / 500 < 0.3  # 1 in 7, and now and then no trial reaches IoU 0.9


def test_all_options_are_equally_likely(rng):
    """Whole is one of two options; no patch of at most 0.5 is the whole picture."""
    box = np.array([[0, 0, 1, 1]], np.float32)
    choice = Patches((0.0,), scale=(0.3, 0.5), trials=200)
    whole = sum(draw_patch(rng, box, (99, 99), choice) == Window(0, 0, 99, 99) for _ in range(400))
    assert 140 < whole < 260


def test_impossible_options_leave_the_picture_whole(rng):
    speck = np.array([[0.5, 0.5, 0.501, 0.501]], np.float32)
    choice = Patches((0.5, 0.9))
    for _ in range(20):
        assert draw_patch(rng, speck, (80, 60), choice) == Window(0, 0, 80, 60)


def test_picture_without_objects_stays_whole(rng):
    sample = random_sample(rng, 20, 30, 0)
    for _ in range(20):
        assert_same(geometric.crop_patch(sample, rng), sample)


def test_patches_have_the_published_scales_and_aspects(rng):
    size = (2000, 1000)
    windows = geometric._draw_windows(rng, size, Patches(trials=5000))
    sides = (windows[:, 2:] - windows[:, :2]) / size
    scale, aspect = np.sqrt(sides.prod(axis=1)), sides[:, 0] / sides[:, 1]
    assert 0.299 < scale.min() < 0.31
    assert 0.97 < scale.max() <= 1
    assert 0.498 < aspect.min() < 0.51
    assert 1.95 < aspect.max() < 2.01
    assert windows.min() == 0
    assert windows[:, 2].max() == 2000
    assert windows[:, 3].max() == 1000


def test_patches_lie_everywhere(rng):
    windows = geometric._draw_windows(rng, (10, 12), Patches((), (0.5, 0.5), (1.0, 1.0), 400))
    assert set(windows[:, 0].tolist()) == set(range(6))  # 5 wide: the last begins at 5
    assert set(windows[:, 1].tolist()) == set(range(7))


def test_gray_is_not_an_object_colour():
    image = painted_sample(3).image
    colors = {tuple(pixel) for pixel in image.reshape(-1, 3).tolist()}
    assert (GRAY, GRAY, GRAY) in colors
    assert len(colors) == 5


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: Expansion(probability=1.5), "probability.*0 to 1.*1.5"),
        (lambda: Expansion(max_ratio=0.5), "max_ratio.*1 or more.*0.5"),
        (lambda: Patches(min_overlaps=(0.1, 2)), "min_overlaps.*2"),
        (lambda: Patches(scale=(0.5, 1.5)), r"scale.*\(0.5, 1.5\)"),
        (lambda: Patches(aspect=(2, 0.5)), "aspect"),
        (lambda: Patches(trials=0), "trials.*at least 1.*0"),
        (lambda: augment.Resize(0), "size.*at least 1.*0"),
        (lambda: augment.Augment(9, mean=(1, 2)), "mean"),
        (lambda: augment.Augment(9, flip=-1), "flip.*0 to 1.*-1"),
        (
            lambda: augment.Augment.named("full", 9),
            r"augment.*paper.*light.*flip.*none.*full",
        ),
    ],
)
def test_settings_out_of_range_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_iou_oracle():
    boxes = [(0, 0, 2, 2), (1, 0, 3, 2), (5, 5, 6, 6)]
    found = [plain_iou(a, b) for a, b in itertools.combinations(boxes, 2)]
    np.testing.assert_allclose(found, [1 / 3, 0, 0])
