"""Reduce the pictures of a data set and write it as one small file, to train on another machine.

The longer side of every picture becomes at most --side pixels, the boxes move with it, and the lists
keep their names: unpacked (tar -xzf), it is a data set in plain VOC layout. A pack that would be larger
than --limit-mib is not written. The same data and numbers give the same file, byte for byte.

  python -m minissd pack data/VOC2007 --splits trainval,test --out voc2007.tar.gz
  python -m minissd pack data/VOC2007 --side 160 --quality 60 --limit-mib 20 --out small.tar.gz
"""

from __future__ import annotations

import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Source, output, size."""
    parser.add_argument("data", help="folder of the data set; several with commas between")
    parser.add_argument("--out", required=True, metavar="FILE", help="file to make, NAME.tar.gz")
    parser.add_argument(
        "--splits",
        type=list_names,
        default=("trainval",),
        metavar="NAMES",
        help="lists to write, with commas between (default: trainval)",
    )
    parser.add_argument(
        "--side", type=int, default=224, help="longest side of a picture, pixels (default: 224)"
    )
    parser.add_argument("--quality", type=int, default=75, help="of the JPEG (default: 75)")
    parser.add_argument(
        "--limit-mib", type=float, default=50, metavar="MIB", help="largest file (default: 50)"
    )


def list_names(text: str) -> tuple[str, ...]:
    """Turn "trainval,test" into the names of lists."""
    names = tuple(dict.fromkeys(word.strip() for word in text.split(",")))
    if not all(names):
        raise argparse.ArgumentTypeError(f"{text!r} is not a list of names with commas between")
    return names


def run(args: argparse.Namespace) -> None:
    """Write the pack and say what is in it."""
    import time

    from minissd.datasets.pack import MIB, write_pack

    began = time.perf_counter()
    made = write_pack(args.data, args.out, args.splits, args.side, args.quality, args.limit_mib)
    seconds = time.perf_counter() - began
    counts = ", ".join(f"{name} {count:,}" for name, count in made.counts.items())
    print(f"{made.path}: {made.n_bytes / MIB:.1f} MiB in {seconds:.0f} s; pictures: {counts}")
    sides = made.box_sides
    if len(sides):
        small = ", ".join(f"{(sides < least).mean():.1%} below {least}" for least in (4, 8, 16))
        print(
            f"shorter side of the {len(sides):,} objects that are not difficult, in pixels: "
            f"least {sides.min():.1f}, {small}"
        )
    print(f"next: tar -xzf {made.path}")
