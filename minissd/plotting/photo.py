"""Detections drawn into a photograph at its own resolution."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from minissd.backend import to_cpu
from minissd.boxes.nms import Detections
from minissd.errors import check, check_shape
from minissd.plotting.labels import place_labels
from minissd.plotting.style import ink_on, mark, rgb


def annotate_photo(
    image: np.ndarray, detections: Detections, class_names: Sequence[str], min_score: float = 0.0
) -> np.ndarray:
    """Draw detections with class and score into a copy of a photograph; lines and letters grow with it.

    Args:
        image: Shape (H, W, 3), uint8, RGB.
        detections: What was found.
        class_names: Name of label 1, 2, ...
        min_score: Leave out detections below it.

    Returns:
        Shape (H, W, 3), uint8, RGB.

    Raises:
        ValueError: The image is another array, or a label has no name.
    """
    check_shape(image, ("H", "W", 3), "image")
    check(image.dtype == np.uint8, "image", "dtype uint8", str(image.dtype))
    boxes, labels, scores = (to_cpu(part) for part in detections)
    shown = np.argsort(-scores, kind="stable")
    shown = shown[scores[shown] >= min_score]
    height, width = image.shape[:2]
    side = np.sqrt(width * height)
    line = max(2, round(side * 0.006))
    font = ImageFont.load_default(max(10.0, side * 0.026))
    picture = Image.fromarray(image)
    draw = ImageDraw.Draw(picture)
    pixels = np.clip(boxes[shown].astype(float), 0, 1) * [width, height, width, height]
    for box in pixels[::-1]:  # the best scored last, on top
        _frame(draw, box, line)
    texts = [
        label_text(class_names, label, score) for label, score in zip(labels[shown], scores[shown])
    ]
    _labels(draw, pixels, texts, font, width, height)
    return np.asarray(picture)


def label_text(class_names: Sequence[str], label: int, score: float | None = None) -> str:
    """Return "name" or "name 0.87" in one line.

    Raises:
        ValueError: The label has no name.
    """
    check(1 <= label <= len(class_names), "label", f"1 to {len(class_names)}", int(label))
    name = " ".join(str(class_names[label - 1]).split())
    return name if score is None else f"{name} {score:.2f}"


def _frame(draw: ImageDraw.ImageDraw, box: np.ndarray, line: int) -> None:
    """Draw one box with a thin dark edge on both sides of its line."""
    left, top, right, bottom = np.round(box).astype(int).tolist()
    right, bottom = max(right - 1, left), max(bottom - 1, top)  # PIL's corners are inclusive
    edge = max(1, line // 4)
    outer = (left - edge, top - edge, right + edge, bottom + edge)
    draw.rectangle(outer, outline=(0, 0, 0), width=line + 2 * edge)
    draw.rectangle((left, top, right, bottom), outline=rgb(mark("detection").color), width=line)


def _labels(
    draw: ImageDraw.ImageDraw,
    pixels: np.ndarray,
    texts: list[str],
    font: ImageFont.FreeTypeFont,
    width: int,
    height: int,
) -> None:
    color = mark("detection").color
    ascent, descent = font.getmetrics()
    pad = max(2, round(font.size * 0.3))
    sizes = [(draw.textlength(text, font) + 2 * pad, ascent + descent + pad) for text in texts]
    places = place_labels(pixels, np.array(sizes).reshape(-1, 2), width, height)
    for text, place in reversed(list(zip(texts, places))):
        left, top, right, bottom = np.round(place).astype(int).tolist()
        draw.rectangle((left, top, right, bottom), fill=rgb(color))
        draw.text(
            (left + pad, (top + bottom) / 2), text, fill=rgb(ink_on(color)), font=font, anchor="lm"
        )
