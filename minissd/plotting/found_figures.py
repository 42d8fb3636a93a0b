"""What a detector found: its most confident mistakes, and photographs with its answers."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from minissd.boxes.nms import Detections
from minissd.errors import check
from minissd.evaluation.ranking import Truth
from minissd.plotting.boxes import draw_boxes
from minissd.plotting.grid import image_grid
from minissd.plotting.photo import label_text
from minissd.plotting.style import SMALL


def mistakes_figure(
    images: Sequence[np.ndarray],
    truths: Sequence[Truth],
    boxes: np.ndarray,
    texts: Sequence[str],
    titles: Sequence[str],
    class_names: Sequence[str],
) -> Figure:
    """Show wrong detections, a panel each, over the objects of their picture.

    Args:
        images: Each of shape (H, W, 3), uint8, RGB.
        truths: Objects of each image.
        boxes: Shape (P, 4), float, the wrong detection of each panel.
        texts: Its label.
        titles: In what way it is wrong.
        class_names: Name of label 1, 2, ...
    """
    counts = {len(images), len(truths), len(boxes), len(texts), len(titles)}
    check(len(counts) == 1, "images", "one of everything for each panel", sorted(counts))
    figure, panels = image_grid(images, 3, ["object", "wrong"])
    for axes, image, truth, box, text, above in zip(panels, images, truths, boxes, texts, titles):
        names = [class_names[label - 1] for label in truth.labels]
        both = np.concatenate([box[None], truth.boxes])
        draw_boxes(axes, image, both, [text, *names], ["wrong"] + ["object"] * len(names))
        axes.set_title(above, fontsize=SMALL + 0.5, pad=3, parse_math=False)
    return figure


def photos_figure(
    images: Sequence[np.ndarray],
    detections: Sequence[Detections],
    names: Sequence[Sequence[str]],
    titles: Sequence[str],
    min_score: float,
    columns: int = 2,
) -> Figure:
    """Show photographs with the detections of at least a score.

    Args:
        images: Each of shape (H, W, 3), uint8, RGB.
        detections: One an image.
        names: For each image the names of label 1, 2, ... of the detector that looked at it.
        titles: Line above each.
        min_score: Detections below it are not drawn.
        columns: Photographs side by side.
    """
    counts = {len(images), len(detections), len(names), len(titles)}
    check(len(counts) == 1, "images", "one of everything for each panel", sorted(counts))
    figure, panels = image_grid(images, columns, ["detection"])
    for axes, image, found, known, above in zip(panels, images, detections, names, titles):
        keep = np.asarray(found.scores) >= min_score
        pairs = zip(found.labels[keep].tolist(), found.scores[keep].tolist())
        texts = [label_text(known, label, score) for label, score in pairs]
        draw_boxes(axes, image, found.boxes[keep], texts, "detection")
        axes.set_title(above, fontsize=SMALL + 0.5, pad=3, parse_math=False)
    return figure
