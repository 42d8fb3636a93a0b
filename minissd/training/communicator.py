"""Communicator: how the processes of a data-parallel training talk; one process alone, MPI, or NCCL on GPUs.

Two kinds of message go round. Arrays (gradients, statistics) are added up in place, wherever they live. Small things
of the host (a request to stop, a checkpoint that process 0 has read) travel as Python objects. Every process must call
the same methods in the same order.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

import numpy as np

from minissd.backend import Array, array_module, to_cpu, to_device

# Arrays below travel together: a message costs some microseconds however short it is.
SMALL_BYTES = 2**16


class Communicator:
    """One process alone: what others are told stays here. Base of those that reach further.

    Attributes:
        rank: Number of this process, from 0; process 0 is the one that writes.
        size: How many processes there are.
        local_rank, local_size: The same, counted on this machine only.
    """

    rank, size = 0, 1
    local_rank, local_size = 0, 1

    @property
    def leads(self) -> bool:
        """Whether this is the process that prints and writes files."""
        return self.rank == 0

    def sum(self, arrays: Sequence[Array]) -> None:
        """Replace each array by its sum over all processes, in place; the order of the additions is always the same."""

    def broadcast(self, arrays: Sequence[Array]) -> None:
        """Replace each array by that of process 0, in place."""

    def share(self, value: Any) -> Any:
        """Return the object that process 0 gave; what the others give is ignored."""
        return value

    def gather(self, value: Any) -> list[Any]:
        """Return the objects of all processes, in order of their ranks; all of them get the list."""
        return [value]

    def abort(self, code: int) -> None:
        """End all processes at once with an exit code."""
        sys.exit(code)

    def average(self, arrays: Sequence[Array]) -> None:
        """Replace each array by its mean over all processes, in place."""
        self.sum(arrays)
        for array in arrays:
            array /= self.size

    def added(self, array: Array) -> Array:
        """Replace an array by its sum over all processes, in place, and return it."""
        self.sum([array])
        return array

    def total(self, number: Array) -> Array:
        """Return the sum of a 0-d integer array over all processes; it stays on its device."""
        one = number.reshape(1).astype(np.int64)
        self.sum([one])
        return one[0]

    def any(self, flag: bool) -> bool:
        """Return whether any process says True."""
        return any(self.gather(bool(flag)))


ALONE = Communicator()


class MPICommunicator(Communicator):
    """Processes that MPI started. Arrays of a device travel through the memory of the host.

    Args:
        mpi: The module `mpi4py.MPI`.
    """

    def __init__(self, mpi: Any):
        self.mpi, self.world = mpi, mpi.COMM_WORLD
        self.rank, self.size = self.world.rank, self.world.size
        node = self.world.Split_type(mpi.COMM_TYPE_SHARED, key=self.rank)
        self.local_rank, self.local_size = node.rank, node.size

    def sum(self, arrays: Sequence[Array]) -> None:
        """Add up arrays over all processes, in place: small ones in one message, large ones where they stand."""
        for message, parts in messages(arrays):
            self._sum(message)
            unpack(message, parts)

    def broadcast(self, arrays: Sequence[Array]) -> None:
        """Send the arrays of process 0 to all, in place."""
        for message, parts in messages(arrays):
            self._broadcast(message)
            unpack(message, parts)

    def share(self, value: Any) -> Any:
        """Return the object that process 0 gave."""
        return self.world.bcast(value, root=0)

    def gather(self, value: Any) -> list[Any]:
        """Return the objects of all processes."""
        return self.world.allgather(value)

    def any(self, flag: bool) -> bool:
        """Return whether any process says True: a single number, without pickling it."""
        votes = np.array([bool(flag)], np.int64)
        self._sum(votes)
        return bool(votes[0])

    def abort(self, code: int) -> None:
        """End all processes: MPI_Abort."""
        sys.stdout.flush()
        sys.stderr.flush()
        self.world.Abort(code)

    def _sum(self, array: Array) -> None:
        host = to_cpu(array)
        self.world.Allreduce(self.mpi.IN_PLACE, host)
        give_back(host, array)

    def _broadcast(self, array: Array) -> None:
        host = to_cpu(array)
        self.world.Bcast(host, root=0)
        give_back(host, array)


class NCCLCommunicator(MPICommunicator):
    """Processes with one GPU each: arrays go from GPU to GPU, on CuPy's current stream; nothing waits for them here.

    Objects of the host still travel over MPI, which also brings the group together.

    Args:
        mpi: As for `MPICommunicator`.
        nccl: The module `cupy.cuda.nccl`.
        current_stream: Returns the stream to work on, `cupy.cuda.get_current_stream`.
    """

    def __init__(self, mpi: Any, nccl: Any, current_stream: Any):
        super().__init__(mpi)
        name = self.share(nccl.get_unique_id() if self.leads else None)
        self.group = nccl.NcclCommunicator(self.size, name, self.rank)
        self.add = nccl.NCCL_SUM
        self.types = {
            "float32": nccl.NCCL_FLOAT32,
            "float64": nccl.NCCL_FLOAT64,
            "int64": nccl.NCCL_INT64,
        }
        self.current_stream = current_stream

    def any(self, flag: bool) -> bool:
        """Return whether any process says True; asked over MPI, so the GPU is not waited for."""
        return any(self.gather(bool(flag)))

    def _sum(self, array: Array) -> None:
        place, kind = array.data.ptr, self.types[str(array.dtype)]
        self.group.allReduce(place, place, array.size, kind, self.add, self.current_stream().ptr)

    def _broadcast(self, array: Array) -> None:
        kind = self.types[str(array.dtype)]
        self.group.bcast(array.data.ptr, array.size, kind, 0, self.current_stream().ptr)


Parts = list[Array] | None


def messages(arrays: Sequence[Array]) -> list[tuple[Array, Parts]]:
    """Return what is sent for some arrays: large ones as they are, the others of each dtype copied into one.

    Returns:
        Pairs of a contiguous array and the arrays that were copied into it, None where it is the array itself.
    """
    packed: dict[str, list[Array]] = {}
    sent: list[tuple[Array, Parts]] = []
    for array in arrays:
        if array.nbytes >= SMALL_BYTES and array.flags.c_contiguous:
            sent.append((array, None))
        else:
            packed.setdefault(str(array.dtype), []).append(array)
    for parts in packed.values():
        xp = array_module(*parts)
        sent.append((xp.concatenate([part.reshape(-1) for part in parts]), parts))
    return sent


def unpack(message: Array, parts: Parts) -> None:
    """Copy what came back into the arrays that it was made of."""
    start = 0
    for part in parts or ():
        part[...] = message[start : start + part.size].reshape(part.shape)
        start += part.size


def give_back(host: np.ndarray, array: Array) -> None:
    """Copy numbers of the host to the array that they came from, unless they are its own memory."""
    if host is not array:
        array[...] = to_device(host, array_module(array))
