// One launch over many arrays: all parameters of a network, in stretches of at most STRETCH numbers. Each block has one
// stretch, and finds in its row of a table how long it is, whose it is, and at which addresses the stretches of the
// parameter's arrays begin (value, gradient, and what the optimiser keeps). A launch for every parameter would take the
// host longer than the device: there are hundreds, and most hold a few numbers.

#define THREADS 256

// Row of this block's table: its length, the parameter's number, and addresses of `arrays` stretches.
#define STRETCH(arrays)                                              \
    const uint64* row = table + (int64)blockIdx.x * (2 + (arrays)); \
    int length = (int)row[0];                                        \
    const uint64* address = row + 2;

extern "C" __global__ void fill_zero(const uint64* __restrict__ table)
{
    STRETCH(1)
    real* x = (real*)address[0];
    for (int i = threadIdx.x; i < length; i += blockDim.x) x[i] = (real)0;
}

// What differs between parameters is in `settings` (parameters, 2): a multiplier of the learning rate, and the decay.
extern "C" __global__ void sgd(
    const uint64* __restrict__ table, const number* __restrict__ settings, number lr, number momentum)
{
    STRETCH(3)
    real *value = (real*)address[0], *velocity = (real*)address[2];
    const real* grad = (const real*)address[1];
    number rate = lr * settings[2 * row[1]], decay = rate * settings[2 * row[1] + 1];
    for (int i = threadIdx.x; i < length; i += blockDim.x) {
        number w = (number)value[i];
        number v = momentum * (number)velocity[i] + (number)grad[i] * rate;
        if (decay != 0) v += w * decay;
        velocity[i] = (real)v;
        value[i] = (real)(w - v);
    }
}

// Adam; decoupled: AdamW. root_scale and rate_scale undo the bias of the averages, which begin at zero.
extern "C" __global__ void adam(
    const uint64* __restrict__ table, const number* __restrict__ settings, number lr, bool decoupled, number keep_mean,
    number keep_square, number gain_mean, number gain_square, number root_scale, number rate_scale, number eps)
{
    STRETCH(4)
    real *value = (real*)address[0], *mean = (real*)address[2], *square = (real*)address[3];
    const real* grad = (const real*)address[1];
    number rate = lr * settings[2 * row[1]], decay = settings[2 * row[1] + 1];
    for (int i = threadIdx.x; i < length; i += blockDim.x) {
        number w = (number)value[i], g = (number)grad[i];
        if (decay != 0) {
            if (decoupled) w *= 1 - rate * decay;
            else g += w * decay;
        }
        number m = keep_mean * (number)mean[i] + g * gain_mean;
        number s = keep_square * (number)square[i] + g * g * gain_square;
        mean[i] = (real)m;
        square[i] = (real)s;
        value[i] = (real)(w - m / (sqrt(s) * root_scale + eps) * (rate * rate_scale));
    }
}

// Sum over a block, told to its thread 0, in a fixed order.
__device__ inline number block_sum(number value, number* shared)
{
    shared[threadIdx.x] = value;
    for (int half = THREADS / 2; half > 0; half /= 2) {
        __syncthreads();
        if (threadIdx.x < half) shared[threadIdx.x] += shared[threadIdx.x + half];
    }
    return shared[0];
}

// Sum of squares of each stretch.
extern "C" __global__ void squares(const uint64* __restrict__ table, number* __restrict__ parts)
{
    __shared__ number shared[THREADS];
    STRETCH(1)
    const real* x = (const real*)address[0];
    number sum = 0;
    for (int i = threadIdx.x; i < length; i += THREADS) sum += (number)x[i] * (number)x[i];
    sum = block_sum(sum, shared);
    if (threadIdx.x == 0) parts[blockIdx.x] = sum;
}

// One block: norm (2,), the length of all arrays together, and what brings it down to `most` where it is above.
extern "C" __global__ void length_and_scale(
    const number* __restrict__ parts, number* __restrict__ norm, number most, int count)
{
    __shared__ number shared[THREADS];
    number sum = 0;
    for (int i = threadIdx.x; i < count; i += THREADS) sum += parts[i];
    sum = block_sum(sum, shared);
    if (threadIdx.x > 0) return;
    number length = sqrt(sum);
    norm[0] = length;
    norm[1] = most / (length < most ? most : length); // exactly 1 where short enough; NaN stays
}

extern "C" __global__ void multiply(const uint64* __restrict__ table, const number* __restrict__ by)
{
    STRETCH(1)
    real* x = (real*)address[0];
    for (int i = threadIdx.x; i < length; i += blockDim.x) x[i] = (real)((number)x[i] * *by);
}
