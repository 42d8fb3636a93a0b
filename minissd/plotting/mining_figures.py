"""Which boxes the class loss listens to: the imbalance, the cut by loss, and where the mined negatives lie."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import PolyCollection
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from minissd.boxes import corners_to_centers, iou, mine_hard_negatives
from minissd.errors import check_shape
from minissd.plotting.boxes import draw_boxes
from minissd.plotting.grid import image_grid
from minissd.plotting.style import NORMAL, QUIET, SMALL, mark, rgb
from minissd.plotting.teaching import curve_axes, pale, row_of_panels, title

REST = "#D8D8D8"  # background that nobody asks
NEAR = 0.1  # IoU from which a box is called near an object


def imbalance_figure(positives: np.ndarray, columns: int = 150) -> Figure:
    """Show every default box of a picture as one small square, and below it, to scale, how few are positive.

    Args:
        positives: Shape (K,), bool.
        columns: Squares in a row.
    """
    check_shape(positives, ("K",), "positives")
    n_rows = -(-len(positives) // columns)
    width = 7.6
    height = width * n_rows / columns
    figure, (squares,) = row_of_panels([width], height + 0.75)
    place = squares.get_position()
    share = height / (height + 0.75)
    bar = figure.add_axes((place.x0, place.y0, place.width, place.height * (1 - share) * 0.75))
    squares.set_position(
        (place.x0, place.y1 - place.height * share, place.width, place.height * share)
    )
    squares.imshow(_squares(positives, n_rows, columns), interpolation="nearest", aspect="auto")
    squares.set_axis_off()
    title(squares, f"each small square is one of {len(positives):,} default boxes")
    _share_bar(bar, int(positives.sum()), int((~positives).sum()))
    return figure


def _squares(positives: np.ndarray, n_rows: int, columns: int, pixels: int = 6) -> np.ndarray:
    """Return a picture with a square for each box, a white line between them."""
    colors = np.full((n_rows * columns, 3), 255, np.uint8)
    colors[: len(positives)] = np.where(
        positives[:, None], rgb(mark("positive").color), rgb(REST)
    ).astype(np.uint8)
    large = colors.reshape(n_rows, 1, columns, 1, 3).repeat(pixels, 1).repeat(pixels, 3)
    large[:, -1] = large[:, :, :, -1] = 255
    return large.reshape(n_rows * pixels, columns * pixels, 3)


def _share_bar(axes: Axes, n_positives: int, n_negatives: int) -> None:
    """Draw one bar to scale: background, and at its end the positives; the numbers stand below."""
    axes.barh(0, n_negatives, 1, color=REST)
    axes.barh(0, n_positives, 1, left=n_negatives, color=mark("positive").color)
    total = n_positives + n_negatives
    axes.set(xlim=(0, total), ylim=(-1.6, 0.5))
    axes.set_axis_off()
    words = f"{n_negatives:,} background"
    axes.text(0, -0.75, words, fontsize=NORMAL, va="top", parse_math=False)
    blue = {"color": mark("positive").color, "weight": "bold", "ha": "right", "va": "top"}
    axes.text(total, -0.75, f"{n_positives} positive", fontsize=NORMAL, **blue)


def softmax_gradient_figure(
    scores: np.ndarray, labels: np.ndarray, names: Sequence[str], titles: Sequence[str]
) -> Figure:
    """Show, a panel for each box, what softmax makes of its scores and where the gradient p - y sends them.

    Args:
        scores: Shape (N, C), float.
        labels: Shape (N,), the right class of each box.
        names: Name of each class, background first.
        titles: A few words for each box.
    """
    check_shape(scores, (len(labels), len(names)), "scores")
    n = len(labels)
    figure, (*panels, edge) = row_of_panels(
        [*[5.2 / n] * n, 0.02], 1.55, left=0.95, gap=0.58, foot=0.45
    )
    edge.remove()  # its place is for the numbers beside the last panel
    p = np.exp(scores - scores.max(axis=1, keepdims=True))
    p /= p.sum(axis=1, keepdims=True)
    y = np.eye(len(names))[labels]
    for axes, box_p, box_y, words in zip(panels, p, y, titles):
        _bars_of_a_row(axes, box_p, box_y, names)
        title(axes, words)
    for axes in panels[1:]:
        axes.set_yticklabels([])
    return figure


def _bars_of_a_row(axes: Axes, p: np.ndarray, y: np.ndarray, names: Sequence[str]) -> None:
    """Draw p as a grey bar, y as a black line, and p - y as the arrow that a gradient step takes from p."""
    places = np.arange(len(p))[::-1]
    axes.barh(places, p, 0.5, color=REST)
    for place, have, want in zip(places, p, y):
        axes.plot([want, want], [place - 0.36, place + 0.36], color="black", linewidth=2.5)
        shift = want - have
        if abs(shift) > 0.02:
            arrow = {"arrowstyle": "-|>", "color": "#882255", "linewidth": 1.8, "shrinkA": 0}
            axes.annotate("", (want, place), (have, place), arrowprops=arrow | {"shrinkB": 0})
        axes.text(1.07, place, f"{-shift:+.2f}", va="center", fontsize=SMALL + 0.5, color="#882255")
    curve_axes(axes, "p (bar), y (line)", "")
    axes.grid(visible=False)
    axes.set(xlim=(-0.02, 1.02), ylim=(-0.6, len(p) - 0.4), xticks=[0, 0.5, 1])
    axes.set_yticks(places, names, fontsize=SMALL + 0.5)
    axes.text(1.07, len(p) - 0.55, "p − y", va="bottom", fontsize=SMALL + 0.5, color="#882255")


def cut_figure(
    image: np.ndarray,
    objects: np.ndarray,
    boxes: np.ndarray,
    losses: np.ndarray,
    positives: np.ndarray,
    ratio: float,
) -> Figure:
    """Show the negatives' losses from high to low with the cut that mining makes, and the mined boxes on the picture.

    Args:
        image: Shape (H, W, 3), uint8, RGB.
        objects: Shape (M, 4), float, corners as fractions.
        boxes: Shape (K, 4), float, corners of the default boxes.
        losses: Shape (K,), float, class loss of every box.
        positives: Shape (K,), bool.
        ratio: Mined negatives for each positive.
    """
    mined = mine_hard_negatives(losses[None], positives[None], ratio)[0]
    count, ordered = int(mined.sum()), np.sort(losses[~positives])[::-1]
    figure, (curve, picture) = row_of_panels(
        [3.5, 3.2], 3.2, ["object", "negative"], left=0.65, gap=0.3, foot=0.45
    )
    places = np.arange(1, len(ordered) + 1)
    least = max(float(ordered[-1]), 1e-5)
    pink = mark("negative").color
    curve.plot(places, ordered, color=QUIET, linewidth=1.8)
    if count:
        curve.fill_between(
            places[:count], ordered[:count], least, color=pink, alpha=0.75, linewidth=0
        )
    curve.axvline(count + 0.5, color="black", linewidth=1.2, linestyle=(0, (3, 2)))
    share = ordered[:count].sum() / ordered.sum()
    words = f"{count} of {len(ordered):,} are mined:\n{share:.0%} of all background loss"
    curve.text(0.98, 0.97, words, transform=curve.transAxes, ha="right", va="top", fontsize=NORMAL)
    curve_axes(curve, "negatives, from the worst answer to the best", "class loss")
    curve.set(xlim=(0, len(ordered)), yscale="log", ylim=(least, 3 * max(float(ordered[0]), least)))
    title(curve, f"{int(positives.sum())} positives, ratio {ratio:g}")
    _draw_mined(picture, image, objects, boxes[mined])
    title(picture, "the mined boxes")
    return figure


def _draw_mined(axes: Axes, image: np.ndarray, objects: np.ndarray, mined: np.ndarray) -> None:
    """Draw mined boxes, each with the same ink spread over its area, and their centres, larger where several share one.

    The picture is pale and grey, so that pink means mined and nothing else.
    """
    draw_boxes(axes, pale(image), objects, None, "object")
    height, width = image.shape[:2]
    pink = mark("negative").color
    left, top, right, bottom = (mined * [width, height, width, height]).T
    rings = np.stack([left, top, right, top, right, bottom, left, bottom], axis=1)
    share = np.maximum((right - left) * (bottom - top) / (width * height), 1e-5)
    ink = np.minimum(0.5 / max(len(mined), 1) / share, 0.25)  # the same in all, however many
    panes = PolyCollection(rings.reshape(-1, 4, 2), linewidths=0.7, zorder=1.1)
    panes.set_facecolor([(*to_rgb(pink), alpha) for alpha in ink])
    panes.set_edgecolor((*to_rgb(pink), 0.4 if len(mined) < 200 else 0.15))
    axes.add_collection(panes, autolim=False)
    centers = (corners_to_centers(mined)[:, :2] * [width, height]).round(1)
    places, counts = np.unique(centers, axis=0, return_counts=True)
    dots = {"color": pink, "edgecolor": "#4A1F3A", "linewidth": 0.7, "zorder": 5}
    axes.scatter(*places.T, s=9 * counts, **dots)


def mined_over_time_figure(
    image: np.ndarray,
    objects: np.ndarray,
    boxes: np.ndarray,
    mined: np.ndarray,
    steps: Sequence[int],
) -> Figure:
    """Show the mined negatives on a picture at several steps of a training, and how far each is from an object.

    Args:
        image: Shape (H, W, 3), uint8, RGB.
        objects: Shape (M, 4), float, corners as fractions.
        boxes: Shape (K, 4), float, corners of the default boxes.
        mined: Shape (S, K), bool, a row for each step.
        steps: The S steps.
    """
    check_shape(mined, (len(steps), len(boxes)), "mined")
    figure, panels = image_grid([image] * len(steps), 2, ["object", "negative"])
    overlap = iou(boxes, objects).max(axis=1)
    for axes, row, step in zip(panels, mined, steps):
        _draw_mined(axes, image, objects, boxes[row])
        near = (overlap[row] >= NEAR).mean()
        title(axes, f"step {step:,}: {near:.0%} of {row.sum()} near an object")
    return figure


def mined_overlap_figure(
    overlaps: np.ndarray, mined: np.ndarray, steps: np.ndarray, threshold: float
) -> Figure:
    """Show over a training how much the mined negatives overlap an object, and how many stay from look to look.

    Args:
        overlaps: Shape (K,), float, IoU of every default box with its nearest object.
        mined: Shape (S, K), bool, a row for each step.
        steps: Shape (S,), int, rising.
        threshold: IoU from which a box is positive.
    """
    check_shape(mined, (len(steps), len(overlaps)), "mined")
    figure, (place, change) = row_of_panels([4.4, 2.3], 2.7, left=0.6, gap=0.75, foot=0.48)
    bands = np.array([np.percentile(overlaps[row], [10, 25, 50, 75, 90]) for row in mined])
    low, lower, middle, upper, high = bands.T
    pink = mark("negative").color
    place.fill_between(steps, low, high, color=pink, alpha=0.25, linewidth=0)
    place.fill_between(steps, lower, upper, color=pink, alpha=0.5, linewidth=0)
    place.plot(steps, middle, color="#7A3E63", linewidth=2)
    place.axhline(threshold, color=mark("positive").color, linewidth=1.3)
    words = f"positive from IoU {threshold:g} on"
    blue = {"color": mark("positive").color, "ha": "right", "va": "bottom"}
    place.text(steps[-1], threshold + 0.006, words, fontsize=SMALL + 0.5, **blue)
    curve_axes(place, "step of the training", "IoU with the nearest object")
    place.set(ylim=(0, threshold + 0.06))
    title(place, "mined negatives: median, middle half, middle 80 %")
    near = [(overlaps[row] >= NEAR).mean() for row in mined]
    change.plot(steps, near, color=pink, linewidth=2)
    every = (overlaps[overlaps < threshold] >= NEAR).mean()
    change.axhline(every, color=QUIET, linewidth=1.2, linestyle=(0, (3, 2)))
    change.text(steps[-1], every + 0.02, "all negatives", fontsize=SMALL, ha="right", color=QUIET)
    curve_axes(change, "step of the training", "")
    change.set(ylim=(0, 1.02))
    for axes in (place, change):
        axes.set_xscale("symlog", linthresh=10, linscale=0.6)
        axes.set(xlim=(0, steps[-1]), xticks=[0, 10, 100, 1000])
        axes.set_xticklabels(["0", "10", "100", "1,000"])
        axes.minorticks_off()
    title(change, f"near: IoU {NEAR:g} or more")
    return figure


def two_sorts_figure(losses: np.ndarray, count: int) -> Figure:
    """Show what two sorts make: boxes above, places below, and the same lines read in both directions.

    Args:
        losses: Shape (K,), float, no two equal.
        count: How many of the highest are mined.
    """
    n = len(losses)
    figure, panels = row_of_panels([3.5, 3.5], 1.75, left=0.15, gap=0.5)
    order = np.argsort(-losses)
    rank = np.argsort(order)
    for axes, upward in zip(panels, (True, False)):
        for box, place in enumerate(rank):
            _tile(axes, box, 1, f"{losses[box]:g}", place < count)
            _tile(axes, place, 0, f"{place}", place < count)
            ends = ((place, 0.2), (box, 0.8)) if upward else ((box, 0.8), (place, 0.2))
            color = mark("negative").color if place < count else QUIET
            arrow = {"arrowstyle": "-|>", "color": color, "linewidth": 1.5, "shrinkA": 0}
            axes.annotate("", ends[1], ends[0], arrowprops=arrow | {"shrinkB": 0})
            axes.text(box, 1.28, f"box {box}", ha="center", fontsize=SMALL, color="black")
        axes.text(-0.55, -0.34, "places", fontsize=SMALL, color="black")
        axes.set(xlim=(-0.6, n - 0.4), ylim=(-0.55, 1.5))
        axes.set_axis_off()
        numbers = " ".join(map(str, order if upward else rank))
        words = f"order = {numbers}" if upward else f"rank = {numbers}"
        axes.text((n - 1) / 2, -0.5, words, ha="center", fontsize=NORMAL, family="monospace")
    title(panels[0], "first sort: which box stands at place 0, 1, ...?")
    title(panels[1], "second sort: at which place stands box 0, 1, ...?")
    return figure


def _tile(axes: Axes, x: float, y: float, words: str, chosen: bool) -> None:
    color = mark("negative").color if chosen else "#EFEFEF"
    axes.add_patch(Rectangle((x - 0.4, y - 0.2), 0.8, 0.4, facecolor=color, edgecolor=QUIET))
    axes.text(x, y, words, ha="center", va="center", fontsize=NORMAL)


def loss_shares_figure(
    losses: np.ndarray, positives: np.ndarray, mined: np.ndarray, steps: Sequence[int]
) -> Figure:
    """Show which boxes a class loss is made of at several steps: if all boxes counted, and with mining.

    Args:
        losses: Shape (S, K), float, class losses of all boxes.
        positives: Shape (K,), bool.
        mined: Shape (S, K), bool.
        steps: The S steps.
    """
    check_shape(mined, losses.shape, "mined")
    ours = [(losses * positives).sum(1), (losses * mined).sum(1)]
    rest = (losses * ~(positives | mined)).sum(1)
    colors = [mark("positive").color, mark("negative").color, REST]
    figure, panels = row_of_panels([3.3, 3.3], 2.1, left=1.0, gap=0.35, foot=0.75)
    names = ["positives", "mined negatives", "all other negatives"]
    places = np.arange(len(steps))[::-1]
    for axes, parts in zip(panels, ([*ours, rest], ours)):
        total, left = np.sum(parts, axis=0), np.zeros(len(steps))
        for part, color, name in zip(parts, colors, names):
            axes.barh(places, part / total, 0.7, left=left, color=color, label=name)
            left += part / total
        for place, share in zip(places, parts[0] / total):
            ink = "white" if share > 0.12 else "black"
            axes.text(0.012, place, f"{share:.0%}", va="center", fontsize=SMALL, color=ink)
        curve_axes(axes, "share of the class loss", "")
        axes.grid(visible=False)
        axes.set(xlim=(0, 1), ylim=(-0.6, len(steps) - 0.4))
        axes.set_yticks(places, [f"step {step:,}" for step in steps], fontsize=SMALL + 0.5)
    panels[1].set_yticklabels([])
    title(panels[0], "if every box counted")
    title(panels[1], "as SSD counts, 3 to 1")
    handles, words = panels[0].get_legend_handles_labels()
    place = {"loc": "lower center", "ncols": 3, "frameon": False, "fontsize": SMALL + 0.5}
    figure.legend(handles, words, **place)
    return figure
