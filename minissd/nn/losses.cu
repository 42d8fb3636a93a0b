// Losses of rows (rows, classes): a warp has one row. Its lanes read neighbouring classes, and maximum and sum go from
// lane to lane by shuffles, so the row is read from memory once (the second and third walk find it in the cache) and
// nothing between is stored.
//
// With a NaN in a row its sum is NaN, and so is all that follows from it, as in the array code.

extern "C" __global__ void softmax(
    const real* __restrict__ logits, real* __restrict__ probabilities, int64 rows, int classes)
{
    for (int64 r = FIRST / 32; r < rows; r += STRIDE / 32) {
        const real* row = logits + r * classes;
        number largest, total;
        largest_and_sum(row, classes, largest, total);
        for (int c = threadIdx.x % 32; c < classes; c += 32)
            probabilities[r * classes + c] = (real)(exp((number)row[c] - largest) / total);
    }
}

// Loss of each row and its gradient: -log(softmax[label]) and softmax - one_hot(label).
extern "C" __global__ void cross_entropy(
    const real* __restrict__ logits, const int64* __restrict__ labels, real* __restrict__ losses,
    real* __restrict__ gradient, int64 rows, int classes)
{
    for (int64 r = FIRST / 32; r < rows; r += STRIDE / 32) {
        const real* row = logits + r * classes;
        int64 label = labels[r];
        number largest, total;
        largest_and_sum(row, classes, largest, total);
        for (int c = threadIdx.x % 32; c < classes; c += 32) {
            number shifted = (number)row[c] - largest;
            gradient[r * classes + c] = (real)(exp(shifted) / total - (c == label ? 1 : 0));
            if (c == label) losses[r] = (real)(log(total) - shifted);
        }
    }
}

extern "C" __global__ void smooth_l1(
    const real* __restrict__ prediction, const real* __restrict__ target, real* __restrict__ values,
    real* __restrict__ gradient, number beta, int64 count)
{
    for (int64 i = FIRST; i < count; i += STRIDE) {
        number difference = (number)prediction[i] - (number)target[i], distance = fabs(difference);
        number inner = distance > beta ? beta : distance, slope = difference / beta;
        if (slope < -1) slope = -1;
        if (slope > 1) slope = 1;
        values[i] = (real)(inner * (distance - (number)0.5 * inner) / beta);
        gradient[i] = (real)slope;
    }
}
