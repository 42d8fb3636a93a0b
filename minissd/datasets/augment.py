"""Augment and Resize: from a picture of any size to the network's square input, in training and in evaluation.

`Augment` does what expand, crop_patch, resize, photometric_distort and flip do one after another, but composes the
windows first: the large canvas is never made, and colours change after the resize, where the pixels are fewest.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from minissd.datasets.geometric import (
    MEAN,
    Expansion,
    Patches,
    crop_patch,
    draw_expansion,
    draw_patch,
    expand,
    flip,
    resize,
)
from minissd.datasets.photometric import (
    Photometric,
    distort_image,
    draw_distortion,
    photometric_distort,
)
from minissd.datasets.sample import Sample
from minissd.datasets.windows import (
    Window,
    move_objects,
    picture_region,
    resize_image,
    resize_window,
)
from minissd.errors import check, check_positive_int

__all__ = [
    "AUGMENTATIONS",
    "Augment",
    "Expansion",
    "Patches",
    "Photometric",
    "Resize",
    "crop_patch",
    "expand",
    "flip",
    "photometric_distort",
    "resize",
    "resize_image",
]


AUGMENTATIONS = ("paper", "no-expansion", "moderate", "light", "photometric", "flip", "none")
MODERATE_EXPANSION = Expansion(0.3, 3.0)


@dataclass(frozen=True)
class Resize:
    """The transform for evaluation: stretch to the network's input, nothing else.

    Attributes:
        size: Side of the square, pixels.
    """

    size: int

    def __post_init__(self) -> None:
        """Check the size."""
        check_positive_int(self.size, "size")

    def __call__(self, sample: Sample, rng: np.random.Generator | None = None) -> Sample:
        """Return the sample at the network's size; nothing is random."""
        return resize(sample, self.size)


@dataclass(frozen=True)
class Augment:
    """The paper's augmentation: expansion, patch, resize, photometric distortion, flip.

    The authors distort first. Here colours change after the resize, which keeps the cost the same for photographs of
    any size; only rounding and clipping differ. What shows the canvas keeps its colour, as in theirs, and so does the
    thin rim in which picture and canvas mix. They also resize with one of five filters at random; here it is always
    the bilinear one of evaluation.

    Source: Liu et al. 2016, sections 2.2 and 3.6.

    Attributes:
        size: Side of the square output, pixels.
        mean: RGB of the canvas.
        photometric: Settings of the photometric distortion, or None for none.
        expand: Settings of the expansion, or None.
        crop: Settings of the patches, or None for the whole picture.
        flip: Chance of mirroring.
    """

    size: int
    mean: tuple[int, int, int] = MEAN
    photometric: Photometric | None = field(default_factory=Photometric)
    expand: Expansion | None = field(default_factory=Expansion)
    crop: Patches | None = field(default_factory=Patches)
    flip: float = 0.5

    def __post_init__(self) -> None:
        """Check the size, the colour and the chance."""
        check_positive_int(self.size, "size")
        colour = len(self.mean) == 3 and all(
            0 <= level <= 255 and level == int(level) for level in self.mean
        )
        check(colour, "mean", "three whole numbers from 0 to 255", self.mean)
        check(0 <= self.flip <= 1, "flip", "0 to 1", self.flip)

    @classmethod
    def named(cls, name: str, size: int) -> Augment | Resize:
        """Return a transform by name.

        paper: everything; no-expansion: the paper's first recipe; moderate: everything, with expansion less often and
        less far, for a body that has seen much already; light: patches and flips; photometric: colours and flips;
        flip; none: resize only.
        """
        check(name in AUGMENTATIONS, "augment", " | ".join(AUGMENTATIONS), name)
        changes = {
            "paper": {},
            "no-expansion": {"expand": None},
            "moderate": {"expand": MODERATE_EXPANSION},
            "light": {"photometric": None, "expand": None},
            "photometric": {"expand": None, "crop": None},
            "flip": {"photometric": None, "expand": None, "crop": None},
        }
        return Resize(size) if name == "none" else cls(size, **changes[name])

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        """Augment a sample.

        Args:
            sample: Picture of any size and its objects; not changed.
            rng: Source of randomness: the same state gives the same sample.

        Returns:
            A sample with a picture of shape (size, size, 3) and the objects that are left.
        """
        window, moved = self._draw_window(sample, rng)
        image = resize_window(sample.image, window, self.size, self.mean)
        if self.photometric is not None:
            distortion = draw_distortion(rng, self.photometric)
            region = picture_region(window, sample.size, self.size)
            if region is not None:
                image.paste(distort_image(image.crop(region), distortion), region[:2])
        return flip(moved.replace(image=np.array(image)), rng, self.flip)

    def _draw_window(self, sample: Sample, rng: np.random.Generator) -> tuple[Window, Sample]:
        """Draw expansion and patch; return the window they make together and the objects in it."""
        window = Window(0, 0, *sample.size)
        moved = sample
        if self.expand is not None:
            window = draw_expansion(rng, sample.size, self.expand)
            moved = move_objects(sample, sample.size, window)
        if self.crop is not None:
            patch = draw_patch(rng, moved.boxes, window.size, self.crop)
            moved = move_objects(moved, window.size, patch)
            window = patch.within(window)
        return window, moved
