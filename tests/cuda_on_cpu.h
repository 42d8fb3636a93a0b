// CUDA on a CPU, as far as the kernels of this project use it: put before a kernel file, it makes C++ of it.
//
// Blocks run one after the other; the threads of a block are fibres of one operating-system thread, each with a stack
// of its own, which hand over at barriers and warp operations only. So there are no races to see here. What is seen:
// wrong indices and wrong sums, barriers that not every thread of the block reaches, shuffles from lanes that are not
// there, shared memory that is read before it is written (it begins as NaN), and launches no GPU would take.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <sys/mman.h>
#include <ucontext.h>
#include <utility>

#define __global__
#define __device__
#define __host__
#define __constant__ static
#define __forceinline__ inline
#define __restrict__ __restrict
#define __launch_bounds__(...)
#define __align__(n) __attribute__((aligned(n)))
#define __shared__ static __attribute__((section("shared_memory")))

struct uint3 { unsigned x, y, z; };
struct dim3 { unsigned x, y, z; };
struct alignas(8) float2 { float x, y; };
struct alignas(16) float4 { float x, y, z, w; };
struct alignas(16) double2 { double x, y; };
struct alignas(8) int2 { int x, y; };
struct alignas(16) int4 { int x, y, z, w; };
static inline float2 make_float2(float x, float y) { return {x, y}; }
static inline float4 make_float4(float x, float y, float z, float w) { return {x, y, z, w}; }
static inline double2 make_double2(double x, double y) { return {x, y}; }
static inline int2 make_int2(int x, int y) { return {x, y}; }
static inline int4 make_int4(int x, int y, int z, int w) { return {x, y, z, w}; }

static uint3 threadIdx, blockIdx;
static dim3 blockDim, gridDim;
static const int warpSize = 32;

// Any variable in shared memory makes the linker define these two; this one does so where a file has none (and is
// written to in `run_block`, so that it is not left out as unused).
__shared__ volatile char shared_memory_exists;
extern "C" char __start_shared_memory[], __stop_shared_memory[];

namespace on_cpu {

const int MOST_THREADS = 1024, STACK = 128 * 1024, MOST_SHARED = 96 * 1024;
alignas(16) static unsigned char dynamic_shared[MOST_SHARED];

enum State { RUNS, WAITS_FOR_BLOCK, WAITS_FOR_WARP, ENDED };

struct Fibre {
    ucontext_t context;
    State state;
    int line;      // of the barrier it waits at
    unsigned mask; // of the lanes that the warp operation names
};

static Fibre fibres[MOST_THREADS];
static ucontext_t scheduler;
static char* stacks;
static int count, current;
static char message[512];
static void (*body)(void*);
static void* body_arguments;
static unsigned char slots[MOST_THREADS][16]; // what each lane offers to the others of its warp

static inline void note(const char* what) {
    if (!message[0])
        snprintf(message, sizeof message, "%s (block %u %u %u, thread %u %u %u)", what, blockIdx.x, blockIdx.y,
                 blockIdx.z, threadIdx.x, threadIdx.y, threadIdx.z);
}

static inline void stop(const char* what) {
    note(what);
    swapcontext(&fibres[current].context, &scheduler); // never resumed
}

static inline void wait(State state, int line, unsigned mask) {
    Fibre& self = fibres[current];
    self.state = state, self.line = line, self.mask = mask;
    swapcontext(&self.context, &scheduler);
}

static void enter() {
    body(body_arguments);
    fibres[current].state = ENDED;
    swapcontext(&fibres[current].context, &scheduler);
}

static void run(int thread) {
    current = thread;
    threadIdx.x = thread % blockDim.x;
    threadIdx.y = thread / blockDim.x % blockDim.y;
    threadIdx.z = thread / blockDim.x / blockDim.y;
    swapcontext(&scheduler, &fibres[thread].context);
}

// Let the lanes of a warp go on that have all arrived at the same operation; says whether any did. Lanes that have
// ended are not waited for.
static bool release_warp(int first) {
    int last = first + 32 < count ? first + 32 : count;
    bool moved = false;
    for (int i = first; i < last; i++) {
        const Fibre arrived = fibres[i];
        if (arrived.state != WAITS_FOR_WARP) continue;
        bool all_there = true;
        for (int other = first; other < last; other++) {
            const Fibre& there = fibres[other];
            if (!(arrived.mask >> (other - first) & 1) || there.state == ENDED) continue;
            bool same = there.state == WAITS_FOR_WARP && there.line == arrived.line && there.mask == arrived.mask;
            all_there = all_there && same;
        }
        if (!all_there) continue;
        for (int other = first; other < last; other++)
            if ((arrived.mask >> (other - first) & 1) && fibres[other].state == WAITS_FOR_WARP)
                fibres[other].state = RUNS, moved = true;
    }
    return moved;
}

// Let the block go on if all of its threads wait at one barrier; says whether they do.
static bool release_block() {
    for (int i = 0; i < count; i++)
        if (fibres[i].state != WAITS_FOR_BLOCK || fibres[i].line != fibres[0].line) return false;
    for (int i = 0; i < count; i++) fibres[i].state = RUNS;
    return true;
}

static void run_block() {
    for (int i = 0; i < count; i++) {
        Fibre& fibre = fibres[i];
        getcontext(&fibre.context);
        fibre.context.uc_stack.ss_sp = stacks + (size_t)i * STACK;
        fibre.context.uc_stack.ss_size = STACK;
        fibre.context.uc_link = &scheduler;
        makecontext(&fibre.context, enter, 0);
        fibre.state = RUNS;
    }
    shared_memory_exists = 1;
    memset(__start_shared_memory, 0xff, __stop_shared_memory - __start_shared_memory);
    memset(dynamic_shared, 0xff, sizeof dynamic_shared);
    for (;;) {
        int ended = 0;
        for (int i = 0; i < count; i++) {
            if (fibres[i].state == RUNS) run(i);
            if (message[0]) return;
            ended += fibres[i].state == ENDED;
        }
        if (ended == count) return;
        bool moved = release_block();
        for (int first = 0; first < count; first += 32) moved = release_warp(first) || moved;
        if (!moved) return note("threads wait at a barrier or warp operation that the others never reach");
    }
}

template <class... A, size_t... I>
void apply(void (*kernel)(A...), void** args, std::index_sequence<I...>) {
    kernel(*(A*)args[I]...);
}

// Run one kernel over a grid; returns an empty text, or what went wrong. sizes: grid, then block, then shared bytes.
template <class... A>
const char* launch(void (*kernel)(A...), const unsigned* sizes, void** args) {
    struct Call { void (*kernel)(A...); void** args; } call = {kernel, args};
    body = [](void* data) {
        Call* call = (Call*)data;
        apply(call->kernel, call->args, std::index_sequence_for<A...>());
    };
    body_arguments = &call;
    gridDim = {sizes[0], sizes[1], sizes[2]}, blockDim = {sizes[3], sizes[4], sizes[5]};
    message[0] = 0;
    if (!stacks)
        stacks = (char*)mmap(nullptr, (size_t)MOST_THREADS * STACK, PROT_READ | PROT_WRITE,
                             MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    count = blockDim.x * blockDim.y * blockDim.z;
    for (unsigned z = 0; z < gridDim.z; z++)
        for (unsigned y = 0; y < gridDim.y; y++)
            for (unsigned x = 0; x < gridDim.x && !message[0]; x++) {
                blockIdx = {x, y, z};
                run_block();
            }
    return message;
}

// One value from each lane of the warp to another: offered, waited for, read, and waited for again, so that nobody
// offers its next value before all have read this one.
template <class T>
T exchange(unsigned mask, T value, int source, int line) {
    static_assert(sizeof(T) <= 16, "a shuffle moves at most 16 bytes");
    int self = current, first = self / 32 * 32, from = first + source;
    memcpy(slots[self], &value, sizeof(T));
    wait(WAITS_FOR_WARP, line, mask);
    if (!(mask >> (self - first) & 1)) stop("a lane takes part in a warp operation whose mask leaves it out");
    if (from >= count || fibres[from].state == ENDED || !(mask >> source & 1)) stop("shuffle from a lane that is not there");
    memcpy(&value, slots[from], sizeof(T));
    wait(WAITS_FOR_WARP, -line, mask);
    return value;
}

static inline unsigned ballot(unsigned mask, bool answer, int line) {
    int self = current, first = self / 32 * 32;
    slots[self][0] = answer;
    wait(WAITS_FOR_WARP, line, mask);
    unsigned bits = 0;
    for (int lane = 0; lane < 32 && first + lane < count; lane++)
        if ((mask >> lane & 1) && fibres[first + lane].state != ENDED && slots[first + lane][0]) bits |= 1u << lane;
    wait(WAITS_FOR_WARP, -line, mask);
    return bits;
}

template <class T>
T exchange_within(unsigned mask, T value, int source, int width, int line) {
    int lane = current % 32, segment = lane / width * width;
    bool inside = source >= segment && source < segment + width;
    return exchange(mask, value, inside ? source : lane, line);
}

}

#define LANE_ON_CPU (on_cpu::current % 32)
#define WIDTH_ON_CPU(first, ...) first
#define __syncthreads() on_cpu::wait(on_cpu::WAITS_FOR_BLOCK, __LINE__, 0)
#define __syncwarp(...) on_cpu::wait(on_cpu::WAITS_FOR_WARP, __LINE__, 0xffffffffu)
#define __shfl_sync(mask, value, lane) on_cpu::exchange(mask, value, (lane) & 31, __LINE__)
#define __shfl_xor_sync(mask, value, bits) on_cpu::exchange(mask, value, LANE_ON_CPU ^ (bits), __LINE__)
#define __shfl_down_sync(mask, value, by) on_cpu::exchange_within(mask, value, LANE_ON_CPU + (int)(by), 32, __LINE__)
#define __shfl_up_sync(mask, value, by) on_cpu::exchange_within(mask, value, LANE_ON_CPU - (int)(by), 32, __LINE__)
#define __ballot_sync(mask, answer) on_cpu::ballot(mask, answer, __LINE__)
#define __any_sync(mask, answer) (on_cpu::ballot(mask, answer, __LINE__) != 0)
#define __all_sync(mask, answer) (on_cpu::ballot(mask, !(answer), __LINE__) == 0)
#define __activemask() 0xffffffffu
#define __threadfence() ((void)0)
#define __threadfence_block() ((void)0)

// Atomic operations: nothing else runs meanwhile.
template <class T, class U> T atomicAdd(T* where, U value) { T old = *where; *where = old + (T)value; return old; }
template <class T, class U> T atomicMax(T* where, U value) { T old = *where; if ((T)value > old) *where = (T)value; return old; }
template <class T, class U> T atomicMin(T* where, U value) { T old = *where; if ((T)value < old) *where = (T)value; return old; }
template <class T, class U> T atomicOr(T* where, U value) { T old = *where; *where = old | (T)value; return old; }
template <class T, class U> T atomicAnd(T* where, U value) { T old = *where; *where = old & (T)value; return old; }
template <class T, class U> T atomicExch(T* where, U value) { T old = *where; *where = (T)value; return old; }
template <class T, class U, class V>
T atomicCAS(T* where, U expected, V value) { T old = *where; if (old == (T)expected) *where = (T)value; return old; }

template <class T> T __ldg(const T* where) { return *where; }
template <class T, class U> T on_cpu_cast(U value) { T to; static_assert(sizeof(T) == sizeof(U), ""); memcpy(&to, &value, sizeof to); return to; }
static inline int __float_as_int(float x) { return on_cpu_cast<int>(x); }
static inline float __int_as_float(int x) { return on_cpu_cast<float>(x); }
static inline unsigned __float_as_uint(float x) { return on_cpu_cast<unsigned>(x); }
static inline float __uint_as_float(unsigned x) { return on_cpu_cast<float>(x); }
static inline long long __double_as_longlong(double x) { return on_cpu_cast<long long>(x); }
static inline double __longlong_as_double(long long x) { return on_cpu_cast<double>(x); }
static inline int __popc(unsigned x) { return __builtin_popcount(x); }
static inline int __popcll(unsigned long long x) { return __builtin_popcountll(x); }
static inline int __ffs(int x) { return __builtin_ffs(x); }
static inline int __ffsll(long long x) { return __builtin_ffsll(x); }
static inline int __clz(int x) { return x ? __builtin_clz(x) : 32; }
static inline int __clzll(long long x) { return x ? __builtin_clzll(x) : 64; }
template <class T> T one_by_root(T x) { return 1 / std::sqrt(x); }
#define rsqrt one_by_root // by macros, as newer C libraries have functions of these names
#define rsqrtf one_by_root<float>
#define __expf expf
#define __logf logf
static inline float __fdividef(float a, float b) { return a / b; }
static inline float __fadd_rn(float a, float b) { return a + b; }
static inline float __fmul_rn(float a, float b) { return a * b; }
static inline float __fdiv_rn(float a, float b) { return a / b; }
static inline double __dadd_rn(double a, double b) { return a + b; }
static inline double __dmul_rn(double a, double b) { return a * b; }
static inline double __ddiv_rn(double a, double b) { return a / b; }
using std::fabs; using std::exp; using std::log; using std::sqrt; using std::fmax; using std::fmin; using std::pow;
using std::fma; using std::isnan; using std::isinf; using std::isfinite; using std::floor; using std::ceil; using std::log1p; using std::expm1;
template <class T> T max(T a, T b) { return a < b ? b : a; }
template <class T> T min(T a, T b) { return b < a ? b : a; }
static inline float max(float a, float b) { return fmaxf(a, b); }
static inline float min(float a, float b) { return fminf(a, b); }
static inline double max(double a, double b) { return fmax(a, b); }
static inline double min(double a, double b) { return fmin(a, b); }

// Half precision: stored in 16 bits, computed with as float; rounded to the nearest, ties to even.
struct __half {
    uint16_t bits;
    __half() = default;
    __half(float x) {
        uint32_t u = __float_as_uint(x), sign = u >> 16 & 0x8000u, size = u & 0x7fffffffu;
        if (size > 0x7f800000u) bits = sign | 0x7e00u; // NaN
        else if (size >= 0x477ff000u) bits = sign | 0x7c00u; // 65520 and more round to infinity
        else if (size < 0x38800000u) bits = sign | (uint32_t)std::nearbyint(std::ldexp((double)__uint_as_float(size), 24));
        else bits = sign | ((size - 0x38000000u + 0xfffu + (size >> 13 & 1u)) >> 13);
    }
    operator float() const {
        uint32_t sign = (uint32_t)(bits & 0x8000u) << 16, size = bits & 0x7fffu;
        if (size >= 0x7c00u) return __uint_as_float(sign | 0x7f800000u | (size & 0x3ffu) << 13);
        if (size < 0x400u) return std::copysign(std::ldexp((float)size, -24), __uint_as_float(sign | 0x3f800000u));
        return __uint_as_float(sign | ((size << 13) + 0x38000000u));
    }
};
static inline float __half2float(__half x) { return x; }
static inline __half __float2half(float x) { return __half(x); }
static inline __half __float2half_rn(float x) { return __half(x); }
