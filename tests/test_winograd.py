"""The fast convolutions against im2col, which the plain loops hold: values, accuracy, repeatability, memory."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from threadpoolctl import threadpool_info

from minissd import parallel
from minissd.nn import Conv2d
from minissd.nn.convolution import (
    bands,
    choice,
    im2col,
    kept,
    pointwise,
    scratch,
    tiles,
    winograd,
    winograd_weights,
)
from minissd.nn.convolution.im2col import ConvShape
from minissd.nn.convolution.phases import join_phases, split_phases
from minissd.nn.gradcheck import check_layer

few = settings(deadline=None, max_examples=60)
size = st.tuples(st.integers(1, 3), st.integers(1, 14), st.integers(1, 14))
channels = st.tuples(st.integers(1, 7), st.integers(1, 7))


def assert_agrees(algorithm, shape, size, channels) -> None:
    """Hold an algorithm's three directions, with and without a bias, to those of im2col, in float64."""
    draw = np.random.default_rng(sum(size) + sum(channels))
    x = draw.standard_normal((*size, channels[0]))
    w, bias = draw.standard_normal((*shape.kernel, *channels)), draw.standard_normal(channels[1])
    expected = im2col.forward(x, w, shape)
    close = {"rtol": 0, "atol": 1e-10}
    np.testing.assert_allclose(algorithm.forward(x, w, shape), expected, **close)
    np.testing.assert_allclose(algorithm.forward(x, w, shape, bias), expected + bias, **close)
    dy = draw.standard_normal(expected.shape)
    dw = algorithm.weight_gradient(x, dy, shape)
    np.testing.assert_allclose(dw, im2col.weight_gradient(x, dy, shape), **close)
    dx = algorithm.input_gradient(dy, w, shape, x.shape)
    np.testing.assert_allclose(dx, im2col.input_gradient(dy, w, shape, x.shape), **close)


@given(size, channels, st.integers(1, 6), st.integers(0, 2), st.integers(0, 2))
@few
def test_winograd_is_im2col(size, channels, dilation, rows, columns):
    border = (rows * dilation, columns * dilation)
    shape = ConvShape((3, 3), (1, 1), border, (dilation, dilation))
    assume(min(shape.output_size(*size[1:])) > 0)
    assert_agrees(winograd, shape, size, channels)


pair = st.tuples(st.integers(1, 4), st.integers(1, 4))


@given(size, channels, pair, pair, st.tuples(st.integers(0, 3), st.integers(0, 3)), pair)
@few
def test_bands_are_im2col(size, channels, kernel, stride, border, dilation):
    shape = ConvShape(kernel, stride, border, dilation)
    assume(min(shape.output_size(*size[1:])) > 0)
    assert_agrees(bands, shape, size, channels)


@given(size, channels)
@few
def test_pointwise_is_im2col(size, channels):
    assert_agrees(pointwise, ConvShape((1, 1)), size, channels)


@pytest.mark.parametrize("algorithm", [winograd, bands])
@pytest.mark.parametrize("block", [2**10, 2**14, 2**17])
def test_however_small_the_blocks(algorithm, block, monkeypatch):
    """Parts of a tile row, whole rows, images; shares of the filters; one lane and many."""
    monkeypatch.setattr("minissd.nn.convolution.points.BLOCK_BYTES", block)
    monkeypatch.setattr("minissd.nn.convolution.points.LEAST_TILES", 1)
    monkeypatch.setattr(tiles, "LEAST_FILTERS", 2)
    monkeypatch.setattr(bands, "BLOCK_BYTES", block)
    monkeypatch.setattr(bands, "LEAST_PIXELS", 1)
    for most in (1, 3, 8):
        monkeypatch.setattr("minissd.nn.convolution.winograd_weights.MOST_LANES", most)
        monkeypatch.setattr(bands, "MOST_LANES", most)
        assert_agrees(algorithm, ConvShape((3, 3), padding=(1, 1)), (3, 18, 13), (5, 6))


@pytest.mark.parametrize("alone", [0, 2**22])
@pytest.mark.parametrize("chunk", [1, 2**14, 2**17])
def test_weight_gradient_in_however_many_chunks(alone, chunk, monkeypatch):
    """With a sum a lane and with one that all threads share; chunks of a block, of some, of all."""
    monkeypatch.setattr(winograd_weights, "LANE_SUM_BYTES", alone)
    for name in ("LANE_BYTES", "SHARED_BYTES", "MOST_SHARED_BYTES"):
        monkeypatch.setattr(winograd_weights, name, chunk)
    assert_agrees(winograd, ConvShape((3, 3), padding=(1, 1)), (3, 18, 13), (5, 6))


@given(size, st.integers(1, 6), st.integers(1, 6))
@few
def test_phases_come_together_again(size, rows, columns):
    x = np.random.default_rng(0).standard_normal((*size, 2))
    phases = split_phases(x, (rows, columns))
    assert len(phases) == rows * columns * size[0]
    np.testing.assert_array_equal(join_phases(phases, (rows, columns), size[1:]), x)


@pytest.mark.parametrize("name", choice.ALGORITHMS)
def test_every_algorithm_passes_the_gradient_check(name, rng):
    walk = {
        "im2col": (5, 6, 3, (2, 1), 1),
        "bands": (5, 6, (3, 2), (2, 1), 1),
        "pointwise": (5, 6, 1),
        "depthwise": (5, 5, 3, 1, 1, 1, 5),
        "winograd": (5, 6, 3, 1, 2, 2),
    }[name]
    layer = Conv2d(*walk, algorithm=name, rng=rng, dtype=np.float64)
    report = check_layer(layer, rng.standard_normal((2, 7, 6, 5)), rng)
    assert report.passed, str(report)


# --- accuracy -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("side", "c", "k"), [(38, 64, 64), (19, 256, 256), (19, 512, 128)])
def test_the_error_in_float32_is_as_stated(side, c, k, rng):
    """In all three directions the root mean square stays below what the usual points have, 2.5e-6."""
    shape = ConvShape((3, 3), padding=(1, 1))
    x = np.maximum(rng.standard_normal((1, side, side, c)), 0)
    w, dy = rng.standard_normal((3, 3, c, k)), rng.standard_normal((1, side, side, k))
    single = [array.astype(np.float32) for array in (x, w, dy)]

    def directions(algorithm, x, w, dy):
        yield algorithm.forward(x, w, shape)
        yield algorithm.input_gradient(dy, w, shape, x.shape)
        yield algorithm.weight_gradient(x, dy, shape)

    exact = directions(im2col, *(array.astype(np.float64) for array in single))
    for found, expected in zip(directions(winograd, *single), exact):
        assert found.dtype == np.float32
        error = np.sqrt(np.mean((found - expected) ** 2) / np.mean(expected**2))
        assert 1e-8 < error < 2.5e-6


# --- repeatability and threads --------------------------------------------------------------------------------------


@pytest.fixture
def threads():
    before = parallel.thread_count()
    yield parallel.set_threads
    parallel.set_threads(before)


def passes(layer: Conv2d, x: np.ndarray) -> list[np.ndarray]:
    y = layer.forward(x)
    layer.weight.zero_grad()
    layer.bias.zero_grad()
    dx = layer.backward(np.sin(y))
    return [y, dx, layer.weight.grad.copy(), layer.bias.grad.copy()]


def make(c: int, k: int, name: str = "winograd", kernel: int = 3) -> Conv2d:
    draw = np.random.default_rng(1)
    return Conv2d(c, k, kernel, padding=kernel // 2, algorithm=name, rng=draw)


@pytest.mark.parametrize(
    ("c", "k", "name", "kernel"),
    [
        (16, 24, "winograd", 3),
        (256, 300, "winograd", 3),
        (16, 24, "bands", 3),
        (64, 40, "pointwise", 1),
    ],
)
def test_the_bits_are_the_same_with_any_number_of_threads(c, k, name, kernel, threads, rng):
    x = rng.standard_normal((3, 20, 23, c), np.float32)
    threads(1)
    alone = passes(make(c, k, name, kernel), x)
    for count in (1, 2, 3):
        threads(count)
        for one, other in zip(alone, passes(make(c, k, name, kernel), x)):
            np.testing.assert_array_equal(one, other)


def test_two_networks_in_two_threads_do_not_meet(threads, rng):
    threads(2)
    batches = rng.standard_normal((2, 2, 24, 24, 32), np.float32)
    alone = [passes(make(32, 40), x) for x in batches]
    for _ in range(5):
        with ThreadPoolExecutor(2) as callers:
            together = list(callers.map(passes, [make(32, 40), make(32, 40)], batches))
        for one, other in zip(alone, together):
            for a, b in zip(one, other):
                np.testing.assert_array_equal(a, b)


def test_blas_has_its_threads_back_after_an_error(threads, monkeypatch, rng):
    def blas() -> list[int]:
        return [pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"]

    def fail(*_: object) -> None:
        raise MemoryError("no room")

    threads(2)
    before = blas()
    monkeypatch.setattr(winograd, "spread", fail)
    with pytest.raises(MemoryError, match="no room"):
        make(16, 16).forward(rng.standard_normal((4, 24, 24, 16), np.float32))
    assert blas() == before


# --- memory ---------------------------------------------------------------------------------------------------------


def in_a_new_thread(function, *arguments):
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(function, *arguments).result()


def test_scratch_gives_separate_aligned_arrays_and_keeps_no_more_than_its_limit():
    def use() -> None:
        one, other = scratch.scratch((3, 5), (7,))
        one[...], other[...] = 1, 2
        assert (one == 1).all()
        assert (other == 2).all()
        assert one.ctypes.data % 64 == other.ctypes.data % 64 == 0
        (again,) = scratch.scratch((4,), dtype=np.float64)
        assert again.ctypes.data == one.ctypes.data
        kept_before = scratch.kept_bytes()
        (large,) = scratch.scratch((scratch.LIMIT,), dtype=np.float32)
        assert large.size == scratch.LIMIT
        assert scratch.kept_bytes() == kept_before < 1000

    in_a_new_thread(use)


@pytest.mark.parametrize("c, k", [(3, 16), (64, 64), (512, 512), (1024, 150)])
def test_blocks_need_no_more_than_the_limit(c, k, threads, monkeypatch):
    """Also of a map 300 pixels wide: the tile rows are then cut."""
    sizes = []
    get = scratch._get
    monkeypatch.setattr(scratch, "_get", lambda size: sizes.append(size) or get(size))
    threads(1)
    shape = ConvShape((3, 3), padding=(1, 1))
    for width in (19, 300):
        x, dy = np.zeros((2, 8, width, c), np.float32), np.zeros((2, 8, width, k), np.float32)
        winograd.forward(x, np.zeros((3, 3, c, k), np.float32), shape)
        winograd.weight_gradient(x, dy, shape)
    assert max(sizes) <= scratch.LIMIT - 64


# --- kept kernels ---------------------------------------------------------------------------------------------------


def test_kept_kernels_are_never_stale(rng, monkeypatch):
    layer = make(16, 16).eval()
    x = rng.standard_normal((1, 20, 20, 16), np.float32)
    made = []
    transform = kept.transform_kernels
    monkeypatch.setattr(kept, "transform_kernels", lambda w: made.append(1) or transform(w))
    for change in (None, 0.5, np.nan, -0.0):
        if change is not None:
            layer.weight.value[1, 2, 3, 4] = change  # in place: nobody is told
        found = [layer.forward(x) for _ in range(2)]
        expected = winograd.forward(x, layer.weight.value, layer.shape, layer.bias.value)
        for y in found:
            np.testing.assert_array_equal(y, expected)
    assert len(made) == 4
    layer.train().forward(x)
    assert layer._kept._kept is None


# --- the choice -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("walk", "size", "expected"),
    [
        ((64, 64, 3, 1, 1), (1, 38, 38), winograd),
        ((512, 1024, 3, 1, 6, 6), (1, 19, 19), winograd),
        ((3, 64, 3, 1, 1), (1, 300, 300), bands),
        ((64, 64, 3, 2, 1), (1, 38, 38), bands),
        ((512, 150, 3, 1, 1), (1, 10, 10), bands),
        ((512, 150, 3, 1, 1), (8, 10, 10), winograd),
        ((64, 64, 3, 1, 1, 2), (1, 38, 38), bands),
        ((64, 64, 1), (1, 38, 38), pointwise),
        ((64, 64, 1, 2), (1, 38, 38), bands),
        ((64, 64, 3, 1, 1, 1, 2), (1, 38, 38), im2col),
    ],
)
def test_the_rule(walk, size, expected, rng):
    layer = Conv2d(*walk, rng=rng)
    x = np.zeros((*size, walk[0]), np.float32)
    assert layer.algorithm_for(x) is expected
    assert layer.algorithm_for(x.astype(np.float64)) is im2col
    assert layer.algorithm_for(x[:0]) is im2col
    with choice.use_winograd(False):
        assert layer.algorithm_for(x) is (bands if expected is winograd else expected)


def test_the_switch_in_the_environment(monkeypatch, rng):
    layer, x = Conv2d(64, 64, 3, padding=1, rng=rng), np.zeros((1, 38, 38, 64), np.float32)
    monkeypatch.setenv(choice.ENVIRONMENT, "0")
    assert layer.algorithm_for(x) is bands
    with choice.use_winograd(True):
        assert layer.algorithm_for(x) is winograd
        with ThreadPoolExecutor(1) as other:
            assert other.submit(layer.algorithm_for, x).result() is bands  # of this thread only
    monkeypatch.setenv(choice.ENVIRONMENT, "off")
    with pytest.raises(ValueError, match="MINISSD_WINOGRAD: expected 0 or 1, got 'off'"):
        layer.forward(x)


def test_an_algorithm_by_name_must_be_able_to(rng):
    with pytest.raises(ValueError, match=r"algorithm: expected auto \| im2col"):
        Conv2d(4, 4, 3, algorithm="fft", rng=rng)
    for name in ("winograd", "pointwise", "depthwise"):
        with pytest.raises(ValueError, match="algorithm: expected one that can do"):
            Conv2d(4, 4, 3, stride=2, algorithm=name, rng=rng)
    with pytest.raises(ValueError, match="algorithm: expected one that can do"):
        Conv2d(4, 4, 3, groups=2, algorithm="bands", rng=rng)
