"""Kernel files: what their parameter lists say is what a launch takes, and who decides whether they are launched."""

import numpy as np
import pytest
from strict_array import strict

from minissd.cuda import Kernels, kernels_are_on, pack_width, signatures, use_kernels

SOURCE = """
// a comment with __global__ void not_a_kernel(int x) {
extern "C" __global__ void scale(const real* __restrict__ x, real* y, number by, int64 n, bool twice)
{
    for (int64 i = FIRST; i < n; i += STRIDE) y[i] = x[i] * by * (twice ? 2 : 1);
}
extern "C" __global__ void __launch_bounds__(64) count(int* total, uint8 step) { atomicAdd(total, step); }
"""


@pytest.fixture
def kernels(tmp_path):
    (tmp_path / "some.cu").write_text(SOURCE)
    return Kernels(str(tmp_path / "module.py"), "some.cu")


def test_parameters_are_read_from_the_source():
    found = signatures(SOURCE)
    assert list(found) == ["scale", "count"]
    assert [slot.dtype for slot in found["scale"]] == ["real", "real", "number", "int64", "bool"]
    assert [slot.is_const for slot in found["scale"]] == [True, False, False, False, False]
    assert [slot.is_array for slot in found["count"]] == [True, False]
    with pytest.raises(ValueError, match="parameter of f: expected a type"):
        signatures("__global__ void f(unsigned long x) {}")


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_kernel_runs_in_the_type_of_its_array(kernels, device, dtype):
    x, y = device.arange(300, dtype=dtype), device.zeros(300, dtype)
    kernels.of(x).launch("scale", 300, 128, (x, y, 1.5, 300, True))
    np.testing.assert_array_equal(y.get(), 3 * np.arange(300))
    kernels.of(x).launch("scale", (1,), (32,), (x, y, 1, 300, False))  # fewer threads than numbers
    np.testing.assert_array_equal(y.get(), np.arange(300))


def test_a_file_is_compiled_once_for_each_type_and_option(kernels, device):
    x = device.zeros(4)
    assert kernels.of(x) is kernels.of(device.ones(8))
    assert kernels.of(x) is not kernels.of(x, WIDTH=4)
    assert kernels.of(x, WIDTH=4).width == 4
    assert kernels.of(x) is not kernels.of(x.astype("float32"))


def test_array_code_runs_on_a_cpu_for_other_types_and_where_kernels_are_off(
    kernels, device, monkeypatch
):
    x = device.zeros(4)
    assert kernels.of(np.zeros(4)) is None
    assert kernels.of(x.astype("int32")) is None
    assert kernels.of(x.astype("float16")) is None  # not said to be written for it
    with use_kernels(False):
        assert kernels.of(x) is None
    monkeypatch.setenv("MINISSD_KERNELS", "0")
    assert kernels.of(x) is None
    with use_kernels(True):
        assert kernels.of(x) is not None
    monkeypatch.setenv("MINISSD_KERNELS", "off")
    with pytest.raises(ValueError, match="environment variable MINISSD_KERNELS: expected 0 or 1"):
        kernels_are_on()


def test_the_stand_in_offers_no_kernels_by_itself(kernels):
    assert kernels.of(strict.zeros(4)) is None


def test_arguments_that_do_not_fit_are_refused(kernels, device):
    x, y = device.zeros(8), device.zeros(8)
    launch = kernels.of(x).launch
    with pytest.raises(ValueError, match="arguments of scale: expected 5"):
        launch("scale", 8, 32, (x, y, 1.0, 8))
    for place, wrong, message in (
        (0, device.zeros(8, "float32"), r"scale\(x\): expected a device array of float64"),
        (1, 3, r"scale\(y\): expected a device array"),
        (1, device.zeros((8, 2))[:, 0], r"scale\(y\): expected a contiguous array"),
        (2, x, r"scale\(by\): expected a number"),
        (3, 8.5, r"scale\(n\): expected a whole number that fits int64"),
    ):
        args = [x, y, 1.0, 8, False]
        args[place] = wrong
        with pytest.raises(ValueError, match=message):
            launch("scale", 8, 32, args)
    with pytest.raises((ValueError, OverflowError)):
        launch("count", 8, 32, (device.zeros(1, "int32"), 256))


def test_no_threads_are_no_launch(kernels, device):
    x = device.zeros(0)
    kernels.of(x).launch("scale", 0, 32, (x, x, 1.0, 0, False))


def test_packs_need_channels_and_addresses_that_they_divide(device):
    x = device.zeros((3, 8), "float32")
    assert pack_width(8, x) == 4
    assert pack_width(6, x) == 1
    assert pack_width(8, x, device.zeros(9, "float32")[1:]) == 1
    assert pack_width(8, np.zeros(8)) == 1
