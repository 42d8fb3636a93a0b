// Convolution as a matrix product on a GPU: the columns, the way back from them, and what follows the product.
//
// The matrix of columns is (groups, pixels of the output, cells of the kernel * channels of a group). With channels last
// a window is kh runs of kw * C neighbouring numbers, so one thread moves WIDTH neighbouring channels, its neighbours
// the next ones, and a warp reads and writes runs without gaps. Each pixel is read kh * kw times, mostly from the cache.
//
// The way back adds each window's share to its pixels. Here one thread owns one pixel and collects its shares, cell by
// cell in a fixed order: no atomic additions, and the same bits in every run.

extern "C" __global__ void columns(
    const real* __restrict__ x, real* __restrict__ cols,
    int n, int height, int width, int channels, int out_height, int out_width, int kernel_h, int kernel_w,
    int stride_h, int stride_w, int pad_h, int pad_w, int dilation_h, int dilation_w, int groups)
{
    int group_channels = channels / groups, packs = group_channels / WIDTH, cells = kernel_h * kernel_w;
    index_t pixels = (index_t)n * out_height * out_width;
    index_t count = groups * pixels * cells * packs; // in the order of the matrix
    for (index_t i = FIRST; i < count; i += STRIDE) {
        int c = (int)(i % packs) * WIDTH;
        index_t rest = i / packs;
        int cell = (int)(rest % cells);
        rest /= cells;
        index_t pixel = rest % pixels;
        int group = (int)(rest / pixels);
        int column = (int)(pixel % out_width);
        int row = (int)(pixel / out_width % out_height);
        index_t image = pixel / out_width / out_height;
        int y = row * stride_h - pad_h + cell / kernel_w * dilation_h;
        int x_ = column * stride_w - pad_w + cell % kernel_w * dilation_w;
        pack seen;
        if (y >= 0 && y < height && x_ >= 0 && x_ < width)
            seen = load(x + ((image * height + y) * width + x_) * channels + group * group_channels + c);
        else
            for (int k = 0; k < WIDTH; k++) seen.at[k] = (real)(number)0;
        store(cols + i * WIDTH, seen);
    }
}

extern "C" __global__ void add_back(
    const real* __restrict__ cols, real* __restrict__ dx,
    int n, int height, int width, int channels, int out_height, int out_width, int kernel_h, int kernel_w,
    int stride_h, int stride_w, int pad_h, int pad_w, int dilation_h, int dilation_w, int groups)
{
    int packs = channels / WIDTH, group_channels = channels / groups, cells = kernel_h * kernel_w;
    index_t pixels = (index_t)n * out_height * out_width;
    index_t count = (index_t)n * height * width * packs;
    for (index_t i = FIRST; i < count; i += STRIDE) {
        int c = (int)(i % packs) * WIDTH;
        index_t pixel = i / packs;
        int column = (int)(pixel % width) + pad_w;
        int row = (int)(pixel / width % height) + pad_h;
        index_t image = pixel / width / height;
        const real* shares = cols + (c / group_channels * pixels * cells) * group_channels + c % group_channels;
        number sum[WIDTH];
        for (int k = 0; k < WIDTH; k++) sum[k] = 0;
        for (int a = 0; a < kernel_h; a++) {
            int top = row - a * dilation_h; // where the window begins whose cell in row a is this pixel
            if (top < 0 || top % stride_h != 0 || top / stride_h >= out_height) continue;
            for (int b = 0; b < kernel_w; b++) {
                int left = column - b * dilation_w;
                if (left < 0 || left % stride_w != 0 || left / stride_w >= out_width) continue;
                index_t window = (image * out_height + top / stride_h) * out_width + left / stride_w;
                pack share = load(shares + (window * cells + a * kernel_w + b) * group_channels);
                for (int k = 0; k < WIDTH; k++) sum[k] += (number)share.at[k];
            }
        }
        pack result;
        for (int k = 0; k < WIDTH; k++) result.at[k] = (real)sum[k];
        store(dx + i * WIDTH, result);
    }
}

// Bias and activation in one pass over the output, in place. Without a bias any array may stand for it.
extern "C" __global__ void finish(
    real* y, const real* bias, int64 count, int channels, bool has_bias, bool has_ceiling, number ceiling)
{
    for (index_t i = FIRST; i < count / WIDTH; i += STRIDE) {
        pack values = load(y + i * WIDTH);
        int c = (int)(i * WIDTH % channels);
        for (int k = 0; k < WIDTH; k++) {
            number value = (number)values.at[k];
            if (has_bias) value += (number)bias[c + k];
            if (has_ceiling) value = limited(value, ceiling);
            values.at[k] = (real)value;
        }
        store(y + i * WIDTH, values);
    }
}
