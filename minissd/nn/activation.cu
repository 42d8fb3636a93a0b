// ReLU and ReLU6, WIDTH numbers a thread: one pass over memory there (read, write) and one back (read two, write).

extern "C" __global__ void rectify(
    const real* __restrict__ x, real* __restrict__ y, number ceiling, int64 packs)
{
    for (int64 i = FIRST; i < packs; i += STRIDE) {
        pack values = load(x + i * WIDTH);
        for (int k = 0; k < WIDTH; k++) values.at[k] = (real)limited((number)values.at[k], ceiling);
        store(y + i * WIDTH, values);
    }
}

// The gradient passes where the output lies strictly between 0 and the ceiling, which may be infinite.
extern "C" __global__ void rectify_gradient(
    const real* __restrict__ dy, const real* __restrict__ y, real* __restrict__ dx, number ceiling, int64 packs)
{
    bool has_ceiling = ceiling < (number)3e38;
    for (int64 i = FIRST; i < packs; i += STRIDE) {
        pack gradients = load(dy + i * WIDTH), outputs = load(y + i * WIDTH);
        for (int k = 0; k < WIDTH; k++) {
            number output = (number)outputs.at[k];
            bool open = output > 0 && (output < ceiling || !has_ceiling);
            gradients.at[k] = (real)((number)gradients.at[k] * (open ? 1 : 0));
        }
        store(dx + i * WIDTH, gradients);
    }
}
