"""Expansion, patches, resizing and flipping: the plain geometry of SSD's augmentation, one function each.

Each is written to be read. `Augment` composes the same draws and is held equal to these by a test.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from minissd.boxes.geometry import iou
from minissd.datasets.sample import Sample
from minissd.datasets.windows import Window, centers_inside, cut_image, move_objects, resize_image
from minissd.errors import check, check_positive_int

MEAN = (123, 117, 104)  # RGB of ImageNet, rounded: what the authors subtract and fill with


@dataclass(frozen=True)
class Expansion:
    """How often a picture is put on a larger canvas (`probability`), and how large at most (`max_ratio` a side).

    Source: Liu et al. 2016, section 3.6; `expand_param` of the authors' training scripts.
    """

    probability: float = 0.5
    max_ratio: float = 4.0

    def __post_init__(self) -> None:
        """Check the numbers."""
        check(0 <= self.probability <= 1, "probability", "0 to 1", self.probability)
        check(self.max_ratio >= 1, "max_ratio", "1 or more", self.max_ratio)


@dataclass(frozen=True)
class Patches:
    """Which patches are cut out; one option is the whole picture, and each entry of `min_overlaps` is another.

    Source: Liu et al. 2016, section 2.2; `batch_sampler` of the authors' training scripts.

    Attributes:
        min_overlaps: Least IoU of the patch with its best object, one an option; 0 is "any patch".
        scale: Range of the root of the patch's share of the picture.
        aspect: Range of the ratio of its width to its height, both as fractions of the picture.
        trials: Patches drawn for an option before it is given up.
    """

    min_overlaps: tuple[float, ...] = (0.1, 0.3, 0.5, 0.7, 0.9, 0.0)
    scale: tuple[float, float] = (0.3, 1.0)
    aspect: tuple[float, float] = (0.5, 2.0)
    trials: int = 50

    def __post_init__(self) -> None:
        """Check the numbers."""
        for overlap in self.min_overlaps:
            check(0 <= overlap <= 1, "min_overlaps", "0 to 1 each", overlap)
        check(0 < self.scale[0] <= self.scale[1] <= 1, "scale", "0 < low <= high <= 1", self.scale)
        check(0 < self.aspect[0] <= self.aspect[1], "aspect", "0 < low <= high", self.aspect)
        check_positive_int(self.trials, "trials")


EXPANSION = Expansion()
PATCHES = Patches()


def expand(
    sample: Sample,
    rng: np.random.Generator,
    mean: tuple[int, int, int] = MEAN,
    settings: Expansion = EXPANSION,
) -> Sample:
    """Put the picture somewhere on a larger canvas of one colour, which makes its objects smaller.

    Args:
        sample: Picture and objects; not changed.
        rng: Source of randomness.
        mean: RGB of the canvas.
        settings: Chance and greatest size.

    Returns:
        A sample whose picture is the canvas.

    Source: Liu et al. 2016, section 3.6 ("zoom out").
    """
    return cut(sample, draw_expansion(rng, sample.size, settings), mean)


def crop_patch(sample: Sample, rng: np.random.Generator, settings: Patches = PATCHES) -> Sample:
    """Cut a random patch out of the picture, or take it whole.

    An object stays if its centre lies in the patch; its box is cut at the border. A patch is only taken if at least
    one object stays. A picture without objects is left whole, as in the authors' code.

    Args:
        sample: Picture and objects; not changed.
        rng: Source of randomness.
        settings: Which patches.

    Returns:
        A sample whose picture is the patch.

    Source: Liu et al. 2016, section 2.2.
    """
    return cut(sample, draw_patch(rng, sample.boxes, sample.size, settings))


def resize(sample: Sample, size: int) -> Sample:
    """Stretch the picture to a square of `size` pixels a side; the boxes, being fractions, stay."""
    return sample.replace(image=resize_image(sample.image, size))


def flip(sample: Sample, rng: np.random.Generator, probability: float = 0.5) -> Sample:
    """Mirror left and right with a probability; source: Liu et al. 2016, section 2.2."""
    if rng.random() >= probability:
        return sample
    mirrored = np.ascontiguousarray(sample.image[:, ::-1])
    xmin, ymin, xmax, ymax = sample.boxes.T
    boxes = np.stack([1 - xmax, ymin, 1 - xmin, ymax], axis=-1)
    return sample.replace(image=mirrored, boxes=boxes)


def cut(sample: Sample, window: Window, fill: tuple[int, int, int] = MEAN) -> Sample:
    """Make a window's content the picture.

    Args:
        sample: Picture and objects; not changed.
        window: What to cut out; where it reaches outside the picture it shows `fill`.
        fill: RGB.

    Returns:
        A sample with a new picture and the objects whose centres lie in the window.
    """
    return move_objects(sample, sample.size, window).replace(
        image=cut_image(sample.image, window, fill)
    )


def draw_expansion(
    rng: np.random.Generator, size: tuple[int, int], settings: Expansion = EXPANSION
) -> Window:
    """Draw the canvas of an expansion as a window on the picture.

    Args:
        rng: Source of randomness.
        size: Width and height of the picture, pixels.
        settings: Chance and greatest size.

    Returns:
        A window that holds the picture; the picture itself where it is not expanded.
    """
    chance, zoom, x, y = rng.random(4)
    width, height = size
    if chance >= settings.probability:
        return Window(0, 0, width, height)
    ratio = 1 + (settings.max_ratio - 1) * zoom
    canvas_width, canvas_height = int(width * ratio), int(height * ratio)
    left, top = -int(x * (canvas_width - width + 1)), -int(y * (canvas_height - height + 1))
    return Window(left, top, left + canvas_width, top + canvas_height)


def draw_patch(
    rng: np.random.Generator,
    boxes: np.ndarray,
    size: tuple[int, int],
    settings: Patches = PATCHES,
) -> Window:
    """Draw a patch.

    The options are tried in random order, the whole picture among them, until one has a patch that fits. That is the
    authors' rule (a patch of every option that has one, then one of these at random) without drawing them all.

    Args:
        rng: Source of randomness.
        boxes: Shape (M, 4), corners as fractions.
        size: Width and height of the picture, pixels.
        settings: Which patches.

    Returns:
        A window inside the picture, at least one pixel wide and high.
    """
    whole = Window(0, 0, *size)
    if len(boxes) == 0:
        return whole
    for option in rng.permutation(len(settings.min_overlaps) + 1).tolist():
        if option == len(settings.min_overlaps):
            break
        windows = _draw_windows(rng, size, settings)
        fits = centers_inside(boxes, size, windows).any(axis=1)
        if settings.min_overlaps[option] > 0:
            overlaps = iou(windows.astype(np.float64), boxes * np.array(size * 2, np.float64))
            fits &= overlaps.max(axis=1) >= settings.min_overlaps[option]
        if fits.any():
            return Window(*windows[fits.argmax()].tolist())
    return whole


def _draw_windows(rng: np.random.Generator, size: tuple[int, int], settings: Patches) -> np.ndarray:
    """Shape (trials, 4), int: windows of random scale, aspect and place inside the picture."""
    random = rng.random((settings.trials, 4))
    scale = settings.scale[0] + (settings.scale[1] - settings.scale[0]) * random[:, 0]
    aspect = settings.aspect[0] + (settings.aspect[1] - settings.aspect[0]) * random[:, 1]
    root = np.sqrt(np.clip(aspect, scale**2, scale**-2))  # so that neither side exceeds 1
    sides = np.stack([scale * root, scale / root], axis=-1)
    whole = np.array(size)
    pixels = np.clip(np.rint(sides * whole), 1, whole)
    corner = np.floor(random[:, 2:] * (whole - pixels + 1))
    return np.concatenate([corner, corner + pixels], axis=-1).astype(np.int64)
