"""Processes that are threads: a communicator without MPI, so that what is said between processes can be tested fast."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from minissd.backend import array_module, to_cpu, to_device
from minissd.training.communicator import Communicator


class Room:
    """Where some threads meet: each brings a thing and leaves with what all brought."""

    def __init__(self, size: int):
        self.size = size
        self.things = [None] * size
        self.barrier = threading.Barrier(size, timeout=60)

    def meet(self, rank: int, thing: object) -> list:
        self.things[rank] = thing
        self.barrier.wait()
        found = list(self.things)
        self.barrier.wait()
        return found


class FakeCommunicator(Communicator):
    """One of several threads; arrays of any module."""

    def __init__(self, room: Room, rank: int):
        self.room, self.rank, self.size = room, rank, room.size
        self.local_rank, self.local_size = rank, room.size
        self.messages = 0

    def sum(self, arrays):
        self.messages += 1
        everybody = self.room.meet(self.rank, [to_cpu(array).copy() for array in arrays])
        for i, array in enumerate(arrays):
            total = sum(theirs[i] for theirs in everybody)
            array[...] = to_device(total, array_module(array))

    def broadcast(self, arrays):
        first = self.room.meet(self.rank, [to_cpu(array).copy() for array in arrays])[0]
        for array, theirs in zip(arrays, first, strict=True):
            array[...] = to_device(theirs, array_module(array))

    def share(self, value):
        return self.room.meet(self.rank, value)[0]

    def gather(self, value):
        return self.room.meet(self.rank, value)


def in_processes(size: int, function: Callable[[FakeCommunicator], object]) -> list:
    """Call a function in so many threads, each with its communicator, and return what they return."""
    room = Room(size)

    def one(rank: int) -> object:
        try:
            return function(FakeCommunicator(room, rank))
        except BaseException:
            room.barrier.abort()  # nobody waits for this one
            raise

    with ThreadPoolExecutor(size) as pool:
        jobs = [pool.submit(one, rank) for rank in range(size)]
    errors = [job.exception() for job in jobs if job.exception() is not None]
    errors.sort(key=lambda error: isinstance(error, threading.BrokenBarrierError))
    if errors:
        raise errors[0]  # the cause, not what it did to the others
    return [job.result() for job in jobs]
