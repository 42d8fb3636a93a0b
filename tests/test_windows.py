import numpy as np
import pytest
from augment_samples import random_sample
from hypothesis import given, settings
from hypothesis import strategies as st

from minissd.datasets.windows import (
    Window,
    cut_image,
    move_objects,
    picture_region,
    resize_image,
    resize_window,
)

FILL = (123, 117, 104)
sides = st.integers(1, 45)
windows = st.tuples(st.integers(-60, 44), st.integers(-60, 44), st.integers(1, 110), sides)


def make_window(numbers):
    left, top, width, height = numbers
    return Window(left, top, left + width, top + height)


def make_image(width, height):
    return np.random.default_rng([width, height]).integers(0, 256, (height, width, 3), np.uint8)


@settings(deadline=None, max_examples=120)
@given(width=sides, height=sides, numbers=windows, size=st.integers(1, 40))
def test_fast_window_equals_the_plain_one(width, height, numbers, size):
    image, window = make_image(width, height), make_window(numbers)
    before = image.copy()
    fast = np.asarray(resize_window(image, window, size, FILL))
    plain = resize_image(cut_image(image, window, FILL), size)
    # One level: the filter's weights are rounded where the two start to count pixels at different places.
    assert np.abs(fast.astype(int) - plain).max() <= 1
    np.testing.assert_array_equal(image, before)


@settings(deadline=None, max_examples=40)
@given(width=sides, height=sides, size=st.integers(1, 40), data=st.data())
def test_fast_window_inside_the_picture_is_exactly_the_plain_one(width, height, size, data):
    left, top = data.draw(st.integers(0, width - 1)), data.draw(st.integers(0, height - 1))
    right = data.draw(st.integers(left + 1, width))
    bottom = data.draw(st.integers(top + 1, height))
    image, window = make_image(width, height), Window(left, top, right, bottom)
    plain = resize_image(image[top:bottom, left:right], size)
    np.testing.assert_array_equal(np.asarray(resize_window(image, window, size, FILL)), plain)
    assert picture_region(window, (width, height), size) == (0, 0, size, size)


@settings(deadline=None, max_examples=80)
@given(width=sides, height=sides, numbers=windows, size=st.integers(1, 40))
def test_picture_region_is_what_no_canvas_touches(width, height, numbers, size):
    """Two canvases: pixels that show them differ; the region holds none of those, and all others but for a rim."""
    image, window = make_image(width, height), make_window(numbers)
    black = resize_image(cut_image(image, window, (0, 0, 0)), size)
    white = resize_image(cut_image(image, window, (255, 255, 255)), size)
    untouched = (black == white).all(axis=-1)
    left, top, right, bottom = picture_region(window, (width, height), size) or (0, 0, 0, 0)
    assert untouched[top:bottom, left:right].all()
    if right > left:  # beyond one more pixel a weight no longer rounds to nothing
        untouched[max(top - 1, 0) : bottom + 1, max(left - 1, 0) : right + 1] = False
    assert not untouched.any() or right == left


def test_canvas_beyond_the_picture_is_exactly_its_colour(rng):
    image = make_image(20, 20)
    result = np.asarray(resize_window(image, Window(-60, -20, 20, 60), 40, FILL))
    assert (result[:, :29] == FILL).all()  # the picture begins at column 30 of 40
    assert (result[21:] == FILL).all()  # and ends at row 20
    assert not (result[10:20, 30:] == FILL).all(axis=-1).any()


@settings(deadline=None, max_examples=30)
@given(outer=windows, inner=windows)
def test_window_within_window(outer, inner):
    """Cutting twice is cutting once."""
    image = make_image(30, 20)
    outer = make_window(outer)
    left, top = (abs(n) % side for n, side in zip(inner[:2], outer.size))
    inner = Window(left, top, outer.size[0], outer.size[1])
    twice = cut_image(cut_image(image, outer, FILL), inner, FILL)
    np.testing.assert_array_equal(twice, cut_image(image, inner.within(outer), FILL))


def test_cut_image_is_a_copy():
    image = make_image(5, 5)
    for window in (Window(0, 0, 5, 5), Window(1, 1, 3, 3), Window(-1, 0, 5, 6)):
        assert not np.shares_memory(cut_image(image, window, FILL), image)


def test_move_objects_in_numbers(rng):
    sample = random_sample(rng, 100, 50, 2)
    boxes = np.array([[0.1, 0.2, 0.3, 0.6], [0.8, 0.8, 1, 1]], np.float32)
    moved = move_objects(sample.replace(boxes=boxes), (100, 50), Window(20, -10, 60, 40))
    # The first object, pixels 10..30 x 10..30, has its centre on the border; the second is outside.
    np.testing.assert_allclose(moved.boxes, [[0, 0.4, 0.25, 0.8]], rtol=1e-6)
    np.testing.assert_array_equal(moved.labels, sample.labels[:1])
    assert moved.image is sample.image


def test_resize_averages_when_it_shrinks():
    image = np.zeros((64, 64, 3), np.uint8)
    image[::2] = 200  # picking every eighth row would give 200 or 0
    assert np.abs(resize_image(image, 8).astype(int) - 100).max() <= 13


def test_resize_refuses_a_size_that_is_none():
    with pytest.raises(ValueError, match=r"size.*at least 1.*0"):
        resize_image(make_image(3, 3), 0)
