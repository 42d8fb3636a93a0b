"""Which array module owns the data, moving data between devices, and the few calls where NumPy and CuPy differ.

The rule of the whole library: *the data decides*. A function asks `array_module(x)` and computes with what comes
back, so the same code runs on NumPy arrays (CPU) and CuPy arrays (GPU). Nothing is chosen at import, and nothing
moves between the two unless `to_device` or `to_cpu` is called by name.
"""

from __future__ import annotations

import warnings
from functools import cache
from types import ModuleType
from typing import Any

import numpy as np

from minissd.errors import DeviceError, check

Array = Any  # numpy.ndarray or cupy.ndarray

DEVICES = ("auto", "cpu", "gpu")


def array_module(*arrays: Array) -> ModuleType:
    """Return the module (numpy, cupy) that owns the arrays.

    Args:
        arrays: One or more arrays; plain numbers are ignored.

    Returns:
        The module whose functions take these arrays: numpy if all are plain numbers.

    Raises:
        TypeError: The arrays live in different modules (a host array met a device array).
    """
    owners = {_owner(array) for array in arrays if hasattr(array, "shape")}
    owners.discard(None)
    if len(owners) > 1:
        names = ", ".join(sorted(owner.__name__ for owner in owners))
        raise TypeError(f"arrays of different devices in one call ({names}); move them first")
    return owners.pop() if owners else np


def _owner(array: Array) -> ModuleType | None:
    if isinstance(array, np.ndarray):
        return np
    if isinstance(array, np.generic):
        return None  # a NumPy scalar goes with either
    if type(array).__module__.partition(".")[0] == "cupy":
        import cupy

        return cupy
    return array.__array_namespace__()


def gpu_problem() -> str | None:
    """Say in one line why no GPU can be used here, or return None where one can."""
    try:
        import cupy
    except ModuleNotFoundError:
        return "CuPy is not installed (pip install -r requirements-gpu.txt)"
    except ImportError as error:
        return f"CuPy is installed, but cannot be imported: {_first_line(error)}"
    try:
        if cupy.cuda.runtime.getDeviceCount() == 0:
            return "CuPy is installed, but no GPU is visible"
    except cupy.cuda.runtime.CUDARuntimeError as error:
        return f"CuPy is installed, but CUDA answers: {_first_line(error)}"
    return _kernel_problem(cupy)


def nccl_module() -> ModuleType:
    """Return CuPy's module for NCCL, which knows whether the library is `available`; CuPy must be installed."""
    with warnings.catch_warnings():
        warnings.simplefilter(
            "ignore"
        )  # where the library is missing, which callers say in their own words
        from cupy.cuda import nccl
    return nccl


@cache
def _kernel_problem(cupy: ModuleType) -> str | None:
    """Compile and run one kernel: a driver without the toolkit's headers is found here, not in the first layer."""
    try:
        works = int((cupy.arange(3) + 1).sum()) == 6
    except Exception as error:  # CUDA, its compiler and a missing library each raise their own kind
        return f"the GPU cannot run a first kernel: {type(error).__name__}: {_first_line(error)}"
    return None if works else "the GPU computes 1 + 2 + 3 wrongly"


def _first_line(error: Exception) -> str:
    return next(
        (line.strip() for line in str(error).splitlines() if line.strip()), "no reason given"
    )


def resolve_device(device: str = "auto") -> str:
    """Turn `auto`, `cpu` or `gpu` into the device that will be used.

    Args:
        device: `cpu`, `gpu`, or `auto` (the GPU where there is one, else the CPU).

    Returns:
        "cpu" or "gpu".

    Raises:
        DeviceError: `gpu` was asked for and none can be used; the message says why.
    """
    check(device in DEVICES, "device", " | ".join(DEVICES), device)
    if device == "cpu":
        return "cpu"
    problem = gpu_problem()
    if problem is None:
        return "gpu"
    if device == "gpu":
        raise DeviceError(f"device 'gpu' was asked for, but there is none to use: {problem}")
    return "cpu"


def to_device(array: Array, device: str | ModuleType) -> Array:
    """Return the array on a device (without a copy where it is there already).

    Args:
        array: NumPy or CuPy array.
        device: "cpu", "gpu" (which `resolve_device` has found to be usable), or the array module itself.
    """
    if device == "cpu" or device is np:
        return to_cpu(array)
    if isinstance(device, str):
        check(device == "gpu", "device", "cpu | gpu | an array module", device)
        import cupy

        device = cupy
    return device.asarray(array)


def to_cpu(array: Array) -> np.ndarray:
    """Return the array as a NumPy array; a device array is copied to the host (and waited for)."""
    if isinstance(array, (np.ndarray, np.generic)):
        return np.asarray(array)
    if hasattr(array, "get"):
        return array.get()
    return np.asarray(array)


def scatter_add(target: Array, index: Array, values: Array) -> None:
    """Add `values` to `target[index]` in place, counting repeated indices every time.

    Args:
        target: Array of float32 or float64 (CuPy has no atomic sum of int64).
        index: Integer array, or a tuple of them.
        values: What is added, of a shape that fits `target[index]`.
    """
    xp = array_module(target)
    xp.add.at(target, index, values)


def as_strided(array: Array, shape: tuple[int, ...], strides: tuple[int, ...]) -> Array:
    """Return a view of the array's memory with another shape and strides.

    It is to be read; written only where the array is NumPy's, and where no two places of the view are the same.
    """
    return array_module(array).lib.stride_tricks.as_strided(array, shape, strides)
