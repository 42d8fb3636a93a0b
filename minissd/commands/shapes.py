"""Generate the shapes data set, in real VOC layout.

Forms on textured backgrounds, told apart by their outline and not by their colour, partly hiding
each other, in changing light and sharpness, from 8 % to 80 % of the picture. The same seed gives the
same pictures. A shapes data set that was made with other numbers is replaced; any other folder is not.

  python -m minissd shapes data/shapes
  python -m minissd shapes data/more --trainval 5000 --test 1000 --seed 1
"""

from __future__ import annotations

import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Folder, counts, seed."""
    from minissd.datasets.shapes_writing import N_TEST, N_TRAINVAL

    parser.add_argument("out", help="folder to make")
    parser.add_argument("--trainval", type=int, default=N_TRAINVAL, help="pictures to train on")
    parser.add_argument("--test", type=int, default=N_TEST, help="pictures to evaluate on")
    parser.add_argument("--seed", type=int, default=0, help="of everything that is drawn")


def run(args: argparse.Namespace) -> None:
    """Draw the pictures."""
    from minissd.datasets.shapes import write_shapes

    made = write_shapes(args.out, args.trainval, args.test, args.seed)
    how = "found as they should be" if made.reused else f"drawn in {made.seconds:.1f} s"
    print(f"{made.root}: {args.trainval} + {args.test} pictures, {how}")
    print(f"next: python -m minissd check-dataset {made.root}")
