"""Threads for array code: one computation cut into blocks that the processors share.

NumPy lets go of Python's lock while it copies, computes and multiplies, so plain threads do. Matrix products bring
threads of their own; inside a block they would only compete with ours, so BLAS is held to one thread for the time of
the call and given its threads back after it. Results come back in the order of the blocks: what is summed from them
does not depend on which thread was faster.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Sequence
from contextvars import ContextVar, copy_context
from itertools import pairwise
from queue import SimpleQueue
from typing import Any, TypeVar

import numpy as np
from threadpoolctl import ThreadpoolController

from minissd.backend import Array, array_module
from minissd.errors import check, check_positive_int
from minissd.machine import usable_cpus

Job = TypeVar("Job")
Result = TypeVar("Result")

ENVIRONMENT = "MINISSD_THREADS"
BLOCK_BYTES = 2**23  # of working memory at a time: a core's part of the shared cache
SMALL_BYTES = 2**21  # a batch that needs no more is done sooner than a thread is woken
LEAST_BLOCKS = 4  # of a product or a convolution, so that small maps too are shared out

_inside_job: ContextVar[bool] = ContextVar("_inside_job", default=False)


class _Call:
    """One computation that the team shares: its jobs, handed out one by one, and their results."""

    def __init__(self, function: Callable[[Job], Result], jobs: Sequence[Job]):
        self.function, self.jobs, self.context = function, jobs, copy_context()
        self.results: list[Any] = [None] * len(jobs)
        self.numbers = iter(range(len(jobs)))  # shared: whoever is free takes the next job
        self.errors: dict[int, BaseException] = {}  # by the number of the job
        self.lock = threading.Lock()
        self.helping = 0
        self.closed = False
        self.ended: SimpleQueue[None] = SimpleQueue()  # one entry a helper

    def work(self) -> None:
        """Do jobs until none is left, or one has failed."""
        for number in self.numbers:
            if self.errors:
                return
            try:
                self.results[number] = self.context.copy().run(
                    _run_job, self.function, self.jobs[number]
                )
            except BaseException as error:
                self.errors[number] = error

    def help(self) -> None:
        """Do jobs on a helper's thread, unless the caller has done them all before this thread woke up."""
        with self.lock:
            if self.closed:
                return
            self.helping += 1
        self.work()
        self.ended.put(None)

    def close(self) -> None:
        """Let no helper begin any more, and wait for those who have."""
        with self.lock:
            self.closed = True
        for _ in range(self.helping):
            self.ended.get()


class _Team:
    """The process's threads and its hold on BLAS; made when first needed.

    The helpers wait for calls in a queue that is written in C, and a caller that has done all jobs before a helper woke
    up does not wait for it: a call of trivial jobs takes a fifth of its time with a `ThreadPoolExecutor`.
    """

    def __init__(self, size: int):
        self.size = size
        self.process = os.getpid()
        self.inbox: SimpleQueue[_Call | None] = SimpleQueue()
        for number in range(size - 1):
            name = f"minissd-{number}"
            threading.Thread(target=_serve, args=(self.inbox,), name=name, daemon=True).start()
        self.blas = ThreadpoolController()
        self.lock = threading.Lock()
        self.calls = 0  # under way; the first one in holds BLAS, the last one out lets go
        self.hold: Any = None

    def share(self, call: _Call) -> None:
        """Do all jobs of a call, together with as many helpers as it has use for."""
        for _ in range(min(self.size, len(call.jobs)) - 1):  # the caller is one of the team
            self.inbox.put(call)
        try:
            call.work()
        finally:
            call.close()
        if call.errors:
            raise call.errors[min(call.errors)]

    def dismiss(self) -> None:
        """Let the helpers' threads end."""
        for _ in range(self.size - 1):
            self.inbox.put(None)

    def __enter__(self) -> None:
        with self.lock:
            self.calls += 1
            if self.calls == 1:
                self._free_control()
                self.hold = self.blas.limit(limits=1, user_api="blas")

    def __exit__(self, *_error: object) -> None:
        with self.lock:
            self.calls -= 1
            if self.calls == 0:
                self._free_control()
                self.hold.restore_original_limits()
                self._free_control()

    def _free_control(self) -> None:
        """Let the present thread set BLAS's threads.

        From version 3.8 on threadpoolctl obeys one thread only, the first that ever set them, and says nothing to the
        others; but the last call out may be another thread's than the first one in.
        """
        for library in self.blas.lib_controllers:
            if hasattr(library, "clear_controlling_thread"):
                library.clear_controlling_thread(force=True)


def _serve(inbox: SimpleQueue[_Call | None]) -> None:
    """Help with one call after the other, until there is nothing more to come."""
    while (call := inbox.get()) is not None:
        call.help()
        del call  # or its results would live until the next one


_team: _Team | None = None
_team_lock = threading.Lock()


def _get_team() -> _Team:
    global _team
    with _team_lock:
        if _team is None:
            _team = _Team(_starting_count())
        elif _team.process != os.getpid():  # a forked process has the memory, but not the threads
            _team = _Team(_team.size)
        return _team


def _starting_count() -> int:
    text = os.environ.get(ENVIRONMENT, "").strip()
    if not text:
        return usable_cpus()
    sound = text.isdecimal() and int(text) > 0
    check(sound, f"environment variable {ENVIRONMENT}", "a whole number of at least 1", text)
    return int(text)


def set_threads(count: int) -> None:
    """Set how many threads share a computation; without it, `MINISSD_THREADS` or every usable processor counts.

    Not to be called while a computation is under way.
    """
    global _team
    count = check_positive_int(count, "count")
    with _team_lock:
        old, _team = _team, _Team(count)
    if old is not None:
        old.dismiss()


def share_processors(count: int) -> None:
    """Set the threads of this process's computations and of its BLAS, where other processes use the same processors."""
    set_threads(count)
    _get_team().blas.limit(limits=count, user_api="blas")


def thread_count() -> int:
    """Return how many threads share a computation."""
    return _get_team().size


def run_blocks(function: Callable[[Job], Result], jobs: Sequence[Job]) -> list[Result]:
    """Call a function for every job, on all threads, and return the results in the order of the jobs.

    Args:
        function: Must only write where no other job reads or writes. It sees the caller's context variables, among
            them NumPy's floating-point error state; if it calls `run_blocks` itself, those jobs stay on its thread.
        jobs: Blocks of the computation, for example slices of a batch.

    Returns:
        One result a job. The exception of a job that failed is raised here; by then no job is running any more and
        BLAS has its threads back.
    """
    team = _get_team()
    if team.size == 1 or len(jobs) <= 1 or _inside_job.get():
        with team:
            return [function(job) for job in jobs]
    call = _Call(function, jobs)
    with team:
        team.share(call)
    return call.results


def _run_job(function: Callable[[Job], Result], job: Job) -> Result:
    _inside_job.set(True)  # in a copy of the caller's context, which ends with the job
    return function(job)


def runs(count: int, longest: int) -> list[slice]:
    """Cut range(count) into runs of nearly equal length, none longer than `longest` (which counts as at least 1)."""
    parts = -(-count // max(1, longest))
    ends = [count * part // parts for part in range(parts + 1)] if parts else []
    return [slice(start, end) for start, end in pairwise(ends)]


def over_batch(
    function: Callable[[slice], Result], x: Array, bytes_per_item: int | None = None
) -> list[Result]:
    """Call a function for runs of a batch that fit the processor's cache; on a device, once for the whole batch.

    Args:
        function: Takes a slice of the first axis; the rest as for `run_blocks`.
        x: The batch, (N, ...).
        bytes_per_item: Working memory that the function needs for one item; three times the item where not given.

    Returns:
        One result a run, in order. How the batch is cut depends on its size alone, never on the number of threads.
    """
    n = len(x)
    if array_module(x) is not np:
        return [function(slice(0, n))]
    need = bytes_per_item or 3 * x.nbytes // max(1, n)
    if need * n <= SMALL_BYTES:
        return run_blocks(function, [slice(0, n)])
    # Few blocks and an even number of them: between two calls of NumPy, threads wait for each other.
    count = 2 * -(-need * n // (2 * BLOCK_BYTES))
    return run_blocks(function, runs(n, -(-n // count)))
