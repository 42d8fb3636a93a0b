// Non-maximum suppression on the device, for all images and classes of a batch at once.
//
// Five launches, whose sizes follow from the settings and not from the data, so that the host never waits:
//   best_above      of each class of each image: the best candidates above the floor, best first
//   silences        which candidate silences which: 64 of them in the bits of one word
//   sweep           goes through a class's candidates in order and keeps those that none of the kept ones silences
//   best_above      of each image: the best of all that were kept
//   collect         their boxes, labels and scores, in rows of six numbers
//
// A "group" is one class of one image (or, the second time, an image). Scores lie group by group, so that neighbouring
// threads read neighbouring scores. Unused slots hold -infinity, which is above no floor.
//
// Equal scores go by their place: it is a part of what is compared, so no two candidates are equal, and the order in
// which threads happen to arrive cannot show.

#define THREADS 256
#define DIGITS 256 // of eight bits; as many as threads
#define TILE 64    // candidates in a word
#define MOST_WORDS 32

// One step of a search for the `wanted`-th highest: `histogram` counts by the next digit, and the digit where the count
// from above reaches `wanted` is the answer. Thread d looks at digit d. Returns whether all that have this digit are
// wanted, which ends the search; else `wanted` becomes how many of them are.
__device__ bool next_digit(const int* histogram, int* wanted, uint32* digit)
{
    __shared__ int answer[2];
    int d = threadIdx.x, above = 0;
    for (int other = DIGITS - 1; other >= 0; other--) above += other > d ? histogram[other] : 0;
    if (above < *wanted && *wanted <= above + histogram[d]) { // true for one thread
        answer[0] = d;
        answer[1] = *wanted - above;
    }
    __syncthreads();
    *digit = (uint32)answer[0];
    *wanted = answer[1];
    bool all = *wanted == histogram[*digit];
    __syncthreads(); // all have read before the next step writes
    return all;
}

// Grid of groups, THREADS threads; shared memory for `most` scores and places. `values` are (groups, n); `places` gets
// (groups, most), best first, and `counts` how many there are.
//
// Not everything is sorted. A search digit by digit finds the worst that enters (a radix select: 4 passes over the scores
// in float32, up to 4 more over the places where scores are equal); what is no worse is listed, in any order; and each of
// the list finds its rank by counting who is better: 400 comparisons in shared memory, no barrier.
extern "C" __global__ void best_above(
    const real* __restrict__ values, int* __restrict__ places, int* __restrict__ counts, int n, int most, real lowest)
{
    extern __shared__ order_t listed[];
    int* listed_places = (int*)(listed + most);
    __shared__ int histogram[DIGITS];
    __shared__ int total, length;
    int thread = threadIdx.x;
    values += (int64)blockIdx.x * n;
    places += (int64)blockIdx.x * most;

    if (thread == 0) total = length = 0;
    __syncthreads();
    int mine = 0;
    for (int i = thread; i < n; i += THREADS) mine += values[i] > lowest;
    atomicAdd(&total, mine);
    __syncthreads();

    // Who enters: scores above `worst`, and those equal to it whose place, counted from the end, is at least `last`.
    order_t worst = 0;
    uint32 last = 0;
    int wanted = most;
    bool found = total <= most;
    for (int shift = 8 * sizeof(order_t) - 8; shift >= 0 && !found; shift -= 8) {
        histogram[thread] = 0;
        __syncthreads();
        for (int i = thread; i < n; i += THREADS) {
            order_t bits = in_order(values[i]);
            bool shares = bits >> shift >> 8 == worst >> shift >> 8; // two shifts: one by all bits is undefined
            if (values[i] > lowest && shares) atomicAdd(&histogram[(int)(bits >> shift & 255)], 1);
        }
        __syncthreads();
        uint32 digit;
        found = next_digit(histogram, &wanted, &digit);
        worst |= (order_t)digit << shift;
    }
    for (int shift = 24; shift >= 0 && !found; shift -= 8) {
        histogram[thread] = 0;
        __syncthreads();
        for (int i = thread; i < n; i += THREADS) {
            uint32 from_end = (uint32)(n - 1 - i);
            bool shares = from_end >> shift >> 8 == last >> shift >> 8;
            if (values[i] > lowest && in_order(values[i]) == worst && shares)
                atomicAdd(&histogram[from_end >> shift & 255], 1);
        }
        __syncthreads();
        uint32 digit;
        found = next_digit(histogram, &wanted, &digit);
        last |= digit << shift;
    }

    for (int i = thread; i < n; i += THREADS) {
        order_t bits = in_order(values[i]);
        bool enters = bits > worst || (bits == worst && (uint32)(n - 1 - i) >= last);
        if (!(values[i] > lowest) || !enters) continue;
        int slot = atomicAdd(&length, 1);
        listed[slot] = bits;
        listed_places[slot] = i;
    }
    __syncthreads();
    for (int a = thread; a < length; a += THREADS) {
        int rank = 0;
        for (int b = 0; b < length; b++)
            rank += listed[b] > listed[a] || (listed[b] == listed[a] && listed_places[b] < listed_places[a]);
        places[rank] = listed_places[a];
    }
    if (thread == 0) counts[blockIdx.x] = length;
}

// Grid of (groups, words, tiles of rows), TILE threads: thread r decides for candidate r of its tile whom it silences among
// the 64 candidates of the word, which the block has read to shared memory. Only later candidates can be silenced, so
// words before the tile are left alone: nobody reads them.
extern "C" __global__ void silences(
    const real* __restrict__ boxes, const int* __restrict__ places, const int* __restrict__ counts,
    uint64* __restrict__ masks, int n_boxes, int groups_per_image, int most, int words, number threshold)
{
    __shared__ number others[TILE][4];
    int group = (int)blockIdx.x, word = (int)blockIdx.y, tile = (int)blockIdx.z, thread = (int)threadIdx.x;
    int count = counts[group], row = tile * TILE + thread, column = word * TILE;
    if (word < tile || tile * TILE >= count || column >= count) return; // for the whole block
    boxes += (int64)(group / groups_per_image) * n_boxes * 4;
    places += (int64)group * most;
    int n_others = smaller(TILE, count - column);
    if (thread < n_others)
        for (int k = 0; k < 4; k++) others[thread][k] = boxes[(int64)places[column + thread] * 4 + k];
    __syncthreads();
    if (row >= count) return; // no barrier follows
    box mine = read_box(boxes + (int64)places[row] * 4);
    uint64 mask = 0;
    for (int j = 0; j < n_others; j++) {
        box other = {others[j][0], others[j][1], others[j][2], others[j][3]};
        if (column + j > row && overlap(mine, other) > threshold) mask |= (uint64)1 << j;
    }
    masks[((int64)group * most + row) * words + word] = mask;
}

// Grid of groups, one warp each: lane w holds the word of those silenced so far among candidates 64 w to 64 w + 63. Masks
// come to shared memory 64 candidates at a time, all lanes reading; the 64 decisions that follow, each of which depends on
// the one before, then wait for shared memory only. `kept` gets the scores of the kept candidates (groups, most).
extern "C" __global__ void sweep(
    const real* __restrict__ values, const int* __restrict__ places, const int* __restrict__ counts,
    const uint64* __restrict__ masks, real* __restrict__ kept, int n, int most, int words)
{
    __shared__ uint64 staged[TILE * MOST_WORDS];
    int lane = (int)threadIdx.x, count = counts[blockIdx.x];
    values += (int64)blockIdx.x * n;
    places += (int64)blockIdx.x * most;
    masks += (int64)blockIdx.x * most * words;
    kept += (int64)blockIdx.x * most;
    uint64 silent = 0;
    for (int tile = 0; tile * TILE < count; tile++) {
        int start = tile * TILE, rows = smaller(TILE, count - start), used = divide_up(count, TILE);
        for (int j = lane; j < rows * words; j += 32) {
            int word = j % words;
            staged[j] = word < tile || word >= used ? 0 : masks[(int64)start * words + j];
        }
        __syncthreads();
        uint64 decided = __shfl_sync(ALL_LANES, silent, tile);
        for (int i = 0; i < rows; i++) {
            if (decided >> i & 1) continue; // silenced
            decided |= staged[i * words + tile];
            if (lane < words) silent |= staged[i * words + lane];
        }
        for (int i = lane; i < rows; i += 32)
            kept[start + i] = decided >> i & 1 ? (real)LOWEST : values[places[start + i]];
        __syncthreads(); // all have read before the next tile is staged
    }
    for (int i = count + lane; i < most; i += 32) kept[i] = (real)LOWEST;
}

// One thread a detection: (left, top, right, bottom, label, score), zeros (label 0) where there are no more.
extern "C" __global__ void collect(
    const real* __restrict__ boxes, const int* __restrict__ places, const real* __restrict__ kept,
    const int* __restrict__ chosen, const int* __restrict__ counts, real* __restrict__ found,
    int n, int n_boxes, int n_classes, int most, int limit)
{
    for (int64 i = FIRST; i < (int64)n * limit; i += STRIDE) {
        int64 image = i / limit;
        real* row = found + i * 6;
        for (int k = 0; k < 6; k++) row[k] = 0;
        if (i % limit >= counts[image]) continue;
        int slot = chosen[i]; // of the image's classes, `most` for each
        int64 candidate = image * n_classes * most + slot;
        const real* corners = boxes + (image * n_boxes + places[candidate]) * 4;
        for (int k = 0; k < 4; k++) row[k] = corners[k];
        row[4] = (real)(slot / most + 1);
        row[5] = kept[candidate];
    }
}
