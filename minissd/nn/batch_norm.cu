// Batch norm of maps (N, H, W, C), which are rows of pixels here: (pixels, channels). All kernels that read a map walk
// it in one way. Blocks are (columns, lanes): a thread keeps WIDTH neighbouring channels, with their mean and scale in
// registers, and takes every lanes-th pixel of its block's share. So a warp reads and writes without gaps, and nobody
// divides an index by the number of channels. A grid of (groups of channels, shares of pixels) covers the map.
//
// Training reads the map twice on the way there (moments, then the output), and on the way back twice with the
// gradient. The memory sets the pace, so what can be computed again is not stored: whether an activation behind lets
// the gradient through follows from x.
//
// Sums are in a fixed order that depends on sizes alone: pixels of a lane, lanes of a block by halves, then the blocks.
// Runs repeat bit for bit.

#define THREADS 256

// Numbers seen, their mean, and the sum of their squared distances from it. Sums of x and x^2 would take less work, but
// where the mean is large, their difference is what rounding left of it.
struct moments {
    number count, mean, squares;
};

// Of two sets together (Chan, Golub and LeVeque 1983, equation 2.1)
__device__ inline moments merged(const moments& a, const moments& b)
{
    if (a.count == 0) return b;
    if (b.count == 0) return a;
    number count = a.count + b.count, gap = b.mean - a.mean, share = b.count / count;
    return {count, a.mean + gap * share, a.squares + b.squares + gap * gap * a.count * share};
}

struct pair { // sums over pixels: of the gradient, and of gradient * (x - mean)
    number plain, with_x;
};

struct channel { // y = (x - mean) * slope + beta
    number mean, inv_std, slope, beta;
};

__device__ inline channel channel_of(
    const real* mean, const real* var, const real* gamma, const real* beta, number eps, int c)
{
    number inv_std = 1 / sqrt((number)var[c] + eps);
    return {(number)mean[c], inv_std, (number)gamma[c] * inv_std, (number)beta[c]};
}

// Written as one rounding, so that both ways get the same number and agree where the activation is open.
__device__ inline number normalised(number x, const channel& of)
{
    return fma(x - of.mean, of.slope, of.beta);
}

// What an activation min(max(y, 0), ceiling) multiplies the gradient by; a NaN closes it.
__device__ inline number opening(number y, number ceiling)
{
    return y > 0 && (y < ceiling || ceiling > (number)3e38) ? (number)1 : (number)0;
}

// This thread's first channel, its lane, and its share of pixels: from `begin` on, every blockDim.y-th below `end`.
#define WALK                                                                                                     \
    int c = (blockIdx.x * blockDim.x + threadIdx.x) * WIDTH, lane = threadIdx.y;                                 \
    int thread = lane * blockDim.x + threadIdx.x;                                                                \
    int64 share = (pixels + gridDim.y - 1) / gridDim.y, begin = blockIdx.y * share + lane;                       \
    int64 end = (blockIdx.y + 1) * share < pixels ? (blockIdx.y + 1) * share : pixels;                           \
    if (c >= channels) end = 0; // beyond the last channel: no pixels, but along to the barriers

// Moments of each share: parts (shares, 3, channels) of count, mean, squares.
extern "C" __global__ void batch_moments(
    const real* __restrict__ x, number* __restrict__ parts, int64 pixels, int channels)
{
    __shared__ moments found[WIDTH][THREADS];
    WALK
    number count = 0, mean[WIDTH], squares[WIDTH];
    for (int k = 0; k < WIDTH; k++) mean[k] = squares[k] = 0;
    for (int64 p = begin; p < end; p += blockDim.y) {
        pack seen = load(x + p * channels + c);
        count += 1;
        number weight = 1 / count;
        for (int k = 0; k < WIDTH; k++) { // Welford 1962: the mean moves by a part of the gap to the newest number
            number gap = (number)seen.at[k] - mean[k];
            mean[k] += gap * weight;
            squares[k] += gap * ((number)seen.at[k] - mean[k]);
        }
    }
    for (int k = 0; k < WIDTH; k++) found[k][thread] = {count, mean[k], squares[k]};
    for (int half = blockDim.y / 2; half > 0; half /= 2) {
        __syncthreads();
        if (lane >= half) continue;
        for (int k = 0; k < WIDTH; k++)
            found[k][thread] = merged(found[k][thread], found[k][thread + half * blockDim.x]);
    }
    if (lane > 0 || c >= channels) return;
    number* part = parts + (int64)blockIdx.y * 3 * channels + c;
    for (int k = 0; k < WIDTH; k++) {
        part[k] = found[k][thread].count;
        part[channels + k] = found[k][thread].mean;
        part[2 * channels + k] = found[k][thread].squares;
    }
}

// Mean and variance of the batch from those of the shares, and the running averages. Blocks of (32 channels, lanes).
extern "C" __global__ void batch_statistics(
    const number* __restrict__ parts, real* __restrict__ mean, real* __restrict__ var,
    real* __restrict__ running_mean, real* __restrict__ running_var, number momentum, int shares, int channels)
{
    __shared__ moments found[THREADS];
    int c = blockIdx.x * blockDim.x + threadIdx.x, lane = threadIdx.y, thread = lane * blockDim.x + threadIdx.x;
    moments all = {0, 0, 0};
    for (int s = lane; s < shares && c < channels; s += blockDim.y) {
        const number* part = parts + (int64)s * 3 * channels + c;
        all = merged(all, {part[0], part[channels], part[2 * channels]});
    }
    found[thread] = all;
    for (int half = blockDim.y / 2; half > 0; half /= 2) {
        __syncthreads();
        if (lane < half) found[thread] = merged(found[thread], found[thread + half * blockDim.x]);
    }
    if (lane > 0 || c >= channels) return;
    all = found[thread];
    number variance = all.squares / all.count, unbiased = variance * (all.count / (all.count > 2 ? all.count - 1 : 1));
    mean[c] = (real)all.mean;
    var[c] = (real)variance;
    running_mean[c] = (real)((number)running_mean[c] + momentum * (all.mean - (number)running_mean[c]));
    running_var[c] = (real)((number)running_var[c] + momentum * (unbiased - (number)running_var[c]));
}

// y = (x - mean) * slope + beta, limited to [floor, ceiling] (infinite where no activation follows).
extern "C" __global__ void normalise(
    const real* __restrict__ x, real* __restrict__ y, const real* __restrict__ mean, const real* __restrict__ var,
    const real* __restrict__ gamma, const real* __restrict__ beta, number eps, number floor, number ceiling,
    int64 pixels, int channels)
{
    WALK
    if (begin >= end) return;
    channel of[WIDTH];
    for (int k = 0; k < WIDTH; k++) of[k] = channel_of(mean, var, gamma, beta, eps, c + k);
    for (int64 p = begin; p < end; p += blockDim.y) {
        pack seen = load(x + p * channels + c), result;
        for (int k = 0; k < WIDTH; k++) {
            number value = normalised((number)seen.at[k], of[k]);
            if (value < floor) value = floor; // so written, a NaN stays one
            if (value > ceiling) value = ceiling;
            result.at[k] = (real)value;
        }
        store(y + p * channels + c, result);
    }
}

// Both sums of each share: parts (shares, 2, channels). With `joined` the gradient is that behind the activation.
extern "C" __global__ void gradient_sums(
    const real* __restrict__ dy, const real* __restrict__ x, const real* __restrict__ mean,
    const real* __restrict__ var, const real* __restrict__ gamma, const real* __restrict__ beta, number eps,
    number ceiling, bool joined, number* __restrict__ parts, int64 pixels, int channels)
{
    __shared__ pair found[WIDTH][THREADS];
    WALK
    channel of[WIDTH];
    pair sums[WIDTH];
    for (int k = 0; k < WIDTH; k++) {
        if (begin < end) of[k] = channel_of(mean, var, gamma, beta, eps, c + k);
        sums[k] = {0, 0};
    }
    for (int64 p = begin; p < end; p += blockDim.y) {
        pack seen = load(x + p * channels + c), upstream = load(dy + p * channels + c);
        for (int k = 0; k < WIDTH; k++) {
            number value = (number)seen.at[k], gradient = (number)upstream.at[k];
            if (joined) gradient *= opening(normalised(value, of[k]), ceiling);
            sums[k].plain += gradient;
            sums[k].with_x += gradient * (value - of[k].mean);
        }
    }
    for (int k = 0; k < WIDTH; k++) found[k][thread] = sums[k];
    for (int half = blockDim.y / 2; half > 0; half /= 2) {
        __syncthreads();
        if (lane >= half) continue;
        for (int k = 0; k < WIDTH; k++) {
            found[k][thread].plain += found[k][thread + half * blockDim.x].plain;
            found[k][thread].with_x += found[k][thread + half * blockDim.x].with_x;
        }
    }
    if (lane > 0 || c >= channels) return;
    for (int k = 0; k < WIDTH; k++) {
        parts[(int64)blockIdx.y * 2 * channels + c + k] = found[k][thread].plain;
        parts[((int64)blockIdx.y * 2 + 1) * channels + c + k] = found[k][thread].with_x;
    }
}

// The sums of all shares: totals (2, channels), the gradients of beta and gamma, which are also added to theirs.
extern "C" __global__ void gradient_totals(
    const number* __restrict__ parts, const real* __restrict__ var, number eps, number* __restrict__ totals,
    real* __restrict__ beta_grad, real* __restrict__ gamma_grad, int shares, int channels)
{
    __shared__ pair found[THREADS];
    int c = blockIdx.x * blockDim.x + threadIdx.x, lane = threadIdx.y, thread = lane * blockDim.x + threadIdx.x;
    pair sums = {0, 0};
    for (int s = lane; s < shares && c < channels; s += blockDim.y) {
        sums.plain += parts[(int64)s * 2 * channels + c];
        sums.with_x += parts[((int64)s * 2 + 1) * channels + c];
    }
    found[thread] = sums;
    for (int half = blockDim.y / 2; half > 0; half /= 2) {
        __syncthreads();
        if (lane >= half) continue;
        found[thread].plain += found[thread + half * blockDim.x].plain;
        found[thread].with_x += found[thread + half * blockDim.x].with_x;
    }
    if (lane > 0 || c >= channels) return;
    number dbeta = found[thread].plain, dgamma = found[thread].with_x / sqrt((number)var[c] + eps);
    totals[c] = dbeta;
    totals[channels + c] = dgamma;
    beta_grad[c] = (real)((number)beta_grad[c] + dbeta);
    gamma_grad[c] = (real)((number)gamma_grad[c] + dgamma);
}

// dx = slope * (gradient - mean(gradient) - x_hat * mean(gradient * x_hat)), where mean and variance were the batch's
// own; else slope * gradient.
extern "C" __global__ void input_gradient(
    const real* __restrict__ dy, const real* __restrict__ x, const real* __restrict__ mean,
    const real* __restrict__ var, const real* __restrict__ gamma, const real* __restrict__ beta, number eps,
    number ceiling, bool joined, bool used_batch, const number* __restrict__ totals, real* __restrict__ dx,
    int64 pixels, int channels)
{
    WALK
    if (begin >= end) return;
    channel of[WIDTH];
    number offset[WIDTH], along[WIDTH];
    for (int k = 0; k < WIDTH; k++) {
        of[k] = channel_of(mean, var, gamma, beta, eps, c + k);
        offset[k] = of[k].slope * totals[c + k] / pixels;
        along[k] = of[k].slope * of[k].inv_std * totals[channels + c + k] / pixels;
    }
    for (int64 p = begin; p < end; p += blockDim.y) {
        pack seen = load(x + p * channels + c), upstream = load(dy + p * channels + c), result;
        for (int k = 0; k < WIDTH; k++) {
            number value = (number)seen.at[k], gradient = (number)upstream.at[k];
            if (joined) gradient *= opening(normalised(value, of[k]), ceiling);
            number answer = gradient * of[k].slope;
            if (used_batch) answer -= (value - of[k].mean) * along[k] + offset[k];
            result.at[k] = (real)answer;
        }
        store(dx + p * channels + c, result);
    }
}
