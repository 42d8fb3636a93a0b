// Max pooling of maps (N, H, W, C), and its way back.
//
// Forward, one thread looks at the window of one output pixel, for WIDTH neighbouring channels. Neighbouring threads
// have neighbouring channels, so a warp reads and writes without gaps; windows that overlap find each other's pixels in
// the cache. Besides the maximum the thread notes which cell of the window held it, in one byte: a quarter of what the
// map itself takes, and all that the way back needs (the array code keeps input and output instead).
//
// Backward is turned around. If each window handed its gradient to its pixel, windows that overlap would write to one
// place, and their order, and with it the rounding, would change from run to run. Here one thread owns one input pixel
// and collects from the few windows that see it, always in the same order.
//
// The rules are the array code's: of equal numbers the first wins, row by row; a window with a NaN gives NaN, and
// nobody gets its gradient; pixels beyond the border never win.

// The mean over a map is a sum of columns: 32 threads side by side take 32 neighbouring channels, and LANES rows of such
// threads share the pixels and add up through shared memory, in a fixed order.

#define NOBODY 255 // a window's winner where it has none
#define LANES 8

struct alignas(WIDTH) cells { // the winners of a pack, moved together as well
    uint8 at[WIDTH];
};

extern "C" __global__ void max_pool_forward(
    const real* __restrict__ x, real* __restrict__ y, uint8* __restrict__ winner,
    int n, int height, int width, int channels, int out_height, int out_width,
    int kernel_h, int kernel_w, int stride_h, int stride_w, int pad_h, int pad_w)
{
    int packs = channels / WIDTH;
    index_t count = (index_t)n * out_height * out_width * packs;
    for (index_t i = FIRST; i < count; i += STRIDE) {
        int c = (int)(i % packs) * WIDTH;
        index_t pixel = i / packs;
        int column = (int)(pixel % out_width);
        int row = (int)(pixel / out_width % out_height);
        index_t image = pixel / out_width / out_height;
        int top = row * stride_h - pad_h, left = column * stride_w - pad_w;

        number best[WIDTH];
        cells found;
        for (int k = 0; k < WIDTH; k++) {
            best[k] = LOWEST;
            found.at[k] = NOBODY;
        }
        for (int a = larger(0, -top); a < smaller(kernel_h, height - top); a++)
            for (int b = larger(0, -left); b < smaller(kernel_w, width - left); b++) {
                pack seen = load(x + ((image * height + top + a) * width + left + b) * channels + c);
                for (int k = 0; k < WIDTH; k++) {
                    number value = (number)seen.at[k];
                    bool is_nan = value != value;
                    bool was_nan = best[k] != best[k];
                    bool is_first = found.at[k] == NOBODY && !was_nan;
                    if (is_nan || value > best[k] || is_first) {
                        best[k] = value;
                        found.at[k] = is_nan ? NOBODY : (uint8)(a * kernel_w + b);
                    }
                }
            }
        pack result;
        index_t place = pixel * channels + c;
        for (int k = 0; k < WIDTH; k++) result.at[k] = (real)best[k];
        store(y + place, result);
        *(cells*)(winner + place) = found;
    }
}

extern "C" __global__ void max_pool_backward(
    const real* __restrict__ dy, const uint8* __restrict__ winner, real* __restrict__ dx,
    int n, int height, int width, int channels, int out_height, int out_width,
    int kernel_h, int kernel_w, int stride_h, int stride_w, int pad_h, int pad_w)
{
    int packs = channels / WIDTH;
    index_t count = (index_t)n * height * width * packs;
    for (index_t i = FIRST; i < count; i += STRIDE) {
        int c = (int)(i % packs) * WIDTH;
        index_t pixel = i / packs;
        int column = (int)(pixel % width) + pad_w;
        int row = (int)(pixel / width % height) + pad_h;
        index_t image = pixel / width / height;

        // Windows r with r * stride <= row < r * stride + kernel see this row, and likewise the column.
        int first_r = row < kernel_h ? 0 : (row - kernel_h) / stride_h + 1;
        int first_s = column < kernel_w ? 0 : (column - kernel_w) / stride_w + 1;
        int last_r = smaller(out_height - 1, row / stride_h);
        int last_s = smaller(out_width - 1, column / stride_w);
        number sum[WIDTH];
        for (int k = 0; k < WIDTH; k++) sum[k] = 0;
        for (int r = last_r; r >= first_r; r--) // backwards: cells of the window in their order, as in the array code
            for (int s = last_s; s >= first_s; s--) {
                int cell = (row - r * stride_h) * kernel_w + column - s * stride_w;
                index_t place = ((image * out_height + r) * out_width + s) * channels + c;
                pack gradient = load(dy + place);
                cells winners = *(const cells*)(winner + place);
                for (int k = 0; k < WIDTH; k++)
                    if (winners.at[k] == cell) sum[k] += (number)gradient.at[k];
            }
        pack result;
        for (int k = 0; k < WIDTH; k++) result.at[k] = (real)sum[k];
        store(dx + pixel * channels + c, result);
    }
}

// Blocks of (32, LANES) threads, a grid of (ceil(channels / 32), n); WIDTH 1.
extern "C" __global__ void mean_forward(
    const real* __restrict__ x, real* __restrict__ y, int pixels, int channels)
{
    __shared__ number sums[LANES][32];
    int c = blockIdx.x * 32 + threadIdx.x, lane = threadIdx.y;
    const real* image = x + (index_t)blockIdx.y * pixels * channels;
    number sum = 0;
    if (c < channels)
        for (int p = lane; p < pixels; p += LANES) sum += (number)image[(index_t)p * channels + c];
    sums[lane][threadIdx.x] = sum;
    __syncthreads(); // reached by every thread: those beyond the last channel too
    if (lane == 0 && c < channels) {
        for (int other = 1; other < LANES; other++) sum += sums[other][threadIdx.x];
        y[(index_t)blockIdx.y * channels + c] = (real)(sum / pixels);
    }
}

extern "C" __global__ void mean_backward(
    const real* __restrict__ dy, real* __restrict__ dx, int n, int pixels, int channels)
{
    index_t count = (index_t)n * pixels * channels;
    for (index_t i = FIRST; i < count; i += STRIDE) {
        index_t image = i / channels / pixels;
        dx[i] = (real)((number)dy[image * channels + i % channels] / pixels);
    }
}
