"""Chapter 9: answers that learners give, and words of the hint that each should get."""

import numpy as np


def _flip(number, swap=True, turn=False):
    """A flip about `width + number`."""

    def flip_pixels(boxes, width):
        xmin, ymin, xmax, ymax = boxes.T
        first, last = width + number - xmin, width + number - xmax
        if turn:
            ymin, ymax = 61 - ymax, 61 - ymin
        corners = [last, ymin, first, ymax] if swap else [first, ymin, last, ymax]
        return np.stack(corners, axis=-1)

    return flip_pixels


def _patch(boxes, patch, keep="centre", origin=True, unit=True, clip=True):
    middle = (boxes[:, :2] + boxes[:, 2:]) / 2
    stay = ((patch[:2] <= middle) & (middle <= patch[2:])).all(axis=1)
    if keep == "touched":
        stay = ((boxes[:, :2] < patch[2:]) & (boxes[:, 2:] > patch[:2])).all(axis=1)
    if keep == "whole":
        stay = ((boxes[:, :2] >= patch[:2]) & (boxes[:, 2:] <= patch[2:])).all(axis=1)
    kept = boxes[stay]
    if origin:
        kept = kept - np.tile(patch[:2], 2)
    if unit:
        kept = kept / np.tile(patch[2:] - patch[:2], 2)
    return np.clip(kept, 0, 1) if clip else kept


WRONG = {
    "flip_pixels": [
        (_flip(1, swap=False), "Which border"),
        (_flip(0), "pixel 0"),
        (_flip(2), "beyond the last"),
        (_flip(1, turn=True), "up and down"),
        (lambda boxes, width: _flip(1)(boxes, 100), "wrong for one of 10"),
    ],
    "boxes_in_patch": [
        (lambda b, p: _patch(b, p, "touched"), "only touched"),
        (lambda b, p: _patch(b, p, "whole"), "reaches out"),
        (lambda b, p: _patch(b, p, clip=False), "cut it at the border"),
        (lambda b, p: _patch(b, p, unit=False), "in which unit"),
        (lambda b, p: _patch(b, p, origin=False), "from which corner"),
        (lambda b, p: _patch(b, p, origin=False, unit=False), "whole picture"),
    ],
    "patch_passes": [
        (lambda o, i, least: bool((o >= least).all() and i.any()), "*every* object"),
        (lambda o, i, least: bool(o.max() >= least), "no centre"),
        (lambda o, i, least: bool(((o >= least) & i).any()), "be the same"),
        (lambda o, i, least: bool(i.any()), "0.4 and 0.4"),
        (lambda o, i, least: bool(o.max() > least and i.any()), "exactly the minimum"),
        (lambda o, i, least: bool(o.max() >= 0.5 and i.any()), "any patch"),
        (lambda o, i, least: (o >= least) & i, "one answer"),
    ],
    "channel_order": [
        (lambda pixels: "RGB", "whichever channel"),
        (lambda pixels: "RGB" if pixels[0, 0, 0] > pixels[0, 0, 2] else "BGR", "upper left"),
        (lambda pixels: "RGB" if pixels[..., 0].mean() > 128 else "BGR", "dark red"),
        (lambda p: "RGB" if p[..., 0].mean() > p[..., 1].mean() else "BGR", "Green"),
        (lambda pixels: "red first", "one of two words"),
    ],
}
