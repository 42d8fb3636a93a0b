from __future__ import annotations

import numpy as np
import pytest

from minissd.nn.init import fans, he_normal, xavier_uniform


@pytest.mark.parametrize(
    ("shape", "groups", "expected"),
    [
        ((3, 3, 64, 128), 1, (576, 1152)),
        ((1, 1, 32, 8), 1, (32, 8)),
        ((3, 3, 1, 32), 32, (9, 9)),  # depthwise: one input, one output
        ((3, 3, 4, 16), 2, (36, 72)),
        ((10, 5), 1, (10, 5)),
    ],
)
def test_fans(shape, groups, expected):
    assert fans(shape, groups) == expected


@pytest.mark.parametrize(("fan", "size"), [("average", 9 * 48), ("in", 9 * 32), ("out", 9 * 64)])
def test_variances_are_those_of_the_papers(fan, size, rng):
    shape = (3, 3, 32, 64)
    xavier = xavier_uniform(shape, rng, fan=fan)
    assert xavier.shape == shape
    assert xavier.var() == pytest.approx(1 / size, rel=0.03)
    assert np.abs(xavier).max() <= np.sqrt(3 / size)
    assert np.abs(xavier).max() == pytest.approx(np.sqrt(3 / size), rel=1e-2)
    he = he_normal(shape, rng, fan=fan)
    assert he.var() == pytest.approx(2 / size, rel=0.06)
    assert abs(he.mean()) < 4 * np.sqrt(2 / size / he.size)


def test_glorot_in_its_own_words(rng):
    limit = np.sqrt(6) / np.sqrt(300 + 100)  # equation 16
    weights = xavier_uniform((300, 100), rng, np.float64)
    assert limit * 0.999 < np.abs(weights).max() <= limit


def test_he_keeps_the_size_of_signals_through_many_layers(rng):
    x = rng.standard_normal((200, 256))
    for _ in range(10):
        x = np.maximum(x @ he_normal((256, 256), rng, np.float64), 0)
    assert 0.5 < np.mean(x * x) < 2


@pytest.mark.parametrize("draw", [xavier_uniform, he_normal])
def test_a_seed_gives_the_same_weights_at_every_precision(draw):
    single, double = (draw((3, 3, 2, 4), np.random.default_rng(4), t) for t in ("f4", "f8"))
    assert (single.dtype, double.dtype) == (np.float32, np.float64)
    assert np.array_equal(single, double.astype(np.float32))


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (((3, 4, 5),), "shape"),
        (((3, 0),), "shape"),
        (((3, 3, 2, 4), 3), "groups"),
    ],
)
def test_wrong_shapes_are_refused(arguments, text):
    with pytest.raises(ValueError, match=text):
        fans(*arguments)


def test_unknown_fan_is_refused(rng):
    with pytest.raises(ValueError, match=r"fan: expected average \| in \| out, got 'both'"):
        he_normal((2, 3), rng, fan="both")
