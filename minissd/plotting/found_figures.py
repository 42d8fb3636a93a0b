"""What a detector found: its most confident mistakes, and photographs with its answers."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from minissd.boxes.geometry import iou
from minissd.boxes.nms import Detections
from minissd.errors import check
from minissd.evaluation.ranking import Truth
from minissd.evaluation.verdicts import WRONG, judge_images
from minissd.plotting.boxes import draw_boxes
from minissd.plotting.grid import image_grid
from minissd.plotting.photo import label_text
from minissd.plotting.style import SMALL


def mistakes_figure(
    images: Sequence[np.ndarray],
    truths: Sequence[Truth],
    detections: Sequence[Detections],
    class_names: Sequence[str],
    count: int = 6,
) -> Figure:
    """Show the wrong detections with the best scores, at most one a picture, over the objects that are there.

    Above each stands how much it overlaps the nearest object, of whatever class.

    Args:
        images: Each of shape (H, W, 3), uint8, RGB.
        truths: Objects of each image.
        detections: Detections of each image, best first.
        class_names: Name of label 1, 2, ...
        count: How many to show.
    """
    check(len(images) == len(truths), "images", f"{len(truths)} images", len(images))
    worst = _worst(truths, detections)[:count]
    check(len(worst) > 0, "detections", "at least one wrong detection", "none")
    chosen = [images[number] for number, _ in worst]
    figure, panels = image_grid(chosen, 3, ["object", "wrong"])
    for axes, image, (number, row) in zip(panels, chosen, worst):
        found, truth = detections[number], truths[number]
        names = [class_names[label - 1] for label in truth.labels]
        text = label_text(class_names, int(found.labels[row]), float(found.scores[row]))
        both = np.concatenate([found.boxes[[row]], truth.boxes])
        draw_boxes(axes, image, both, [text, *names], ["wrong"] + ["object"] * len(names))
        overlaps = iou(found.boxes[[row]], truth.boxes)[0]
        words = "no object is there"
        if overlaps.max(initial=0) > 0:
            nearest = int(overlaps.argmax())
            words = f"IoU {overlaps[nearest]:.2f} with a {names[nearest]}"
        axes.set_title(words, fontsize=SMALL + 0.5, pad=3, parse_math=False)
    return figure


def _worst(truths: Sequence[Truth], detections: Sequence[Detections]) -> list[tuple[int, int]]:
    """Image and row of the best scored wrong detection of each image, best scored first."""
    worst = []
    for number, (verdict, _) in enumerate(judge_images(detections, truths)):
        worst += [
            (float(detections[number].scores[row]), number, int(row))
            for row in np.flatnonzero(verdict == WRONG)[:1]
        ]
    return [(number, row) for _, number, row in sorted(worst, reverse=True)]


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
