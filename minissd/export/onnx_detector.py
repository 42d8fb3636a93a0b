"""The detector around the layers as ONNX nodes: preparation, heads, decoding, and non-maximum suppression.

Each function takes names of tensors and returns names, so that each can be tried by itself. N is the number of images,
K that of default boxes, C that of object classes; B, P and D are said where they come up.
"""

from __future__ import annotations

import numpy as np

from minissd.boxes.coding import LARGEST_LOG_SIZE
from minissd.boxes.geometry import centers_to_corners
from minissd.errors import check
from minissd.export.onnx_graph import Graph, Map
from minissd.export.onnx_layers import add_layer
from minissd.models.loss import usable_boxes
from minissd.models.spec import DetectorSpec
from minissd.models.ssd import SSD

LEFT_OUT = -1.0  # stands for the score of what is no candidate; no probability is below 0


def add_preparation(graph: Graph, images: str, spec: DetectorSpec) -> Map:
    """Turn pixels (N, S, S, 3), RGB 0 to 255, into the network's input (N, 3, S, S): what `SSD.prepare` does."""
    pixels = graph.node("Cast", images, name="input.cast", to=1)  # 1: float32
    mean = graph.constant(np.asarray(spec.input_mean, np.float32), "input.mean")
    factor = graph.constant(1 / np.asarray(spec.input_std, np.float64), "input.factor")
    centred = graph.node("Sub", pixels, mean, name="input.centred")
    scaled = graph.node("Mul", centred, factor, name="input.scaled")
    x = graph.node("Transpose", scaled, name="input", perm=(0, 3, 1, 2))
    return Map(x, 3, spec.image_size, spec.image_size)


def add_predictions(graph: Graph, model: SSD, x: Map) -> tuple[str, str]:
    """Add trunk and heads.

    Args:
        graph: Grows.
        model: The network.
        x: Prepared images (N, 3, S, S).

    Returns:
        Names of the class scores (N, K, C + 1), before softmax, and of the offsets (N, K, 4).

    Raises:
        ValueError: A layer has no translation, or a map is not of the size that the spec says.
    """
    rows = []
    for i, feature_map in enumerate(model.spec.maps):
        x = add_layer(graph, model.segments[i], x, f"segments.{i}")
        side = feature_map.size
        check((x.height, x.width) == (side, side), f"segments.{i}", f"a map of {side} x {side}", x)
        tap = model.taps[i]
        seen = x if tap is None else add_layer(graph, tap, x, f"taps.{i}")
        head = add_layer(graph, model.heads[i], seen, f"heads.{i}")
        last = graph.node("Transpose", head.name, name=f"heads.{i}.last", perm=(0, 2, 3, 1))
        shape = graph.integers([0, -1, model.n_classes + 4], f"heads.{i}.shape")  # 0: keep N
        rows.append(graph.node("Reshape", last, shape, name=f"heads.{i}.rows"))
    everything = graph.node("Concat", *rows, name="heads.rows", axis=1)
    sizes = graph.integers([model.n_classes, 4], "heads.sizes")
    names = ("heads.scores", "heads.offsets")
    scores, offsets = graph.nodes("Split", everything, sizes, names=names, axis=2)
    return scores, offsets


def add_decoding(graph: Graph, spec: DetectorSpec, scores: str, offsets: str) -> tuple[str, str]:
    """Turn scores into probabilities and offsets into boxes, as `softmax` and `decode` do.

    Args:
        graph: Grows.
        spec: Gives default boxes, divisors, clamp, and whether boxes are clipped before NMS.
        scores: Name of (N, K, C + 1).
        offsets: Name of (N, K, 4).

    Returns:
        Names of the boxes (N, K, 4), corners as fractions of the image, and of the probabilities (N, K, C + 1).
    """
    probabilities = graph.node("Softmax", scores, name="decode.probabilities", axis=-1)
    defaults = spec.default_boxes()
    limit = LARGEST_LOG_SIZE if spec.size_clamp is None else spec.size_clamp
    default_center = graph.constant(defaults[:, :2], "decode.default_center")
    default_size = graph.constant(defaults[:, 2:], "decode.default_size")

    def step(operator: str, a: str, b: str | float, name: str) -> str:
        b = b if isinstance(b, str) else graph.constant(b, f"decode.{name}.by")
        return graph.node(operator, a, b, name=f"decode.{name}")

    parts = ("decode.center_offset", "decode.log_size")
    shift, log_size = graph.nodes(
        "Split", offsets, graph.integers([2, 2], "decode.halves"), names=parts, axis=2
    )
    shift = step("Mul", step("Mul", shift, spec.center_scale, "scaled"), default_size, "shift")
    center = step("Add", default_center, shift, "center")
    log_size = step("Min", step("Mul", log_size, spec.size_scale, "scaled_size"), limit, "limited")
    stretch = graph.node("Exp", log_size, name="decode.stretch")
    half = step("Div", step("Mul", default_size, stretch, "size"), 2.0, "half")
    low, high = step("Sub", center, half, "low"), step("Add", center, half, "high")
    boxes = graph.node("Concat", low, high, name="decode.boxes", axis=2)
    if spec.clip_before_nms:
        boxes = _clip(graph, boxes, "decode.clipped")
    return boxes, probabilities


def n_detections(spec: DetectorSpec) -> int:
    """Return D, the rows of each image's table of detections: as many as there can be at most."""
    return min(spec.max_detections, spec.n_object_classes * _n_candidates(spec))


def _n_candidates(spec: DetectorSpec) -> int:
    """Return P, how many boxes of each class enter NMS."""
    return min(spec.candidates_per_class, spec.n_default_boxes)


def add_suppression(
    graph: Graph, spec: DetectorSpec, boxes: str, probabilities: str
) -> tuple[str, str, str, str]:
    """Choose the detections as `multiclass_nms` does, of all images at once.

    Args:
        graph: Grows.
        spec: Gives floor, candidates a class, NMS threshold, most detections.
        boxes: Name of (N, K, 4).
        probabilities: Name of (N, K, C + 1).

    Returns:
        Names of the boxes (N, D, 4), clipped to the image; of the labels (N, D) int64, 1 to C; of the scores (N, D),
        falling; and of the counts (N,) int64. Rows from an image's count on are all 0.
    """
    if spec.ignore_border:  # what was never trained does not answer
        usable = usable_boxes(centers_to_corners(spec.default_boxes()), spec)[:, None]
        factor = graph.constant(usable, "nms.usable")
        probabilities = graph.node("Mul", probabilities, factor, name="nms.of_usable")
    scores, rows = _best_of_each_class(graph, spec, probabilities)
    candidates = _gather_rows(graph, boxes, rows, "nms.candidates")  # (N, C * P, 4)
    kept = _keep(graph, spec, candidates, scores)  # (N, C * P), LEFT_OUT where silenced
    most = graph.integers([n_detections(spec)], "nms.most")
    names = ("nms.best", "nms.places")  # of equal scores the first: by class, then by row
    best, places = graph.nodes("TopK", kept, most, names=names, axis=1)
    return _table(graph, spec, candidates, best, places)


def _best_of_each_class(graph: Graph, spec: DetectorSpec, probabilities: str) -> tuple[str, str]:
    """Return the P best scores of each class, (N, C, P), and their boxes' rows as (N, C * P)."""
    places = graph.integers(np.arange(1, spec.n_object_classes + 1), "nms.classes")
    objects = graph.node("Gather", probabilities, places, name="nms.objects", axis=2)
    by_class = graph.node("Transpose", objects, name="nms.by_class", perm=(0, 2, 1))
    floor = graph.constant(spec.score_floor, "nms.floor")
    above = graph.node("Greater", by_class, floor, name="nms.above")  # false for nan, too
    left_out = graph.constant(LEFT_OUT, "nms.left_out")
    scores = graph.node("Where", above, by_class, left_out, name="nms.scores")
    count = _n_candidates(spec)
    names = ("nms.top", "nms.top_rows")
    top = graph.integers([count], "nms.count")
    top_scores, rows = graph.nodes("TopK", scores, top, names=names, axis=2)
    flat = graph.integers([0, spec.n_object_classes * count], "nms.flat")
    return top_scores, graph.node("Reshape", rows, flat, name="nms.rows")


def _keep(graph: Graph, spec: DetectorSpec, candidates: str, scores: str) -> str:
    """Return the scores (N, C * P) with `LEFT_OUT` in place of the silenced ones.

    Each class has its own P boxes, and ONNX's operator shares one set of boxes among the classes of an image. So each
    class of each image is handed over as an image of its own with one class: N * C of them.
    """
    count, n_classes = _n_candidates(spec), spec.n_object_classes
    shapes = {"boxes": [-1, count, 4], "scores": [-1, 1, count], "table": [-1, count]}
    shape = {key: graph.integers(value, f"nms.{key}_shape") for key, value in shapes.items()}
    chosen = graph.node(
        "NonMaxSuppression",
        graph.node("Reshape", candidates, shape["boxes"], name="nms.class_boxes"),
        graph.node("Reshape", scores, shape["scores"], name="nms.class_scores"),
        graph.integers([min(count, spec.max_detections)], "nms.most_of_class"),
        graph.constant([spec.nms_iou], "nms.iou"),
        graph.constant([spec.score_floor], "nms.threshold"),
        name="nms.chosen",
    )  # (M, 3): image, class, box
    columns = graph.integers([0, 2], "nms.columns")
    where = graph.node("Gather", chosen, columns, name="nms.where", axis=1)
    table = graph.node("Reshape", scores, shape["table"], name="nms.table")
    values = graph.node("GatherND", table, where, name="nms.values")
    left_out = graph.node("Expand", "nms.left_out", _shape(graph, table), name="nms.none")
    kept = graph.node("ScatterND", left_out, where, values, name="nms.kept_of_class")
    back = graph.integers([-1, n_classes * count], "nms.image_shape")
    return graph.node("Reshape", kept, back, name="nms.kept")


def _table(
    graph: Graph, spec: DetectorSpec, candidates: str, best: str, places: str
) -> tuple[str, str, str, str]:
    """Return boxes, labels, scores and counts, with 0 in the rows that hold no detection."""
    zero, nothing = graph.constant(0.0, "nms.zero"), graph.integers(0, "nms.nothing")
    found = graph.node("GreaterOrEqual", best, zero, name="nms.found")
    scores = graph.node("Where", found, best, zero, name="nms.final_scores")
    count = graph.integers(_n_candidates(spec), "nms.candidates_per_class")
    column = graph.node("Div", places, count, name="nms.column")
    label = graph.node("Add", column, graph.integers(1, "nms.one"), name="nms.label")
    labels = graph.node("Where", found, label, nothing, name="nms.final_labels")
    last = graph.integers([2], "nms.last")
    boxes = _clip(graph, _gather_rows(graph, candidates, places, "nms.best_boxes"), "nms.clipped")
    found_boxes = graph.node("Unsqueeze", found, last, name="nms.found_boxes")
    boxes = graph.node("Where", found_boxes, boxes, zero, name="nms.final_boxes")
    ones = graph.node("Cast", found, name="nms.ones", to=7)  # 7: int64
    axis = graph.integers([1], "nms.axis")
    counts = graph.node("ReduceSum", ones, axis, name="nms.final_counts", keepdims=0)
    return boxes, labels, scores, counts


def _gather_rows(graph: Graph, boxes: str, rows: str, name: str) -> str:
    """Return rows (N, M) of boxes (N, K, 4), image by image: (N, M, 4)."""
    last = graph.integers([2], f"{name}.axis")
    index = graph.node("Unsqueeze", rows, last, name=f"{name}.index")
    return graph.node("GatherND", boxes, index, name=name, batch_dims=1)


def _shape(graph: Graph, tensor: str) -> str:
    return graph.node("Shape", tensor, name=f"{tensor}.shape")


def _clip(graph: Graph, boxes: str, name: str) -> str:
    low, high = graph.constant(0.0, f"{name}.low"), graph.constant(1.0, f"{name}.high")
    return graph.node("Clip", boxes, low, high, name=name)
