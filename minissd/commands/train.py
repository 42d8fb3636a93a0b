"""Train a network on a data set.

The data set is a folder in the layout of PASCAL VOC, COCO or ILSVRC DET, or with pictures and VOC XML
beside them, or several with commas between; `minissd check-dataset DIR` says what is in yours, and
data/README.md tells the layouts. The run folder receives the settings, the metrics of every step,
checkpoints, plots, and the detections before and after.

  python -m minissd shapes data/shapes
  python -m minissd train data/shapes --augment flip --epochs 4
  python -m minissd train data/VOC2007 --classes person,car,dog --eval-split test --out runs/three
  python -m minissd train --resume runs/three          goes on after Ctrl-C or a crash
  python -m minissd train --resume runs/three --minutes 9     where a command may not take longer
  mpiexec -n 4 python -m minissd train data/shapes     on 4 processes, or 4 GPUs; see docs/scaling.md

The paper's networks and training begin from a recipe; any option beside it changes that one number:

  python -m minissd train --recipe list
  python -m minissd train data/VOC2007 --recipe ssd300-voc07 --init vgg16.safetensors --accumulate 4
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from minissd.commands.common import add_device, arithmetic
from minissd.commands.settings import (
    add_recipe,
    add_settings,
    chosen_settings,
    given_settings,
    note_random_body,
)
from minissd.errors import InputError
from minissd.machine import keep_freed_memory
from minissd.training.config import TrainConfig
from minissd.training.recipes import format_recipes

if TYPE_CHECKING:
    from minissd.training.communicator import Communicator
    from minissd.training.run import TrainingRun


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Data, network, training, output."""
    data = parser.add_argument_group("data")
    data.add_argument(
        "data",
        nargs="?",
        help="data set: a folder, or several with commas between (not with --resume)",
    )
    add_settings(data, "split", "eval_split", "eval_limit", "classes", "skip_empty")
    add_settings(data, "augment", "workers")
    network = parser.add_argument_group("network")
    add_settings(network, "model", "init", "body_rate", "image_size", "width")
    train = parser.add_argument_group("training")
    add_recipe(train)
    add_settings(train, "epochs", "iterations", "batch_size", "accumulate", "sync_norm")
    add_settings(train, "optimizer", "momentum", "lr", "schedule", "milestones", "warmup")
    add_settings(train, "weight_decay", "bias_rate", "norm_decay", "clip_norm", "negative_ratio")
    add_settings(train, "seed", "eval_every")
    add_device(train)
    output = parser.add_argument_group("output")
    output.add_argument("--out", help="run folder (runs/NAME of the data set where not given)")
    add_settings(output, "save_every")
    output.add_argument(
        "--resume", metavar="RUN", help="run folder to go on with; its settings hold"
    )
    output.add_argument(
        "--minutes",
        type=float,
        metavar="M",
        help="stop after the step in which so much time has passed, with a checkpoint and exit status 0; "
        "--resume goes on to the same weights as without a stop",
    )


def run(args: argparse.Namespace) -> int:
    """Train or go on training; 0 when done or out of time, 130 when stopped by Ctrl-C."""
    from minissd.training.distributed import all_or_none, connect, telling_of_the_end
    from minissd.training.loop import time_limit

    if args.recipe == "list":
        print(format_recipes())
        return 0
    time_is_over = time_limit(args.minutes)
    keep_freed_memory()
    communicator = connect(args.device)
    with all_or_none(communicator, "minissd train", args.debug), arithmetic(args):
        training = begin(args, communicator)
        n = communicator.size
        if n == 1:
            return training.run(time_is_over=time_is_over)
        again = f"mpiexec -n {n} python -m minissd train --resume {training.folder}"
        hint = f"go on from the newest checkpoint with: {again}"
        if communicator.leads:
            print(f"{n} processes; if one is lost, {hint}", file=sys.stderr)
        with telling_of_the_end(communicator, hint):
            return training.run(time_is_over=time_is_over)


def begin(args: argparse.Namespace, communicator: Communicator) -> TrainingRun:
    """Return the run that is asked for: a new one, or the continuation of one."""
    from minissd.training.run import TrainingRun

    if args.resume:
        refuse_settings(args)
        return TrainingRun.resume(args.resume, args.device, communicator)
    if not args.data:
        raise InputError("name the folder of the data set, or --resume RUN")
    config = TrainConfig(args.data, **chosen_settings(args, {}))
    if communicator.leads:
        note_random_body(config)
    folder = args.out or Path("runs") / run_name(args.data)
    return TrainingRun.start(config, folder, args.device, communicator)


def run_name(data: str) -> str:
    """Return the name of a run on a data set: of its folder, or of all of them with hyphens between."""
    parts = [data] if Path(data).exists() else data.split(",")
    return "-".join(Path(part.strip()).resolve().name for part in parts)


def refuse_settings(args: argparse.Namespace) -> None:
    """Raise an `InputError` if other settings stand beside `--resume`: they would have no effect."""
    given = ["DATA"] if args.data else []
    given += [f"--{name.replace('_', '-')}" for name in given_settings(args)]
    given += [f"--{name}" for name in ("recipe", "out") if getattr(args, name)]
    if given:
        raise InputError(
            f"--resume {args.resume} goes on with the settings of that run; leave out {', '.join(given)}"
        )
