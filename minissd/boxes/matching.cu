// Matching of default boxes and objects, for all images of a batch at once.
//
// Objects come as rows (left, top, right, bottom, label), padded to the same number of rows for each image by rows of
// label -1. Overlaps are computed where they are needed and never stored: 12,000 of them (40 objects, 300 default boxes)
// are as quickly computed as read, and all of a batch of 32 with SSD300's 8732 default boxes would be 45 MB.
//
// Three kernels, one after the other:
//   prefer      each object's favourite, the default box that it overlaps most (rule "overwrite" is done with that)
//   in_rounds   one block an image: hands out default boxes in the rounds of rule "one-to-one"
//   assign      one thread a default box: the object that was given it, or else the one it overlaps most
// All ties go to the first, as in the array code. No sums, no atomics: the answer does not depend on the order of threads.

#define THREADS 256
#define ROW 5 // numbers of an object
#define NO_BOX (-1)

struct choice {
    number overlap;
    int place;
};

__device__ inline bool is_object(const real* objects, int row) { return objects[(int64)row * ROW + 4] >= 0; }

__device__ inline bool is_taken(const uint32* taken, int place) { return taken && (taken[place / 32] >> place % 32 & 1); }

// The largest overlap that a thread of the block offers, of equal ones that with the lowest place; told to all threads.
__device__ choice best_of_block(number offered, int place)
{
    __shared__ number overlaps[THREADS];
    __shared__ int places[THREADS];
    int thread = threadIdx.x;
    overlaps[thread] = offered;
    places[thread] = place;
    for (int half = THREADS / 2; half > 0; half /= 2) {
        __syncthreads();
        if (thread >= half) continue;
        number other = overlaps[thread + half];
        bool wins = other > overlaps[thread] || (other == overlaps[thread] && places[thread + half] < places[thread]);
        if (!wins) continue;
        overlaps[thread] = other;
        places[thread] = places[thread + half];
    }
    __syncthreads();
    choice best = {overlaps[0], places[0]};
    __syncthreads(); // all have read before the next search writes
    return best;
}

// The default box that an object overlaps most, of those that are not taken; by the whole block.
__device__ choice favourite(const real* defaults, int n_defaults, const real* object, const uint32* taken)
{
    box wanted = read_box(object);
    number highest = -1;
    int place = n_defaults;
    for (int k = threadIdx.x; k < n_defaults; k += THREADS) {
        if (is_taken(taken, k)) continue;
        number found = overlap(wanted, read_box(defaults + (int64)k * 4));
        if (found > highest) {
            highest = found;
            place = k;
        }
    }
    return best_of_block(highest, place);
}

// A grid of (rows, images), THREADS threads. `given` is the default box that an object was handed.
extern "C" __global__ void prefer(
    const real* __restrict__ defaults, const real* __restrict__ objects, real* __restrict__ best, int* __restrict__ place,
    int* __restrict__ given, int n_defaults, int rows, bool is_final)
{
    int row = (int)(blockIdx.y * rows + blockIdx.x);
    if (!is_object(objects, row)) { // the same for the whole block
        if (threadIdx.x == 0) given[row] = NO_BOX;
        return;
    }
    choice found = favourite(defaults, n_defaults, objects + (int64)row * ROW, 0);
    if (threadIdx.x > 0) return;
    best[row] = found.overlap;
    place[row] = found.place;
    given[row] = is_final ? found.place : NO_BOX;
}

// A grid of images, THREADS threads; shared memory for one bit a default box. In each round the best pair leaves the
// game. Only objects whose favourite has just been taken must look for another, so most rounds are one small search.
extern "C" __global__ void in_rounds(
    const real* __restrict__ defaults, const real* __restrict__ objects, real* best, int* place, int* given,
    int n_defaults, int rows, number least_overlap)
{
    extern __shared__ uint32 taken[];
    for (int word = threadIdx.x; word < divide_up(n_defaults, 32); word += THREADS) taken[word] = 0;
    int first = (int)blockIdx.x * rows, n_objects = 0;
    while (n_objects < rows && is_object(objects, first + n_objects)) n_objects++;
    objects += (int64)first * ROW;
    best += first;
    place += first;
    given += first;
    __syncthreads();
    for (int round = 0; round < n_objects; round++) {
        number highest = -1;
        int candidate = n_objects;
        for (int m = threadIdx.x; m < n_objects; m += THREADS)
            if (given[m] == NO_BOX && best[m] > highest) {
                highest = best[m];
                candidate = m;
            }
        choice winner = best_of_block(highest, candidate);
        if (!(winner.overlap > least_overlap)) return; // for the whole block: nothing is left that overlaps
        int handed = place[winner.place];
        __syncthreads();
        if (threadIdx.x == 0) {
            given[winner.place] = handed;
            taken[handed / 32] |= 1u << handed % 32;
        }
        __syncthreads();
        for (int m = 0; m < n_objects; m++) {
            if (given[m] != NO_BOX || place[m] != handed) continue; // likewise
            choice next = favourite(defaults, n_defaults, objects + (int64)m * ROW, taken);
            if (threadIdx.x == 0) {
                best[m] = next.overlap;
                place[m] = next.place;
            }
            __syncthreads();
        }
    }
}

// All threads of a warp read the same object at the same time, which the cache hands to all of them at once.
extern "C" __global__ void assign(
    const real* __restrict__ defaults, const real* __restrict__ objects, const int* __restrict__ given,
    int64* __restrict__ object_index, bool* __restrict__ forced, real* __restrict__ iou,
    int n, int n_defaults, int rows, number threshold)
{
    for (int64 i = FIRST; i < (int64)n * n_defaults; i += STRIDE) {
        int k = (int)(i % n_defaults), first = (int)(i / n_defaults) * rows;
        box mine = read_box(defaults + (int64)k * 4);
        int nearest = -1, owner = -1;
        number highest = -1, owned = 0;
        for (int m = 0; m < rows && is_object(objects, first + m); m++) {
            number found = overlap(read_box(objects + (int64)(first + m) * ROW), mine);
            if (found > highest) {
                highest = found;
                nearest = m;
            }
            if (given[first + m] == k) { // by rule "overwrite" to several objects: the last one has its way
                owner = m;
                owned = found;
            }
        }
        bool is_forced = owner >= 0;
        object_index[i] = is_forced ? owner : highest >= threshold ? nearest : -1;
        forced[i] = is_forced;
        iou[i] = is_forced ? owned : higher(highest, 0);
    }
}
