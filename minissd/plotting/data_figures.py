"""What stands in a data set, and what augmentation makes of it: the figures of the chapter on data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from minissd.boxes.geometry import clip, iou
from minissd.boxes.nms import Detections
from minissd.datasets.sample import Sample
from minissd.datasets.windows import centers_inside, cut_image
from minissd.errors import check
from minissd.plotting.boxes import draw_boxes
from minissd.plotting.grid import image_grid
from minissd.plotting.photo import label_text
from minissd.plotting.style import CURVE_DASHES, CURVES, NORMAL, SMALL, mark
from minissd.plotting.teaching import PAPER, curve_axes, row_of_panels, title

BAR = "#BBBBBB"
DIMMED = 0.35  # how much of the light is left outside a patch


def annotation_figure(
    sample: Sample, names: Sequence[str], row: int = 0, pixels: int = 10
) -> Figure:
    """Show a picture with its boxes, and the pixels around one box's first corner with their numbers.

    Args:
        sample: Picture and objects.
        names: Name of label 1, 2, ...
        row: The object whose corner is shown.
        pixels: Side of the magnified square.
    """
    figure, (picture, corner) = row_of_panels([3.7, 3.3], 3.7, ["object"], gap=0.75)
    texts = [names[label - 1] for label in sample.labels]
    draw_boxes(picture, sample.image, sample.boxes, texts)
    title(picture, "the boxes of the file")
    height, width = sample.image.shape[:2]
    edges = sample.boxes[row].astype(float) * (width, height, width, height)
    left, top = (int(edge) - pixels // 2 for edge in np.rint(edges[:2]))
    draw_boxes(corner, sample.image, sample.boxes[[row]])
    corner.set(xlim=(left, left + pixels), ylim=(top + pixels, top))
    steps = np.arange(pixels)
    corner.set_xticks(left + steps + 0.5, left + steps + 1, fontsize=SMALL)
    corner.set_yticks(top + steps + 0.5, top + steps + 1, fontsize=SMALL)
    corner.tick_params(length=0, top=True, labeltop=True, labelbottom=False)
    for step in steps:
        corner.axvline(left + step, color="white", linewidth=0.5, alpha=0.6)
        corner.axhline(top + step, color="white", linewidth=0.5, alpha=0.6)
    corner.set_xlabel(f"corner of one {texts[row]}, pixels numbered", fontsize=NORMAL)
    return figure


def dirty_figure(
    image: np.ndarray,
    written: np.ndarray,
    faults: Sequence[str],
    read: np.ndarray,
    names: Sequence[str],
    margin: int = 45,
) -> Figure:
    """Show boxes as a broken file has them, those outside the picture too, and the boxes that were read from it.

    Args:
        image: Shape (H, W, 3), uint8, RGB.
        written: Shape (N, 4), float, corners as fractions, in any order and place.
        faults: What is wrong with each, one or two words.
        read: Shape (M, 4), float, corners as fractions.
        names: Class name of each that was read.
        margin: Pixels around the picture in both panels.
    """
    check(len(faults) == len(written), "faults", f"{len(written)} entries", len(faults))
    height, width = image.shape[:2]
    whole = (-margin, -margin, width + margin, height + margin)
    ground = cut_image(image, whole, (PAPER, PAPER, PAPER))
    scale = np.array([width, height, width, height])
    room = np.array([ground.shape[1], ground.shape[0]] * 2)
    figure, panels = row_of_panels([3.8, 3.8], 3.8, ["box", "object"])
    ordered = np.concatenate(
        [
            np.minimum(written[:, :2], written[:, 2:]),
            np.maximum(written[:, :2], written[:, 2:]),
        ],
        axis=1,
    )
    parts = (ordered, faults, "box"), (read, names, "object")
    words = "what the file says", "what is read from it"
    for axes, (boxes, texts, name), text in zip(panels, parts, words):
        draw_boxes(axes, ground, (boxes * scale + margin) / room, texts, name)
        title(axes, f"{text}: {len(boxes)} boxes")
    return figure


def counts_figure(classes: Mapping[str, int], sizes: np.ndarray) -> Figure:
    """Show how many objects each class has, and how large the objects are.

    Args:
        classes: Objects by class name.
        sizes: Shape (M,): root of each box's share of its picture, 0 to 1.
    """
    figure, (bars, histogram) = row_of_panels([2.9, 3.3], 2.4, left=0.8, gap=0.8, foot=0.5)
    places = np.arange(len(classes))[::-1]
    bars.barh(places, classes.values(), 0.65, color=BAR)
    for place, count in zip(places, classes.values()):
        bars.text(count, place, f" {count}", va="center", fontsize=NORMAL)
    curve_axes(bars, "objects", "")
    bars.grid(visible=False)
    bars.set_yticks(places, classes, fontsize=NORMAL)
    bars.set_xlim(0, 1.18 * max(classes.values()))
    title(bars, f"{sum(classes.values())} objects by class")
    histogram.hist(sizes, np.linspace(0, 1, 21), color=BAR, edgecolor="white")
    curve_axes(histogram, "size: root of the box's share of the picture", "objects")
    histogram.set_xlim(0, 1)
    title(histogram, f"by size, median {np.median(sizes):.2f}")
    return figure


def channels_figure(
    images: Sequence[np.ndarray],
    found: Sequence[Detections],
    titles: Sequence[str],
    names: Sequence[str],
) -> Figure:
    """Show pictures side by side, each with the best detection in it.

    Args:
        images: Each of shape (H, W, 3), uint8, RGB as a screen shows it.
        found: Detections in each.
        titles: Line above each.
        names: Name of label 1, 2, ...
    """
    figure, panels = image_grid(images, len(images), ["detection"])
    for axes, image, (boxes, labels, scores), words in zip(panels, images, found, titles):
        text = label_text(names, labels[0], scores[0])
        draw_boxes(axes, image, boxes[:1], [text], "detection")
        title(axes, words)
    return figure


def flip_figure(sample: Sample, mirrored: np.ndarray, panels: Mapping[str, np.ndarray]) -> Figure:
    """Show a picture with its boxes, and the mirrored picture with several sets of boxes.

    Args:
        sample: Picture and objects.
        mirrored: Shape (H, W, 3), uint8, RGB.
        panels: Boxes, shape (M, 4), corners as fractions, by the title of their panel.
    """
    images = [sample.image] + [mirrored] * len(panels)
    figure, axes = image_grid(images, len(images), ["object"])
    for panel, words, boxes in zip(axes, ["as it was", *panels], [sample.boxes, *panels.values()]):
        draw_boxes(panel, sample.image if panel is axes[0] else mirrored, boxes)
        title(panel, words)
    return figure


def patch_figure(sample: Sample, patch: np.ndarray, names: Sequence[str]) -> Figure:
    """Show a patch on its picture, which objects stay, and what the network gets to see.

    Args:
        sample: Picture and objects.
        patch: Shape (4,), float, corners as fractions, inside the picture; rounded to whole pixels.
        names: Name of label 1, 2, ...
    """
    height, width = sample.image.shape[:2]
    window = np.rint(np.array(patch) * (width, height, width, height)).astype(int)
    keep = centers_inside(sample.boxes, (width, height), window[None])[0]
    frame = window / (width, height, width, height)
    overlaps = iou(frame[None], sample.boxes.astype(float))[0]
    figure, (picture, seen) = row_of_panels([3.8, 3.8], 3.8, ["object", "box"])
    texts = [f"{'stays' if k else 'lost'}, {o:.2f}" for k, o in zip(keep, overlaps)]
    dimmed = (sample.image * DIMMED).astype(np.uint8)
    left, top, right, bottom = window.tolist()
    dimmed[top:bottom, left:right] = sample.image[top:bottom, left:right]
    marks = ["object"] * len(keep) + ["box"]
    boxes = np.concatenate([sample.boxes, frame[None]])
    draw_boxes(picture, dimmed, boxes, [*texts, None], marks)
    middles = (sample.boxes[:, :2] + sample.boxes[:, 2:]) / 2 * (width, height)
    dot = {"s": 26, "color": "black", "edgecolors": "white", "linewidths": 1.2}
    picture.scatter(*middles.T, zorder=3.5, **dot)
    best = int(overlaps.argmax())
    name = names[sample.labels[best] - 1]
    title(picture, f"best IoU {overlaps[best]:.2f} ({name}), {keep.sum()} of {len(keep)} stay")
    origin, size = np.tile(frame[:2], 2), np.tile(frame[2:] - frame[:2], 2)
    inside = clip((sample.boxes[keep] - origin) / size)
    labels = [names[label - 1] for label in sample.labels[keep]]
    cut = cut_image(sample.image, (left, top, right, bottom), (0, 0, 0))
    draw_boxes(seen, cut, inside, labels)
    seen.set_aspect("auto")  # stretched to a square, as the network sees it
    title(seen, f"{right - left} x {bottom - top} pixels, stretched to a square")
    return figure


def rule_figure(least: Sequence[float], shares: Mapping[str, Sequence[float]]) -> Figure:
    """Show how many random patches pass, against the minimum IoU, for several rules.

    Args:
        least: Minimum IoU along the axis.
        shares: For each rule the share of patches that pass at each minimum, 0 to 1.
    """
    figure, (axes,) = row_of_panels([5.2], 2.6, left=0.8, foot=0.5)
    for number, (name, share) in enumerate(shares.items()):
        line = {"color": CURVES[number], "linestyle": CURVE_DASHES[2 * number]}
        axes.plot(
            least, np.array(share) * 100, "o", markersize=5, linewidth=1.8, label=name, **line
        )
    curve_axes(axes, "minimum IoU of the patch", "patches that pass, %")
    axes.set(ylim=(-3, 103), xticks=list(least))
    axes.legend(fontsize=NORMAL, frameon=False, loc="upper right")
    return figure


def sizes_figure(sizes: Mapping[str, np.ndarray], original: np.ndarray, side: int = 300) -> Figure:
    """Show how large objects are as the network sees them, one histogram for each way of augmenting.

    Args:
        sizes: For each way its objects' sizes in pixels, shape (n,).
        original: Shape (M,): the sizes before; drawn as marks under every histogram.
        side: Of the network's input, pixels: the end of the axis.
    """
    width = 7.0 / len(sizes)
    figure, panels = row_of_panels([width] * len(sizes), 2.2, left=0.6, gap=0.2, foot=0.5)
    edges = np.arange(0, side + 8, 8)
    tallest = 0.0
    for axes, (name, values) in zip(panels, sizes.items()):
        share = np.full(len(values), 100 / len(values))
        tallest = max(tallest, axes.hist(values, edges, weights=share, color=BAR)[0].max())
        _originals(axes, original)
        curve_axes(axes, "object size, pixels", "% of objects" if axes is panels[0] else "")
        axes.set(xlim=(0, side), xticks=range(0, side, 100))
        title(axes, name)
    for axes in panels:
        axes.set_ylim(0, 1.08 * tallest)
        if axes is not panels[0]:
            axes.set_yticklabels([])
    return figure


def _originals(axes: Axes, sizes: np.ndarray) -> None:
    """Mark sizes along the foot of a histogram."""
    style = {"markeredgecolor": "black", "markersize": 7, "clip_on": False, "zorder": 5}
    axes.plot(sizes, np.zeros(len(sizes)), "^", color=mark("object").color, **style)
