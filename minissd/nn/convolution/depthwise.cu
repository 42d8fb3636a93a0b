// Depthwise convolution: each channel has a kernel of its own, w is (cells, C). There is so little arithmetic for each
// number read (9 products for a 3x3 kernel) that memory decides: threads side by side take neighbouring channels, WIDTH
// each, and read every window without gaps; what windows share comes from the cache. Bias and activation are applied
// before an output is written.
#define LANES 8

extern "C" __global__ void depthwise_forward(
    const real* __restrict__ x, const real* __restrict__ w, const real* __restrict__ bias, real* __restrict__ y,
    int n, int height, int width, int channels, int out_height, int out_width, int kernel_h, int kernel_w,
    int stride_h, int stride_w, int pad_h, int pad_w, int dilation_h, int dilation_w,
    bool has_bias, bool has_ceiling, number ceiling)
{
    int packs = channels / WIDTH;
    index_t count = (index_t)n * out_height * out_width * packs;
    for (index_t i = FIRST; i < count; i += STRIDE) {
        int c = (int)(i % packs) * WIDTH;
        index_t pixel = i / packs;
        int left = (int)(pixel % out_width) * stride_w - pad_w;
        int top = (int)(pixel / out_width % out_height) * stride_h - pad_h;
        index_t image = pixel / out_width / out_height;
        number sum[WIDTH];
        for (int k = 0; k < WIDTH; k++) sum[k] = has_bias ? (number)bias[c + k] : (number)0;
        for (int a = 0; a < kernel_h; a++) {
            int row = top + a * dilation_h;
            if (row < 0 || row >= height) continue;
            for (int b = 0; b < kernel_w; b++) {
                int column = left + b * dilation_w;
                if (column < 0 || column >= width) continue;
                pack seen = load(x + ((image * height + row) * width + column) * channels + c);
                pack weight = load(w + (a * kernel_w + b) * channels + c);
                for (int k = 0; k < WIDTH; k++) sum[k] += (number)seen.at[k] * (number)weight.at[k];
            }
        }
        pack result;
        for (int k = 0; k < WIDTH; k++) {
            number value = sum[k];
            if (has_ceiling) value = limited(value, ceiling);
            result.at[k] = (real)value;
        }
        store(y + i * WIDTH, result);
    }
}

// One thread owns one input pixel and collects from the windows that saw it, cell by cell.
extern "C" __global__ void depthwise_input_gradient(
    const real* __restrict__ dy, const real* __restrict__ w, real* __restrict__ dx,
    int n, int height, int width, int channels, int out_height, int out_width, int kernel_h, int kernel_w,
    int stride_h, int stride_w, int pad_h, int pad_w, int dilation_h, int dilation_w)
{
    int packs = channels / WIDTH;
    index_t count = (index_t)n * height * width * packs;
    for (index_t i = FIRST; i < count; i += STRIDE) {
        int c = (int)(i % packs) * WIDTH;
        index_t pixel = i / packs;
        int column = (int)(pixel % width) + pad_w;
        int row = (int)(pixel / width % height) + pad_h;
        index_t image = pixel / width / height;
        number sum[WIDTH];
        for (int k = 0; k < WIDTH; k++) sum[k] = 0;
        for (int a = 0; a < kernel_h; a++) {
            int top = row - a * dilation_h;
            if (top < 0 || top % stride_h != 0 || top / stride_h >= out_height) continue;
            for (int b = 0; b < kernel_w; b++) {
                int left = column - b * dilation_w;
                if (left < 0 || left % stride_w != 0 || left / stride_w >= out_width) continue;
                index_t window = (image * out_height + top / stride_h) * out_width + left / stride_w;
                pack gradient = load(dy + window * channels + c);
                pack weight = load(w + (a * kernel_w + b) * channels + c);
                for (int k = 0; k < WIDTH; k++) sum[k] += (number)gradient.at[k] * (number)weight.at[k];
            }
        }
        pack result;
        for (int k = 0; k < WIDTH; k++) result.at[k] = (real)sum[k];
        store(dx + i * WIDTH, result);
    }
}

// dw[a, b] = sum over pixels of x[i + a, j + b] * dy[i, j], in two steps as in sums.cu: blocks of (32, LANES) threads, a
// grid of (ceil(C / 32), shares, cells), WIDTH 1. Each block sums its share of the output pixels for one cell of the
// kernel; the shares, (shares, cells, C), are added up afterwards.
extern "C" __global__ void depthwise_weight_gradient(
    const real* __restrict__ x, const real* __restrict__ dy, real* __restrict__ parts,
    int n, int height, int width, int channels, int out_height, int out_width, int kernel_h, int kernel_w,
    int stride_h, int stride_w, int pad_h, int pad_w, int dilation_h, int dilation_w)
{
    __shared__ number sums[LANES][32];
    int c = blockIdx.x * 32 + threadIdx.x, lane = threadIdx.y, cell = blockIdx.z;
    index_t pixels = (index_t)n * out_height * out_width, share = (pixels + gridDim.y - 1) / gridDim.y;
    index_t begin = blockIdx.y * share, end = begin + share < pixels ? begin + share : pixels;
    int down = cell / kernel_w * dilation_h - pad_h, right = cell % kernel_w * dilation_w - pad_w;
    number sum = 0;
    if (c < channels)
        for (index_t pixel = begin + lane; pixel < end; pixel += LANES) {
            int column = (int)(pixel % out_width) * stride_w + right;
            int row = (int)(pixel / out_width % out_height) * stride_h + down;
            index_t image = pixel / out_width / out_height;
            if (row < 0 || row >= height || column < 0 || column >= width) continue;
            sum += (number)x[((image * height + row) * width + column) * channels + c] * (number)dy[pixel * channels + c];
        }
    sums[lane][threadIdx.x] = sum;
    __syncthreads();
    if (lane == 0 && c < channels) {
        for (int other = 1; other < LANES; other++) sum += sums[other][threadIdx.x];
        parts[((index_t)blockIdx.y * gridDim.z + cell) * channels + c] = (real)sum;
    }
}
