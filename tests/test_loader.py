import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from augment_samples import Pictures, assert_same

from minissd.datasets.augment import Augment, Resize
from minissd.datasets.loader import Batch, Loader, collate, sample_rng
from minissd.errors import InputError


def loader_threads():
    return [t for t in threading.enumerate() if t.name.startswith("minissd-loader")]


@pytest.fixture(autouse=True)
def _no_thread_is_left():
    yield
    assert loader_threads() == []


def assert_same_batches(first, second):
    first, second = list(first), list(second)
    assert len(first) == len(second)
    for a, b in zip(first, second):
        np.testing.assert_array_equal(a.images, b.images)
        assert a.ids == b.ids
        for name in ("boxes", "labels", "difficult"):
            for x, y in zip(getattr(a, name), getattr(b, name), strict=True):
                np.testing.assert_array_equal(x, y)


def ids(loader, epoch=0, skip=0):
    return [name for batch in loader.epoch(epoch, skip) for name in batch.ids]


def test_batch_holds_its_samples():
    data = Pictures(5)
    loader = Loader(data, 5, Resize(16), shuffle=False)
    (batch,) = loader.epoch(0)
    assert isinstance(batch, Batch)
    assert batch.images.shape == (5, 16, 16, 3)
    assert batch.images.dtype == np.uint8
    assert len(batch) == 5
    for i, sample in enumerate(data.samples):
        expected = Resize(16)(sample)
        assert_same(
            expected,
            sample.replace(
                image=batch.images[i],
                boxes=batch.boxes[i],
                labels=batch.labels[i],
                difficult=batch.difficult[i],
                image_id=batch.ids[i],
            ),
        )


@pytest.mark.parametrize("workers", [1, 2, 4])
@pytest.mark.parametrize("cache_bytes", [0, 10**9])
def test_threads_do_not_change_what_comes(workers, cache_bytes):
    def load(n_workers, n_bytes):
        loader = Loader(
            Pictures(23), 4, Augment(16), seed=7, workers=n_workers, cache_bytes=n_bytes
        )
        return [batch for epoch in range(2) for batch in loader.epoch(epoch)]

    assert_same_batches(load(0, 0), load(workers, cache_bytes))


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("skip", [0, 1, 4, 5])
def test_epoch_can_be_resumed(workers, skip):
    loader = Loader(Pictures(21), 4, Augment(16), seed=3, workers=workers)
    whole = list(loader.epoch(2))
    fresh = Pictures(21)
    resumed = Loader(fresh, 4, Augment(16), seed=3, workers=workers)
    assert_same_batches(resumed.epoch(2, skip=skip), whole[skip:])
    assert len(fresh.asked) == 4 * (5 - skip)  # what is skipped is not loaded


def test_order_depends_on_seed_and_epoch_alone():
    loader = Loader(Pictures(30), 10, seed=1)
    assert ids(loader, 3) == ids(loader, 3)
    assert ids(loader, 3) != ids(loader, 4)
    assert ids(loader, 3) != ids(Loader(Pictures(30), 10, seed=2), 3)
    for epoch in range(3):
        assert sorted(ids(loader, epoch)) == [f"{i:06}" for i in range(30)]
    assert ids(Loader(Pictures(30), 10, shuffle=False), 5) == [f"{i:06}" for i in range(30)]


def test_every_epoch_augments_anew():
    loader = Loader(Pictures(1, 60, 40), 1, Augment(16))
    pictures = {batch.images.tobytes() for epoch in range(6) for batch in loader.epoch(epoch)}
    assert len(pictures) == 6


def test_random_numbers_of_a_sample_depend_on_seed_epoch_and_index():
    seen = {
        sample_rng(seed, epoch, index).integers(2**62)
        for seed in range(3)
        for epoch in range(4)
        for index in range(50)
    }
    assert len(seen) == 600
    assert sample_rng(1, 2, 3).integers(2**62) == sample_rng(1, 2, 3).integers(2**62)
    # numpy fills a short seed up with zeros: the order's numbers must not be those of sample 0.
    loader = Loader(Pictures(9), 3, seed=1)
    same = np.random.default_rng([1, 2, 0]).permutation(9)
    assert loader.order(2).tolist() != same.tolist()


@pytest.mark.parametrize(
    "n, batch_size, drop_last, sizes",
    [
        (10, 4, True, [4, 4]),
        (10, 4, False, [4, 4, 2]),
        (8, 4, True, [4, 4]),
        (8, 4, False, [4, 4]),
        (3, 4, True, [3]),  # smaller than a batch: one short batch rather than none
        (3, 4, False, [3]),
        (1, 1, True, [1]),
    ],
)
@pytest.mark.parametrize("workers", [0, 2])
def test_length(n, batch_size, drop_last, sizes, workers):
    loader = Loader(Pictures(n), batch_size, drop_last=drop_last, workers=workers)
    assert len(loader) == len(sizes)
    assert [len(batch) for batch in loader.epoch(0)] == sizes


@pytest.mark.parametrize("workers", [0, 1, 4])
def test_error_of_the_data_set_reaches_the_consumer_when_its_batch_is_due(workers):
    loader = Loader(Pictures(40, broken=[17]), 4, shuffle=False, workers=workers)
    seen = []

    def consume():
        for batch in loader.epoch(0):
            seen.extend(batch.ids)

    with pytest.raises(InputError) as caught:
        consume()
    assert str(caught.value) == "JPEGImages/000017.jpg: the file ends too early"
    assert seen == [f"{i:06}" for i in range(16)]  # batches 0 to 3 came before it
    assert caught.value.__notes__ == ["while loading sample 17 of the data set, epoch 0"]
    assert loader_threads() == []


@pytest.mark.parametrize("workers", [0, 2])
def test_error_of_the_transform_reaches_the_consumer(workers):
    def broken(sample, rng):
        if sample.image_id == "000005":
            raise ZeroDivisionError("no such scale")
        return sample

    loader = Loader(Pictures(8), 2, broken, shuffle=False, workers=workers)
    with pytest.raises(ZeroDivisionError, match="no such scale") as caught:
        list(loader.epoch(3))
    assert caught.value.__notes__ == ["while loading sample 5 of the data set, epoch 3"]


@pytest.mark.parametrize("workers", [0, 2])
def test_loader_can_be_used_again_after_an_error(workers):
    data = Pictures(8, broken=[3])
    loader = Loader(data, 2, shuffle=False, workers=workers)
    with pytest.raises(InputError):
        list(loader.epoch(0))
    data.broken.clear()
    assert len(list(loader.epoch(0))) == 4


def test_threads_end_when_the_consumer_stops_early():
    loader = Loader(Pictures(400, delay=0.01), 4, workers=3)
    for batch in loader.epoch(0):
        assert len(batch) == 4
        assert 1 <= len(loader_threads()) <= 3
        break
    assert loader_threads() == []


def test_threads_stop_in_the_middle_of_a_batch():
    seen = []

    def slow_in_the_second_batch(sample, rng):
        seen.append(sample.image_id)
        time.sleep(0.01 if sample.image_id >= "000200" else 0)
        return sample

    loader = Loader(Pictures(400), 200, slow_in_the_second_batch, shuffle=False, workers=1)
    iterator = loader.epoch(0)
    next(iterator)
    iterator.close()
    assert len(seen) < 300  # all 400 would take two seconds more


def test_threads_end_when_the_consumer_fails():
    loader = Loader(Pictures(100), 4, workers=2)

    def train():
        for _ in loader.epoch(0):
            raise RuntimeError("the loss is no number")

    with pytest.raises(RuntimeError, match="no number"):
        train()
    assert loader_threads() == []


def test_program_ends_while_an_epoch_is_open():
    code = (
        "from test_loader import *\n"
        "iterator = Loader(Pictures(4000, delay=0.001), 4, workers=2).epoch(0)\n"
        "next(iterator)\n"
        "raise SystemExit(7)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=Path(__file__).parent, timeout=30, check=False
    )
    assert done.returncode == 7


def test_at_most_so_many_batches_are_prepared_ahead():
    data = Pictures(400)
    iterator = Loader(data, 4, workers=2, prefetch=3, shuffle=False, cache_bytes=0).epoch(0)
    next(iterator)
    time.sleep(0.1)
    assert len(data.asked) <= 4 * 3  # one taken, two waiting
    next(iterator)
    time.sleep(0.1)
    assert 4 * 2 <= len(data.asked) <= 4 * 4
    iterator.close()


def test_nothing_is_loaded_before_it_is_asked_for():
    data = Pictures(10)
    Loader(data, 2).epoch(0)
    assert data.asked == []


@pytest.mark.parametrize("workers", [1, 3])
def test_samples_are_loaded_by_the_workers(workers):
    data = Pictures(60, delay=0.001)
    list(Loader(data, 2, workers=workers).epoch(0))
    assert threading.current_thread() not in data.threads
    assert 1 <= len(data.threads) <= workers


def test_waiting_is_measured():
    slow = Loader(Pictures(8, delay=0.01), 4, workers=0, cache_bytes=0)
    list(slow.epoch(0))
    assert 0.08 <= slow.wait_seconds < 0.5

    ahead = Loader(Pictures(8, delay=0.005), 4, workers=1, cache_bytes=0)
    iterator = ahead.epoch(0)
    next(iterator)
    first = ahead.wait_seconds
    assert 0.02 <= first < 0.5
    time.sleep(0.2)  # the second batch is ready long before it is asked for
    next(iterator)
    assert ahead.wait_seconds - first < 0.1
    iterator.close()
    ahead.wait_seconds = 100.0
    next(iterator := ahead.epoch(1))
    assert ahead.wait_seconds < 50  # counted anew for every epoch
    iterator.close()


# The cache


def test_cache_spares_reading_again():
    data = Pictures(12)
    loader = Loader(data, 4, Augment(16), workers=2)
    for epoch in range(3):
        list(loader.epoch(epoch))
    assert sorted(data.asked) == list(range(12))


def test_cache_stays_within_its_size():
    data = Pictures(12)
    one = data.samples[0].image.nbytes + data.samples[3].boxes.nbytes
    loader = Loader(data, 4, workers=4, cache_bytes=5 * one)
    for epoch in range(3):
        list(loader.epoch(epoch))
        assert 4 * one < loader.samples.n_bytes <= 5 * one
    assert 12 + 2 * 6 <= len(data.asked) <= 12 + 2 * 8  # five or six of them are kept


# Arguments


def test_pictures_of_different_sizes_are_refused():
    a, b = Pictures(1).samples[0], Pictures(1, width=30).samples[0].replace(image_id="wide")
    with pytest.raises(
        ValueError, match=r"one size.*\(24, 18\) for '000000'.*\(30, 18\) for 'wide'"
    ):
        collate([a, b])


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"dataset": []}, "dataset.*at least one sample"),
        ({"batch_size": 0}, r"batch_size.*at least 1.*0"),
        ({"workers": -1}, r"workers.*at least 0.*-1"),
        ({"seed": 1.5}, r"seed.*whole number.*1\.5"),
        ({"prefetch": 0}, r"prefetch.*at least 1"),
        ({"cache_bytes": -5}, r"cache_bytes.*at least 0"),
    ],
)
def test_arguments_out_of_range_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        Loader(**({"dataset": Pictures(2), "batch_size": 1} | arguments))


@pytest.mark.parametrize("number, skip", [(-1, 0), (0, -1), (0, 6)])
def test_epoch_checks_its_arguments_at_once(number, skip):
    loader = Loader(Pictures(10), 2)
    with pytest.raises(ValueError, match=r"number|skip"):
        loader.epoch(number, skip)
