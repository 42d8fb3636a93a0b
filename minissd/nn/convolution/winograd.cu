// Winograd's convolution F(4x4, 3x3) on a GPU: the ways to the points and back. What lies between is 36 products of
// matrices, one a point, (tiles, C) times (C, K), which cuBLAS does as one batch.
//
// The numbers below are the matrices INPUT, KERNEL and OUTPUT of points.py for the points 0, +-5/8, +-3/2 and infinity,
// written out: points come in pairs of opposite sign, so each pair shares its even and its odd part. A test holds them
// equal to those matrices.
//
// Every kernel here gives one thread one channel of one tile: 36 numbers, which stay in registers. Threads side by side
// take neighbouring channels, so each of a warp's reads and writes is 128 neighbouring bytes (float32), and 36 of them
// are under way at once. Values at the points are stored (36, tiles, channels), in the order the products read them.
//
// A dilated kernel sees only every dilation-th row and column, so a map falls into dilation_h * dilation_w phases, and
// tiles are laid over each: tile row t, pixel a of phase p is row (4 t + a) * dilation + p of the map.

struct Input { // 6 pixels to 6 points
    static __device__ void apply(const number* d, number* v)
    {
        const number far = (number)(225.0 / 512), middle = (number)(169.0 / 128), half = (number)0.5;
        number even = half * d[4] - (number)(9.0 / 8) * d[2], odd = (number)(5.0 / 16) * d[3] - (number)(45.0 / 64) * d[1];
        number even2 = half * d[4] - (number)(25.0 / 128) * d[2], odd2 = (number)0.75 * d[3] - (number)(75.0 / 256) * d[1];
        v[0] = far * d[0] - middle * d[2] + half * d[4];
        v[1] = even + odd;
        v[2] = even - odd;
        v[3] = even2 + odd2;
        v[4] = even2 - odd2;
        v[5] = far * d[1] - middle * d[3] + half * d[5];
    }
};

struct Kernel { // 3 weights to 6 points
    static __device__ void apply(const number* w, number* u)
    {
        const number last = (number)(64.0 / 119);
        number even = (number)(-4096.0 / 2975) * w[0] - last * w[2], odd = (number)(-512.0 / 595) * w[1];
        number even2 = (number)(256.0 / 1071) * w[0] + last * w[2], odd2 = (number)(128.0 / 357) * w[1];
        u[0] = (number)(512.0 / 225) * w[0];
        u[1] = even + odd;
        u[2] = even - odd;
        u[3] = even2 + odd2;
        u[4] = even2 - odd2;
        u[5] = 2 * w[2];
    }
};

struct KernelBack { // its transpose: gradients at 6 points to those of 3 weights
    static __device__ void apply(const number* u, number* w)
    {
        number sum = u[1] + u[2], difference = u[1] - u[2], sum2 = u[3] + u[4], difference2 = u[3] - u[4];
        w[0] = (number)(512.0 / 225) * u[0] - (number)(4096.0 / 2975) * sum + (number)(256.0 / 1071) * sum2;
        w[1] = (number)(-512.0 / 595) * difference + (number)(128.0 / 357) * difference2;
        w[2] = (number)(64.0 / 119) * (sum2 - sum) + 2 * u[5];
    }
};

struct Output { // products at 6 points to 4 outputs
    static __device__ void apply(const number* m, number* y)
    {
        number sum = m[1] + m[2], difference = m[1] - m[2], sum2 = m[3] + m[4], difference2 = m[3] - m[4];
        y[0] = m[0] + sum + sum2;
        y[1] = (number)(5.0 / 8) * difference + (number)1.5 * difference2;
        y[2] = (number)(25.0 / 64) * sum + (number)(9.0 / 4) * sum2;
        y[3] = (number)(125.0 / 512) * difference + (number)(27.0 / 8) * difference2 + m[5];
    }
};

struct OutputBack { // its transpose: gradients of 4 outputs to 6 points
    static __device__ void apply(const number* y, number* m)
    {
        number even = y[0] + (number)(25.0 / 64) * y[2], odd = (number)(5.0 / 8) * y[1] + (number)(125.0 / 512) * y[3];
        number even2 = y[0] + (number)(9.0 / 4) * y[2], odd2 = (number)1.5 * y[1] + (number)(27.0 / 8) * y[3];
        m[0] = y[0];
        m[1] = even + odd;
        m[2] = even - odd;
        m[3] = even2 + odd2;
        m[4] = even2 - odd2;
        m[5] = y[3];
    }
};

// A transform of a square along its columns, then along its rows. Loops are unrolled, so that no index is computed and
// everything stays in registers.
template <class Transform, int FROM, int TO>
__device__ void both_ways(const number (&square)[FROM][FROM], number (&result)[TO][TO])
{
    number half_way[TO][FROM];
#pragma unroll
    for (int j = 0; j < FROM; j++) {
        number from[FROM], to[TO];
#pragma unroll
        for (int i = 0; i < FROM; i++) from[i] = square[i][j];
        Transform::apply(from, to);
#pragma unroll
        for (int i = 0; i < TO; i++) half_way[i][j] = to[i];
    }
#pragma unroll
    for (int i = 0; i < TO; i++) Transform::apply(half_way[i], result[i]);
}

struct Tile { // where a tile lies
    index_t image;
    int row, column; // of its first output
};

// Tiles are numbered image by image, phase by phase, row by row.
__device__ inline Tile tile_at(index_t tile, int down, int across, int dilation_h, int dilation_w)
{
    Tile found;
    int t = (int)(tile % across);
    tile /= across;
    int s = (int)(tile % down);
    tile /= down;
    found.column = 4 * t * dilation_w + (int)(tile % dilation_w);
    tile /= dilation_w;
    found.row = 4 * s * dilation_h + (int)(tile % dilation_h);
    found.image = tile / dilation_h;
    return found;
}

// Takes the pixels that a tile sees (SIDE 6, Input) or the gradients of its outputs (SIDE 4, OutputBack) to the points.
template <class Transform, int SIDE>
__device__ void to_points(
    const real* x, real* values, int64 tiles, int height, int width, int channels, int down, int across,
    int pad_h, int pad_w, int dilation_h, int dilation_w)
{
    index_t count = tiles * channels;
    for (index_t i = FIRST; i < count; i += STRIDE) {
        int c = (int)(i % channels);
        Tile tile = tile_at(i / channels, down, across, dilation_h, dilation_w);
        number pixels[SIDE][SIDE], points[6][6];
#pragma unroll
        for (int a = 0; a < SIDE; a++)
#pragma unroll
            for (int b = 0; b < SIDE; b++) {
                int row = tile.row - pad_h + a * dilation_h, column = tile.column - pad_w + b * dilation_w;
                bool inside = row >= 0 && row < height && column >= 0 && column < width;
                pixels[a][b] = inside ? (number)x[((tile.image * height + row) * width + column) * channels + c] : 0;
            }
        both_ways<Transform>(pixels, points);
#pragma unroll
        for (int a = 0; a < 6; a++)
#pragma unroll
            for (int b = 0; b < 6; b++) values[(a * 6 + b) * count + i] = (real)points[a][b];
    }
}

extern "C" __global__ void input_to_points(
    const real* __restrict__ x, real* __restrict__ values, int64 tiles, int height, int width, int channels,
    int down, int across, int pad_h, int pad_w, int dilation_h, int dilation_w)
{
    to_points<Input, 6>(
        x, values, tiles, height, width, channels, down, across, pad_h, pad_w, dilation_h, dilation_w);
}

extern "C" __global__ void gradient_to_points(
    const real* __restrict__ dy, real* __restrict__ values, int64 tiles, int height, int width, int channels,
    int down, int across, int pad_h, int pad_w, int dilation_h, int dilation_w)
{
    to_points<OutputBack, 4>(
        dy, values, tiles, height, width, channels, down, across, pad_h, pad_w, dilation_h, dilation_w);
}

// Outputs from the products at the points, with bias and activation; what hangs over the border is not written.
extern "C" __global__ void output_from_points(
    const real* __restrict__ products, const real* __restrict__ bias, real* __restrict__ y, int64 tiles,
    int height, int width, int channels, int down, int across, int dilation_h, int dilation_w,
    bool has_bias, bool has_ceiling, number ceiling)
{
    index_t count = tiles * channels;
    for (index_t i = FIRST; i < count; i += STRIDE) {
        int c = (int)(i % channels);
        Tile tile = tile_at(i / channels, down, across, dilation_h, dilation_w);
        number points[6][6], outputs[4][4];
#pragma unroll
        for (int a = 0; a < 6; a++)
#pragma unroll
            for (int b = 0; b < 6; b++) points[a][b] = (number)products[(a * 6 + b) * count + i];
        both_ways<Output>(points, outputs);
        number shift = has_bias ? (number)bias[c] : (number)0;
#pragma unroll
        for (int a = 0; a < 4; a++)
#pragma unroll
            for (int b = 0; b < 4; b++) {
                int row = tile.row + a * dilation_h, column = tile.column + b * dilation_w;
                if (row >= height || column >= width) continue;
                number value = outputs[a][b] + shift;
                if (has_ceiling) value = limited(value, ceiling);
                y[((tile.image * height + row) * width + column) * channels + c] = (real)value;
            }
    }
}

// Kernels w (3, 3, C, K) to the points (36, C, K). Turned, for the gradient of the input: rotated by 180 degrees, with
// inputs and outputs exchanged, (36, K, C).
extern "C" __global__ void kernels_to_points(
    const real* __restrict__ w, real* __restrict__ values, int channels, int filters, bool turned)
{
    index_t count = (index_t)channels * filters;
    for (index_t i = FIRST; i < count; i += STRIDE) {
        index_t from = turned ? i % channels * filters + i / channels : i;
        number weights[3][3], points[6][6];
#pragma unroll
        for (int a = 0; a < 3; a++)
#pragma unroll
            for (int b = 0; b < 3; b++) weights[a][b] = (number)w[(turned ? 8 - 3 * a - b : 3 * a + b) * count + from];
        both_ways<Kernel>(weights, points);
#pragma unroll
        for (int a = 0; a < 6; a++)
#pragma unroll
            for (int b = 0; b < 6; b++) values[(a * 6 + b) * count + i] = (real)points[a][b];
    }
}

// Gradients of kernels at the points (36, count) to those of the weights (9, count).
extern "C" __global__ void kernels_from_points(const real* __restrict__ values, real* __restrict__ dw, int64 count)
{
    for (index_t i = FIRST; i < count; i += STRIDE) {
        number points[6][6], weights[3][3];
#pragma unroll
        for (int a = 0; a < 6; a++)
#pragma unroll
            for (int b = 0; b < 6; b++) points[a][b] = (number)values[(a * 6 + b) * count + i];
        both_ways<KernelBack>(points, weights);
#pragma unroll
        for (int a = 0; a < 3; a++)
#pragma unroll
            for (int b = 0; b < 3; b++) dw[(a * 3 + b) * count + i] = (real)weights[a][b];
    }
}
