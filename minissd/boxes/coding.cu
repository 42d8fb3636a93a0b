// Coding of boxes: offsets of matched boxes for training, and boxes from offsets for detection.
//
// One thread a default box. The arithmetic is the array code's, number by number; only `exp` and `log` may differ from those
// of NumPy, in their last bit.

// Labels, offsets and candidates of all default boxes from the object that each was matched with. Objects are rows of
// (left, top, right, bottom, label), `rows` for each image.
extern "C" __global__ void encode_matched(
    const real* __restrict__ objects, const real* __restrict__ default_centers, const bool* __restrict__ usable,
    const int64* __restrict__ object_index, const real* __restrict__ iou, int64* __restrict__ labels,
    real* __restrict__ offsets, bool* __restrict__ candidates, int n, int n_defaults, int rows,
    number center_scale, number size_scale, number smallest_side, number negative_iou)
{
    for (int64 i = FIRST; i < (int64)n * n_defaults; i += STRIDE) {
        int k = (int)(i % n_defaults);
        const real* image = objects + i / n_defaults * rows * 5;
        const real* object = image + object_index[i] * 5;
        const real* base = default_centers + (int64)k * 4;
        real* target = offsets + i * 4;
        bool is_matched = object_index[i] >= 0 && usable[k];
        bool is_empty = image[4] < 0; // an image without objects
        labels[i] = is_matched ? (int64)object[4] : 0;
        candidates[i] = usable[k] && !is_matched && (is_empty || iou[i] < negative_iou);
        for (int axis = 0; axis < 2; axis++) {
            target[axis] = target[axis + 2] = 0;
            if (!is_matched) continue;
            number low = object[axis], high = object[axis + 2], side = base[axis + 2];
            target[axis] = ((low + high) / 2 - base[axis]) / side / center_scale;
            target[axis + 2] = log(higher(high - low, smallest_side) / side) / size_scale;
        }
    }
}

extern "C" __global__ void decode(
    const real* __restrict__ offsets, const real* __restrict__ default_centers, real* __restrict__ boxes,
    int64 n_boxes, int n_defaults, number center_scale, number size_scale, number limit)
{
    for (int64 i = FIRST; i < n_boxes; i += STRIDE) {
        const real* offset = offsets + i * 4;
        const real* base = default_centers + i % n_defaults * 4;
        for (int axis = 0; axis < 2; axis++) {
            number side = base[axis + 2];
            number center = base[axis] + product(product(offset[axis], center_scale), side);
            number half = product(side, exp(lower(product(offset[axis + 2], size_scale), limit))) / 2;
            boxes[i * 4 + axis] = center - half;
            boxes[i * 4 + axis + 2] = center + half;
        }
    }
}
