"""Light and colour: the photometric distortion of SSD's data layer.

What to do is drawn first (`draw_distortion`) and done afterwards (`distort_image`), pixel by pixel with tables of 256
entries. Boxes are never touched.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from PIL import Image

from minissd.datasets.sample import Sample
from minissd.errors import check

_HUE_STEPS = (
    255  # Pillow writes one turn of the colour wheel as 0..255, and both ends are the same red
)
_IDENTITY = np.arange(256)


@dataclass(frozen=True)
class Photometric:
    """Chances and ranges of the photometric distortion; the defaults are the authors' own.

    Each of brightness, contrast, hue and saturation happens with its own probability. Source: the authors' training
    script (`distort_param` in `ssd_pascal.py`) and `ApplyDistort` in `im_transforms.cpp`, branch ssd of weiliu89/caffe.

    Attributes:
        brightness_probability, contrast_probability, hue_probability, saturation_probability: 0 to 1.
        brightness_delta: Most that is added to or taken from every value, in levels of 0..255.
        contrast: Range of the factor on every value; it keeps black, not mid-grey, where it is.
        hue_degrees: Most by which the colour wheel is turned either way. The authors write 18 and apply it to
            OpenCV's 8-bit hue, one step of which is 2 degrees; float versions of their code turn by 18 degrees.
        saturation: Range of the factor on the saturation (HSV).
        shuffle_probability: Chance of putting the channels in another order; the authors switch it off.
    """

    brightness_probability: float = 0.5
    brightness_delta: float = 32.0
    contrast_probability: float = 0.5
    contrast: tuple[float, float] = (0.5, 1.5)
    hue_probability: float = 0.5
    hue_degrees: float = 36.0
    saturation_probability: float = 0.5
    saturation: tuple[float, float] = (0.5, 1.5)
    shuffle_probability: float = 0.0

    def __post_init__(self) -> None:
        """Check every number."""
        for name in ("brightness", "contrast", "hue", "saturation", "shuffle"):
            chance = getattr(self, f"{name}_probability")
            check(0 <= chance <= 1, f"{name}_probability", "0 to 1", chance)
        for name in ("brightness_delta", "hue_degrees"):
            check(getattr(self, name) >= 0, name, "0 or more", getattr(self, name))
        for name in ("contrast", "saturation"):
            low, high = getattr(self, name)
            check(0 <= low <= high, name, "0 <= least <= greatest", (low, high))


@dataclass(frozen=True)
class Distortion:
    """One drawn distortion; the defaults change nothing.

    Attributes:
        brightness: Added to every value, in levels.
        contrast: Factor on every value.
        hue: Turn of the colour wheel, degrees.
        saturation: Factor on the saturation.
        contrast_last: Contrast after hue and saturation instead of before them.
        channels: Order of the channels.
    """

    brightness: float = 0.0
    contrast: float = 1.0
    hue: float = 0.0
    saturation: float = 1.0
    contrast_last: bool = False
    channels: tuple[int, ...] = (0, 1, 2)


PHOTOMETRIC = Photometric()


def draw_distortion(rng: np.random.Generator, settings: Photometric = PHOTOMETRIC) -> Distortion:
    """Draw a distortion; the generator moves on by the same amount whatever the settings are."""
    chance = rng.random(5)
    value = rng.random(4)
    last = rng.random() < 0.5
    order = rng.permutation(3)

    def between(low: float, high: float, share: float) -> float:
        return float(low + (high - low) * share)

    s = settings
    drawn = {}
    if chance[0] < s.brightness_probability:
        drawn["brightness"] = between(-s.brightness_delta, s.brightness_delta, value[0])
    if chance[1] < s.contrast_probability:
        drawn["contrast"] = between(*s.contrast, value[1])
    if chance[2] < s.hue_probability:
        drawn["hue"] = between(-s.hue_degrees, s.hue_degrees, value[2])
    if chance[3] < s.saturation_probability:
        drawn["saturation"] = between(*s.saturation, value[3])
    if chance[4] < s.shuffle_probability:
        drawn["channels"] = tuple(order.tolist())
    return Distortion(contrast_last=bool(last), **drawn)


def distort_image(image: Image.Image, distortion: Distortion) -> Image.Image:
    """Apply a distortion to a picture.

    The order is brightness, contrast, saturation and hue, channels; with `contrast_last` contrast comes after hue.

    Args:
        image: RGB; it is not changed.
        distortion: What to do.

    Returns:
        RGB of the same size; the very `image` if there is nothing to do.
    """
    d = distortion
    brighter = _levels(_IDENTITY + d.brightness)
    contrasted = _levels(_IDENTITY * d.contrast)
    image = _look_up(image, brighter if d.contrast_last else contrasted[brighter])
    image = _change_color(image, d.hue, d.saturation)
    if d.contrast_last:
        image = _look_up(image, contrasted)
    if d.channels != (0, 1, 2):
        bands = image.split()
        image = Image.merge("RGB", [bands[c] for c in d.channels])
    return image


def _levels(values: np.ndarray) -> np.ndarray:
    """Shape (256,) int: a table's values rounded and kept in 0..255."""
    return np.clip(np.rint(values), 0, 255).astype(np.intp)


def _look_up(image: Image.Image, *tables: np.ndarray) -> Image.Image:
    """Exchange every value by its entry in a table: one for all three bands, or one for each."""
    if all((table == _IDENTITY).all() for table in tables):
        return image
    bands = tables if len(tables) == 3 else tables * 3
    return image.point(np.concatenate(bands).tolist())


def _change_color(image: Image.Image, hue: float, saturation: float) -> Image.Image:
    """Turn the hue by some degrees (it wraps round) and multiply the saturation, in HSV.

    Hue and saturation pass through 8 bits, as in the authors' code, which alone may move a value by a few levels.
    """
    steps = round(hue * _HUE_STEPS / 360)
    if steps == 0 and saturation == 1:
        return image
    turned = (_IDENTITY + steps) % _HUE_STEPS
    scaled = _levels(_IDENTITY * saturation)
    return _look_up(image.convert("HSV"), turned, scaled, _IDENTITY).convert("RGB")


def photometric_distort(
    sample: Sample, rng: np.random.Generator, settings: Photometric = PHOTOMETRIC
) -> Sample:
    """Change brightness, contrast, hue and saturation at random.

    Args:
        sample: Picture and objects; not changed.
        rng: Source of randomness.
        settings: Chances and ranges.

    Returns:
        A sample with another picture of the same size and the same objects.

    Source: Liu et al. 2016, section 2.2 (after Howard 2013); numbers and order from the authors' code.
    """
    image = Image.fromarray(sample.image)
    return sample.replace(image=np.array(distort_image(image, draw_distortion(rng, settings))))
