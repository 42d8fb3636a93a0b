"""Train the small SSD on a data set in VOC layout.

The data set is a folder with JPEGImages, Annotations and ImageSets/Main, as PASCAL VOC has them and
labelling tools write them; `minissd check-dataset DIR` says what is in yours. The run folder receives
the settings, the metrics of every step, a checkpoint an epoch, plots, and the detections before and
after.

  python -m minissd shapes data/shapes
  python -m minissd train data/shapes --augment flip --epochs 4
  python -m minissd train data/VOC2007 --classes person,car,dog --eval-split test --out runs/three
  python -m minissd train --resume runs/three          goes on after Ctrl-C or a crash
"""

from __future__ import annotations

import argparse
import dataclasses
from pathlib import Path

from minissd.commands.common import add_device, class_list
from minissd.datasets.augment import AUGMENTATIONS
from minissd.errors import InputError
from minissd.training.config import OPTIMIZERS, TrainConfig

DEFAULTS = {f.name: f.default for f in dataclasses.fields(TrainConfig)}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Data, network, training, output."""
    _add_data(parser)
    _add_training(parser)
    output = parser.add_argument_group("output")
    output.add_argument("--out", help="run folder (runs/NAME of the data set where not given)")
    output.add_argument(
        "--resume", metavar="RUN", help="run folder to go on with; its settings hold"
    )


def _add_data(parser: argparse.ArgumentParser) -> None:
    data = parser.add_argument_group("data")
    data.add_argument("data", nargs="?", help="folder in VOC layout (not with --resume)")
    data.add_argument("--split", default=DEFAULTS["split"], help="image set to train on")
    data.add_argument(
        "--eval-split",
        default=DEFAULTS["eval_split"],
        help="image set to evaluate on; none: no evaluation",
    )
    data.add_argument(
        "--eval-limit", type=int, default=0, help="evaluate on this many images (0: all)"
    )
    data.add_argument(
        "--classes",
        type=class_list,
        default=(),
        help="names with commas between, or a text file with one a line; others are ignored "
        "(without it: every class found)",
    )
    data.add_argument(
        "--skip-empty", action="store_true", help="leave out training images without such objects"
    )
    data.add_argument(
        "--augment",
        choices=AUGMENTATIONS,
        default=DEFAULTS["augment"],
        help="how pictures are varied",
    )
    data.add_argument(
        "--workers", type=int, default=DEFAULTS["workers"], help="threads that load pictures"
    )


def _add_training(parser: argparse.ArgumentParser) -> None:
    network = parser.add_argument_group("network")
    network.add_argument(
        "--image-size",
        type=int,
        default=DEFAULTS["image_size"],
        help="side of the square input, 96 to 320",
    )
    network.add_argument(
        "--width", type=int, default=DEFAULTS["width"], help="channels of the first layer"
    )

    train = parser.add_argument_group("training")
    train.add_argument(
        "--epochs", type=int, default=DEFAULTS["epochs"], help="passes over the images"
    )
    train.add_argument(
        "--batch-size", type=int, default=DEFAULTS["batch_size"], help="images a step"
    )
    train.add_argument(
        "--optimizer", choices=OPTIMIZERS, default=DEFAULTS["optimizer"], help="update rule"
    )
    train.add_argument("--lr", type=float, default=DEFAULTS["lr"], help="highest learning rate")
    train.add_argument("--warmup", type=int, default=DEFAULTS["warmup"], help="steps to reach it")
    train.add_argument(
        "--weight-decay", type=float, default=DEFAULTS["weight_decay"], help="of the weights"
    )
    train.add_argument(
        "--clip-norm", type=float, default=DEFAULTS["clip_norm"], help="longest gradient (0: any)"
    )
    train.add_argument(
        "--negative-ratio",
        type=float,
        default=DEFAULTS["negative_ratio"],
        help="negatives to positives",
    )
    train.add_argument("--seed", type=int, default=0, help="of weights, order and augmentation")
    train.add_argument(
        "--eval-every", type=int, default=0, help="epochs between evaluations (0: only at the end)"
    )
    add_device(train)


def run(args: argparse.Namespace) -> int:
    """Train or go on training; 130 when stopped by Ctrl-C."""
    from minissd.training.run import TrainingRun

    if args.resume:
        refuse_settings(args)
        training = TrainingRun.resume(args.resume, args.device)
    else:
        if not args.data:
            raise InputError("name the folder of the data set, or --resume RUN")
        settings = {name: getattr(args, name) for name in DEFAULTS if hasattr(args, name)}
        settings["eval_split"] = None if args.eval_split == "none" else args.eval_split
        config = TrainConfig(**settings)
        folder = args.out or Path("runs") / Path(args.data).resolve().name
        training = TrainingRun.start(config, folder, args.device)
    return training.run()


def refuse_settings(args: argparse.Namespace) -> None:
    """Raise an `InputError` if other settings stand beside `--resume`: they would have no effect."""
    defaults = DEFAULTS | {"data": None}
    given = [name for name, default in defaults.items() if getattr(args, name, default) != default]
    given = ["DATA" if name == "data" else f"--{name.replace('_', '-')}" for name in given]
    given += ["--out"] if args.out else []
    if given:
        raise InputError(
            f"--resume {args.resume} goes on with the settings of that run; leave out {', '.join(given)}"
        )
