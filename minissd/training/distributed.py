"""Data-parallel training: the same network in several processes, each with its own part of every batch.

    mpiexec -n 4 python -m minissd train DATA

The settings mean what they mean for one process: a batch of 16 on 4 processes is 4 images each, and the gradients,
divided by the positives of all 16, are added up. So any number of processes makes the same steps as one, up to
rounding; what batch norm is computed over is a choice (`--sync-norm`). Here is what surrounds the training: who is
there, on which GPU and with how many threads, and how all of them end where one has to.
"""

from __future__ import annotations

import os
import platform
import signal
import sys
import threading
import time
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from minissd.backend import nccl_module, resolve_device
from minissd.errors import USER_ERRORS, InputError, one_line
from minissd.machine import usable_cpus
from minissd.parallel import ENVIRONMENT, share_processors
from minissd.training.communicator import (
    ALONE,
    Communicator,
    MPICommunicator,
    NCCLCommunicator,
)

# What launchers tell their processes: how many there are, and which is which.
LAUNCHERS = (
    ("OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_RANK"),  # Open MPI
    ("PMI_SIZE", "PMI_RANK"),  # MPICH, Intel MPI
    ("SLURM_STEP_NUM_TASKS", "PMIX_RANK"),  # srun --mpi=pmix
)
OTHERS_FIRST = 2.0  # seconds in which process 0 may say what is wrong before another says it again


def launched(environment: Mapping[str, str] = os.environ) -> tuple[int, int]:
    """Return (number of this process, how many there are) as MPI's launcher says; (0, 1) without one."""
    for size, rank in LAUNCHERS:
        if environment.get(size, "").isdecimal() and environment.get(rank, "").isdecimal():
            return int(environment[rank]), int(environment[size])
    return 0, 1


def connect(device: str = "auto") -> Communicator:
    """Find the other processes, take a GPU or a share of the processors, and return the way to the others.

    Args:
        device: auto, cpu or gpu; the same for all.

    Raises:
        InputError: MPI has started several processes and mpi4py is missing or belongs to another MPI; there are more
            processes than GPUs on a machine; some processes have a GPU and others have none.
    """
    rank, size = launched()
    if size == 1:
        return ALONE
    try:
        from mpi4py import MPI

        seen = MPI.COMM_WORLD.size
        problem = (
            f"mpi4py sees {seen}: it uses {mpi_name(MPI)}, and the launcher belongs to another MPI"
        )
    except (ImportError, RuntimeError) as error:  # the latter: MPI's own library cannot be loaded
        seen = None
        problem = f"mpi4py cannot be used: {one_line(error)} (pip install 'minissd[distributed]')"
    if seen != size:
        if rank > 0:  # process 0 says it; the launcher ends all when the first one fails
            time.sleep(OTHERS_FIRST)
            raise SystemExit(2)
        raise InputError(f"started as one of {size} processes, but {problem}")
    communicator = MPICommunicator(MPI)
    with all_or_none(communicator):
        return on_gpus(communicator, MPI, device) or on_processors(communicator)


def mpi_name(mpi: Any) -> str:
    """Return name and version of the library that mpi4py calls."""
    return mpi.Get_library_version().partition(",")[0].strip()


def on_gpus(communicator: MPICommunicator, mpi: Any, device: str) -> Communicator | None:
    """Take the GPU of this process's number on its machine; None where the CPU is to be used."""
    count = take_gpu(communicator.local_rank) if device != "cpu" else 0
    found = communicator.gather(resolve_device(device))
    if len(set(found)) > 1:
        raise InputError(
            f"--device {device} finds {found[0]} for process 0 and another for process "
            f"{next(i for i, name in enumerate(found) if name != found[0])}; name one of them"
        )
    if found[0] == "cpu":
        return None
    if communicator.local_size > count:
        raise InputError(
            f"{communicator.local_size} processes on a machine with {count} GPUs: each needs its own; "
            "start fewer, or add --device cpu"
        )
    nccl, current_stream = find_nccl()
    if not nccl.available:
        if communicator.leads:
            print(
                "NCCL is not there (pip install nvidia-nccl-cu12 or -cu13): gradients go through the host",
                file=sys.stderr,
            )
        return communicator
    return NCCLCommunicator(mpi, nccl, current_stream)


def find_nccl() -> tuple[Any, Any]:
    """Return CuPy's module for NCCL, which knows whether it is `available`, and the function that gives the stream."""
    from cupy.cuda import get_current_stream

    return nccl_module(), get_current_stream


def take_gpu(number: int) -> int:
    """Make one GPU CuPy's current device, where there is one of that number; return how many there are."""
    try:
        import cupy

        count = cupy.cuda.runtime.getDeviceCount()
        if number < count:
            cupy.cuda.Device(number).use()
        return count
    except Exception:  # no CuPy, no driver: `resolve_device` says it better
        return 0


def on_processors(communicator: MPICommunicator) -> Communicator:
    """Share out the machine's processors among its processes: MPI often binds several to the same ones."""
    if not os.environ.get(ENVIRONMENT):
        share_processors(thread_share(communicator))
    return communicator


def thread_share(communicator: Communicator) -> int:
    """Return how many threads this process may use, from which processors each process of the machine is bound to."""
    node, bound = platform.node(), affinity()
    groups = communicator.gather((node, bound))
    sharers = sum(name == node and bool(other & bound) for name, other in groups)
    return max(1, usable_cpus() // sharers)


def affinity() -> set[int]:
    """Return the numbers of the processors that this process is bound to; {0} for all, where that cannot be told."""
    return os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else {0}


@contextmanager
def all_or_none(
    communicator: Communicator, program: str = "minissd train", debug: bool = False
) -> Iterator[None]:
    """Within the block, let an error in one process end all of them, and be told once.

    Without it the others would wait for ever for the next message of the one that failed.

    Args:
        communicator: The processes. One process alone just raises its errors.
        program: How the message begins.
        debug: Show the traceback of errors of the user too.
    """
    try:
        yield
    except BaseException as error:
        if communicator.size == 1:
            raise
        if not communicator.leads:
            time.sleep(
                OTHERS_FIRST
            )  # the same file is missing for all of them, say: process 0 tells
        where = f"(process {communicator.rank} of {communicator.size})"
        if isinstance(error, USER_ERRORS) and not debug:
            print(f"{program}: error: {one_line(error)} {where}", file=sys.stderr)
        elif isinstance(error, KeyboardInterrupt):
            print(f"{program}: interrupted {where}", file=sys.stderr)
        else:
            print(f"{program}: failed {where}", file=sys.stderr)
            traceback.print_exception(error)
        communicator.abort(130 if isinstance(error, KeyboardInterrupt) else 2)


@contextmanager
def telling_of_the_end(communicator: Communicator, hint: str) -> Iterator[None]:
    """Within the block, say how to go on when the launcher ends the run because a process was lost.

    The launcher then sends SIGTERM and soon after SIGKILL. Python's own signal handlers would have to wait for the
    message in progress, which never comes; but a thread can be woken by a signal at once.

    Args:
        communicator: The processes; the first one speaks.
        hint: What to do next, in words.
    """
    main = threading.current_thread() is threading.main_thread()
    if communicator.size == 1 or not communicator.leads or not main or os.name == "nt":
        yield
        return
    reader, writer = os.pipe()
    os.set_blocking(writer, False)

    def watch() -> None:
        while number := os.read(reader, 1):
            if number[0] == signal.SIGTERM:
                os.write(2, f"the launcher ends the training (SIGTERM); {hint}\n".encode())

    watcher = threading.Thread(target=watch, name="minissd-signals", daemon=True)
    watcher.start()
    before = signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    try:
        yield
    finally:
        signal.set_wakeup_fd(before)
        os.close(writer)  # the thread reads the end of the pipe
        watcher.join()
        os.close(reader)
