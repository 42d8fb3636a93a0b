"""CUDA on a CPU: does what a GPU does, and catches what a GPU would silently do."""

import cuda_on_cpu
import numpy as np
import pytest
from strict_array import StrictArray, strict

from minissd.cuda import Kernels, use_kernels

pytestmark = pytest.mark.skipif(
    cuda_on_cpu.compiler_problem() is not None, reason=str(cuda_on_cpu.compiler_problem())
)

SOURCE = r"""
extern "C" __global__ void block_sums(const real* x, real* sums, int n) {
    extern __shared__ real parts[];
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    parts[threadIdx.x] = i < n ? x[i] : 0;
    __syncthreads();
    for (int half = blockDim.x / 2; half > 0; half /= 2) {
        if (threadIdx.x < half) parts[threadIdx.x] += parts[threadIdx.x + half];
        __syncthreads();
    }
    if (threadIdx.x == 0) sums[blockIdx.x] = parts[0];
}
extern "C" __global__ void warp_sums(const real* x, real* sums) {
    real sum = x[threadIdx.x];
    for (int by = 16; by > 0; by /= 2) sum += __shfl_xor_sync(0xffffffffu, sum, by);
    sums[threadIdx.x] = sum;
}
extern "C" __global__ void shuffles(int* down, int* up, int* first, uint32* bits) {
    int i = threadIdx.x, lane = i % 32;
    down[i] = __shfl_down_sync(0xffffffffu, i, 3);
    up[i] = __shfl_up_sync(0xffffffffu, i, 3);
    first[i] = __shfl_sync(0xffffffffu, i, 0);
    bits[i] = __ballot_sync(0xffffffffu, lane % 2 == 0);
}
extern "C" __global__ void transposed(const real* x, real* y) { // blocks in two, threads in three dimensions
    int i = blockIdx.y * 2 + threadIdx.y, j = blockIdx.x * 4 + threadIdx.x + 2 * threadIdx.z;
    y[j * 6 + i] = x[i * 8 + j];
}
extern "C" __global__ void counted(int* counts, int* highest, int n) {
    atomicAdd(counts + threadIdx.x % n, 1);
    atomicMax(highest, (int)threadIdx.x);
}
extern "C" __global__ void writes_beyond(real* x, int n) { x[n + (int)threadIdx.x] = 1; }
extern "C" __global__ void reads_beyond(const real* x, real* y, int n) { y[0] = x[n]; y[1] = x[-1]; }
extern "C" __global__ void reads_too_early(real* y) {
    __shared__ real part[32];
    y[threadIdx.x] = part[threadIdx.x];
    part[threadIdx.x] = 1;
}
extern "C" __global__ void returns_before_the_barrier(real* y, int n) {
    if (threadIdx.x >= n) return;
    __syncthreads();
    y[threadIdx.x] = 1;
}
extern "C" __global__ void two_barriers(real* y) {
    if (threadIdx.x == 0) __syncthreads();
    else
        __syncthreads();
    y[threadIdx.x] = 1;
}
extern "C" __global__ void shuffles_from_nowhere(int* y, int n) {
    if (threadIdx.x >= n) return;
    y[threadIdx.x] = __shfl_sync(0xffffffffu, (int)threadIdx.x, n);
}
extern "C" __global__ void added(const real* x, const real* y, real* z) {
    int i = threadIdx.x;
    z[i] = x[i] + y[i];
}
"""

HALF = r"""
extern "C" __global__ void rounded(const float* x, real* y, int n) {
    for (int64 i = FIRST; i < n; i += STRIDE) y[i] = (real)x[i];
}
extern "C" __global__ void widened(const real* x, float* y, int n) {
    for (int64 i = FIRST; i < n; i += STRIDE) y[i] = (number)x[i];
}
"""


@pytest.fixture
def kernels(tmp_path):
    (tmp_path / "some.cu").write_text(SOURCE)
    with cuda_on_cpu.kernels_on(strict):
        yield Kernels(str(tmp_path / "module.py"), "some.cu")


def test_threads_of_a_block_work_together(kernels, rng):
    x, sums = strict.asarray(rng.standard_normal(300)), strict.zeros(3)
    kernels.of(x).launch("block_sums", (3,), 128, (x, sums, 300), shared=128 * 8)
    host = np.resize(np.append(x.get(), np.zeros(84)), (3, 128)).sum(axis=1)
    np.testing.assert_allclose(sums.get(), host, rtol=1e-13)


def test_lanes_of_a_warp_exchange_values(kernels):
    x, sums = strict.arange(64.0), strict.zeros(64)
    kernels.of(x).launch("warp_sums", (1,), 64, (x, sums))
    np.testing.assert_array_equal(sums.get(), np.repeat([496.0, 1520.0], 32))
    down, up, first = (strict.zeros(64, "int32") for _ in range(3))
    bits = strict.zeros(64, "uint32")
    kernels.of(x).launch("shuffles", (1,), 64, (down, up, first, bits))
    lanes = np.arange(64)
    np.testing.assert_array_equal(down.get(), np.where(lanes % 32 < 29, lanes + 3, lanes))
    np.testing.assert_array_equal(up.get(), np.where(lanes % 32 > 2, lanes - 3, lanes))
    np.testing.assert_array_equal(first.get(), lanes // 32 * 32)
    assert (bits.get() == 0x55555555).all()


def test_grids_and_blocks_have_three_dimensions(kernels, rng):
    x, y = strict.asarray(rng.standard_normal((6, 8))), strict.zeros((8, 6))
    kernels.of(x).launch("transposed", (2, 3), (2, 2, 2), (x, y))
    np.testing.assert_array_equal(y.get(), x.get().T)


def test_atomic_operations_count_every_thread(kernels):
    counts, highest = strict.zeros(3, "int32"), strict.zeros(1, "int32")
    kernels.of(strict.zeros(1)).launch("counted", (2,), 50, (counts, highest, 3))
    np.testing.assert_array_equal(counts.get(), [34, 34, 32])
    assert highest.item() == 49


def test_one_array_may_be_given_twice_but_not_overlap_in_part(kernels):
    x = strict.arange(8.0)
    launch = kernels.of(x).launch
    launch("added", 4, 4, (x[:4], x[2:6], strict.zeros(4)))
    part = x[:4]
    launch("added", (1,), 4, (part, part, part))
    np.testing.assert_array_equal(x.get(), [0, 2, 4, 6, 4, 5, 6, 7])
    with pytest.raises(RuntimeError, match="z and x overlap in part"):
        launch("added", (1,), 4, (x[:4], x[4:], x[2:6]))


def test_what_goes_beyond_an_array_is_found(kernels):
    x, y = strict.zeros(5), strict.zeros(2)
    with pytest.raises(RuntimeError, match=r"wrote beyond an array of shape \(5,\)"):
        kernels.of(x).launch("writes_beyond", (1,), 1, (x, 5))
    with pytest.raises(RuntimeError, match="wrote beyond"):
        kernels.of(x).launch("writes_beyond", (1,), 1, (x, -1))
    kernels.of(x).launch("reads_beyond", (1,), 1, (x, y, 5))
    assert np.isnan(y.get()).all()
    early = strict.zeros(32)
    kernels.of(x).launch("reads_too_early", (2,), 32, (early,))
    assert np.isnan(early.get()).all()


@pytest.mark.parametrize("name, args", [("returns_before_the_barrier", (8,)), ("two_barriers", ())])
def test_a_barrier_that_not_all_threads_reach_is_found(kernels, name, args):
    y = strict.zeros(40)
    with pytest.raises(RuntimeError, match=f"{name}: threads wait at a barrier"):
        kernels.of(y).launch(name, (1,), 40, (y, *args))
    if args:  # all of them there
        kernels.of(y).launch(name, (1,), 8, (y, *args))
        assert y.get().sum() == 8


def test_a_shuffle_from_a_lane_that_has_ended_is_found(kernels):
    y = strict.zeros(32, "int32")
    with pytest.raises(RuntimeError, match="shuffle from a lane that is not there"):
        kernels.of(strict.zeros(1)).launch("shuffles_from_nowhere", (1,), 32, (y, 8))


@pytest.mark.parametrize(
    "grid, block, shared",
    [((1,), 1025, 0), ((1, 65536), 1, 0), ((1,), 32, 2**16), ((1,), (1, 1, 65), 0)],
)
def test_launches_that_no_gpu_takes_are_refused(kernels, grid, block, shared):
    x, sums = strict.zeros(1), strict.zeros(1)
    with pytest.raises(RuntimeError, match="no GPU takes a launch"):
        kernels.of(x).launch("block_sums", grid, block, (x, sums, 1), shared)


def test_half_precision_rounds_as_numpy_does(tmp_path, rng):
    values = np.float32(10.0) ** rng.uniform(-9, 6, 4000).astype(np.float32)
    ties = np.arange(2**11, 2**12, dtype=np.float32) * 2 + 1
    x = np.concatenate([values, -values, ties, [0, -0.0, np.inf, -np.inf, np.nan, 65519, 65520]])
    x = x.astype(np.float32)
    (tmp_path / "half.cu").write_text(HALF)
    y, back = strict.zeros(len(x), "float16"), strict.zeros(len(x), "float32")
    with cuda_on_cpu.kernels_on(strict):
        half = Kernels(str(tmp_path / "module.py"), "half.cu", half=True).of(y)
        half.launch("rounded", len(x), 256, (strict.asarray(x), y, len(x)))
        half.launch("widened", len(x), 256, (y, back, len(x)))
    with np.errstate(over="ignore"):
        expected = x.astype(np.float16)
    np.testing.assert_array_equal(y.get(), expected)
    np.testing.assert_array_equal(back.get(), expected.astype(np.float32))


def test_source_that_is_no_cpp_says_where(tmp_path):
    (tmp_path / "bad.cu").write_text("\n\n__global__ void f(int n) { m = n; }")
    with cuda_on_cpu.kernels_on(strict), pytest.raises(RuntimeError, match=r"bad\.cu:3.*'m'"):
        Kernels(str(tmp_path / "x.py"), "bad.cu").of(strict.zeros(1))


def test_a_stand_in_without_kernels_again():
    with cuda_on_cpu.kernels_on(strict), use_kernels(True):
        assert strict.compile_kernels
    assert not hasattr(strict, "compile_kernels")
    assert isinstance(strict.zeros(1), StrictArray)
