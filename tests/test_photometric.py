import colorsys

import numpy as np
import pytest
from augment_samples import assert_same, random_sample, samples
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from minissd.datasets.photometric import (
    Distortion,
    Photometric,
    distort_image,
    draw_distortion,
    photometric_distort,
)

EVERYTHING = Photometric(1.0, 32.0, 1.0, (0.5, 1.5), 1.0, 36.0, 1.0, (0.5, 1.5), 1.0)
ALL_LEVELS = np.stack([np.arange(256)] * 3, axis=-1)[None].astype(np.uint8)


def distort(pixels, **what):
    return np.array(
        distort_image(Image.fromarray(np.asarray(pixels, np.uint8)), Distortion(**what))
    )


@settings(deadline=None, max_examples=40)
@given(sample=samples(), seed=st.integers(0, 2**32 - 1))
def test_only_the_pixels_change(sample, seed):
    result = photometric_distort(sample, np.random.default_rng(seed), EVERYTHING)
    assert result.image.dtype == np.uint8
    assert result.image.shape == sample.image.shape
    assert_same(result.replace(image=sample.image), sample)


def test_zero_deltas_change_nothing(rng):
    sample = random_sample(rng, 40, 40, 1)
    nothing = Photometric(1.0, 0.0, 1.0, (1.0, 1.0), 1.0, 0.0, 1.0, (1.0, 1.0), 0.0)
    never = Photometric(0.0, 32.0, 0.0, (0.5, 1.5), 0.0, 36.0, 0.0, (0.5, 1.5), 0.0)
    for choice in (nothing, never):
        for _ in range(10):
            assert_same(photometric_distort(sample, rng, choice), sample)


@pytest.mark.parametrize("delta", [-32.0, -7.6, 0.4, 31.5])
def test_brightness(delta):
    expected = np.clip(np.rint(ALL_LEVELS + delta), 0, 255)
    np.testing.assert_array_equal(distort(ALL_LEVELS, brightness=delta), expected)


@pytest.mark.parametrize("factor", [0.5, 0.93, 1.5])
@pytest.mark.parametrize("last", [False, True])
def test_contrast(factor, last):
    expected = np.clip(np.rint(ALL_LEVELS * factor), 0, 255)
    result = distort(ALL_LEVELS, contrast=factor, contrast_last=last)
    np.testing.assert_array_equal(result, expected)


def test_contrast_follows_brightness():
    np.testing.assert_array_equal(distort([[[100] * 3]], brightness=20, contrast=0.5), [[[60] * 3]])


def test_order_of_contrast():
    """A factor before the saturation clips a channel that would have been lowered first."""
    pixel = [[[200, 100, 100]]]
    first = distort(pixel, contrast=1.5, saturation=0.5)
    last = distort(pixel, contrast=1.5, saturation=0.5, contrast_last=True)
    np.testing.assert_allclose(
        first, [[[255, 202, 202]]], atol=2
    )  # 255, 150, 150, then half way to 255
    np.testing.assert_allclose(last, [[[255, 225, 225]]], atol=3)  # 200, 150, 150, then times 1.5


@settings(deadline=None, max_examples=60)
@given(
    pixel=st.tuples(*[st.integers(0, 255)] * 3),
    hue=st.floats(-36, 36),
    saturation=st.floats(0.5, 1.5),
)
def test_color_against_the_standard_library(pixel, hue, saturation):
    h, s, v = colorsys.rgb_to_hsv(*(level / 255 for level in pixel))
    turned = (h + round(hue * 255 / 360) / 255) % 1
    exact = colorsys.hsv_to_rgb(turned, min(s * saturation, 1), v)
    result = distort([[pixel]], hue=hue, saturation=saturation)[0, 0] / 255
    # Pillow cuts hue and saturation down to 8 bits: 6 sectors a turn make one step 6/255 of the spread of the channels,
    # and the saturation's lost fraction is scaled with it.
    np.testing.assert_allclose(result, exact, atol=0.034)


def test_hue_turns_red_into_green_into_blue():
    red, green, blue = np.diag([255, 255, 255])[:, None, None]
    np.testing.assert_array_equal(distort(red, hue=120), green)
    np.testing.assert_array_equal(distort(green, hue=120), blue)
    np.testing.assert_array_equal(distort(blue, hue=120), red)
    np.testing.assert_array_equal(distort(red, hue=-120), blue)  # wraps round
    np.testing.assert_array_equal(distort(red, hue=360), red)


def test_gray_has_neither_hue_nor_saturation():
    np.testing.assert_array_equal(distort(ALL_LEVELS, hue=30, saturation=1.5), ALL_LEVELS)


def test_saturation_spares_the_brightest_channel(rng):
    pixels = rng.integers(0, 256, (20, 20, 3))
    result = distort(pixels, saturation=0.5).astype(int)
    np.testing.assert_array_equal(result.max(axis=-1), pixels.max(axis=-1))
    spread, before = np.ptp(result, axis=-1), np.ptp(pixels, axis=-1)
    np.testing.assert_allclose(spread, before / 2, atol=2)


def test_channels_change_places(rng):
    pixels = rng.integers(0, 256, (4, 5, 3))
    np.testing.assert_array_equal(distort(pixels, channels=(2, 0, 1)), pixels[..., [2, 0, 1]])


def test_draws_have_the_published_chances_and_ranges(rng):
    drawn = [draw_distortion(rng) for _ in range(2000)]
    ranges = {
        "brightness": (0.0, -32, 32),
        "contrast": (1.0, 0.5, 1.5),
        "hue": (0.0, -36, 36),
        "saturation": (1.0, 0.5, 1.5),
    }
    for name, (identity, low, high) in ranges.items():
        values = np.array([getattr(one, name) for one in drawn])
        assert 850 < (values != identity).sum() < 1150, name
        assert low <= values.min() < low + 0.05 * (high - low), name
        assert high - 0.05 * (high - low) < values.max() <= high, name
    assert 850 < sum(one.contrast_last for one in drawn) < 1150
    assert {one.channels for one in drawn} == {(0, 1, 2)}


def test_draws_are_independent_of_each_other(rng):
    drawn = [draw_distortion(rng) for _ in range(2000)]
    done = [[d.brightness != 0, d.contrast != 1, d.hue != 0, d.saturation != 1] for d in drawn]
    correlation = np.corrcoef(np.array(done, float).T) - np.eye(4)
    assert np.abs(correlation).max() < 0.1


def test_all_channel_orders_are_drawn(rng):
    orders = [draw_distortion(rng, EVERYTHING).channels for _ in range(200)]
    assert len(set(orders)) == 6


def test_settings_do_not_change_how_far_the_generator_moves():
    after = []
    for choice in (Photometric(), EVERYTHING, Photometric(brightness_probability=0.0)):
        rng = np.random.default_rng(5)
        draw_distortion(rng, choice)
        after.append(rng.random())
    assert len(set(after)) == 1


@pytest.mark.parametrize(
    "wrong, message",
    [
        ({"hue_probability": 1.1}, "hue_probability.*0 to 1.*1.1"),
        ({"brightness_delta": -1}, "brightness_delta.*0 or more.*-1"),
        ({"contrast": (1.5, 0.5)}, r"contrast.*\(1.5, 0.5\)"),
        ({"saturation": (-0.5, 0.5)}, "saturation.*-0.5"),
    ],
)
def test_settings_out_of_range_are_refused(wrong, message):
    with pytest.raises(ValueError, match=message):
        Photometric(**wrong)
