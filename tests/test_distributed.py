"""Data-parallel training: several processes make the steps of one, and talk as agreed; here they are threads."""

from __future__ import annotations

import types

import distributed_cases as cases
import numpy as np
import pytest
from fake_nccl import STREAM, fake_mpi, fake_nccl
from fake_processes import FakeCommunicator, in_processes
from strict_array import StrictArray, strict

from minissd.backend import to_cpu
from minissd.datasets.loader import Loader, cut
from minissd.datasets.sample import Sample
from minissd.errors import InputError
from minissd.nn import BatchNorm2d
from minissd.training import distributed
from minissd.training.communicator import (
    ALONE,
    SMALL_BYTES,
    MPICommunicator,
    NCCLCommunicator,
    messages,
    unpack,
)
from minissd.training.config import TrainConfig
from minissd.training.inference import Shard, interleave
from minissd.training.trainer import Trainer


def assert_same_state(several, one, limit=1e-10):
    assert several.keys() == one.keys()
    for name, value in one.items():
        scale = max(1.0, np.abs(value).max())
        assert np.abs(several[name] - value).max() / scale < limit, name


@pytest.fixture(scope="module")
def alone():
    return {case: cases.train(case) for case in cases.CASES}


@pytest.mark.parametrize("size", [2, 3])
@pytest.mark.parametrize("case", cases.CASES)
def test_several_processes_equal_one(case, size, alone):
    for state in in_processes(size, lambda communicator: cases.train(case, communicator)):
        assert_same_state(state, alone[case])


@pytest.mark.parametrize("case", ["clipped", "norm"])
def test_on_a_device_too(case, alone):
    states = in_processes(2, lambda communicator: cases.train(case, communicator, strict))
    assert_same_state(states[0], alone[case])


def test_the_training_that_is_compared_moves_the_weights(alone):
    for case, state in alone.items():
        before = cases.network(case == "norm").state()
        changes = [np.abs(state[name] - value).max() for name, value in before.items()]
        assert min(changes) > 1e-8, case
        assert state["results"][:, 3].min() > 0  # positives


def test_batch_norm_of_each_process_by_itself(alone, monkeypatch):
    """Without `sync_norm` the steps are others, all processes still agree, and statistics become their mean."""
    monkeypatch.setitem(cases.CASES, "norm", cases.CASES["norm"] | {"sync_norm": False})
    first, second = in_processes(2, lambda communicator: cases.train("norm", communicator))
    assert_same_state(first, second, 1e-15)
    with pytest.raises(AssertionError):
        assert_same_state(first, alone["norm"])

    def mean_of_own(communicator):
        layer = BatchNorm2d(2)
        layer.running_mean += communicator.rank
        trainer = types.SimpleNamespace(model=layer, communicator=communicator)
        Trainer.average_statistics(trainer)
        return layer.running_mean

    for mean in in_processes(4, mean_of_own):
        np.testing.assert_array_equal(mean, [1.5, 1.5])


def test_weights_that_drift_apart_are_noticed():
    def drift(communicator):
        model = cases.network(False)
        trainer = Trainer(model, TrainConfig("", image_size=96), 1, communicator)
        trainer.check_same_weights()
        if communicator.rank == 2:
            trainer.parameters["heads.1.bias"].value[0] += 1e-12
        trainer.check_same_weights()

    with pytest.raises(RuntimeError, match=r"the weights of processes \[2\] differ"):
        in_processes(3, drift)


def test_parts_that_batch_norm_would_wait_for_are_refused(monkeypatch):
    monkeypatch.setitem(cases.CASES, "norm", cases.CASES["norm"] | {"accumulate": 2})
    with pytest.raises(
        ValueError, match=r"accumulate: expected equal numbers of parts.*\[1, 2, 2, 2\]"
    ):
        in_processes(4, lambda communicator: cases.train("norm", communicator))


def test_batch_norm_over_several_processes_equals_one(rng):
    """Forward, backward and running statistics, with shares of 1 and 4 images."""
    x, dy = rng.standard_normal((2, 5, 3, 4, 2))
    whole = BatchNorm2d(2).astype(np.float64)
    expected = [whole.forward(x), whole.backward(dy)]

    def share(communicator):
        own = slice(0, 1) if communicator.rank == 0 else slice(1, 5)
        layer = BatchNorm2d(2).astype(np.float64)
        layer.across = communicator.added
        got = [layer.forward(x[own]), layer.backward(dy[own])]
        for ours, theirs in zip(got, expected):
            np.testing.assert_allclose(ours, theirs[own], rtol=1e-12, atol=1e-12)
        np.testing.assert_allclose(layer.running_var, whole.running_var, rtol=1e-12)
        np.testing.assert_allclose(layer.running_mean, whole.running_mean, rtol=1e-12)
        return layer.gamma.grad

    np.testing.assert_allclose(sum(in_processes(2, share)), whole.gamma.grad, rtol=1e-12)


class Pictures:
    """A data set of pictures of one pixel that say their number."""

    def __init__(self, count):
        self.count, self.asked = count, []

    def __len__(self):
        return self.count

    def __getitem__(self, index):
        self.asked.append(index)
        image = np.full((1, 1, 3), index, np.uint8)
        boxes = np.zeros((0, 4), np.float32)
        return Sample(image, boxes, np.zeros(0, np.int64), np.zeros(0, bool), str(index))


def noisy(sample, rng):
    return sample.replace(image=sample.image + rng.integers(0, 100, (1, 1, 3)).astype(np.uint8))


@pytest.mark.parametrize("n", [2, 3, 7])
def test_parts_of_a_batch_are_the_batch_whatever_their_number(n):
    whole = list(Loader(Pictures(23), 7, noisy, seed=4, workers=0).epoch(2, skip=1))
    loaded, asked = [], []
    for part in range(n):
        pictures = Pictures(23)
        loader = Loader(pictures, 7, noisy, seed=4, workers=2, part=part, n_parts=n)
        loaded.append(list(loader.epoch(2, skip=1)))
        asked += pictures.asked
    for number, batch in enumerate(whole):
        shares = [batches[number] for batches in loaded]
        assert max(map(len, shares)) - min(map(len, shares)) <= 1
        np.testing.assert_array_equal(np.concatenate([s.images for s in shares]), batch.images)
        assert [name for share in shares for name in share.ids] == batch.ids
    assert len(asked) == len(set(asked)) == 14  # nothing is loaded twice


def test_a_batch_with_too_few_pictures_for_all_is_refused():
    for size, count in ((3, 23), (8, 3)):
        with pytest.raises(ValueError, match="n_parts: expected at most the 3 samples"):
            Loader(Pictures(count), size, part=0, n_parts=4)
    with pytest.raises(ValueError, match="n_parts: expected at most the 2 samples"):
        Loader(Pictures(23), 7, part=0, n_parts=4, drop_last=False)
    with pytest.raises(ValueError, match="part: expected a number below 4"):
        Loader(Pictures(23), 7, part=4, n_parts=4)


def test_shards_of_a_data_set_come_back_in_order():
    for count, n in ((10, 3), (2, 4), (0, 2)):
        shards = [Shard(range(count), first, n) for first in range(n)]
        assert interleave([[s[i] for i in range(len(s))] for s in shards]) == list(range(count))
        parts = [cut(count, part, n) for part in range(n)]
        assert [i for part in parts for i in range(count)[part]] == list(range(count))


def test_small_arrays_travel_together_and_large_ones_where_they_stand(xp):
    large = xp.zeros(SMALL_BYTES // 4, np.float32)
    small = [xp.full((2, 3), 7.0, np.float32), xp.full(1, 8.0, np.float32)]
    odd = xp.asarray(xp.arange(4, dtype=np.int64))
    turned = xp.zeros((128, 256), np.float32).T
    sent = messages([small[0], large, odd, turned, small[1]])
    assert [parts is None for _, parts in sent] == [True, False, False]
    assert sent[0][0] is large
    for message, parts in sent[1:]:
        message += 1
        unpack(message, parts)
    np.testing.assert_array_equal(to_cpu(small[0]), np.full((2, 3), 8))
    np.testing.assert_array_equal(to_cpu(small[1]), [9])
    np.testing.assert_array_equal(to_cpu(odd), [1, 2, 3, 4])
    np.testing.assert_array_equal(to_cpu(turned), np.ones((256, 128)))


@pytest.fixture
def addresses(monkeypatch):
    """Let arrays of the stand-in have addresses, as those of CuPy do."""
    ptr = property(lambda self: types.SimpleNamespace(ptr=self._data.ctypes.data))
    monkeypatch.setattr(StrictArray, "data", ptr, raising=False)


def nccl_of(communicator: FakeCommunicator) -> NCCLCommunicator:
    stream = types.SimpleNamespace(ptr=STREAM)
    return NCCLCommunicator(fake_mpi(communicator), fake_nccl(communicator), lambda: stream)


def test_nccl_is_given_the_right_addresses(addresses):
    def talk(communicator):
        nccl = nccl_of(communicator)
        arrays = [
            strict.full((3, 2), nccl.rank + 1, np.float64),
            strict.full(40000, nccl.rank, np.float32),
        ]
        nccl.sum(arrays)
        nccl.average([arrays[1]])
        number = nccl.total(strict.asarray(np.array(5 + nccl.rank)))
        first = strict.full(4, 3.0 + nccl.rank, np.float32)
        nccl.broadcast([first])
        numbers = [to_cpu(each).ravel()[-1] for each in (*arrays, number, first)]
        return [*map(float, numbers), nccl.any(nccl.rank == 1), nccl.share(nccl.rank)]

    assert in_processes(3, talk) == [[6.0, 3.0, 18.0, 3.0, True, 0]] * 3


def test_training_over_nccl_equals_one_process(addresses, alone):
    states = in_processes(2, lambda each: cases.train("norm", nccl_of(each), strict))
    assert_same_state(states[1], alone["norm"])


def test_who_was_launched_by_what():
    assert distributed.launched({}) == (0, 1)
    assert distributed.launched({"OMPI_COMM_WORLD_SIZE": "4", "OMPI_COMM_WORLD_RANK": "3"}) == (
        3,
        4,
    )
    assert distributed.launched({"PMI_SIZE": "2", "PMI_RANK": "1"}) == (1, 2)
    assert distributed.launched({"PMIX_RANK": "1", "SLURM_STEP_NUM_TASKS": "8"}) == (1, 8)
    assert distributed.launched({"SLURM_STEP_NUM_TASKS": "8"}) == (0, 1)  # a script, not srun
    assert distributed.connect("cpu") is ALONE


@pytest.mark.parametrize(
    "bound, usable, threads",
    [
        ([{0, 1, 2, 3}] * 4, 4, [1, 1, 1, 1]),
        ([{0, 1}, {2, 3}], 2, [2, 2]),
        ([{0, 1, 2, 3, 4, 5, 6, 7}] * 3, 8, [2, 2, 2]),
        ([{0}, {0}, {1}], 1, [1, 1, 1]),
    ],
)
def test_processors_are_shared_out(bound, usable, threads, monkeypatch):
    monkeypatch.setattr(distributed, "usable_cpus", lambda: usable)
    got = []
    for own in bound:  # one after another, since a thread cannot pretend to be bound elsewhere
        communicator = FakeCommunicator(types.SimpleNamespace(size=len(bound)), 0)
        monkeypatch.setattr(distributed, "affinity", lambda own=own: own)
        monkeypatch.setattr(communicator, "gather", lambda mine: [(mine[0], b) for b in bound])
        got.append(distributed.thread_share(communicator))
    assert got == threads


def on_gpus_of(found, n_gpus, monkeypatch):
    """Let processes look for GPUs; `found` is what each of them would take by itself."""
    monkeypatch.setattr(distributed, "take_gpu", lambda number: n_gpus)
    nccl = types.SimpleNamespace(available=False)
    monkeypatch.setattr(distributed, "find_nccl", lambda: (nccl, None))
    monkeypatch.setattr(distributed, "resolve_device", lambda device: found[0])
    communicator = FakeCommunicator(types.SimpleNamespace(size=len(found)), 0)
    monkeypatch.setattr(communicator, "gather", lambda own: [own, *found[1:]])
    return distributed.on_gpus(communicator, None, "auto"), communicator


def test_each_process_has_a_gpu_of_its_own_or_none_has(monkeypatch, capsys):
    assert on_gpus_of(["cpu", "cpu"], 0, monkeypatch)[0] is None
    with pytest.raises(InputError, match="finds gpu for process 0 and another for process 1"):
        on_gpus_of(["gpu", "cpu"], 1, monkeypatch)
    with pytest.raises(InputError, match="4 processes on a machine with 2 GPUs"):
        on_gpus_of(["gpu"] * 4, 2, monkeypatch)
    got, communicator = on_gpus_of(["gpu", "gpu"], 2, monkeypatch)
    assert got is communicator  # without NCCL through the host, and that is said
    assert "NCCL is not there" in capsys.readouterr().err


def test_cupy_names_nccl_as_we_call_it():
    pytest.importorskip("cupy.cuda", reason="CuPy is not installed")
    nccl, current_stream = distributed.find_nccl()
    if not nccl.available:
        pytest.skip("the library of NCCL is not installed")
    wanted = set(vars(fake_nccl(FakeCommunicator(types.SimpleNamespace(size=1), 0))))
    assert wanted <= set(dir(nccl))
    assert {"allReduce", "bcast"} <= set(dir(nccl.NcclCommunicator))
    assert (nccl.NCCL_SUM, nccl.NCCL_INT64, nccl.NCCL_FLOAT32, nccl.NCCL_FLOAT64) == (0, 4, 7, 8)
    assert callable(current_stream)


def test_device_arrays_travel_through_the_host_without_nccl():
    def talk(communicator):
        mpi = fake_mpi(communicator)
        mpi.IN_PLACE = None
        world = mpi.COMM_WORLD
        world.Allreduce = lambda _, array: communicator.sum([array])
        world.Bcast = lambda array, root: communicator.broadcast([array])
        by_host = MPICommunicator(mpi)
        arrays = [strict.full(3, 1.0 + by_host.rank, np.float32)]
        by_host.sum(arrays)
        first = strict.full(2, by_host.rank, np.int64)
        by_host.broadcast([first])
        return to_cpu(arrays[0]).tolist(), to_cpu(first).tolist(), by_host.any(by_host.rank == 1)

    assert in_processes(2, talk) == [([3.0] * 3, [0, 0], True)] * 2
