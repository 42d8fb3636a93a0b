"""Matrix products on a GPU: how cuBLAS is asked for TF32, and for a batch of products whose left side is transposed.

TF32 rounds the operands of float32 products to 10 bits and sums them in float32, on the tensor cores of GPUs since
Ampere: several times as fast, with relative errors near 3e-4 instead of 3e-7. It is never chosen silently.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType

import numpy as np

from minissd.backend import Array, array_module
from minissd.errors import DeviceError

LEAST_CAPABILITY = 80  # Ampere


@contextmanager
def use_tf32(device: str) -> Iterator[None]:
    """Let float32 products on the current GPU round their operands to TF32 within a `with` block.

    Args:
        device: "gpu"; "cpu" is refused.

    Raises:
        DeviceError: There is no TF32 on this device.
    """
    if device != "gpu":
        raise DeviceError("TF32 is a way of multiplying on a GPU; this device is 'cpu'")
    import cupy
    from cupy._core import _routines_linalg as linalg

    capability = cupy.cuda.Device().compute_capability
    if int(capability) < LEAST_CAPABILITY:
        raise DeviceError(
            f"TF32 needs a GPU of compute capability 8.0; this one has {capability[:-1]}.{capability[-1]}"
        )
    cublas, handle = _cublas(), cupy.cuda.Device().cublas_handle
    # Single products look at CuPy's compute type, batches of them at the mode of the handle.
    before = linalg.get_compute_type("float32"), cublas.getMathMode(handle)
    linalg.set_compute_type("float32", linalg.COMPUTE_TYPE_TF32)
    cublas.setMathMode(handle, cublas.CUBLAS_TF32_TENSOR_OP_MATH)
    try:
        yield
    finally:
        linalg.set_compute_type("float32", before[0])
        cublas.setMathMode(handle, before[1])


def _cublas() -> ModuleType:
    from cupy_backends.cuda.libs import cublas

    return cublas


def transposed_products(left: Array, right: Array) -> Array:
    """Return left[i].T @ right[i] for each i: (B, M, C), (B, M, K) -> (B, C, K), both contiguous.

    CuPy's `matmul` would copy the left side to transpose it; cuBLAS reads it as it lies.
    """
    xp = array_module(left, right)
    if xp.__name__ != "cupy":
        return xp.matmul(left.transpose(0, 2, 1), right)
    out = xp.empty((len(left), left.shape[2], right.shape[2]), left.dtype)
    _multiply_transposed(_cublas(), xp.cuda.Device().cublas_handle, left, right, out)
    return out


# What cuBLAS calls the types of numbers (cudaDataType), and the sums of their products (cublasComputeType_t).
_TYPES = {"float32": (0, "CUBLAS_COMPUTE_32F"), "float64": (1, "CUBLAS_COMPUTE_64F")}
_AS_IT_LIES, _TRANSPOSED = 0, 1


def _multiply_transposed(
    cublas: ModuleType, handle: int, left: Array, right: Array, out: Array
) -> None:
    """Have cuBLAS write left[i].T @ right[i] to out[i].

    cuBLAS reads matrices column by column, so to it `right` is right.T (K, M), `left` is left.T (C, M), and `out` is
    out.T (K, C) = right.T @ left.
    """
    (batch, m, c), k = left.shape, right.shape[2]
    kind, compute = _TYPES[str(left.dtype)]
    one, zero = np.ones(1, left.dtype), np.zeros(1, left.dtype)
    cublas.gemmStridedBatchedEx(
        *(handle, _AS_IT_LIES, _TRANSPOSED, k, c, m, one.ctypes.data),
        *(right.data.ptr, kind, k, m * k),
        *(left.data.ptr, kind, c, m * c, zero.ctypes.data),
        *(out.data.ptr, kind, k, c * k),
        *(batch, getattr(cublas, compute), cublas.CUBLAS_GEMM_DEFAULT),
    )
