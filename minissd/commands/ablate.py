"""Train variants of a network, each without one of its parts, and compare them.

The paper's ablations on any network: augmentation, box ratios, dilation (VGG16 only), and the maps taken away
one by one at a nearly constant number of default boxes, those across the image's border kept or ignored;
and beyond the paper, how many negatives are mined. All variants are trained on the same pictures with the
same seed and evaluated on the same others. Without DATA, shapes are drawn into the folder. Stopped by
Ctrl-C or a crash, the same command goes on where it was.

  python -m minissd ablate                             about half an hour on 2 processor cores
  python -m minissd ablate --list                      what would be trained
  python -m minissd ablate --only maps --only ratios
  python -m minissd ablate data/VOC2007 --recipe ssd300-voc07 --init vgg16.safetensors --out runs/vgg
"""

from __future__ import annotations

import argparse
from pathlib import Path

from minissd.commands.common import add_device
from minissd.commands.settings import add_recipe, add_settings, chosen_settings, note_random_body
from minissd.errors import InputError
from minissd.machine import keep_freed_memory
from minissd.training.ablation import N_IMAGES, N_TEST, QUICK, describe_runs, run_ablation
from minissd.training.ablation_rows import GROUPS, ablation_rows
from minissd.training.config import TrainConfig
from minissd.training.recipes import format_recipes


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Data, questions, network, training, output."""
    data = parser.add_argument_group("data")
    data.add_argument("data", nargs="?", help="data set, as for train (without it: drawn shapes)")
    data.add_argument(
        "--images", type=int, help=f"how many shapes are drawn to train on (default: {N_IMAGES})"
    )
    add_settings(data, "split", "eval_split", "eval_limit", "classes", "skip_empty", "workers")
    which = parser.add_argument_group("what is compared")
    which.add_argument(
        "--only",
        action="append",
        choices=GROUPS,
        metavar="GROUP",
        help=f"{', '.join(GROUPS)}; may be given several times (without it: all)",
    )
    which.add_argument(
        "--list", action="store_true", help="print the variants and their default boxes, and stop"
    )
    base = parser.add_argument_group("the baseline, which the variants differ from")
    add_recipe(base)
    add_settings(base, "model", "init", "body_rate", "image_size", "width", **QUICK)
    add_settings(base, "epochs", "iterations", "batch_size", "accumulate", "augment", **QUICK)
    add_settings(base, "optimizer", "lr", "schedule", "milestones", "warmup", "weight_decay")
    add_settings(base, "seed")
    add_device(base)
    output = parser.add_argument_group("output")
    output.add_argument("--out", default="runs/ablation", help="folder of the runs and tables")


def run(args: argparse.Namespace) -> int:
    """Train all variants and print the tables; 130 when stopped by Ctrl-C."""
    if args.recipe == "list":
        print(format_recipes())
        return 0
    data = args.data or str(Path(args.out) / "shapes")
    base = TrainConfig(data, **_settings(args))
    rows = ablation_rows(base, args.only or tuple(GROUPS))
    if args.list:
        print(describe_runs(base, rows))
        return 0
    if args.data and args.images is not None:
        raise InputError("--images is for drawn shapes; DATA has its own number of pictures")
    note_random_body(base)
    keep_freed_memory()
    if not args.data:
        _draw(data, N_IMAGES if args.images is None else args.images)
    return run_ablation(base, rows, args.out, args.device)


def _settings(args: argparse.Namespace) -> dict[str, object]:
    """Return the settings of the baseline; another model than the small one has its own image size."""
    other = getattr(args, "model", QUICK["model"]) != QUICK["model"]
    base = {name: value for name, value in QUICK.items() if not (other and name == "image_size")}
    return chosen_settings(args, base)


def _draw(folder: str, n_images: int) -> None:
    from minissd.datasets.shapes import write_shapes

    made = write_shapes(folder, n_images, N_TEST)
    how = "there already" if made.reused else f"drawn in {made.seconds:.0f} s"
    print(f"{n_images:,} shapes to train on, {N_TEST} to evaluate on, {how}: {folder}")
