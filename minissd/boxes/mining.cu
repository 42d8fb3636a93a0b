// Hard-negative mining, one block an image: which `count` of its candidates have the largest loss, ties to the first.
//
// Nothing is sorted. The threshold, the count-th largest loss, is found digit by digit (a radix select): numbers are
// mapped to whole numbers of the same order, and of those that agree with the digits known so far, a table counts how
// many have which next digit. Four walks over the losses (eight in double precision) find the threshold, one counts
// what lies above it, one marks that and the first of its equals. The losses of an image fit the cache.
//
// All sums are of whole numbers, so the order in which threads add does not matter. A NaN comes after all numbers, as
// in a sort; as a threshold it is equal to nothing.

#define DIGITS 256

// What `in_order` was made from.
__device__ inline float back(uint32 key) { return __uint_as_float(key >> 31 ? key & 0x7fffffffu : ~key); }

__device__ inline double back(uint64 key) { return __longlong_as_double((int64)(key >> 63 ? key & ~0ull >> 1 : ~key)); }

// Blocks of at least DIGITS threads, a multiple of 32; one block an image.
extern "C" __global__ void __launch_bounds__(1024) mine(
    const real* __restrict__ losses, const bool* __restrict__ positives, const bool* __restrict__ candidates,
    bool has_candidates, bool* __restrict__ mined, double ratio, int64 least, int boxes)
{
    __shared__ int n_positives, n_negatives, n_above, digit, left;
    __shared__ int table[DIGITS], equals[32];
    int64 image = (int64)blockIdx.x * boxes;
    int thread = threadIdx.x, step = blockDim.x;
    auto is_negative = [&](int i) { return !positives[image + i] && (!has_candidates || candidates[image + i]); };
    auto value_of = [&](int i) { return is_negative(i) ? (number)losses[image + i] : LOWEST; };

    if (thread == 0) n_positives = n_negatives = n_above = 0;
    __syncthreads();
    int found[2] = {0, 0};
    for (int i = thread; i < boxes; i += step) found[0] += positives[image + i], found[1] += is_negative(i);
    atomicAdd(&n_positives, found[0]);
    atomicAdd(&n_negatives, found[1]);
    __syncthreads();
    int64 wanted = (int64)(ratio * n_positives);
    if (wanted < least) wanted = least;
    int count = wanted < n_negatives ? (int)wanted : n_negatives;

    order_t known = 0, mask = 0;
    int rank = smaller(boxes - count, boxes - 1); // place of the threshold in ascending order
    for (int shift = 8 * sizeof(order_t) - 8; shift >= 0; shift -= 8) {
        if (thread < DIGITS) table[thread] = 0;
        __syncthreads();
        for (int i = thread; i < boxes; i += step) {
            order_t key = in_order(value_of(i));
            if ((key & mask) == known) atomicAdd(&table[(int)(key >> shift & (DIGITS - 1))], 1);
        }
        __syncthreads();
        if (thread < DIGITS) {
            int before = 0;
            for (int d = 0; d < thread; d++) before += table[d];
            if (before <= rank && rank < before + table[thread]) digit = thread, left = rank - before; // one thread's
        }
        __syncthreads();
        known |= (order_t)digit << shift, mask |= (order_t)(DIGITS - 1) << shift;
        rank = left;
    }
    number threshold = back(known);

    int above = 0;
    for (int i = thread; i < boxes; i += step) above += value_of(i) > threshold;
    atomicAdd(&n_above, above);
    __syncthreads();
    int missing = count - n_above; // so many of the equals are in, the first ones

    int seen = 0; // equals before this stretch of boxes
    for (int start = 0; start < boxes; start += step) {
        int i = start + thread, lane = thread % 32, warp = thread / 32;
        number value = i < boxes ? value_of(i) : LOWEST;
        bool is_equal = i < boxes && value == threshold;
        uint32 votes = __ballot_sync(ALL_LANES, is_equal);
        if (lane == 0) equals[warp] = __popc(votes);
        __syncthreads();
        int before = seen + __popc(votes & ((1u << lane) - 1));
        for (int w = 0; w < step / 32; w++) {
            if (w < warp) before += equals[w];
            seen += equals[w];
        }
        if (i < boxes) mined[image + i] = value > threshold || (is_equal && before < missing);
        __syncthreads(); // all have read before the next stretch writes
    }
}
