"""Backend: the owner of the data decides, data moves only by name, and a missing GPU is told clearly."""

import sys
import types

import numpy as np
import pytest
from strict_array import StrictArray, strict

from minissd import backend
from minissd.backend import (
    array_module,
    as_strided,
    gpu_problem,
    resolve_device,
    scatter_add,
    to_cpu,
    to_device,
)
from minissd.errors import DeviceError


def test_the_owner_of_the_arrays_is_found(xp):
    x = xp.asarray(np.ones(3))
    assert array_module(x) is xp
    assert array_module(x, x[0], 1.0, 2, None) is xp
    assert array_module(2.0, x, np.float32(3)) is xp  # a NumPy scalar goes with any device


def test_plain_numbers_belong_to_numpy():
    assert array_module(1, 2.0) is np
    assert array_module(np.float32(1)) is np
    assert array_module() is np


def test_mixed_owners_are_refused_by_name():
    with pytest.raises(TypeError, match=r"different devices.*numpy, strict.*move them first"):
        array_module(np.ones(2), strict.ones(2))


def test_a_subclass_of_ndarray_is_numpy():
    assert array_module(np.ma.masked_array([1.0])) is np


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int64, np.uint8, np.bool_])
@pytest.mark.parametrize("shape", [(), (0, 4), (2, 3)])
def test_there_and_back_changes_nothing(xp, dtype, shape, rng):
    host = (rng.random(shape) * 2).astype(dtype)
    moved = to_device(host, xp)
    assert array_module(moved) is xp
    back = to_cpu(moved)
    assert type(back) is np.ndarray
    assert back.dtype == dtype
    np.testing.assert_array_equal(back, host)


def test_data_that_is_there_already_is_not_copied(xp):
    x = xp.asarray(np.ones(3))
    assert to_device(x, xp) is x
    host = np.ones(3)
    assert to_cpu(host) is host
    assert to_device(host, "cpu") is host


def test_a_device_array_comes_to_the_cpu_by_name(counted):
    x = strict.ones(3)
    counted.reset()
    assert type(to_device(x, "cpu")) is np.ndarray
    assert type(to_device(x, np)) is np.ndarray
    assert counted.to_host == 2
    assert isinstance(to_device(x, strict), StrictArray)
    assert (counted.to_host, counted.to_device) == (2, 0)


def test_numbers_and_lists_become_host_arrays():
    assert to_cpu(np.float32(2)).dtype == np.float32
    assert to_cpu([1, 2]).tolist() == [1, 2]


def test_an_unknown_device_is_named():
    with pytest.raises(ValueError, match=r"device: expected cpu \| gpu.*'tpu'"):
        to_device(np.ones(2), "tpu")
    with pytest.raises(ValueError, match=r"device: expected auto \| cpu \| gpu, got 'cuda'"):
        resolve_device("cuda")


def test_scatter_add_counts_repeated_indices(xp, rng):
    values = rng.random((50, 3)).astype(np.float32)
    rows = rng.integers(0, 7, 50)
    want = np.zeros((7, 3), np.float32)
    for row, value in zip(rows, values):
        want[row] += value
    target = xp.zeros((7, 3), xp.float32)
    scatter_add(target, xp.asarray(rows), xp.asarray(values))
    np.testing.assert_allclose(to_cpu(target), want, rtol=1e-6)


def test_scatter_add_takes_a_tuple_of_indices(xp):
    target = xp.zeros((2, 3))
    index = (xp.asarray([0, 0, 1]), xp.asarray([1, 1, 2]))
    scatter_add(target, index, xp.asarray([1.0, 2.0, 4.0]))
    assert to_cpu(target).tolist() == [[0, 3, 0], [0, 0, 4]]


def test_as_strided_shows_windows_without_a_copy(xp):
    x = xp.asarray(np.arange(6.0))
    windows = as_strided(x, (4, 3), (8, 8))
    assert to_cpu(windows).tolist() == [[0, 1, 2], [1, 2, 3], [2, 3, 4], [3, 4, 5]]
    x[2] = 9  # the view shows what happens to the array
    assert to_cpu(windows)[0].tolist() == [0, 1, 9]


class FakeCudaError(RuntimeError):
    """Stands for cupy.cuda.runtime.CUDARuntimeError."""


def fake_cupy(devices: int | Exception, arange=np.arange) -> types.ModuleType:
    """Return a module like cupy that counts devices, and computes, as it is told."""

    def count() -> int:
        if isinstance(devices, Exception):
            raise devices
        return devices

    module = types.ModuleType("cupy")
    runtime = types.SimpleNamespace(getDeviceCount=count, CUDARuntimeError=FakeCudaError)
    module.cuda = types.SimpleNamespace(runtime=runtime)
    module.arange = arange
    return module


def no_headers(count: int) -> None:
    raise RuntimeError("\n  Failed to find CUDA headers.\nPlease install the toolkit.")


PROBLEMS = {
    "not installed": (None, "CuPy is not installed"),
    "no gpu": (fake_cupy(0), "no GPU is visible"),
    "old driver": (
        fake_cupy(FakeCudaError("driver too old\nmore")),
        "CUDA answers: driver too old",
    ),
    "no toolkit": (fake_cupy(1, no_headers), "RuntimeError: Failed to find CUDA headers."),
    "broken": (fake_cupy(1, lambda count: np.zeros(count)), "wrongly"),
}


@pytest.mark.parametrize("module, reason", PROBLEMS.values(), ids=PROBLEMS.keys())
def test_why_there_is_no_gpu_is_said_in_one_line(module, reason, monkeypatch):
    monkeypatch.setitem(sys.modules, "cupy", module)
    problem = gpu_problem()
    assert reason in problem
    assert "\n" not in problem
    assert resolve_device("auto") == "cpu"
    with pytest.raises(DeviceError, match="'gpu' was asked for, but there is none") as caught:
        resolve_device("gpu")
    assert problem in str(caught.value)


def test_a_cupy_that_cannot_be_imported_is_told(monkeypatch):
    def refuse(name, *args, **kwargs):
        if name == "cupy":
            raise ImportError("libcuda.so.1: cannot open\nlong advice")
        return real_import(name, *args, **kwargs)

    real_import = __import__
    monkeypatch.setattr("builtins.__import__", refuse)
    problem = gpu_problem()
    monkeypatch.undo()
    assert problem == "CuPy is installed, but cannot be imported: libcuda.so.1: cannot open"


def test_a_working_gpu_is_used(monkeypatch):
    monkeypatch.setitem(sys.modules, "cupy", fake_cupy(1))
    assert gpu_problem() is None
    assert resolve_device("auto") == resolve_device("gpu") == "gpu"
    assert resolve_device("cpu") == "cpu"
    assert resolve_device() in backend.DEVICES
