"""NCCL and MPI as far as this project calls them, for processes that are threads: NCCL gets addresses, not arrays."""

from __future__ import annotations

import ctypes
from types import SimpleNamespace

import numpy as np
from fake_processes import FakeCommunicator

STREAM = 77  # its address
TYPES = {7: np.float32, 8: np.float64, 4: np.int64}


def at(address: int, count: int, kind: int) -> np.ndarray:
    """Return the numbers at an address of the "device"."""
    dtype = np.dtype(TYPES[kind])
    memory = (ctypes.c_char * (count * dtype.itemsize)).from_address(address)
    return np.frombuffer(memory, dtype)


def fake_mpi(communicator: FakeCommunicator) -> SimpleNamespace:
    """Return what stands for the module `mpi4py.MPI` in this thread."""
    world = SimpleNamespace(
        rank=communicator.rank,
        size=communicator.size,
        bcast=lambda value, root: communicator.share(value),
        allgather=communicator.gather,
    )
    world.Split_type = lambda kind, key: world
    return SimpleNamespace(COMM_WORLD=world, COMM_TYPE_SHARED=1)


def fake_nccl(communicator: FakeCommunicator) -> SimpleNamespace:
    """Return what stands for the module `cupy.cuda.nccl` in this thread."""

    class NcclCommunicator:
        def __init__(self, size, name, rank):
            assert (size, name, rank) == (communicator.size, ("the one", 5), communicator.rank)

        def allReduce(self, source, target, count, kind, operation, stream):
            assert (operation, stream) == (0, STREAM)
            numbers = at(source, count, kind).copy()
            at(target, count, kind)[:] = sum(communicator.gather(numbers))

        def bcast(self, place, count, kind, root, stream):
            assert (root, stream) == (0, STREAM)
            numbers = at(place, count, kind).copy()
            at(place, count, kind)[:] = communicator.gather(numbers)[0]

    return SimpleNamespace(
        NcclCommunicator=NcclCommunicator,
        get_unique_id=lambda: ("the one", 5),
        NCCL_SUM=0,
        NCCL_FLOAT32=7,
        NCCL_FLOAT64=8,
        NCCL_INT64=4,
    )
