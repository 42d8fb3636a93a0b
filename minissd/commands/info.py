"""Show a network layer by layer, and its default boxes.

python -m minissd info
python -m minissd info ssd300
python -m minissd info ssd512-coco --classes 3
python -m minissd info --image-size 300 --classes 20
python -m minissd info --weights runs/demo
"""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from minissd.models.ssd import SSD


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Which network."""
    add_network(parser)


def add_network(parser: argparse.ArgumentParser) -> None:
    """Add a network by its name and numbers, or by its weights."""
    parser.add_argument(
        "model", nargs="?", default="minissd", help="minissd, ssd300, ssd512-coco, ..."
    )
    parser.add_argument("--image-size", type=int, help="side of its input; minissd: 160")
    parser.add_argument(
        "--classes", type=int, help="number of object classes; minissd: 6, others: as published"
    )
    parser.add_argument("--width", type=int, default=32, help="channels of minissd's first layer")
    parser.add_argument("--weights", help="a run folder or file of weights, instead of the above")


def open_network(args: argparse.Namespace) -> tuple[SSD, str]:
    """Return the network that `add_network`'s arguments name, and a line that says which it is."""
    if args.weights:
        from minissd.commands.common import open_detector
        from minissd.models.model_file import model_source

        detector, checkpoint = open_detector(args.weights, "cpu")
        origin = f"{checkpoint.step} steps" if checkpoint else model_source(args.weights)
        classes = ", ".join(detector.class_names)
        return detector.model, f"{args.weights}: {origin}, classes {classes}"
    from minissd.models.build import build_model

    rng = np.random.default_rng(0)
    model = build_model(args.model, args.classes, rng, image_size=args.image_size, width=args.width)
    return model, f"{args.model}, {model.n_classes - 1} object classes"


def run(args: argparse.Namespace) -> None:
    """Print the two tables."""
    from minissd.models.summary import boxes_table, layer_table

    model, title = open_network(args)
    if args.weights:
        print(title)
    print(layer_table(model))
    print()
    print(boxes_table(model.spec))
