"""How processes talk and start: messages, NCCL's calls, GPUs and processors shared out, and the launcher's signals."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import types
from pathlib import Path

import distributed_cases as cases
import numpy as np
import pytest
from fake_nccl import STREAM, fake_mpi, fake_nccl
from fake_processes import FakeCommunicator, in_processes
from strict_array import StrictArray, strict

from minissd.backend import to_cpu
from minissd.errors import InputError
from minissd.training import distributed
from minissd.training.communicator import (
    ALONE,
    SMALL_BYTES,
    MPICommunicator,
    NCCLCommunicator,
    messages,
    unpack,
)
from minissd.training.loop import STOP_SIGNALS, stop_requests

REPOSITORY = Path(__file__).resolve().parent.parent


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


def test_training_over_nccl_equals_one_process(addresses):
    states = in_processes(2, lambda each: cases.train("norm", nccl_of(each), strict))
    for name, value in cases.train("norm").items():
        np.testing.assert_allclose(states[1][name], value, rtol=1e-9, atol=1e-10, err_msg=name)


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


def python(code):
    """Run a program in a process of its own, and return what it printed on both ways."""
    paths = os.pathsep.join([str(REPOSITORY), str(REPOSITORY / "tests")])
    environment = os.environ | {"PYTHONPATH": paths, "MINISSD_THREADS": "2"}
    command = [sys.executable, "-c", code]
    result = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)
    assert result.returncode == 0, result.stderr
    return result.stdout, result.stderr


def test_blas_keeps_to_its_share_after_blocks_of_our_own():
    out, _ = python("""
from threadpoolctl import threadpool_info
import numpy as np
from minissd.parallel import run_blocks, share_processors, thread_count
share_processors(1)
for _ in range(2):
    run_blocks(lambda job: np.ones((9, 9)) @ np.ones((9, 9)), [1, 2, 3])
    print(thread_count(), {i["num_threads"] for i in threadpool_info() if i["user_api"] == "blas"})
""")
    assert set(out.splitlines()) <= {"1 {1}", "1 set()"}


@pytest.mark.skipif(os.name == "nt", reason="POSIX signals")
def test_the_launchers_end_is_told_though_python_is_not_asked():
    """By a thread: the handler of the main thread would wait for a message that never comes."""
    out, errors = python("""
import os, signal, threading, time
from fake_processes import FakeCommunicator, Room
from minissd.training.distributed import telling_of_the_end
signal.signal(signal.SIGTERM, lambda *_: None)
signal.signal(signal.SIGUSR1, lambda *_: None)
with telling_of_the_end(FakeCommunicator(Room(2), 0), "do this"):
    os.kill(os.getpid(), signal.SIGUSR1)
    os.kill(os.getpid(), signal.SIGTERM)
with telling_of_the_end(FakeCommunicator(Room(2), 1), "not this"):
    os.kill(os.getpid(), signal.SIGTERM)
print(threading.active_count(), signal.set_wakeup_fd(-1))
""")
    assert errors == "the launcher ends the training (SIGTERM); do this\n"
    assert out == "1 -1\n"


@pytest.mark.skipif(os.name == "nt", reason="POSIX signals")
def test_every_signal_that_a_launcher_passes_on_is_a_request_to_stop():
    assert set(STOP_SIGNALS) == {signal.SIGINT, signal.SIGTERM, signal.SIGUSR1}
    before = [signal.getsignal(number) for number in STOP_SIGNALS]
    for number in STOP_SIGNALS:
        with stop_requests(STOP_SIGNALS) as asked:
            assert not asked()
            signal.raise_signal(number)
            assert asked()
            assert [signal.getsignal(each) for each in STOP_SIGNALS] == before  # the next one acts
    assert [signal.getsignal(number) for number in STOP_SIGNALS] == before


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
