"""Write a trained network as one ONNX file, which other runtimes read.

The file takes pixels as they are, (N, S, S, 3), RGB 0 to 255, and any number of images at once. It ends
with the network's own numbers, with boxes and probabilities (--decode), or with the detections of each
image (--nms), the same that `minissd detect` finds. Class names and a description of every input and
output travel in the file. Needs: pip install 'minissd[onnx]'

  python -m minissd export runs/demo --out demo.onnx --nms --check
"""

from __future__ import annotations

import argparse

import numpy as np


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Weights, file, how far."""
    parser.add_argument("weights", help="run folder or file of trained weights")
    parser.add_argument("--out", default="model.onnx", help="file to write")
    stage = parser.add_mutually_exclusive_group()
    stage.add_argument(
        "--decode",
        dest="stage",
        action="store_const",
        const="decode",
        help="end with boxes and probabilities instead of offsets and scores",
    )
    stage.add_argument(
        "--nms",
        dest="stage",
        action="store_const",
        const="nms",
        help="end with the detections after non-maximum suppression",
    )
    parser.add_argument(
        "--check",
        action="store_true",
        help="run random images through the file and through this library and print the largest difference",
    )


def run(args: argparse.Namespace) -> int:
    """Export and say what was written; 1 if the check finds a difference that matters."""
    from minissd.commands.common import open_detector
    from minissd.export.onnx_check import onnxruntime_package
    from minissd.export.onnx_file import build_onnx, check_name, summary, write_onnx
    from minissd.export.onnx_graph import onnx_package

    stage = args.stage or "raw"
    check_name(args.out)
    onnx_package()  # what is missing is told before anything is loaded
    if args.check:
        onnxruntime_package()
    detector, _ = open_detector(args.weights, "cpu")
    write_onnx(build_onnx(detector, stage), args.out)
    print(summary(detector, stage, args.out))
    return print_check(detector, stage, args.out) if args.check else 0


def print_check(detector: object, stage: str, path: str) -> int:
    """Compare on two images of noise and print the differences; 1 if one is too large."""
    from minissd.export.onnx_check import TOLERANCE, compare

    size = detector.model.spec.image_size
    images = np.random.default_rng(0).integers(0, 256, (2, size, size, 3), dtype=np.uint8)
    differences = compare(detector, stage, path, images)
    print("  ONNX Runtime against minissd on two random images, largest differences:")
    for name, value in differences.items():
        print(f"    {name:<13} {value:.1e}" if name != "unpaired" else _unpaired(value))
    good = max(differences.values()) <= TOLERANCE
    print(f"  {'equal' if good else 'NOT EQUAL'} (allowed: {TOLERANCE:g})")
    return 0 if good else 1


def _unpaired(count: float) -> str:
    return f"    detections that only one of the two has: {count:.0f}"
