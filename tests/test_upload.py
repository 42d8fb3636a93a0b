"""Uploading ahead, on streams that are simulated: whatever their pace, a step reads its own batch."""

import random
import threading
import types

import numpy as np
import pytest
from strict_array import strict
from test_device_path import some_batch

from minissd.datasets.loader import Batch
from minissd.models.build import build_minissd
from minissd.training.config import TrainConfig
from minissd.training.loop import run_epochs
from minissd.training.trainer import Trainer
from minissd.training.upload import Uploader, upload_ahead


class FakeCuda:
    """What is used of `cupy.cuda`: work waits in streams, and at every call some of it happens, at random.

    Args:
        seed: Of the pace.
        ignored: A call that is left out ("wait_event" or "synchronize"), to see that the tests would notice.
    """

    def __init__(self, seed=0, ignored=""):
        self.lock, self.random = threading.RLock(), random.Random(seed)
        self.ignored, self.done, self.streams = ignored, set(), []
        self.pinned, self.most_queued = [], 0
        self.compute = self.Stream(non_blocking=False)

    def get_current_stream(self):
        return self.compute

    def alloc_pinned_memory(self, n_bytes):
        self.pinned.append(bytearray(n_bytes + 100))  # CuPy rounds up
        return self.pinned[-1]

    def Stream(self, non_blocking):
        self.streams.append(Stream(self))
        return self.streams[-1]

    def Event(self, disable_timing):
        assert disable_timing
        return Event(self)

    def Device(self):
        return self

    def __enter__(self):
        return self

    def __exit__(self, *error):
        pass

    def go_on(self, steps):
        """Let streams do some of what waits in them."""
        with self.lock:
            self.most_queued = max(self.most_queued, *(len(s.queue) for s in self.streams))
            for _ in range(steps):
                self.random.choice(self.streams).do_one()


class Stream:
    def __init__(self, cuda):
        self.cuda, self.queue = cuda, []

    def push(self, work, needs=None):
        with self.cuda.lock:
            self.queue.append((work, needs))
        self.cuda.go_on(self.cuda.random.randrange(4))

    def do_one(self):
        if self.queue and (self.queue[0][1] is None or self.queue[0][1] in self.cuda.done):
            self.queue.pop(0)[0]()
            return True
        return False

    def wait_event(self, event):
        if event.token is not None and self.cuda.ignored != "wait_event":
            self.push(lambda: None, event.token)

    def synchronize(self):
        while self.queue:
            self.cuda.go_on(20)


class Event:
    def __init__(self, cuda):
        self.cuda, self.token = cuda, None

    def record(self, stream):
        token = self.token = object()
        stream.push(lambda: self.cuda.done.add(token))

    def synchronize(self):
        while self.cuda.ignored != "synchronize" and not (
            self.token is None or self.token in self.cuda.done
        ):
            self.cuda.go_on(20)


class FakeArray:
    """A device array: a NumPy array that is written in the stream's own time."""

    def __init__(self, data):
        self.data = data

    def __getitem__(self, part):
        return FakeArray(self.data[part])

    def reshape(self, shape):
        return FakeArray(self.data.reshape(shape))

    def set(self, host, stream):
        def copy():
            self.data[...] = host

        assert host.shape == self.data.shape
        stream.push(copy)


def fake_cupy(**settings):
    module = types.SimpleNamespace(cuda=FakeCuda(**settings))
    module.empty = lambda size, dtype: FakeArray(np.zeros(size, dtype))
    return module


def some_batches(n=12, size=2):
    """Return batches told apart by their pictures; the last one is short, the one in the middle large."""
    for i in range(n):
        count = 1 if i == n - 1 else 5 if i == n // 2 else 3
        images = np.full((count, size, size, 3), i + 1, np.uint8)
        nothing = [np.zeros(0)] * count
        yield Batch(images, nothing, nothing, nothing, [f"{i}"] * count)


def read_all(xp):
    """Go through batches as training does; return what each step found, in (batch, picture values) pairs."""
    found = []
    for batch in upload_ahead(some_batches(), xp):
        images, number = batch.images, batch.ids[0]
        for _ in range(3):  # kernels of a step, which are queued and read later
            xp.cuda.compute.push(
                lambda images=images, number=number: found.append(
                    (int(number) + 1, images.data.copy())
                )
            )
    xp.cuda.compute.synchronize()
    return found


def stale(found):
    return [number for number, images in found if (images != number).any()]


@pytest.mark.parametrize("seed", range(20))
def test_every_step_reads_its_own_batch(seed):
    found = read_all(fake_cupy(seed=seed))
    assert [number for number, _ in found] == np.repeat(np.arange(1, 13), 3).tolist()
    assert stale(found) == []
    assert {len(images) for _, images in found} == {1, 3, 5}


@pytest.mark.parametrize("ignored", ["wait_event", "synchronize"])
def test_the_simulation_notices_a_wait_that_is_missing(ignored):
    assert any(stale(read_all(fake_cupy(seed=seed, ignored=ignored))) for seed in range(20))


def test_buffers_are_made_once_and_again_where_they_are_too_small():
    xp = fake_cupy()
    read_all(xp)
    assert len(xp.cuda.pinned) == 3  # two, and one for the large batch


def test_the_next_batch_is_sent_while_one_is_computed():
    """It is on its way when a batch is handed out, though nobody has asked for it yet."""
    sent, both = [], threading.Event()

    def watched():
        for batch in some_batches(4):
            sent.append(batch.ids[0])
            if len(sent) == 2:
                both.set()
            yield batch

    batches = upload_ahead(watched(), fake_cupy())
    next(batches)
    assert both.wait(10)
    assert sent == ["0", "1"]  # one ahead, not more
    batches.close()


def test_an_error_while_loading_reaches_the_training():
    def broken():
        yield next(some_batches())
        raise OSError("no such picture")

    batches = upload_ahead(broken(), fake_cupy())
    next(batches)
    with pytest.raises(OSError, match="no such picture"):
        next(batches)


def test_closing_ends_the_loading_and_the_thread():
    ended = []

    def watched():
        try:
            yield from some_batches()
        finally:
            ended.append(True)

    before = threading.active_count()
    batches = upload_ahead(watched(), fake_cupy())
    next(batches)
    batches.close()
    assert ended == [True]
    assert threading.active_count() == before


@pytest.mark.parametrize("module", [np, strict])
def test_without_a_gpu_batches_pass_as_they_are(module):
    batches = some_batches()
    assert upload_ahead(batches, module) is batches


class SomeBatches:
    """What `run_epochs` needs of a loader."""

    def __len__(self):
        return 2

    def epoch(self, number, skip=0):
        return (some_batch(np.random.default_rng([number, i]), n=2) for i in range(skip, 2))


def losses_of(xp):
    config = TrainConfig("", image_size=96, lr=0.01, warmup=1)
    model = build_minissd(3, 96, np.random.default_rng(0), width=2).to(xp)
    found = []
    run_epochs(
        Trainer(model, config, 3),
        SomeBatches(),
        on_step=lambda result, loader: found.append(result.loss),
        on_epoch=lambda epoch: None,
    )
    return found


def test_training_uses_it(monkeypatch, counted):
    """The pictures of all three steps come through pinned memory; the losses are those of the host."""
    cuda = FakeCuda()
    monkeypatch.setattr(strict, "cuda", cuda, raising=False)
    on_device = losses_of(strict)
    assert len(cuda.pinned) == 4  # two in each of the two epochs
    np.testing.assert_allclose(on_device, losses_of(np), rtol=1e-3)


def test_on_a_gpu_the_pictures_arrive(xp):
    if not hasattr(xp, "cuda"):
        pytest.skip("no GPU: the simulated streams stand for it")
    found = [xp.asnumpy(batch.images) for batch in upload_ahead(some_batches(), xp)]
    for number, images in enumerate(found, 1):
        assert (images == number).all()
    assert isinstance(Uploader(xp).send(found[0]).view, xp.ndarray)
