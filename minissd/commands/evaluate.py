"""Measure the average precision of a trained network.

A detection is right if it overlaps an object of its class with an IoU of at least 0.5 and no better
detection has claimed that object. Difficult objects count neither way, as in the VOC devkit. The
settings stand beside the numbers: mAP without them means little.

  python -m minissd evaluate runs/demo
  python -m minissd evaluate runs/demo --data data/shapes --split test --method all-point
"""

from __future__ import annotations

import argparse
import json


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Weights, data, rule."""
    from minissd.commands.common import add_device

    parser.add_argument("weights", help="run folder or checkpoint file")
    parser.add_argument("--data", help="data set folder (default: the one of the training)")
    parser.add_argument("--split", help="image set (default: the one of the training)")
    parser.add_argument("--limit", type=int, default=0, help="use this many images (0: all)")
    parser.add_argument(
        "--method",
        choices=("11-point", "all-point"),
        default="11-point",
        help="VOC2007's rule, or that of VOC2010 and later",
    )
    parser.add_argument("--json", metavar="FILE", help="also write the figures to a file")
    parser.add_argument("--plot", metavar="FILE", help="also draw the precision-recall curves")
    add_device(parser)


def run(args: argparse.Namespace) -> None:
    """Evaluate and print the table."""
    from minissd.commands.common import open_detector
    from minissd.datasets.voc import open_with_classes
    from minissd.errors import check_positive_int
    from minissd.files import write_text
    from minissd.training.inference import Subset, evaluate_dataset

    check_positive_int(args.limit, "--limit", 0)
    detector, checkpoint = open_detector(args.weights, args.device)
    config = checkpoint.config
    split = args.split or config.eval_split or config.split
    folder = args.data or config.data
    data = open_with_classes(folder, split, detector.class_names, bool(config.classes))
    evaluation = evaluate_dataset(detector, Subset(data, args.limit), args.method)
    print(evaluation.format_table())
    if args.json:
        write_text(args.json, json.dumps(evaluation.to_json(), indent=2) + "\n")
    if args.plot:
        from minissd import plotting

        plotting.save_figure(plotting.precision_recall_figure(evaluation), args.plot)
