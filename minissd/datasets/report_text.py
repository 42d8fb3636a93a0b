"""The plain-text form of a data set's report."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from minissd.datasets.report import DatasetReport

# Bounds of the size classes: root of a box's share of the picture's area.
_SIZE_BOUNDS = (0.0, 0.05, 0.1, 0.2, 0.4, 0.8, 1.01)


def render(report: DatasetReport, most: int = 20) -> str:
    """Write a report as lines of text.

    Args:
        report: What `check_dataset` found.
        most: How many repairs, problems and notes of each kind to name; the rest is counted.
    """
    what = "every annotation" if report.split is None else f"split {report.split}"
    n_usable = len(report.image_sizes)
    lines = [f"{report.root}: {what}: {report.n_images:,} pictures, {n_usable:,} usable"]
    if n_usable:
        lines += ["", *_classes(report), "", *_sizes(report)]
    lines += _listed("boxes repaired or left out", report.repairs, most)
    lines += _zero_based_hint(report.repairs)
    lines += _listed("notes", report.notes, most)
    lines += _listed("problems", report.problems, most)
    verdict = "no problem found" if report.is_sound else f"problems found: {len(report.problems):,}"
    return "\n".join([*lines, "", verdict])


def _classes(report: DatasetReport) -> list[str]:
    width = max([len("class"), *map(len, report.classes)])
    lines = [
        f"{'class':<{width}}  {'objects':>8} {'difficult':>9} {'truncated':>9} {'pictures':>8}"
    ]
    rows = [
        (name, c.objects, c.difficult, c.truncated, c.images) for name, c in report.classes.items()
    ]
    total = [sum(row[k] for row in rows) for k in (1, 2, 3)]
    rows.append(("all", *total, int((report.objects_per_image > 0).sum())))
    for name, objects, difficult, truncated, images in rows:
        lines.append(f"{name:<{width}}  {objects:>8,} {difficult:>9,} {truncated:>9,} {images:>8,}")
    return lines


def _sizes(report: DatasetReport) -> list[str]:
    per_image = report.objects_per_image
    low, high = report.image_sizes.min(axis=0), report.image_sizes.max(axis=0)
    middle = np.median(report.image_sizes, axis=0)
    lines = [
        f"picture width   {low[0]} to {high[0]} pixels, median {middle[0]:g}",
        f"picture height  {low[1]} to {high[1]} pixels, median {middle[1]:g}",
        f"objects on one  {per_image.min()} to {per_image.max()}, mean {per_image.mean():.2f};"
        f" pictures without any: {int((per_image == 0).sum()):,}",
    ]
    if report.object_sizes.size:
        lines += ["object size     root of the box's share of the picture's area"]
        counts, _ = np.histogram(report.object_sizes, _SIZE_BOUNDS)
        for low, high, count in zip(_SIZE_BOUNDS, _SIZE_BOUNDS[1:], counts):
            share = count / report.object_sizes.size
            lines.append(f"  {low:>5.0%} to {min(high, 1):>4.0%}  {count:>8,}  {share:>6.1%}")
    return lines


def _zero_based_hint(repairs: list[str]) -> list[str]:
    at_zero = sum("starts at 0" in repair for repair in repairs)
    if not at_zero:
        return []
    return [
        f"  boxes that start at 0: {at_zero:,}. This tool seems to count pixels from 0, VOC counts from 1."
        " VocDataset(..., first_pixel=0) reads such files exactly."
    ]


def _listed(title: str, entries: list[str], most: int) -> list[str]:
    if not entries:
        return []
    lines = ["", f"{title}: {len(entries):,}", *(f"  {entry}" for entry in entries[:most])]
    if len(entries) > most:
        lines.append(f"  ... and {len(entries) - most:,} more")
    return lines
