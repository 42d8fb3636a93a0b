// From bytes to what the network reads, (value - mean of its channel) * scale: WIDTH values a thread, one pass. The
// three means come along as numbers, so nothing but the images themselves is copied to the device.

struct alignas(WIDTH) bytes {
    uint8 at[WIDTH];
};

extern "C" __global__ void prepare(
    const uint8* __restrict__ images, real* __restrict__ x, number mean_0, number mean_1, number mean_2, number scale,
    int64 packs)
{
    for (int64 i = FIRST; i < packs; i += STRIDE) {
        bytes values = *(const bytes*)(images + i * WIDTH);
        int channel = (int)(i * WIDTH % 3); // of the first value; the images are (N, H, W, 3)
        pack result;
        for (int k = 0; k < WIDTH; k++) {
            number mean = channel == 0 ? mean_0 : channel == 1 ? mean_1 : mean_2;
            result.at[k] = (real)(((number)values.at[k] - mean) * scale);
            channel = channel == 2 ? 0 : channel + 1;
        }
        store(x + i * WIDTH, result);
    }
}
