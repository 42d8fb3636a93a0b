"""What is asked of cuBLAS: TF32 for as long as it was asked for, and products whose left side is transposed."""

from __future__ import annotations

import ctypes
import sys
from types import SimpleNamespace

import numpy as np
import pytest

from minissd import products
from minissd.backend import to_cpu
from minissd.errors import DeviceError


def cublas_on_cpu():
    """Stand in for cuBLAS's batched product, which reads and writes column by column."""

    def gemm(*args):
        _, op_a, op_b, m, n, k, alpha, *rest = args
        a, kind, lda, stride_a, b, _, ldb, stride_b, beta, c, _, ldc, stride_c, batch, _, _ = rest
        number = ctypes.c_double if kind == 1 else ctypes.c_float

        def matrix(address, i, stride, ld, columns):
            start = ctypes.cast(
                address + i * stride * ctypes.sizeof(number), ctypes.POINTER(number)
            )
            return np.ctypeslib.as_array(start, (columns, ld)).T

        scale = [
            np.ctypeslib.as_array(ctypes.cast(p, ctypes.POINTER(number)), (1,))[0]
            for p in (alpha, beta)
        ]
        assert scale == [1, 0]
        for i in range(batch):
            left = matrix(a, i, stride_a, lda, m if op_a else k)[: k if op_a else m]
            right = matrix(b, i, stride_b, ldb, k if op_b else n)[: n if op_b else k]
            out = matrix(c, i, stride_c, ldc, n)[:m]
            out[...] = (left.T if op_a else left) @ (right.T if op_b else right)

    names = ("CUBLAS_COMPUTE_32F", "CUBLAS_COMPUTE_64F", "CUBLAS_GEMM_DEFAULT")
    return SimpleNamespace(gemmStridedBatchedEx=gemm, **dict.fromkeys(names, 0))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_cublas_is_asked_for_the_product_that_the_array_code_computes(dtype, device, rng):
    left, right = (device.asarray(rng.standard_normal((3, 5, n)).astype(dtype)) for n in (4, 2))
    expected = to_cpu(left).transpose(0, 2, 1) @ to_cpu(right)
    np.testing.assert_allclose(
        to_cpu(products.transposed_products(left, right)), expected, rtol=1e-5
    )
    if device.__name__ != "cupy":  # the call itself, on a stand-in for cuBLAS
        out = device.zeros(expected.shape, dtype)
        products._multiply_transposed(cublas_on_cpu(), 0, left, right, out)
        np.testing.assert_allclose(to_cpu(out), expected, rtol=1e-5)


def test_tf32_is_refused_on_a_cpu():
    with (
        pytest.raises(ValueError, match="TF32 is a way of multiplying on a GPU"),
        products.use_tf32("cpu"),
    ):
        pass


@pytest.fixture
def fake_cupy(monkeypatch):
    """Put the few names of CuPy 14 that TF32 needs in its place, and return the state they set."""
    state = SimpleNamespace(compute=1, mode=0, capability="90")
    device = SimpleNamespace(cublas_handle=7)

    def current():
        device.compute_capability = state.capability
        return device

    def set_compute(dtype, value):
        assert dtype == "float32"
        state.compute = value

    def set_mode(handle, value):
        assert handle == 7
        state.mode = value

    linalg = SimpleNamespace(
        COMPUTE_TYPE_TF32=7,
        get_compute_type=lambda dtype: state.compute,
        set_compute_type=set_compute,
    )
    cublas = SimpleNamespace(
        CUBLAS_TF32_TENSOR_OP_MATH=3, getMathMode=lambda handle: state.mode, setMathMode=set_mode
    )
    core = SimpleNamespace(_routines_linalg=linalg)
    monkeypatch.setitem(
        sys.modules, "cupy", SimpleNamespace(cuda=SimpleNamespace(Device=current), _core=core)
    )
    monkeypatch.setitem(sys.modules, "cupy._core", core)
    monkeypatch.setattr(products, "_cublas", lambda: cublas)
    return state


def test_tf32_is_set_for_single_products_and_batches_and_taken_back(fake_cupy):
    seen = []

    def fail():
        seen.append((fake_cupy.compute, fake_cupy.mode))
        raise KeyError

    with pytest.raises(KeyError), products.use_tf32("gpu"):
        fail()
    assert seen == [(7, 3)]
    assert (fake_cupy.compute, fake_cupy.mode) == (1, 0)


def test_tf32_is_refused_on_an_older_gpu(fake_cupy):
    fake_cupy.capability = "75"
    with pytest.raises(DeviceError, match=r"capability 8\.0; this one has 7\.5"):
        products.use_tf32("gpu").__enter__()
    assert (fake_cupy.compute, fake_cupy.mode) == (1, 0)
