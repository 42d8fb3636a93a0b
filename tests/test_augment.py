import numpy as np
import pytest
from augment_samples import assert_same, random_sample, samples, smooth_sample
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from minissd.datasets.augment import (
    Augment,
    Expansion,
    Patches,
    Photometric,
    Resize,
    crop_patch,
    expand,
    flip,
    photometric_distort,
    resize,
    resize_image,
)
from minissd.datasets.geometric import draw_expansion, draw_patch
from minissd.datasets.photometric import Distortion, distort_image

MEAN = (123, 117, 104)
seeds = st.integers(0, 2**32 - 1)


def difference(a, b):
    return np.abs(a.image.astype(int) - b.image)


def assert_same_objects(a, b):
    assert_same(a.replace(image=b.image), b)


@settings(deadline=None, max_examples=100)
@given(sample=samples(max_side=60), seed=seeds, size=st.integers(1, 40))
def test_composed_geometry_equals_the_plain_steps(sample, seed, size):
    fast = Augment(size, photometric=None)(sample, np.random.default_rng(seed))
    rng = np.random.default_rng(seed)
    plain = flip(resize(crop_patch(expand(sample, rng), rng), size), rng)
    assert_same_objects(fast, plain)
    assert difference(fast, plain).max() <= 1


@settings(deadline=None, max_examples=40)
@given(sample=samples(max_side=60), seed=seeds, size=st.integers(1, 40))
def test_without_expansion_the_composed_path_equals_the_plain_steps_exactly(sample, seed, size):
    fast = Augment(size, expand=None)(sample, np.random.default_rng(seed))
    rng = np.random.default_rng(seed)
    plain = flip(photometric_distort(resize(crop_patch(sample, rng), size), rng), rng)
    assert_same(fast, plain)


@settings(deadline=None, max_examples=40)
@given(picture=st.integers(0, 1000), seed=seeds)
def test_with_expansion_colours_change_on_the_picture_and_not_on_the_canvas(picture, seed):
    """Plain steps on three pictures (itself, and on two canvases) say what every output pixel must be."""
    sample = smooth_sample(picture, 60, 45)
    transform = Augment(32, MEAN, expand=Expansion(1.0), flip=0.0)
    fast = transform(sample, np.random.default_rng(seed))

    def plain(canvas):
        rng = np.random.default_rng(seed)
        return resize(crop_patch(expand(sample, rng, canvas, Expansion(1.0)), rng), 32), rng

    undistorted, rng = plain(MEAN)
    distorted = photometric_distort(undistorted, rng)
    assert_same_objects(fast, distorted)
    picture_only = (plain((0, 0, 0))[0].image == plain((255, 255, 255))[0].image).all(axis=-1)
    canvas_only = (undistorted.image == MEAN).all(axis=-1)
    as_distorted = (
        difference(fast, distorted).max(axis=-1) <= 6
    )  # 8-bit hue may turn one level into some
    as_before = difference(fast, undistorted).max(axis=-1) <= 1
    assert (as_distorted | as_before).all()
    assert as_before[canvas_only].all()
    assert (~as_distorted & picture_only).sum() <= 4 * 32  # at most a rim one pixel wide


def test_colours_may_change_before_or_after_the_resize():
    """The order differs from the authors': on a picture that is neither black nor white the result hardly does."""
    for seed in range(8):
        image = smooth_sample(seed, 128, 96).image
        what = Distortion(brightness=20, contrast=0.8, hue=25, saturation=1.3)
        before = resize_image(np.array(distort_image(Image.fromarray(image), what)), 48)
        after = np.array(distort_image(Image.fromarray(resize_image(image, 48)), what))
        assert np.abs(before.astype(int) - after).mean() < 1


def test_canvas_has_the_mean_colour():
    sample = smooth_sample(1, 40, 40, 0)
    transform = Augment(64, (10, 20, 30), expand=Expansion(1.0), crop=None, flip=0.0)
    for seed in range(10):
        window = draw_expansion(np.random.default_rng(seed), (40, 40), Expansion(1.0))
        image = transform(sample, np.random.default_rng(seed)).image
        canvas = (image == (10, 20, 30)).all(axis=-1).mean()
        rim = 2 * 40 / window.size[0] * 64 * 3 / 64**2  # a pixel or two around the picture
        share = 1 - (40 / window.size[0]) ** 2
        assert share - rim - 0.06 <= canvas <= share + 0.06


def test_everything_can_be_switched_off():
    sample = smooth_sample(2, 50, 40)
    transform = Augment(24, photometric=None, expand=None, crop=None, flip=0.0)
    assert_same(transform(sample, np.random.default_rng(0)), Resize(24)(sample))


def test_picture_without_objects_is_augmented_too():
    sample = random_sample(np.random.default_rng(3), 30, 20, 0)
    results = [Augment(16)(sample, np.random.default_rng(seed)).image for seed in range(10)]
    assert len({image.tobytes() for image in results}) > 5


def test_boxes_follow_the_drawn_windows():
    """Where a bright square is after everything, its box is (within a pixel of the output)."""
    image = np.full((100, 120, 3), 60, np.uint8)
    image[30:60, 40:80] = (250, 250, 250)
    base = smooth_sample(0, 120, 100, 1)
    boxes = np.array([[40 / 120, 0.3, 80 / 120, 0.6]], np.float32)
    sample = base.replace(image=image, boxes=boxes)
    transform = Augment(96, photometric=None)
    for seed in range(60):
        result = transform(sample, np.random.default_rng(seed))
        rows, columns = np.nonzero(result.image[..., 2] > 155)
        found = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
        np.testing.assert_allclose(result.boxes[0] * 96, found, atol=1.01)


def test_patch_is_drawn_on_the_canvas():
    """The composed window is the patch's place on the canvas, the canvas's place on the picture."""
    sample = smooth_sample(4, 50, 50)
    rng = np.random.default_rng(11)
    canvas = draw_expansion(rng, sample.size)
    patch = draw_patch(rng, expand(sample, np.random.default_rng(11)).boxes, canvas.size)
    window, _ = Augment(10)._draw_window(sample, np.random.default_rng(11))
    assert window == patch.within(canvas)


def test_named_recipes():
    assert Augment.named("paper", 160) == Augment(160)
    light = Augment.named("light", 160)
    assert light == Augment(160, photometric=None, expand=None)
    assert Augment.named("none", 160) == Resize(160)


def test_settings_are_visible():
    text = repr(Augment(160, crop=Patches(trials=7), photometric=Photometric(hue_degrees=18.0)))
    for part in ("size=160", "trials=7", "hue_degrees=18.0", "max_ratio=4.0", "flip=0.5"):
        assert part in text


@pytest.mark.parametrize("shape", [(1, 1), (1, 300), (300, 1)])
def test_extreme_pictures(shape):
    sample = random_sample(np.random.default_rng(0), *shape, 2)
    for seed in range(30):
        result = Augment(32)(sample, np.random.default_rng(seed))
        assert result.image.shape == (32, 32, 3)
        assert len(result.boxes) >= 1
