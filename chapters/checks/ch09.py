"""Chapter 9: boxes that follow their picture, the rule of the random crop, and the order of channels."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from .common import exercise, hint_if, run


def _same(got: object, wanted: object) -> bool:
    got, wanted = np.asarray(got, float), np.asarray(wanted, float)
    return got.shape == wanted.shape and np.allclose(got, wanted, atol=1e-6)


@exercise("write down the row of pixels 1 to 10. Where does pixel 1 go, where pixel 3, where 10?")
def check_flip_pixels(answer: Callable[..., np.ndarray]) -> str:
    """VOC's boxes on the mirror image."""
    boxes = np.array([[11, 5, 40, 25], [1, 1, 100, 60], [90, 7, 90, 7]])
    got = np.asarray(run(answer, boxes, 100), float)
    hint_if(got.shape != boxes.shape, f"boxes (M, 4) go in and come out; yours has {got.shape}.")
    hint_if(
        (got[:, 0] > got[:, 2]).any(),
        "xmin is greater than xmax now. Which border of the object is the left one in the mirror?",
    )
    hint_if(_same(got, boxes), "these are the boxes that went in.")
    hint_if(
        not _same(got[:, [1, 3]], boxes[:, [1, 3]]),
        "up and down changed too: a mirror at the wall exchanges only left and right.",
    )
    hint_if(
        not _same(got[:, 2] - got[:, 0], boxes[:, 2] - boxes[:, 0]),
        "a box has another width than before. A mirror changes no sizes.",
    )
    hint_if(
        got.min() < 1,
        "a box reaches pixel 0, and there is none: the first is number 1. What is 1 mirrored?",
    )
    hint_if(
        got.max() > 100, "a box reaches beyond the last pixel. What is the last pixel mirrored?"
    )
    xmin, ymin, xmax, ymax = boxes.T
    hint_if(not _same(got, np.stack([101 - xmax, ymin, 101 - xmin, ymax], -1)), "x is shifted.")
    other = run(answer, np.array([[1, 2, 3, 4]]), 10)
    hint_if(not _same(other, [[8, 2, 10, 4]]), "right for a width of 100, wrong for one of 10.")
    return "mirroring exchanges the corners, and counting from 1 adds one pixel to the width."


@exercise("three steps, each a line: who stays, seen from the patch's corner, cut at 0 and 1.")
def check_boxes_in_patch(answer: Callable[..., np.ndarray]) -> str:
    """The objects of a patch, as fractions of it."""
    boxes = np.array([[0.3, 0.3, 0.5, 0.5], [0.1, 0.5, 0.5, 0.7], [0.1, 0.3, 0.25, 0.4]])
    patch = np.array([0.2, 0.2, 0.6, 1.0])
    got = np.asarray(run(answer, boxes, patch), float)
    hint_if(got.ndim != 2 or got.shape[-1] != 4, "boxes of shape (K, 4) are asked for.")
    hint_if(
        len(got) == 3,
        "the third object is only touched by the patch: its centre lies outside.",
    )
    hint_if(
        len(got) == 1,
        "the second object reaches out of the patch, but its centre lies inside. Does it stay?",
    )
    hint_if(len(got) != 2, f"two of the three objects stay; yours keeps {len(got)}.")
    kept = boxes[:2]
    corner, size = np.tile(patch[:2], 2), np.tile(patch[2:] - patch[:2], 2)
    hint_if(
        _same(got, kept) or _same(got, kept.clip(corner, np.tile(patch[2:], 2))),
        "the right objects, still as fractions of the whole picture.",
    )
    hint_if(
        _same(got, (kept - corner)) or _same(got, np.clip(kept - corner, 0, 1)),
        "counted from the patch's corner, but in which unit? The patch is a picture of its own now.",
    )
    hint_if(
        _same(got, kept / size) or _same(got, np.clip(kept / size, 0, 1)),
        "in the patch's unit, but counted from which corner?",
    )
    inside = (kept - corner) / size
    hint_if(_same(got, inside), "a box begins left of the patch, below 0: cut it at the border.")
    hint_if(not _same(got, np.clip(inside, 0, 1)), "draw the patch on paper, and one box in it.")
    none = np.asarray(run(answer, boxes, np.array([0.7, 0.0, 1.0, 0.2])), float)
    hint_if(none.shape != (0, 4), "a patch without objects should give boxes of shape (0, 4).")
    return "the centre decides who stays; the patch becomes the picture."


@exercise(
    "two questions, both must be answered with yes. Which word of the rule says 'at least one'?"
)
def check_patch_passes(answer: Callable[..., bool]) -> str:
    """The rule of the random crop: at least one object."""

    def ask(overlaps: list[float], inside: list[bool], least: float) -> object:
        return run(answer, np.array(overlaps), np.array(inside), least)

    got = ask([0.6, 0.05, 0.0], [True, True, False], 0.5)
    hint_if(np.shape(got) != (), "one answer for the patch is asked for, not one for each object.")
    hint_if(
        not got,
        "IoU 0.6, 0.05 and 0.00 at a minimum of 0.5 should pass. Must *every* object reach it?",
    )
    hint_if(
        ask([0.6, 0.05], [False, False], 0.5),
        "no centre lies in this patch, so no object would be left in it.",
    )
    hint_if(
        not ask([0.6, 0.1], [False, True], 0.5),
        "one object reaches the minimum and another one stays. Must they be the same?",
    )
    hint_if(ask([0.4, 0.4], [True, True], 0.5), "0.4 and 0.4 passed a minimum of 0.5.")
    hint_if(not ask([0.5, 0.1], [True, False], 0.5), "exactly the minimum: does it reach it?")
    hint_if(
        not ask([0.02, 0.01], [True, False], 0.0),
        "a minimum of 0 is the option 'any patch', and an object stays.",
    )
    hint_if(ask([0.6, 0.05], [True, True], 0.7), "right at 0.5, wrong at 0.7: is yours built in?")
    return "one object reaches the minimum, and one stays: that is all."


@exercise("compare two channels, over the whole picture.")
def check_channel_order(answer: Callable[..., str]) -> str:
    """In which order the channels of a red picture are."""
    rng = np.random.default_rng(0)
    picture = np.clip(rng.normal((180, 100, 60), 25, (40, 60, 3)), 0, 255).astype(np.uint8)
    picture[:12] = (90, 150, 200)  # sky
    got = run(answer, picture)
    words = ("RGB", "BGR")
    hint_if(got not in words, f'the answer is one of two words, "RGB" or "BGR", not {got!r}.')
    swapped = run(answer, picture[..., ::-1])
    hint_if(got == swapped, f"yours says {got} whichever channel is red.")
    hint_if(
        got == "BGR",
        "exchanged, or judged by one pixel: the upper left corner of this photograph is sky.",
    )
    dull = np.full((8, 8, 3), (60, 45, 40), np.uint8)
    hint_if(run(answer, dull) != "RGB", "a dark red, 60, 45, 40, is taken for blue.")
    warm = np.full((8, 8, 3), (200, 210, 60), np.uint8)
    hint_if(
        run(answer, warm) != "RGB",
        "which channels tell the two orders apart? Green is in the middle in both.",
    )
    return "red against blue, over the whole picture: one look that saves points of mAP."
