"""Report what a data set holds and what is wrong with it.

Counts by class, sizes, difficult and truncated objects, boxes that were repaired, and every problem
with the file it is in; nine samples are drawn with their boxes, which shows at a glance whether the
boxes fit. Nothing is changed.

A data set is a folder in the layout of PASCAL VOC, COCO or ILSVRC DET, or with pictures and VOC XML
files beside them; or several such folders with commas between.

  python -m minissd check-dataset data/shapes
  python -m minissd check-dataset my_photos --classes cat,dog --out samples.png
  python -m minissd check-dataset data/coco2017 --split val2017
  python -m minissd check-dataset data/VOC2007,data/VOC2012 --split trainval
"""

from __future__ import annotations

import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Folder, split, classes, picture."""
    from minissd.commands.common import class_list

    parser.add_argument("data", help="folder of the data set; several with commas between")
    parser.add_argument(
        "--split",
        help="image set, or one for each folder with commas between (default: all of them)",
    )
    parser.add_argument(
        "--classes", type=class_list, default=None, help="the classes there should be"
    )
    parser.add_argument(
        "--out", default="dataset_samples.png", help="where the nine samples are drawn"
    )


def run(args: argparse.Namespace) -> int:
    """Print the report; exit code 1 if there are problems."""
    from minissd import plotting
    from minissd.datasets.report import check_dataset

    report = check_dataset(args.data, args.split, args.classes)
    print(report.text())
    samples = report.samples()
    if samples:
        figure = plotting.contact_sheet(samples, class_names=report.class_names)
        plotting.save_figure(figure, args.out)
        print(f"samples: {args.out}")
    return 0 if report.is_sound else 1
