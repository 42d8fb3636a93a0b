"""Measure how well a trained network finds objects, or how well the detections in result files do.

A detection is right if it overlaps an object of its class with an IoU of at least 0.5 and no better
detection has claimed that object. Difficult objects count neither way, as in the VOC devkit. The
settings stand beside the numbers: mAP without them means little.

  python -m minissd evaluate runs/demo
  python -m minissd evaluate runs/demo --data data/shapes --split test --metric coco
  python -m minissd evaluate runs/demo --errors
  python -m minissd evaluate runs/demo --voc-results results
  python -m minissd evaluate --results results --data data/VOC2007 --split test
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import numpy as np

    from minissd.boxes.nms import Detections
    from minissd.evaluation import CocoResult, Evaluation, Truth

METHODS = {"voc07": "11-point", "voc": "all-point"}


class Found(NamedTuple):
    """Detections to measure: of a network, or of result files."""

    detections: list[Detections]
    truths: list[Truth]
    class_names: tuple[str, ...]
    split: str
    category_ids: list[int] | None
    settings: dict[str, object]
    score_floor: float | None = None
    tie_order: list[np.ndarray] | None = None


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What to measure, on which data, by which rule, and what to write."""
    from minissd.commands.common import add_device, add_half, class_list

    parser.add_argument("weights", nargs="?", help="run folder, checkpoint or converted model")
    parser.add_argument(
        "--results", metavar="DIR", help="measure these VOC result files instead of a network"
    )
    parser.add_argument("--data", help="data set folder (default: the one of the training)")
    parser.add_argument("--split", help="image set (default: the one of the training)")
    parser.add_argument(
        "--classes",
        type=class_list,
        help="with --results: only these classes (default: those in the data)",
    )
    parser.add_argument("--limit", type=int, default=0, help="use this many images (0: all)")
    parser.add_argument(
        "--metric",
        choices=(*METHODS, "coco"),
        default="voc07",
        help="VOC2007's rule, VOC2010's and later, or COCO's (needs pycocotools)",
    )
    parser.add_argument("--json", metavar="FILE", help="also write the figures to a file")
    parser.add_argument("--plot", metavar="FILE", help="also draw the precision-recall curves")
    parser.add_argument(
        "--voc-results", metavar="DIR", help="write the detections as VOC result files"
    )
    parser.add_argument(
        "--coco-results", metavar="FILE", help="write the detections as a COCO result file"
    )
    parser.add_argument(
        "--errors", action="store_true", help="say what kinds of errors there are, and draw them"
    )
    parser.add_argument(
        "--similar",
        metavar="FILE",
        help='sets of similar classes as JSON: {"pets": ["cat", "dog"]}',
    )
    parser.add_argument(
        "--out", metavar="DIR", help="folder for the figures of --errors (default: the run's)"
    )
    add_device(parser)
    add_half(parser)


def run(args: argparse.Namespace) -> None:
    """Measure, print the tables, and write what was asked for."""
    from minissd.evaluation import write_coco_results, write_voc_results
    from minissd.files import write_text

    _check_choices(args)
    similar = _read_similar(args.similar)
    found = _read_results(args) if args.results else _detect(args)
    result = _measure(found, args.metric)
    print(result.format_table())
    report = result.to_json()
    data = found.detections, found.truths, found.class_names
    if args.voc_results:
        write_voc_results(args.voc_results, *data, found.split)
        print(f"\nVOC result files: {args.voc_results}")
    if args.coco_results:
        write_coco_results(args.coco_results, *data, found.category_ids)
        print(f"\nCOCO result file: {args.coco_results}")
    if args.errors:
        report |= _analyse(found, similar, _figure_folder(args))
    if args.json:
        write_text(args.json, json.dumps(report, indent=2) + "\n")
    if args.plot:
        from minissd import plotting

        plotting.save_figure(plotting.precision_recall_figure(result), args.plot)


def _check_choices(args: argparse.Namespace) -> None:
    """Refuse what would only be noticed after all images have been looked at."""
    from minissd.errors import InputError, check_positive_int

    check_positive_int(args.limit, "--limit", 0)
    for wrong, message in (
        (bool(args.weights) == bool(args.results), "give either a run, or --results DIR"),
        (args.results and not args.data, "--results needs --data, and --split if it is not test"),
        (args.results and args.limit, "--limit: result files are measured whole"),
        (args.classes and not args.results, "--classes goes with --results"),
        (args.similar and not args.errors, "--similar goes with --errors"),
        (args.plot and args.metric == "coco", "--plot draws VOC's curves: leave out --metric coco"),
    ):
        if wrong:
            raise InputError(message)
    if args.metric == "coco":
        from minissd.evaluation.coco import load_pycocotools

        load_pycocotools()


def _detect(args: argparse.Namespace) -> Found:
    """Let a network find the objects of its data set, or of another one."""
    from minissd.commands.common import open_detector
    from minissd.datasets.opening import open_with_classes
    from minissd.errors import InputError
    from minissd.training.config import TrainConfig
    from minissd.training.inference import (
        Subset,
        category_ids,
        detect_dataset,
        detector_settings,
    )

    detector, checkpoint = open_detector(args.weights, args.device, args.half)
    missing = [f"--{name}" for name in ("data", "split") if not getattr(args, name)]
    if checkpoint is None and missing:
        raise InputError(
            f"{args.weights}: not trained here: name the data set, {' and '.join(missing)}"
        )
    config = checkpoint.config if checkpoint else TrainConfig(args.data)
    split = args.split or config.eval_split or config.split
    folder = args.data or config.data
    data = open_with_classes(folder, split, detector.class_names, bool(config.classes))
    detections, truths = detect_dataset(detector, Subset(data, args.limit))
    return Found(
        detections,
        truths,
        detector.class_names,
        split,
        category_ids(data, detector.class_names),
        detector_settings(detector),
        detector.model.spec.score_floor,
    )


def _read_results(args: argparse.Namespace) -> Found:
    """Read result files, and the objects they are measured against."""
    from minissd.datasets.opening import open_dataset
    from minissd.evaluation import read_voc_results
    from minissd.training.inference import category_ids, read_truths

    split = args.split or "test"
    data = open_dataset(args.data, split, args.classes, crowds=True)
    truths = read_truths(data)
    detections, lines = read_voc_results(args.results, truths, data.class_names, split)
    numbers = category_ids(data, data.class_names)
    return Found(detections, truths, data.class_names, split, numbers, {}, tie_order=lines)


def _measure(found: Found, metric: str) -> Evaluation | CocoResult:
    from minissd.evaluation import evaluate, evaluate_coco

    data = found.detections, found.truths, found.class_names
    if metric == "coco":
        return evaluate_coco(*data, found.category_ids, found.settings)
    return evaluate(
        *data,
        method=METHODS[metric],
        score_floor=found.score_floor,
        details=found.settings,
        tie_order=found.tie_order,
    )


def _analyse(found: Found, similar: dict[str, list[str]] | None, folder: Path) -> dict[str, dict]:
    """Print what kinds of errors there are, save the figures, and return the numbers."""
    from minissd import plotting
    from minissd.evaluation import analyse_errors, analyse_sensitivity

    data = found.detections, found.truths, found.class_names
    errors = analyse_errors(*data, similar)
    sensitivity = analyse_sensitivity(*data)
    print(f"\n{errors.format_table()}\n\n{sensitivity.format_table()}\n")
    figures: dict[str, Callable] = {}
    if any(each.n_objects and len(each.kinds) for each in errors.per_class.values()):
        figures["errors.png"] = lambda: plotting.error_kinds_figure(errors)
        figures["errors_wrong.png"] = lambda: plotting.wrong_kinds_figure(errors)
    if sensitivity.per_class:
        figures["sensitivity.png"] = lambda: plotting.sensitivity_figure(sensitivity)
    for name, draw in figures.items():
        print(f"figure: {plotting.save_figure(draw(), folder / name)}")
    return {"errors": errors.to_json(), "sensitivity": sensitivity.to_json()}


def _figure_folder(args: argparse.Namespace) -> Path:
    path = Path(args.out or args.results or args.weights)
    return path if args.out or path.is_dir() else path.parent


def _read_similar(path: str | None) -> dict[str, list[str]] | None:
    """Read sets of similar classes from a JSON file."""
    from minissd.errors import InputError

    if path is None:
        return None
    try:
        sets = json.loads(Path(path).read_text(encoding="utf-8-sig"))
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: cannot be read as JSON: {error}") from error
    fits = isinstance(sets, dict) and all(
        isinstance(names, list) and all(isinstance(name, str) for name in names)
        for names in sets.values()
    )
    if not fits:
        raise InputError(f'{path}: expected sets of classes, as in {{"pets": ["cat", "dog"]}}')
    return sets
