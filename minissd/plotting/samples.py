"""Figures of several pictures: samples of a data set, and what a detector finds in them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from minissd.backend import to_cpu
from minissd.boxes.nms import Detections
from minissd.datasets.sample import Sample
from minissd.errors import check
from minissd.evaluation.verdicts import IGNORED, RIGHT, WRONG, Truth, judge_images
from minissd.plotting.boxes import draw_boxes
from minissd.plotting.grid import image_grid, set_title
from minissd.plotting.photo import label_text

MOST_DRAWN = (
    30  # detections in one picture: more would hide it, and an untrained network has hundreds
)
MARK_OF_VERDICT = {RIGHT: "right", WRONG: "wrong", IGNORED: "ignored"}


def contact_sheet(
    samples: Sequence[Sample],
    titles: Sequence[str] | None = None,
    class_names: Sequence[str] | None = None,
    heading: str | None = None,
) -> Figure:
    """Show samples with their objects, three in a row: nine make a page.

    Args:
        samples: At least one.
        titles: Line above each; None for the names of the images.
        class_names: Name of label 1, 2, ...; None writes the numbers.
        heading: Line above all.

    Raises:
        ValueError: There is no sample, or not one title for each.
    """
    titles = [sample.image_id for sample in samples] if titles is None else list(titles)
    check(len(titles) == len(samples), "titles", f"{len(samples)} entries", len(titles))
    any_difficult = any(sample.difficult.any() for sample in samples)
    legend = ["object", "ignored"] if any_difficult else ["object"]
    figure, panels = image_grid([sample.image for sample in samples], 3, legend, heading)
    for axes, sample, title in zip(panels, samples, titles):
        names = [_name(class_names, label) for label in sample.labels]
        marks = ["ignored" if difficult else "object" for difficult in sample.difficult]
        draw_boxes(axes, sample.image, sample.boxes, names, marks)
        set_title(axes, title)
    return figure


def detections_figure(
    images: Sequence[np.ndarray],
    truths: Sequence[Truth],
    detections: Sequence[Detections],
    class_names: Sequence[str],
    min_score: float = 0.3,
    iou_threshold: float = 0.5,
    heading: str | None = None,
) -> Figure:
    """Show what a detector found: right and wrong detections over the true objects, counted above each picture.

    A true object has a label only where no drawn detection names it. Of more than 30 detections in a picture the best
    scored 30 are drawn; the title counts them all, and says how many are drawn.

    Args:
        images: Each of shape (H, W, 3), uint8, RGB.
        truths: Objects of each image.
        detections: Detections of each image.
        class_names: Name of label 1, 2, ...
        min_score: Detections below it are left out.
        iou_threshold: Least overlap of a right detection.
        heading: Line above all.

    Raises:
        ValueError: There are not as many entries of each as images, or none.
    """
    panels = _panels(images, truths, detections, class_names, min_score, iou_threshold)
    legend = _legend_of(panels)
    figure, all_axes = image_grid(images, _columns(len(images)), legend, heading)
    for axes, image, panel in zip(all_axes, images, panels):
        panel.draw(axes, image)
    return figure


def before_after_figure(
    images: Sequence[np.ndarray],
    truths: Sequence[Truth],
    before: Sequence[Detections],
    after: Sequence[Detections],
    class_names: Sequence[str],
    min_score: float = 0.3,
    iou_threshold: float = 0.5,
    best_before: int = 3,
    heading: str | None = None,
) -> Figure:
    """Show the same pictures before and after training, one above the other, at most three pairs side by side.

    An untrained network is sure of nothing: where none of its detections reaches the least score, the best few are
    drawn all the same, and the title says so. Of more than 30 the best are drawn, as in `detections_figure`.

    Args:
        images: Each of shape (H, W, 3), uint8, RGB.
        truths: Objects of each image.
        before: Detections of each image before training.
        after: Detections of each image after training.
        class_names: Name of label 1, 2, ...
        min_score: Detections below it are left out.
        iou_threshold: Least overlap of a right detection.
        best_before: How many to draw before training where none reaches the least score.
        heading: Line above all.

    Raises:
        ValueError: There are not as many entries of each as images, or none.
    """
    first = _panels(images, truths, before, class_names, min_score, iou_threshold, best_before)
    second = _panels(images, truths, after, class_names, min_score, iou_threshold)
    columns = _columns(len(images))
    places: list[
        tuple[np.ndarray, _Panel, str] | None
    ] = []  # a row before, the row after, the next row before ...
    for start in range(0, len(images), columns):
        row = range(start, min(start + columns, len(images)))
        gap = [None] * (columns - len(row))
        places += [(images[i], first[i], "before: ") for i in row] + gap
        places += [(images[i], second[i], "after: ") for i in row] + gap
    shown = [place and place[0] for place in places]
    figure, all_axes = image_grid(shown, columns, _legend_of(first + second), heading)
    for axes, (image, panel, word) in zip(all_axes, filter(None, places)):
        panel.draw(axes, image, word)
    return figure


def _columns(n_images: int) -> int:
    """Return how many panels go side by side: at most three, and the rows as equal as can be."""
    return -(-n_images // max(1, -(-n_images // 3)))


class _Panel:
    """The boxes, texts and marks of one picture, detections first, and its title."""

    def __init__(self) -> None:
        self.boxes: list[np.ndarray] = []
        self.texts: list[str | None] = []
        self.marks: list[str] = []
        self.title = ""

    def add(self, box: np.ndarray, text: str | None, mark: str) -> None:
        self.boxes.append(box)
        self.texts.append(text)
        self.marks.append(mark)

    def draw(self, axes: Axes, image: np.ndarray, word: str = "") -> None:
        draw_boxes(axes, image, np.reshape(self.boxes, (-1, 4)), self.texts, self.marks)
        set_title(axes, word + self.title)


def _panels(
    images: Sequence[np.ndarray],
    truths: Sequence[Truth],
    detections: Sequence[Detections],
    class_names: Sequence[str],
    min_score: float,
    iou_threshold: float,
    fallback: int = 0,
) -> list[_Panel]:
    check(len(truths) == len(images), "truths", f"{len(images)} images", len(truths))
    check(len(detections) == len(images), "detections", f"{len(images)} images", len(detections))
    answers = judge_images(detections, truths, iou_threshold)
    panels = []
    for truth, found, (verdicts, about) in zip(truths, detections, answers):
        boxes, labels, scores = (to_cpu(part) for part in found)
        order = np.argsort(-scores, kind="stable")
        shown = order[scores[order] >= min_score]
        note = None
        if not len(shown) and fallback and len(order):
            shown = order[:fallback]
            note = f"best {len(shown)}, all below {min_score:g}"
        drawn = shown[:MOST_DRAWN]
        panel = _Panel()
        for row in drawn:
            text = label_text(class_names, labels[row], scores[row])
            panel.add(boxes[row], text, MARK_OF_VERDICT[int(verdicts[row])])
        named = about[drawn[verdicts[drawn] != WRONG]]
        _add_truth(panel, truth, set(named.tolist()), class_names)
        panel.title = note or _score_line(truth, verdicts[shown])
        if len(drawn) < len(shown):
            panel.title += f", {len(drawn)} drawn"
        panels.append(panel)
    return panels


def _add_truth(panel: _Panel, truth: Truth, named: set[int], class_names: Sequence[str]) -> None:
    for i, (box, label, difficult) in enumerate(zip(truth.boxes, truth.labels, _difficult(truth))):
        text = None if i in named else label_text(class_names, label)
        panel.add(box, text, "ignored" if difficult else "object")


def _score_line(truth: Truth, verdicts: np.ndarray) -> str:
    n_objects = int((~_difficult(truth)).sum())
    n_right, n_wrong = int((verdicts == RIGHT).sum()), int((verdicts == WRONG).sum())
    found = f"{n_right} of {n_objects} found" if n_objects else "nothing to find"
    return f"{found}, {n_wrong} wrong" if n_wrong else found


def _difficult(truth: Truth) -> np.ndarray:
    return (
        np.zeros(len(truth.labels), bool)
        if truth.difficult is None
        else np.asarray(truth.difficult, bool)
    )


def _legend_of(panels: list[_Panel]) -> list[str]:
    used = {mark for panel in panels for mark in panel.marks}
    return [mark for mark in ("object", "right", "wrong", "ignored") if mark in used]


def _name(class_names: Sequence[str] | None, label: int) -> str:
    return str(int(label)) if class_names is None else label_text(class_names, label)
