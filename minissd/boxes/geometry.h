// Boxes in kernels: put before the text of the files beside it, so that matching and suppression measure overlap in the
// same way, and both as geometry.py does.
//
// Equal means bit for bit here: which box wins hangs on ties and on thresholds. A compiler may fuse a product and a sum
// into one instruction that rounds once; the array code rounds twice, so products are asked for by an intrinsic that is
// never fused. A NaN stays one, as with NumPy's minimum and maximum, and overlaps nothing.
//
// Corners are read number by number: four neighbouring reads of a warp share their cache lines, and all boxes of a batch
// are a few megabytes.

struct box {
    number left, top, right, bottom;
};

__device__ inline float product(float a, float b) { return __fmul_rn(a, b); }

__device__ inline double product(double a, double b) { return __dmul_rn(a, b); }

__device__ inline number least(float) { return 1.17549435e-38f; }

__device__ inline number least(double) { return 2.2250738585072014e-308; }

__device__ inline number lower(number a, number b) { return a < b || a != a ? a : b; }

__device__ inline number higher(number a, number b) { return a > b || a != a ? a : b; }

__device__ inline box read_box(const real* at)
{
    box it = {at[0], at[1], at[2], at[3]};
    return it;
}

__device__ inline number area(const box& a)
{
    return product(higher(a.right - a.left, 0), higher(a.bottom - a.top, 0));
}

// Intersection over union; 0 where a box has no area.
__device__ inline number overlap(const box& a, const box& b)
{
    number width = higher(lower(a.right, b.right) - higher(a.left, b.left), 0);
    number height = higher(lower(a.bottom, b.bottom) - higher(a.top, b.top), 0);
    number shared = product(width, height);
    number whole = area(a) + area(b) - shared;
    return lower(shared / higher(whole, least((number)0)), 1);
}
