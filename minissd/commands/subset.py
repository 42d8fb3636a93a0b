"""Choose some pictures and classes of a data set and write them in plain VOC layout.

The pictures are copied unchanged and chosen so that every class is on about as many of them; the same
seed chooses the same ones. Objects of other classes are left out, difficult ones stay. DATA is
anything that check-dataset reads: VOC, COCO, ILSVRC DET, or pictures with VOC XML beside them.

  python -m minissd subset data/VOC2007 --classes dog,cat --images 600 --out data/dogs_cats
  python -m minissd subset data/VOC2007 --classes car --test-split test --out data/cars
  python -m minissd subset data/coco2017 --split train2017 --classes "stop sign" --out data/signs
"""

from __future__ import annotations

import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Source, choice, output."""
    from minissd.commands.common import class_list

    parser.add_argument("data", help="folder of the data set; several with commas between")
    parser.add_argument("--out", required=True, help="folder to make; new or empty")
    parser.add_argument(
        "--classes", type=class_list, default=None, help="the classes wanted (default: all)"
    )
    parser.add_argument(
        "--images",
        type=int,
        metavar="N",
        help="pictures to choose from --split (default: all that show one of the classes)",
    )
    parser.add_argument("--seed", type=int, default=0, help="of the choice")
    parser.add_argument(
        "--split", default="trainval", help="image set to choose from; becomes trainval"
    )
    test = parser.add_argument_group("pictures to test on")
    test.add_argument(
        "--test-share",
        type=float,
        default=0.2,
        metavar="X",
        help="take this share of the chosen pictures for test (0: none)",
    )
    test.add_argument(
        "--test-split",
        metavar="NAME",
        help="choose them from this image set instead, so that the source's division is kept",
    )
    test.add_argument(
        "--test-images",
        type=int,
        metavar="N",
        help="how many from --test-split (default: so many that --test-share holds; all without --images)",
    )


def run(args: argparse.Namespace) -> None:
    """Write the subset and say what is in it."""
    from minissd.datasets.subset import write_subset
    from minissd.errors import InputError, check_positive_int

    check_positive_int(args.seed, "--seed", 0)
    if args.test_images is not None and args.test_split is None:
        raise InputError("--test-images: says how many to choose from --test-split; name that too")
    made = write_subset(
        args.data,
        args.out,
        args.classes,
        args.images,
        args.seed,
        args.split,
        args.test_split,
        args.test_images,
        args.test_share,
    )
    counts = ", ".join(f"{name} {count:,}" for name, count in made.counts.items())
    print(f"{made.root}: pictures: {counts}")
    width = max(map(len, made.objects))
    print(f"{'class':<{width}}  {'pictures':>8}  {'objects':>8}")
    for name, count in made.objects.items():
        print(f"{name:<{width}}  {made.pictures[name]:>8,}  {count:>8,}")
    if made.left_out:
        print(f"left out: {made.left_out:,} objects of other classes or in crowds")
    n_chosen = made.counts["trainval"] if args.test_split else sum(made.counts.values())
    if args.images and n_chosen < args.images:
        print(f"{args.images:,} pictures were asked for; no more show one of the classes")
    print(f"next: python -m minissd check-dataset {made.root}")
