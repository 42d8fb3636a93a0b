"""Offsets: how a default box becomes an object's box, how large the offsets are, and what an error in them costs."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from minissd.boxes import centers_to_corners, corners_to_centers, decode, iou
from minissd.errors import check_shape
from minissd.plotting.boxes import draw_boxes
from minissd.plotting.style import CURVE_DASHES, CURVES, NORMAL, QUIET, SMALL, mark
from minissd.plotting.teaching import (
    ARROW,
    TAG,
    curve_axes,
    draw_on_grid,
    measure,
    row_of_panels,
    title,
)

NAMES = ("x", "y", "w", "h")
LOSSES = ("squared, d² / 2", "absolute, |d|", "smooth L1")


def toy_offsets_figure(object_box: np.ndarray, default_box: np.ndarray) -> Figure:
    """Show on squared paper how far an object's centre lies from that of a default box, in widths and heights of it.

    Args:
        object_box: Shape (4,), float, corners as fractions.
        default_box: Shape (4,), float, corners as fractions.
    """
    figure, (left, right) = row_of_panels(
        [3.5, 3.5], 3.5, ["object", "box"], left=0.3, gap=0.45, foot=0.2
    )
    both = np.stack([default_box, object_box])
    for axes in (left, right):
        draw_on_grid(axes, both, None, ["box", "object"])
    (x, y, w, h), (cx, cy, ow, oh) = (10 * corners_to_centers(each) for each in both)
    left.plot(x, y, "o", color=mark("box").color, markeredgecolor="black", markersize=6, zorder=6)
    left.plot(
        cx, cy, "o", color=mark("object").color, markeredgecolor="black", markersize=7, zorder=6
    )
    style = ARROW | {"arrowstyle": "->"}
    if abs(cx - x) > 0.05:
        left.annotate("", (cx, y), (x, y), arrowprops=style, zorder=7)
        left.text((x + cx) / 2, y - 0.4, f"{cx - x:+.1f}", ha="center", fontsize=NORMAL, bbox=TAG)
    if abs(cy - y) > 0.05:
        left.annotate("", (cx, cy), (cx, y), arrowprops=style, zorder=7)
        left.text(cx + 0.3, (y + cy) / 2, f"{cy - y:+.1f}", va="center", fontsize=NORMAL, bbox=TAG)
    bottom, side = max(default_box[3], object_box[3]) * 10, max(default_box[2], object_box[2]) * 10
    measure(right, (x - w / 2, bottom + 0.5), (x + w / 2, bottom + 0.5), f"w {w:.0f}")
    measure(right, (cx - ow / 2, bottom + 1.4), (cx + ow / 2, bottom + 1.4), f"w {ow:.0f}")
    measure(right, (side + 0.5, y - h / 2), (side + 0.5, y + h / 2), f"h {h:.0f}")
    measure(right, (side + 1.4, cy - oh / 2), (side + 1.4, cy + oh / 2), f"h {oh:.0f}")
    left.set_xlabel("where: from centre to centre", fontsize=NORMAL)
    right.set_xlabel("how large: below and beside, the default box first", fontsize=NORMAL)
    return figure


def steps_figure(
    image: np.ndarray, object_box: np.ndarray, default: np.ndarray, offsets: np.ndarray
) -> Figure:
    """Show a default box on its way to an object: as it stands, its centre moved, then its width, then its height.

    Args:
        image: Shape (H, W, 3), uint8, RGB.
        object_box: Shape (4,), float, corners as fractions.
        default: Shape (4,), float, centers.
        offsets: Shape (4,), float.
    """
    words = ("the default box", "x and y", "and w", "and h")
    used = np.array([[0, 0, 0, 0], [1, 1, 0, 0], [1, 1, 1, 0], [1, 1, 1, 1]])
    boxes = decode(used * offsets, default)
    side = 1.82
    figure, panels = row_of_panels(
        [side] * 4, side, ["object", "box", "detection"], left=0.15, gap=0.12
    )
    around = np.concatenate([boxes, object_box[None]])
    for number, (axes, name) in enumerate(zip(panels, words)):
        shown = np.stack([boxes[number], object_box])
        draw_boxes(axes, image, shown, None, ["box" if number == 0 else "detection", "object"])
        _zoom(axes, image, around)
        overlap = float(iou(boxes[number][None], object_box[None])[0, 0])
        title(axes, f"{name}: {overlap:.2f}")
    return figure


def _zoom(axes: object, image: np.ndarray, boxes: np.ndarray, spare: float = 0.15) -> None:
    """Show of a picture a square around some boxes."""
    height, width = image.shape[:2]
    low, high = boxes[:, :2].min(axis=0), boxes[:, 2:].max(axis=0)
    reach = (high - low).max() * (0.5 + spare)
    center = np.clip((low + high) / 2, reach, 1 - reach) if reach < 0.5 else np.array([0.5, 0.5])
    reach = min(reach, 0.5)
    left, top = (center - reach) * [width, height]
    right, bottom = (center + reach) * [width, height]
    axes.set(xlim=(left, right), ylim=(bottom, top))


def moved_figure(
    image: np.ndarray, object_box: np.ndarray, default: np.ndarray, offsets: Sequence[float]
) -> Figure:
    """Show what four offsets make of a default box, beside the object it should find.

    Args:
        image: Shape (H, W, 3), uint8, RGB.
        object_box: Shape (4,), float, corners as fractions.
        default: Shape (4,), float, centers.
        offsets: x, y, w, h.
    """
    box = decode(np.asarray(offsets, float), default)
    figure, (axes,) = row_of_panels([3.6], 3.6, ["object", "box", "detection"])
    shown = np.stack([box, centers_to_corners(default), object_box])
    draw_boxes(axes, image, shown, None, ["detection", "box", "object"])
    _zoom(axes, image, np.stack([centers_to_corners(default), object_box]), spare=0.7)
    overlap = float(iou(box[None], object_box[None])[0, 0])
    words = ", ".join(f"{name} {value:+.1f}" for name, value in zip(NAMES, offsets))
    title(axes, f"{words}: IoU {overlap:.2f}")
    return figure


def histogram_figure(raw: np.ndarray, scaled: np.ndarray) -> Figure:
    """Show how offsets of matched boxes are spread, before and after they are divided.

    Args:
        raw: Shape (N, 4), float: before.
        scaled: Shape (N, 4), float: after.
    """
    figure, panels = row_of_panels([3.2, 3.2], 2.5, left=0.6, gap=0.75, foot=0.48)
    for axes, values, words, reach in zip(
        panels, (raw, scaled), ("as they are", "divided by 0.1 and 0.2"), (1.0, 5.0)
    ):
        bins = np.linspace(-reach, reach, 51)
        for number, name in enumerate(NAMES):
            counts, _ = np.histogram(values[:, number], bins)
            style = {"color": CURVES[number], "linestyle": CURVE_DASHES[number], "linewidth": 1.5}
            label = f"{name}: spread {values[:, number].std():.2f}"
            axes.stairs(counts, bins, label=label, **style)
        axes.set_ylim(top=1.45 * axes.get_ylim()[1])
        axes.legend(frameon=False, fontsize=SMALL, ncols=2, loc="upper center")
        curve_axes(axes, "offset", "boxes")
        title(axes, words)
    return figure


def same_offsets_figure(image: np.ndarray, defaults: np.ndarray, offsets: np.ndarray) -> Figure:
    """Show what one and the same four offsets mean at default boxes of several sizes.

    Args:
        image: Shape (H, W, 3), uint8, RGB.
        defaults: Shape (N, 4), float, centers.
        offsets: Shape (4,), float.
    """
    side = 7.5 / len(defaults) - 0.2
    figure, panels = row_of_panels([side] * len(defaults), side, ["box", "detection"], gap=0.2)
    for axes, default in zip(panels, defaults):
        box = decode(offsets, default)
        draw_boxes(
            axes, image, np.stack([box, centers_to_corners(default)]), None, ["detection", "box"]
        )
        shift = (corners_to_centers(box)[0] - default[0]) * image.shape[1]
        title(axes, f"moved by {shift:.1f} pixels")
    return figure


def cost_figure(errors: np.ndarray, overlaps: np.ndarray, names: Sequence[str]) -> Figure:
    """Show how much IoU is left when one offset is wrong.

    Args:
        errors: Shape (E,), float: of the offset.
        overlaps: Shape (len(names), E), float: IoU with the right box.
        names: Which offset was wrong, and by how its error is counted.
    """
    check_shape(overlaps, (len(names), len(errors)), "overlaps")
    figure, (axes,) = row_of_panels([5.2], 2.6, left=0.7, foot=0.48)
    for number, (name, values) in enumerate(zip(names, overlaps)):
        style = {"color": CURVES[number], "linestyle": CURVE_DASHES[number + 1], "linewidth": 1.9}
        axes.plot(errors, values, label=name, **style)
    axes.axhline(0.5, color=QUIET, linewidth=1, linestyle=(0, (3, 2)))
    axes.legend(frameon=False, fontsize=SMALL + 0.5)
    curve_axes(axes, "error of the offset", "IoU")
    axes.set(ylim=(0, 1.02), xlim=(errors[0], errors[-1]))
    return figure


def losses_figure(reach: float = 4.0) -> Figure:
    """Show three losses of a difference d and their slopes.

    Args:
        reach: Largest |d|.
    """
    d = np.linspace(-reach, reach, 401)
    inner = np.minimum(np.abs(d), 1)
    curves = (d**2 / 2, np.abs(d), inner * (np.abs(d) - inner / 2))
    slopes = (d, np.sign(d), np.clip(d, -1, 1))
    figure, panels = row_of_panels([3.2, 3.2], 2.5, left=0.6, gap=0.75, foot=0.48)
    for axes, values, words in zip(panels, (curves, slopes), ("loss", "slope")):
        for number, (name, each) in enumerate(zip(LOSSES, values)):
            style = {"color": CURVES[number], "linestyle": CURVE_DASHES[number + 1]}
            axes.plot(d, each, label=name, linewidth=1.9, **style)
        curve_axes(axes, "d = answer - target", words)
    panels[0].set_ylim(0, 4)
    panels[0].legend(frameon=False, fontsize=SMALL)
    return figure
