"""Threads for array code: the same answers whatever the number of threads, and nothing left behind after an error."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from strict_array import strict
from threadpoolctl import threadpool_info, threadpool_limits

from minissd import parallel
from minissd.nn.conv import Conv2d
from minissd.nn.layer import Layer
from minissd.nn.norm import BatchNorm2d


@pytest.fixture(autouse=True)
def _same_threads_afterwards() -> Iterator[None]:
    before = parallel.thread_count()
    yield
    parallel.set_threads(before)


def blas_threads() -> list[int]:
    return [pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"]


@pytest.fixture
def blas_on_two() -> Iterator[None]:
    """Let BLAS have two threads, so that holding it to one is seen."""
    with threadpool_limits(2, user_api="blas"):
        if not blas_threads() or set(blas_threads()) != {2}:
            pytest.skip("not tested here: this BLAS lets nobody set its threads")
        yield


def new_process(code: str, **variables: str) -> subprocess.CompletedProcess:
    command = [sys.executable, "-c", code]
    environment = os.environ | variables
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)


# --- results and their order ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("threads", [1, 2, 5])
def test_results_come_in_the_order_of_the_jobs(threads):
    parallel.set_threads(threads)

    def slow_at_first(job: int) -> int:
        time.sleep(0.02 if job == 0 else 0)
        return job * job

    assert parallel.run_blocks(slow_at_first, range(20)) == [job * job for job in range(20)]
    assert parallel.run_blocks(slow_at_first, []) == []


def test_two_threads_work_at_the_same_time():
    parallel.set_threads(2)
    meeting = threading.Barrier(2, timeout=20)  # passed only if both jobs are there together
    assert sorted(parallel.run_blocks(lambda _: meeting.wait(), range(2))) == [0, 1]


def test_calls_from_two_threads_answer_as_one_does(rng):
    parallel.set_threads(2)
    batches = rng.standard_normal((2, 8, 16, 16, 8)).astype(np.float32)
    alone = [passes(Conv2d(8, 8, 3, padding=1, rng=np.random.default_rng(1)), x) for x in batches]
    for _ in range(5):
        with ThreadPoolExecutor(2) as callers:
            layers = [Conv2d(8, 8, 3, padding=1, rng=np.random.default_rng(1)) for _ in batches]
            together = list(callers.map(passes, layers, batches))
        for one, other in zip(alone, together):
            assert_identical(one, other)


def test_jobs_may_call_for_jobs_themselves():
    code = """
from minissd.parallel import run_blocks
print(run_blocks(lambda i: run_blocks(lambda j: 10 * i + j, range(3)), range(4)))
"""  # in a process of its own, which can be ended if its threads wait for each other
    done = new_process(code, MINISSD_THREADS="2")
    assert json.loads(done.stdout) == [[10 * i + j for j in range(3)] for i in range(4)]


# --- errors ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("threads", [1, 2])
def test_blas_has_one_thread_inside_and_its_own_after_results_and_errors(threads, blas_on_two):
    parallel.set_threads(threads)
    inside = parallel.run_blocks(lambda _: blas_threads(), range(4))
    assert {count for counts in inside for count in counts} == {1}
    assert set(blas_threads()) == {2}
    with pytest.raises(ZeroDivisionError):
        parallel.run_blocks(lambda job: 1 // job, range(4))
    assert set(blas_threads()) == {2}


def test_blas_is_held_from_the_first_call_in_to_the_last_one_out(blas_on_two):
    """Whichever thread begins, and whichever ends."""
    parallel.set_threads(2)
    inside, leave = [threading.Event() for _ in "ab"], [threading.Event() for _ in "ab"]

    def stay(caller: int) -> list[int]:
        inside[caller].set()
        assert leave[caller].wait(20)
        return blas_threads()

    with ThreadPoolExecutor(2) as callers:
        calls = []
        for caller in range(2):
            calls.append(callers.submit(parallel.run_blocks, stay, [caller]))
            assert inside[caller].wait(20)
        held = blas_threads()
        leave[0].set()  # the first one in leaves, the second one is the last
        assert set(calls[0].result()[0]) == {1}
        held += blas_threads()
        leave[1].set()
        assert set(calls[1].result()[0]) == {1}
    assert set(held) == {1}
    assert set(blas_threads()) == {2}


def test_other_threads_may_set_blas_after_a_call(blas_on_two):
    parallel.run_blocks(lambda job: job, range(4))

    def limit() -> list[int]:
        with threadpool_limits(1, user_api="blas"):
            return blas_threads()

    with ThreadPoolExecutor(1) as other:
        assert set(other.submit(limit).result()) == {1}


def test_the_first_error_comes_through_and_nothing_runs_on_after_it():
    parallel.set_threads(2)
    finished = []

    def job(number: int) -> None:
        if number in (1, 3):
            raise ValueError(f"job {number}")
        time.sleep(0.05)
        finished.append(number)

    with pytest.raises(ValueError, match="job 1"):
        parallel.run_blocks(job, range(50))
    n_finished = len(finished)
    assert n_finished < 20  # those that had not begun were left out
    time.sleep(0.1)
    assert len(finished) == n_finished
    assert parallel.run_blocks(lambda number: -number, range(3)) == [0, -1, -2]


def test_jobs_share_the_callers_floating_point_error_state():
    parallel.set_threads(2)
    huge = np.full(4, 1e30, np.float32)

    def overflow(_: int) -> bool:
        return bool(np.isinf(huge * huge).all())

    with np.errstate(over="ignore"):
        assert all(parallel.run_blocks(overflow, range(4)))
    with np.errstate(over="raise"), pytest.raises(FloatingPointError):
        parallel.run_blocks(overflow, range(4))
    with pytest.warns(RuntimeWarning, match="overflow"):
        parallel.run_blocks(overflow, range(4))


def test_what_a_job_sets_stays_with_it():
    parallel.set_threads(2)

    def states(_: int) -> str:
        before = np.geterr()["over"]
        np.seterr(over="print")
        return before

    with np.errstate(over="ignore"):
        assert parallel.run_blocks(states, range(8)) == ["ignore"] * 8
        assert np.geterr()["over"] == "ignore"


# --- how a batch is cut ---------------------------------------------------------------------------------------------


def cut(x: np.ndarray, bytes_per_item: int | None = None) -> list[tuple[int, int]]:
    return parallel.over_batch(lambda block: (block.start, block.stop), x, bytes_per_item)


@pytest.mark.parametrize("shape", [(0, 3), (1, 4), (3, 70_000), (7, 99_000), (64, 9000), (500, 3)])
@pytest.mark.parametrize("bytes_per_item", [None, 5000, 3 * 2**20])
def test_the_cut_depends_on_the_size_alone(shape, bytes_per_item):
    x = np.zeros(shape, np.float32)
    parallel.set_threads(1)
    alone = cut(x, bytes_per_item)
    parallel.set_threads(2)
    assert cut(x, bytes_per_item) == alone
    assert [start for start, _ in alone] == [0, *(stop for _, stop in alone[:-1])]
    assert alone[-1][1] == len(x)


def test_small_batches_stay_whole_and_large_ones_fit_the_cache():
    assert len(cut(np.zeros((500, 3), np.float32))) == 1
    assert len(cut(np.zeros((16, 16000), np.float32))) == 2
    assert len(cut(np.zeros((16, 160_000), np.float32))) == 4
    step = max(stop - start for start, stop in cut(np.zeros((64, 9000)), 10**5))
    assert 1 < step <= parallel.BLOCK_BYTES // 10**5
    assert len(cut(np.zeros((3, 10)), 2 * parallel.BLOCK_BYTES)) == 3  # one too large is done alone


def test_a_device_gets_the_whole_batch_at_once():
    blocks = parallel.over_batch(lambda block: block, strict.zeros((64, 9000)))
    assert blocks == [slice(0, 64)]


# --- how many threads -----------------------------------------------------------------------------------------------


def test_set_threads():
    parallel.set_threads(3)
    assert parallel.thread_count() == 3
    for wrong in (0, -1, 1.5, True, "2"):
        with pytest.raises(ValueError, match="count: expected"):
            parallel.set_threads(wrong)
    assert parallel.thread_count() == 3


COUNT = "from minissd.parallel import thread_count; print(thread_count())"


@pytest.mark.parametrize("value, expected", [("3", 3), (" 1 ", 1), ("", parallel.usable_cpus())])
def test_the_environment_sets_the_threads(value, expected):
    assert new_process(COUNT, MINISSD_THREADS=value).stdout.strip() == str(expected)


def test_a_wrong_number_in_the_environment_is_refused_by_name():
    done = new_process(COUNT, MINISSD_THREADS="two")
    line = done.stderr.splitlines()[-1]
    assert done.returncode == 1
    assert line.startswith("ValueError: environment variable MINISSD_THREADS: expected a whole")
    assert line.endswith("got 'two'")


@pytest.mark.parametrize("value", ["0", "-2", "1.5", "²", "2x"])
def test_other_wrong_numbers_are_refused_too(value, monkeypatch):
    monkeypatch.setattr(parallel, "_team", None)
    monkeypatch.setenv(parallel.ENVIRONMENT, value)
    with pytest.raises(ValueError, match=r"MINISSD_THREADS: .* at least 1, got "):
        parallel.thread_count()


# --- layers ---------------------------------------------------------------------------------------------------------


def passes(layer: Layer, x: np.ndarray) -> list[np.ndarray]:
    """Return output, input gradient, the parameters' gradients and the buffers after one forward and backward pass."""
    y = layer.forward(x)
    dx = layer.backward(np.sin(y))
    return [y, dx, *(p.grad for p in layer.parameters().values()), *layer.state().values()]


def assert_identical(one: list[np.ndarray], other: list[np.ndarray]) -> None:
    assert len(one) == len(other)
    for a, b in zip(one, other):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize(
    "make",
    [
        lambda: Conv2d(16, 24, 3, padding=1, rng=np.random.default_rng(1)),
        lambda: Conv2d(16, 24, 3, stride=2, padding=1, rng=np.random.default_rng(1)),
        lambda: Conv2d(16, 8, 1, rng=np.random.default_rng(1)),
        lambda: BatchNorm2d(16),
    ],
    ids=["3x3", "stride 2", "1x1", "batch norm"],
)
def test_layers_give_the_same_bits_with_one_thread_and_with_two(make, rng, monkeypatch):
    monkeypatch.setattr(parallel, "BLOCK_BYTES", 2**20)
    x = rng.standard_normal((9, 40, 38, 16)).astype(np.float32)
    parallel.set_threads(1)
    assert len(cut(x)) > 2
    alone = passes(make(), x)
    for threads in (2, 3):
        parallel.set_threads(threads)
        assert_identical(alone, passes(make(), x))
