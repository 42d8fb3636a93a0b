"""im2col on a GPU: kernels lay out the columns, cuBLAS multiplies, a kernel adds bias and activation in one pass.

The answers are those of `im2col`, whose array code is the specification. What differs is what costs time there:

- columns are made for as many images at a time as fit `WORKSPACE`, from CuPy's pool, which hands out the same memory
  again and again;
- a 1x1 kernel of stride 1 needs no columns: the map itself is the matrix;
- dx collects its shares from the columns' gradient, pixel by pixel, so the sum repeats bit for bit.

In float16 products are summed in float32 by cuBLAS, and bias and activation are applied in float32.
"""

from __future__ import annotations

from minissd.backend import Array, array_module
from minissd.cuda import BLOCK, Kernels, narrow, pack_width
from minissd.nn.convolution import pointwise
from minissd.nn.convolution.im2col import ConvShape, weight_matrix
from minissd.parallel import runs

KERNELS = Kernels(__file__, "im2col.cu", half=True)
WORKSPACE = 2**28  # bytes of columns at a time


def forward(
    x: Array,
    w: Array,
    shape: ConvShape,
    bias: Array | None = None,
    ceiling: float | None = None,
) -> Array:
    """Convolve (N, H, W, C) with w (kh, kw, C / groups, K) into (N, OH, OW, K); finish them as `im2col` does."""
    xp, n, k = array_module(x, w), len(x), w.shape[-1]
    out = shape.output_size(*x.shape[1:3])
    y = xp.empty((n, *out, k), x.dtype)
    matrix = xp.ascontiguousarray(weight_matrix(w, shape.groups))
    for block in _blocks(x, shape, out):
        cols, rows = _columns(x[block], shape, out), y[block].reshape(-1, k)
        if shape.groups == 1:
            xp.matmul(cols[0], matrix[0], out=rows)
        else:
            by_group = rows.reshape(-1, shape.groups, k // shape.groups)
            by_group[...] = xp.matmul(cols, matrix).transpose(1, 0, 2)
    finish(y, bias, ceiling)
    return y


def weight_gradient(x: Array, dy: Array, shape: ConvShape) -> Array:
    """Return dw (kh, kw, C / groups, K) for the input x (N, H, W, C) and the upstream gradient dy (N, OH, OW, K)."""
    xp, groups, k = array_module(x, dy), shape.groups, dy.shape[-1]
    c = x.shape[-1] // groups
    dw = xp.zeros((groups, shape.kernel[0] * shape.kernel[1] * c, k // groups), x.dtype)
    for block in _blocks(x, shape, dy.shape[1:3]):
        cols = _columns(x[block], shape, dy.shape[1:3])
        rows = dy[block].reshape(-1, groups, k // groups)
        for group in range(groups):  # not as a batch, which CuPy would copy to transpose it
            dw[group] += xp.matmul(cols[group].T, rows[:, group])
    return dw.transpose(1, 0, 2).reshape(*shape.kernel, c, k)


def input_gradient(
    dy: Array, w: Array, shape: ConvShape, input_shape: tuple[int, int, int, int]
) -> Array:
    """Return dx (N, H, W, C) for the upstream gradient dy (N, OH, OW, K)."""
    xp, groups, k = array_module(dy, w), shape.groups, dy.shape[-1]
    dx = xp.empty(input_shape, dy.dtype)
    matrix = weight_matrix(w, groups)
    for block in _blocks(dx, shape, dy.shape[1:3]):
        rows = dy[block].reshape(-1, groups, k // groups).transpose(1, 0, 2)
        if groups == 1:  # matrices, not a batch of one: CuPy would copy that to transpose it
            rows, matrix = rows[0], matrix.reshape(-1, k)
        cols = xp.matmul(rows, matrix.swapaxes(-1, -2))
        if pointwise.suits(shape):
            dx[block] = cols.reshape(dx[block].shape)
        else:
            _launch("add_back", cols, dx[block], dx[block].shape, shape, dy.shape[1:3])
    return dx


def finish(y: Array, bias: Array | None, ceiling: float | None) -> None:
    """Add the bias to a map (..., K) and limit it to [0, ceiling], in place and in one pass."""
    if bias is None and ceiling is None:
        return
    k = y.shape[-1]
    kernels = KERNELS.of(y, WIDTH=pack_width(k, y), NARROW=narrow(y))
    stand_in = y if bias is None else bias
    limit = 0 if ceiling is None else ceiling
    args = (y, stand_in, y.size, k, bias is not None, ceiling is not None, limit)
    kernels.launch("finish", y.size // kernels.width, BLOCK, args)


def _blocks(x: Array, shape: ConvShape, out: tuple[int, int]) -> list[slice]:
    """Cut a batch into runs of images whose columns fit the workspace; at least one image."""
    cells = 1 if pointwise.suits(shape) else shape.kernel[0] * shape.kernel[1]
    image_bytes = out[0] * out[1] * cells * x.shape[-1] * x.itemsize
    return runs(len(x), max(1, WORKSPACE // max(1, image_bytes)))


def _columns(x: Array, shape: ConvShape, out: tuple[int, int]) -> Array:
    """Return the windows of all output pixels, (groups, N * OH * OW, kh * kw * C / groups)."""
    xp, (n, _, _, c), g = array_module(x), x.shape, shape.groups
    x = xp.ascontiguousarray(x)
    if pointwise.suits(shape):
        return x.reshape(1, -1, c)
    cells = shape.kernel[0] * shape.kernel[1]
    cols = xp.empty((g, n * out[0] * out[1], cells * c // g), x.dtype)
    _launch("columns", x, cols, x.shape, shape, out)
    return cols


def _launch(
    name: str,
    source: Array,
    target: Array,
    map_shape: tuple[int, int, int, int],
    shape: ConvShape,
    out: tuple[int, int],
) -> None:
    """Queue one of the two kernels that walk over a map and its columns."""
    width = pack_width(map_shape[-1] // shape.groups, source, target)
    kernels = KERNELS.of(source, WIDTH=width, NARROW=narrow(source, target))
    args = (source, target, *map_shape, *out, *shape.numbers, shape.groups)
    kernels.launch(name, target.size // kernels.width, BLOCK, args)
