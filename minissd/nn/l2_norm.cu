// L2 normalisation over the channels of every pixel, of maps (N, H, W, C) read as (pixels, channels).
//
// A warp has one pixel: its lanes read neighbouring channels, WIDTH at a time, add up squares, and trade sums by
// shuffles. The second walk over the pixel finds it in the cache. For the way back each pixel keeps two numbers, one
// over its divisor and the slope of that (see `_by_length` in norm.py), and not its unit vector.

#define THREADS 256
#define OUTSIDE 1 // rules: where the epsilon stands
#define FLOOR 2

extern "C" __global__ void l2_forward(
    const real* __restrict__ x, const real* __restrict__ scale, real* __restrict__ y, number* __restrict__ inv_norm,
    number* __restrict__ slope, number eps, int rule, int64 pixels, int channels)
{
    int first = threadIdx.x % 32 * WIDTH;
    for (int64 p = FIRST / 32; p < pixels; p += STRIDE / 32) {
        const real* pixel = x + p * channels;
        number squares = 0;
        for (int c = first; c < channels; c += 32 * WIDTH) {
            pack seen = load(pixel + c);
            for (int k = 0; k < WIDTH; k++) squares += (number)seen.at[k] * (number)seen.at[k];
        }
        squares = warp_sum(squares);
        number length = sqrt(squares), divisor = sqrt(squares + eps), bend = 1;
        if (rule == OUTSIDE) {
            divisor = length + eps;
            bend = divisor / (length < (number)1e-30 ? (number)1e-30 : length);
        }
        if (rule == FLOOR) {
            divisor = length < eps ? eps : length;
            bend = length >= eps ? 1 : 0;
        }
        number inverse = 1 / divisor;
        for (int c = first; c < channels; c += 32 * WIDTH) {
            pack seen = load(pixel + c);
            for (int k = 0; k < WIDTH; k++)
                seen.at[k] = (real)((number)seen.at[k] * inverse * (number)scale[c + k]);
            store(y + p * channels + c, seen);
        }
        if (first == 0) {
            inv_norm[p] = inverse;
            slope[p] = bend;
        }
    }
}

// dx = (g - unit * <g, unit> * slope) / norm with g = dy * scale
extern "C" __global__ void l2_backward(
    const real* __restrict__ dy, const real* __restrict__ x, const real* __restrict__ scale,
    const number* __restrict__ inv_norm, const number* __restrict__ slope, real* __restrict__ dx, int64 pixels,
    int channels)
{
    int first = threadIdx.x % 32 * WIDTH;
    for (int64 p = FIRST / 32; p < pixels; p += STRIDE / 32) {
        number inverse = inv_norm[p], along = 0;
        for (int c = first; c < channels; c += 32 * WIDTH) {
            pack seen = load(x + p * channels + c), upstream = load(dy + p * channels + c);
            for (int k = 0; k < WIDTH; k++)
                along += (number)upstream.at[k] * (number)scale[c + k] * ((number)seen.at[k] * inverse);
        }
        along = warp_sum(along) * slope[p];
        for (int c = first; c < channels; c += 32 * WIDTH) {
            pack seen = load(x + p * channels + c), upstream = load(dy + p * channels + c);
            for (int k = 0; k < WIDTH; k++) {
                number unit = (number)seen.at[k] * inverse;
                upstream.at[k] = (real)(((number)upstream.at[k] * (number)scale[c + k] - unit * along) * inverse);
            }
            store(dx + p * channels + c, upstream);
        }
    }
}

// The scale's gradient, sum of dy * unit over pixels: parts (shares, channels) first, in blocks of (columns, lanes) as
// batch norm walks a map.
extern "C" __global__ void scale_sums(
    const real* __restrict__ dy, const real* __restrict__ x, const number* __restrict__ inv_norm,
    number* __restrict__ parts, int64 pixels, int channels)
{
    __shared__ number found[WIDTH][THREADS];
    int c = (blockIdx.x * blockDim.x + threadIdx.x) * WIDTH, lane = threadIdx.y;
    int thread = lane * blockDim.x + threadIdx.x;
    int64 share = (pixels + gridDim.y - 1) / gridDim.y, begin = blockIdx.y * share;
    int64 end = begin + share < pixels ? begin + share : pixels;
    number sums[WIDTH];
    for (int k = 0; k < WIDTH; k++) sums[k] = 0;
    for (int64 p = begin + lane; p < end && c < channels; p += blockDim.y) {
        pack seen = load(x + p * channels + c), upstream = load(dy + p * channels + c);
        for (int k = 0; k < WIDTH; k++) sums[k] += (number)upstream.at[k] * ((number)seen.at[k] * inv_norm[p]);
    }
    for (int k = 0; k < WIDTH; k++) found[k][thread] = sums[k];
    for (int half = blockDim.y / 2; half > 0; half /= 2) {
        __syncthreads();
        if (lane >= half) continue;
        for (int k = 0; k < WIDTH; k++) found[k][thread] += found[k][thread + half * blockDim.x];
    }
    if (lane > 0 || c >= channels) return;
    for (int k = 0; k < WIDTH; k++) parts[(int64)blockIdx.y * channels + c + k] = found[k][thread];
}

// Add the shares up, and to the gradient: blocks of (32 channels, lanes).
extern "C" __global__ void scale_total(
    const number* __restrict__ parts, real* __restrict__ grad, int shares, int channels)
{
    __shared__ number found[THREADS];
    int c = blockIdx.x * blockDim.x + threadIdx.x, lane = threadIdx.y, thread = lane * blockDim.x + threadIdx.x;
    number sum = 0;
    for (int s = lane; s < shares && c < channels; s += blockDim.y) sum += parts[(int64)s * channels + c];
    found[thread] = sum;
    for (int half = blockDim.y / 2; half > 0; half /= 2) {
        __syncthreads();
        if (lane < half) found[thread] += found[thread + half * blockDim.x];
    }
    if (lane == 0 && c < channels) grad[c] = (real)((number)grad[c] + found[thread]);
}
