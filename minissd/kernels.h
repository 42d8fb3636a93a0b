// What every kernel file begins with: put before its text by minissd/cuda.py.
//
// The compile options name two types:
//   REAL    how numbers lie in memory        (float, double, __half)
//   NUMBER  what they are computed in        (float, double; float for __half)
// and two numbers say more: WIDTH, how many neighbouring channels a thread moves at once (1 or 4), and NARROW, whether
// all arrays are so small that places in them fit 32 bits.

#if HALF
#include <cuda_fp16.h>
#endif

#ifndef WIDTH
#define WIDTH 1
#endif

typedef REAL real;
typedef NUMBER number;
typedef unsigned char uint8;
typedef unsigned int uint32;
typedef long long int64;
typedef unsigned long long uint64;

// WIDTH numbers that are read and written together. Four floats are 16 bytes, the most that one thread moves with one
// instruction; a warp then asks for 512 neighbouring bytes at a time, where 32 single floats are 128.
#define PACK_BYTES (WIDTH * sizeof(real))
struct alignas(PACK_BYTES < 16 ? PACK_BYTES : 16) pack {
    real at[WIDTH];
};

__device__ inline pack load(const real* where) { return *(const pack*)where; }

__device__ inline void store(real* where, const pack& values) { *(pack*)where = values; }

// A place in an array. Maps can hold more than 2^31 numbers; but a division, of which finding a pixel's row and column
// takes a few, is several times as fast in 32 bits as in 64, and would else take longer than the memory.
#if NARROW
typedef int index_t;
#else
typedef int64 index_t;
#endif

// The first index of this thread, and how far it is to its next one: `for (index_t i = FIRST; i < n; i += STRIDE)` visits
// every i < n once, with any number of blocks.
#define FIRST ((index_t)blockIdx.x * (index_t)blockDim.x + (index_t)threadIdx.x)
#define STRIDE ((index_t)gridDim.x * (index_t)blockDim.x)

#define LOWEST (-(number)INFINITY)
#ifndef INFINITY
#define INFINITY __int_as_float(0x7f800000)
#endif

__device__ inline int smaller(int a, int b) { return a < b ? a : b; }

__device__ inline int larger(int a, int b) { return a > b ? a : b; }

// a / b rounded up, for a >= 0 and b > 0
__device__ inline int divide_up(int a, int b) { return (a + b - 1) / b; }

// A number kept within [0, ceiling], as by ReLU and ReLU6; NaN stays NaN.
__device__ inline number limited(number value, number ceiling)
{
    return value < 0 ? (number)0 : value > ceiling ? ceiling : value;
}

// Sum and maximum over the 32 lanes of a warp, which each lane is told. Lanes trade in pairs at distances 16, 8, 4, 2,
// 1, so the order of the sum is always the same. The maximum is of numbers: no lane may offer a NaN.
#define ALL_LANES 0xffffffffu

__device__ inline number warp_sum(number value)
{
    for (int distance = 16; distance > 0; distance /= 2) value += __shfl_xor_sync(ALL_LANES, value, distance);
    return value;
}

__device__ inline number warp_max(number value)
{
    for (int distance = 16; distance > 0; distance /= 2) {
        number other = __shfl_xor_sync(ALL_LANES, value, distance);
        if (other > value) value = other;
    }
    return value;
}

// Of a row of scores that a warp has: the largest, and the sum of exp(score - largest), which lies between 1 and the
// number of classes. Lanes read neighbouring classes; the second walk finds the row in the cache.
__device__ inline void largest_and_sum(const real* row, int classes, number& largest, number& total)
{
    int lane = threadIdx.x % 32;
    largest = LOWEST, total = 0;
    for (int c = lane; c < classes; c += 32)
        if ((number)row[c] > largest) largest = (number)row[c];
    largest = warp_max(largest);
    for (int c = lane; c < classes; c += 32) total += exp((number)row[c] - largest);
    total = warp_sum(total);
}

// Whole numbers that have the order of floating ones, for searches digit by digit: -0 counts as 0, and a NaN comes after
// all numbers, as in a sort.
__device__ inline uint32 in_order(float value)
{
    if (value != value) return 0xffffffffu;
    uint32 bits = __float_as_uint(value == 0 ? 0 : value);
    return bits >> 31 ? ~bits : bits | 0x80000000u;
}

__device__ inline uint64 in_order(double value)
{
    if (value != value) return ~0ull;
    uint64 bits = (uint64)__double_as_longlong(value == 0 ? 0 : value);
    return bits >> 63 ? ~bits : bits | 1ull << 63;
}

typedef decltype(in_order((number)0)) order_t;
