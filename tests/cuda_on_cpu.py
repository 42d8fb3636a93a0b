"""CUDA on a CPU: compiles the very `.cu` files as C++ and runs their kernels on the arrays of the strict stand-in.

    with kernels_on(strict): ...       # as the fixture `device` does

`cuda_on_cpu.h` gives C++ what CUDA adds to it. Every array that a kernel gets lies between two guard zones, which are
looked at afterwards: a write beyond its array fails the test, and a read beyond it finds NaN (or -1). Compiled files
are kept in the system's temporary folder under the hash of all that went into them, so a machine compiles once.
"""

from __future__ import annotations

import ctypes
import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from strict_array import StrictArray

from minissd.cuda import Slot, signatures

HEADER = Path(__file__).with_name("cuda_on_cpu.h")
FLAGS = (
    "-std=c++17",
    "-O1",
    "-fPIC",
    "-shared",
    "-w",
    "-ffp-contract=off",
    "-fno-strict-aliasing",
    "-fno-sanitize=undefined",
)
GUARD = (
    4096  # bytes before and behind every array; a multiple of any alignment that kernels ask for
)
MOST_THREADS, MOST_SHARED = 1024, 48 * 1024  # of a block, on any GPU without special settings
MOST_GRID = (2**31 - 1, 65535, 65535)
MOST_BLOCK = (1024, 1024, 64)
_lock = threading.Lock()


@cache
def compiler_problem() -> str | None:
    """Say why kernels cannot be run here, or return None where they can."""
    if sys.platform != "linux":
        return "CUDA on a CPU is written for Linux: its fibres and its sections of shared memory"
    if not _compiler():
        return "CUDA on a CPU needs a C++ compiler: g++ or clang++, or `pip install ziglang`"
    return None


@cache
def _compiler() -> list[str]:
    for name in (os.environ.get("CXX"), "g++", "clang++", "c++"):
        if name and shutil.which(name):
            return [name]
    try:
        import ziglang  # noqa: F401
    except ModuleNotFoundError:
        return []
    return [sys.executable, "-m", "ziglang", "c++"]


@contextmanager
def kernels_on(module: ModuleType) -> Iterator[ModuleType]:
    """Let a stand-in for a device module offer its compiler within a `with` block."""
    module.compile_kernels = compile_kernels
    try:
        yield module
    finally:
        del module.compile_kernels


def as_cpp(source: str, names: list[str]) -> str:
    """Return C++ for a CUDA source, with a function `launch_NAME` for each of these kernels."""
    text = re.sub(r"#include <cuda_fp16.h>", "", source)
    text = re.sub(  # extern __shared__ float tile[];
        r"extern\s+__shared__\s+(?:__align__\(\w+\)\s+)?([\w ]+?)\s+(\w+)\s*\[\s*\]\s*;",
        r"\1* \2 = (\1*)on_cpu::dynamic_shared;",
        text,
    )
    launchers = [
        f'extern "C" const char* launch_{name}(const unsigned* sizes, void** args)'
        f" {{ return on_cpu::launch({name}, sizes, args); }}"
        for name in names
    ]
    return f'#include "{HEADER.name}"\n{text}\n' + "\n".join(launchers) + "\n"


@cache
def compile_kernels(source: str, options: tuple[str, ...]) -> Module:
    """Compile a source with `-D` options, as CuPy's RawModule does; the stand-in's `compile_kernels`."""
    slots = signatures(source)
    text = as_cpp(source, list(slots))
    command = [*_compiler(), *FLAGS, *options, f"-I{HEADER.parent}"]
    key = hashlib.sha256(
        "\n".join([text, HEADER.read_text("utf-8"), *command]).encode()
    ).hexdigest()
    folder = Path(tempfile.gettempdir()) / f"minissd-cuda-on-cpu-{getattr(os, 'getuid', int)()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    library = folder / f"{key[:32]}.so"
    if not library.exists():
        with tempfile.TemporaryDirectory(dir=folder) as work:
            cpp, made = Path(work) / "kernels.cpp", Path(work) / "kernels.so"
            cpp.write_text(text, encoding="utf-8")
            run = subprocess.run(
                [*command, str(cpp), "-o", str(made)],
                capture_output=True,
                text=True,
                check=False,
                env={**os.environ, "LC_ALL": "C"},  # messages in ASCII
            )
            if run.returncode:
                raise RuntimeError(f"the kernels do not compile as C++:\n{run.stderr[:4000]}")
            made.replace(library)  # at once, for whoever compiles the same beside us
    return Module(ctypes.CDLL(str(library)), slots)


class Module:
    """A compiled file, in the place of `cupy.RawModule`."""

    def __init__(self, library: ctypes.CDLL, slots: dict[str, list[Slot]]):
        self.library, self.slots = library, slots

    def get_function(self, name: str) -> Kernel:
        """Return a kernel by its name."""
        function = self.library[f"launch_{name}"]
        function.restype = ctypes.c_char_p
        return Kernel(name, function, self.slots[name])


class Kernel:
    """One kernel, called as a `cupy.RawKernel` is."""

    def __init__(self, name: str, function: Any, slots: list[Slot]):
        self.name, self.function, self.slots = name, function, slots

    def __call__(self, grid: tuple, block: tuple, args: tuple, *, shared_mem: int = 0) -> None:
        grid, block = (tuple(size) + (1,) * (3 - len(size)) for size in (grid, block))
        self._check_launch(grid, block, shared_mem)
        if len(args) != len(self.slots):
            raise RuntimeError(f"{self.name} takes {len(self.slots)} arguments, not {len(args)}")
        with _lock:
            guarded = _Guarded(self.name, list(zip(self.slots, args)))
            sizes = (ctypes.c_uint * 6)(*grid, *block)
            message = self.function(sizes, guarded.pointers)
            if message:
                raise RuntimeError(f"{self.name}: {message.decode()}")
            guarded.bring_back()

    def _check_launch(self, grid: tuple, block: tuple, shared_mem: int) -> None:
        fits = all(1 <= size <= most for size, most in zip(grid + block, MOST_GRID + MOST_BLOCK))
        threads = int(np.prod(block))
        if not fits or threads > MOST_THREADS or shared_mem > MOST_SHARED:
            raise RuntimeError(
                f"{self.name}: no GPU takes a launch of {grid} blocks of {block} threads with {shared_mem} bytes"
            )


class _Guarded:
    """The arguments of one launch: each array copied to between two guard zones, each number to memory of its own."""

    def __init__(self, name: str, arguments: list[tuple[Slot, Any]]):
        self.name = name
        self.copies: dict[int, tuple[np.ndarray, np.ndarray]] = {}  # by address
        self.written: set[int] = set()
        self._check_overlaps(arguments)
        self.values = [self._value(slot, value) for slot, value in arguments]
        addresses = [value.ctypes.data for value in self.values]
        self.pointers = (ctypes.c_void_p * len(addresses))(*addresses)

    def _value(self, slot: Slot, value: Any) -> np.ndarray:
        if not slot.is_array:
            return np.array(value)
        if not isinstance(value, StrictArray):
            raise TypeError(
                f"{self.name}({slot.name}) got a {type(value).__name__}, not a device array"
            )
        data = value._data
        address = data.ctypes.data
        if not slot.is_const:
            self.written.add(address)
        if address not in self.copies:
            room = np.full(data.nbytes + 3 * GUARD, 0xFF, np.uint8)
            # As (mis)aligned as the array itself.
            start = GUARD + -room.ctypes.data % 256 + address % 16
            room[start : start + data.nbytes] = data.reshape(-1).view(np.uint8)
            self.copies[address] = data, room[start - GUARD : start + data.nbytes + GUARD]
        inside = self.copies[address][1][GUARD:]
        return np.array(inside.ctypes.data, np.uintp)

    def _check_overlaps(self, arguments: list[tuple[Slot, Any]]) -> None:
        """Refuse arrays that overlap in part, of which one is written: copies of them would not be the same memory."""
        arrays = [
            (slot, value._data) for slot, value in arguments if isinstance(value, StrictArray)
        ]
        for i, (slot, data) in enumerate(arrays):
            for other_slot, other in arrays[:i]:
                same = data.ctypes.data == other.ctypes.data and data.nbytes == other.nbytes
                reads = slot.is_const and other_slot.is_const
                if not same and not reads and np.may_share_memory(data, other):
                    raise RuntimeError(
                        f"{self.name}: {slot.name} and {other_slot.name} overlap in part"
                    )

    def bring_back(self) -> None:
        """Copy what was written to its array; fail if anything beyond one was."""
        for address, (data, room) in self.copies.items():
            end = len(room) - GUARD
            if (room[:GUARD] != 0xFF).any() or (room[end:] != 0xFF).any():
                raise RuntimeError(f"{self.name} wrote beyond an array of shape {data.shape}")
            if address in self.written:
                data[...] = room[GUARD:end].view(data.dtype).reshape(data.shape)
