// The MultiBox loss of a batch in three launches, with the mining (boxes/mining.cu) after the first: losses of all
// boxes; gradients of those that count, and their sums block by block; the sums of all blocks.
//
// A warp has one default box at a time, whose class scores its lanes read side by side. Of some 8,732 boxes of an image
// a few dozen count. The others' scores are not read again, only zeros are written: reading all scores once and writing
// all gradients once is most of the work. What is added up is added in a fixed order.

#define WARPS 8 // of a block
#define THREADS (32 * WARPS)

// Cross-entropy of every box against its label, and which boxes are positive.
extern "C" __global__ void box_losses(
    const real* __restrict__ scores, const int64* __restrict__ labels, real* __restrict__ losses,
    bool* __restrict__ positives, int64 boxes, int classes)
{
    for (int64 b = FIRST / 32; b < boxes; b += STRIDE / 32) {
        const real* row = scores + b * classes;
        int64 label = labels[b];
        number largest, total;
        largest_and_sum(row, classes, largest, total);
        if (threadIdx.x % 32 > 0) continue;
        bool known = label >= 0 && label < classes; // an answer for others is not defined, but reads nothing else
        losses[b] = (real)(log(total) - ((number)row[known ? label : 0] - largest));
        positives[b] = label > 0;
    }
}

// Gradients of scores (boxes, classes) and offsets (boxes, 4), weighted; and parts (blocks, 2): each block's share of
// class loss and box loss. Weights multiply NaN as well, as in the array code: no box hides one.
extern "C" __global__ void box_gradients(
    const real* __restrict__ scores, const real* __restrict__ offsets, const int64* __restrict__ labels,
    const real* __restrict__ targets, const real* __restrict__ losses, const bool* __restrict__ mined,
    const int64* __restrict__ n_positives, real* __restrict__ d_scores, real* __restrict__ d_offsets,
    real* __restrict__ parts, int64 boxes, int classes)
{
    __shared__ number sums[2][WARPS];
    int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
    number norm = (number)(1 / (double)(*n_positives > 1 ? *n_positives : 1));
    number class_loss = 0, box_loss = 0;
    for (int64 b = FIRST / 32; b < boxes; b += STRIDE / 32) {
        int64 label = labels[b];
        number box_weight = label > 0 ? norm : 0, weight = mined[b] ? norm : box_weight, loss = (number)losses[b];
        if (lane == 0) class_loss += loss * weight;
        if (weight > 0) {
            const real* row = scores + b * classes;
            number largest, total;
            largest_and_sum(row, classes, largest, total);
            for (int c = lane; c < classes; c += 32)
                d_scores[b * classes + c] =
                    (real)((exp((number)row[c] - largest) / total - (c == label ? 1 : 0)) * weight);
        } else {
            real nothing = (real)(loss == loss ? 0 : loss);
            for (int c = lane; c < classes; c += 32) d_scores[b * classes + c] = nothing;
        }
        if (lane < 4) { // smooth L1
            number difference = (number)offsets[b * 4 + lane] - (number)targets[b * 4 + lane];
            number distance = fabs(difference), inner = distance > 1 ? 1 : distance, slope = difference;
            if (slope < -1) slope = -1;
            if (slope > 1) slope = 1;
            box_loss += inner * (distance - (number)0.5 * inner) * box_weight;
            d_offsets[b * 4 + lane] = (real)(slope * box_weight);
        }
    }
    class_loss = warp_sum(class_loss), box_loss = warp_sum(box_loss);
    if (lane == 0) sums[0][warp] = class_loss, sums[1][warp] = box_loss;
    __syncthreads();
    if (threadIdx.x > 1) return;
    number sum = 0;
    for (int w = 0; w < WARPS; w++) sum += sums[threadIdx.x][w];
    parts[(int64)blockIdx.x * 2 + threadIdx.x] = (real)sum;
}

// One block adds the parts up: total, class loss, box loss.
extern "C" __global__ void loss_sums(const real* __restrict__ parts, real* __restrict__ sums, int blocks)
{
    __shared__ number found[2][THREADS];
    int thread = threadIdx.x;
    number mine[2] = {0, 0};
    for (int b = thread; b < blocks; b += THREADS)
        for (int k = 0; k < 2; k++) mine[k] += (number)parts[(int64)b * 2 + k];
    for (int k = 0; k < 2; k++) found[k][thread] = mine[k];
    for (int half = THREADS / 2; half > 0; half /= 2) {
        __syncthreads();
        if (thread < half)
            for (int k = 0; k < 2; k++) found[k][thread] += found[k][thread + half];
    }
    if (thread > 0) return;
    sums[0] = (real)(found[0][0] + found[1][0]);
    sums[1] = (real)found[0][0];
    sums[2] = (real)found[1][0];
}
