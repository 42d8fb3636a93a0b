// Sums over the rows of a matrix (rows, columns): 32 threads side by side read 32 neighbouring columns, LANES such rows
// of threads take every LANES-th row of their block's share, and add up through shared memory in a fixed order.
//
// A grid of (ceil(columns / 32), shares) blocks gives one sum for each share, (shares, columns): a second launch with
// one share adds those up. Which numbers meet in which order depends on sizes alone, so sums repeat bit for bit.
#define LANES 8

extern "C" __global__ void row_sums(const real* __restrict__ x, real* __restrict__ sums, int64 rows, int columns)
{
    __shared__ number parts[LANES][32];
    int column = blockIdx.x * 32 + threadIdx.x, lane = threadIdx.y;
    int64 share = (rows + gridDim.y - 1) / gridDim.y; // rows of a block
    int64 begin = blockIdx.y * share, end = begin + share < rows ? begin + share : rows;
    number sum = 0;
    if (column < columns)
        for (int64 row = begin + lane; row < end; row += LANES) sum += (number)x[row * columns + column];
    parts[lane][threadIdx.x] = sum;
    __syncthreads();
    if (lane == 0 && column < columns) {
        for (int other = 1; other < LANES; other++) sum += parts[other][threadIdx.x];
        sums[(int64)blockIdx.y * columns + column] = (real)sum;
    }
}
