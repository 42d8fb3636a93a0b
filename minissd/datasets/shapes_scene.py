"""One generated picture: a textured background, objects that may hide each other in part, light, blur and noise.

Boxes follow VOC's own rule: a box holds the visible pixels of its object and nothing else, and every object has at
least half of its area visible.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from statistics import NormalDist

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from minissd.datasets.sample import Sample
from minissd.datasets.shapes_forms import SHAPE_CLASSES, Mask, draw_form
from minissd.datasets.shapes_textures import linear_gradient, random_color, texture
from minissd.errors import check, check_positive_int

MIN_VISIBLE = 0.5  # of an object's area, after the border and other objects
_PLACES = 16  # trials to find a place for an object before it is left out
_N_OBJECTS = (0.16, 0.22, 0.22, 0.18, 0.13, 0.09)  # chances of asking for 1, 2, ... objects


@dataclass(frozen=True)
class SceneObject:
    """What is known of an object: class, box in VOC pixels (1-based, inclusive), and what hides it.

    `truncated` means cut by the border; `occluded` means that another object hides more than 5 % of it.
    """

    name: str
    box: tuple[int, int, int, int]
    truncated: bool
    occluded: bool


@dataclass(frozen=True)
class Scene:
    """A picture, shape (H, W, 3), uint8, and its objects."""

    image: np.ndarray
    objects: list[SceneObject]


@dataclass
class _Placed:
    """An object on the canvas while the picture is being drawn."""

    name: str
    area: int  # pixels of the whole form, also those outside the picture
    inside: int  # pixels of it inside the picture
    visible: int  # pixels of it that nothing hides


def draw_scene(
    rng: np.random.Generator,
    size: tuple[int, int] = (256, 192),
    n_objects: int | None = None,
    scale: tuple[float, float] = (0.08, 0.8),
) -> Sample:
    """Draw one picture with its boxes.

    Args:
        rng: Source of randomness: the same state gives the same picture.
        size: Width and height in pixels.
        n_objects: How many objects to ask for; None for 1 to 6. One that finds no free place is left out.
        scale: Least and greatest size of an object: the root of its box's share of the picture's area,
            before the border or another object hides a part; drawn log-uniformly.

    Returns:
        The sample; its labels count `SHAPE_CLASSES` from 1.
    """
    scene = compose(rng, size, n_objects, scale)
    width, height = size
    boxes = np.array([o.box for o in scene.objects], np.float64).reshape(-1, 4)
    boxes = (boxes - [1, 1, 0, 0]) / [width, height, width, height]
    labels = np.array([SHAPE_CLASSES.index(o.name) + 1 for o in scene.objects], np.int64)
    difficult = np.zeros(len(labels), bool)
    return Sample(scene.image, boxes.astype(np.float32), labels, difficult)


def compose(
    rng: np.random.Generator,
    size: tuple[int, int],
    n_objects: int | None = None,
    scale: tuple[float, float] = (0.08, 0.8),
) -> Scene:
    """Draw one picture and say of every object what VOC's annotation says; arguments as `draw_scene`."""
    width, height = (check_positive_int(side, "size", 32) for side in size)
    low, high = scale
    check(0 < low <= high <= 1, "scale", "0 < least <= greatest <= 1", scale)
    if n_objects is None:
        n_objects = 1 + int(rng.choice(len(_N_OBJECTS), p=_N_OBJECTS))
    canvas = _background(rng, width, height)
    owner = np.full((height, width), -1, np.int16)  # number of the object each pixel shows
    placed: list[_Placed] = []
    for _ in range(check_positive_int(n_objects, "n_objects", 0)):
        share = np.exp(rng.uniform(np.log(low), np.log(high)))
        _add_object(rng, canvas, owner, placed, side=share * np.sqrt(width * height))
    image = _photograph(rng, canvas)
    return Scene(image, [_describe(owner, i, o) for i, o in enumerate(placed)])


def _background(rng: np.random.Generator, width: int, height: int) -> np.ndarray:
    """Shape (3, height, width), float32: one or two textures and, at times, stray lines."""
    canvas = texture(rng, width, height, contrast=rng.uniform(0.15, 0.8))
    if rng.random() < 0.4:
        other = texture(rng, width, height, contrast=rng.uniform(0.15, 0.8))
        share = np.float32(rng.uniform(0.2, 0.6))
        canvas *= 1 - share
        other *= share
        canvas += other
    if rng.random() < 0.5:
        _scatter_lines(rng, canvas)
    return canvas


def _scatter_lines(rng: np.random.Generator, canvas: np.ndarray) -> None:
    """Draw open lines and arcs, in place: clutter that is none of the classes."""
    height, width = canvas.shape[1:]
    numbers = Image.new("L", (width, height))  # the number of the line that each pixel shows
    draw = ImageDraw.Draw(numbers)
    n_lines = int(rng.integers(2, 9))
    for number in range(1, n_lines + 1):
        line_width = int(rng.integers(1, 4))
        x, y = rng.uniform(-0.2, 1.2, (2, 2)) * [[width], [height]]
        if rng.random() < 0.6:
            draw.line([(x[0], y[0]), (x[1], y[1])], fill=number, width=line_width)
        else:
            x, y = np.sort(x), np.sort(y)
            start = rng.uniform(0, 360)
            stop = start + rng.uniform(40, 150)
            draw.arc((x[0], y[0], x[1], y[1]), start, stop, fill=number, width=line_width)
    shown = np.asarray(numbers)
    rows, columns = np.nonzero(shown)
    colors = np.stack([random_color(rng) for _ in range(n_lines)])
    canvas[:, rows, columns] = colors[shown[rows, columns] - 1].T


def _add_object(
    rng: np.random.Generator,
    canvas: np.ndarray,
    owner: np.ndarray,
    placed: list[_Placed],
    side: float,
) -> None:
    """Draw a form and lay it where it hides no other object too much; leave it out if there is no such place."""
    name = SHAPE_CLASSES[rng.integers(len(SHAPE_CLASSES))]
    rim_width = max(0.7, 0.035 * side) if rng.random() < 0.5 else 0.0
    mask = draw_form(rng, name, side, rim_width)
    solid = mask.cover >= 0.5
    area = int(solid.sum())
    may_be_cut = rng.random() < 0.2
    for _ in range(_PLACES):
        left, top = _corner(rng, solid.shape, owner.shape, may_be_cut)
        patch, part = _overlap(left, top, solid.shape, owner.shape)
        inside = int(solid[part].sum())
        hidden = np.bincount(owner[patch][solid[part]] + 1, minlength=len(placed) + 1)[1:]
        room = all(o.visible - h >= MIN_VISIBLE * o.area for o, h in zip(placed, hidden))
        if area and inside >= MIN_VISIBLE * area and room:
            break
    else:
        return
    for other, h in zip(placed, hidden):
        other.visible -= int(h)
    owner[patch][solid[part]] = len(placed)
    placed.append(_Placed(name, area, inside, inside))
    _paint(rng, canvas[:, *patch], mask.part(part))


def _corner(
    rng: np.random.Generator, form: tuple[int, int], picture: tuple[int, int], may_be_cut: bool
) -> tuple[int, int]:
    """Left and top of the patch: within the picture, or with only its centre within it."""
    corner = []
    for length, limit in zip(form[::-1], picture[::-1]):
        if may_be_cut:
            corner.append(int(rng.integers(0, limit)) - length // 2)
        else:
            # An object longer than the picture is wide hangs over on both sides.
            corner.append(int(rng.integers(min(0, limit - length), max(0, limit - length) + 1)))
    return corner[0], corner[1]


def _overlap(
    left: int, top: int, form: tuple[int, int], picture: tuple[int, int]
) -> tuple[tuple[slice, slice], tuple[slice, slice]]:
    """Slices of the picture and of the patch where the two meet."""
    y0, y1 = max(top, 0), min(top + form[0], picture[0])
    x0, x1 = max(left, 0), min(left + form[1], picture[1])
    return (
        (slice(y0, y1), slice(x0, x1)),
        (slice(y0 - top, y1 - top), slice(x0 - left, x1 - left)),
    )


def _paint(rng: np.random.Generator, ground: np.ndarray, mask: Mask) -> None:
    """Lay a textured form over the ground (3, h, w), in place, in colours that stand out from it."""
    height, width = mask.cover.shape
    around = _some_colors(ground)
    fill = texture(rng, width, height, contrast=rng.uniform(0, 0.7), away_from=around)
    if mask.rim is not None:
        rim = random_color(rng, np.concatenate([around, _some_colors(fill)]))
        fill += (rim[:, None, None] - fill) * mask.rim
    if rng.random() < 0.6:  # a gentle shading, as on a solid body
        fall = np.float32(rng.uniform(0.1, 0.5))
        fill *= 1 + (linear_gradient(rng, width, height) - np.float32(0.5)) * fall
    fill -= ground
    fill *= mask.cover
    ground += fill


def _some_colors(planes: np.ndarray) -> np.ndarray:
    """Shape (n, 3): colours of some 25 pixels, evenly spaced over the planes (3, h, w)."""
    step_y, step_x = (max(1, side // 5) for side in planes.shape[1:])
    return planes[:, ::step_y, ::step_x].reshape(3, -1).T


def _photograph(rng: np.random.Generator, canvas: np.ndarray) -> np.ndarray:
    """What a camera makes of the scene: uneven light, gain, tint, blur, noise. Shape (H, W, 3), uint8."""
    _, height, width = canvas.shape
    light = rng.uniform(0.65, 1.25) * rng.uniform(0.92, 1.08, 3)
    canvas *= light.astype(np.float32)[:, None, None]
    if rng.random() < 0.6:
        fall = np.float32(rng.uniform(0.15, 0.55))
        canvas *= 1 - fall * linear_gradient(rng, width, height)
    np.clip(canvas, 0, 255, out=canvas)
    picture = np.ascontiguousarray(canvas.astype(np.uint8).transpose(1, 2, 0))
    if rng.random() < 0.4:
        blur = ImageFilter.BoxBlur(rng.uniform(0.25, 1.1))
        picture = np.array(Image.fromarray(picture).filter(blur))
    if rng.random() < 0.7:
        picture = _add_noise(rng, picture, sigma=rng.uniform(2, 14))
    return picture


def _add_noise(rng: np.random.Generator, picture: np.ndarray, sigma: float) -> np.ndarray:
    """Add normal noise of a given width, in 0..255 units."""
    # A random byte picks one of 256 equally likely values: several times faster than drawing normal numbers.
    values = np.rint(_normal_values() * sigma).astype(np.int16)
    noisy = values[np.frombuffer(rng.bytes(picture.size), np.uint8)].reshape(picture.shape)
    noisy += picture
    return np.clip(noisy, 0, 255, out=noisy).astype(np.uint8)


@cache
def _normal_values() -> np.ndarray:
    """The middles of 256 equally likely parts of the normal distribution."""
    return np.array([NormalDist().inv_cdf((i + 0.5) / 256) for i in range(256)])


def _describe(owner: np.ndarray, number: int, placed: _Placed) -> SceneObject:
    """Find the visible pixels of an object and put VOC's box around them."""
    shown = owner == number
    rows, columns = np.flatnonzero(shown.any(axis=1)), np.flatnonzero(shown.any(axis=0))
    return SceneObject(
        name=placed.name,
        box=(int(columns[0]) + 1, int(rows[0]) + 1, int(columns[-1]) + 1, int(rows[-1]) + 1),
        truncated=placed.inside < placed.area,
        occluded=placed.visible < 0.95 * placed.inside,
    )
