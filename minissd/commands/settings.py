"""Options that set a field of `TrainConfig`, and reading back which of them were given.

An option that is not given leaves nothing behind, so that what a recipe says is only replaced by what was typed.
"""

from __future__ import annotations

import argparse
import dataclasses
import sys

from minissd.commands.common import class_list
from minissd.datasets.augment import AUGMENTATIONS
from minissd.models.build import SPECS
from minissd.training.config import OPTIMIZERS, SCHEDULES, TrainConfig
from minissd.training.recipes import RECIPES, recipe_settings, with_changes

DEFAULTS = {f.name: f.default for f in dataclasses.fields(TrainConfig) if f.name != "data"}
NOT_OPTIONS = {"recipe", "variant"}


def step_list(text: str) -> tuple[int, ...]:
    """Turn "80000,100000" into step numbers."""
    try:
        return tuple(int(word) for word in text.split(","))
    except ValueError as error:
        message = f"{text!r} is not a list of whole numbers with commas between"
        raise argparse.ArgumentTypeError(message) from error


HELP: dict[str, tuple[str, dict]] = {
    "split": ("image set to train on", {}),
    "eval_split": ("image set to evaluate on; none: no evaluation", {}),
    "eval_limit": ("evaluate on this many images (0: all)", {}),
    "classes": (
        "names with commas between, or a text file with one a line; others are ignored "
        "(without it: every class found)",
        {"type": class_list},
    ),
    "skip_empty": ("leave out training images without such objects", {}),
    "augment": ("how pictures are varied", {"choices": AUGMENTATIONS}),
    "workers": ("threads that load pictures", {}),
    "model": (f"network: {', '.join(SPECS)}", {"choices": tuple(SPECS), "metavar": "NAME"}),
    "init": (
        "weights of its body that were trained elsewhere: .safetensors, .pth or .caffemodel",
        {"metavar": "FILE", "type": str},
    ),
    "body_rate": ("learning rate of the body as a share of the others'", {}),
    "image_size": ("side of the square input; 96 to 320 for minissd, others have their own", {}),
    "width": ("channels of minissd's first layer", {}),
    "epochs": ("passes over the images", {}),
    "iterations": ("steps of the whole run, instead of --epochs", {"metavar": "STEPS"}),
    "batch_size": ("images a step, of all processes together", {}),
    "accumulate": (
        "compute each batch in so many parts, where memory is short; the gradients are the same "
        "(but for batch norm)",
        {"metavar": "PARTS"},
    ),
    "sync_norm": (
        "of several processes that share a batch: let batch norm see the images of all of them",
        {},
    ),
    "optimizer": ("update rule", {"choices": OPTIMIZERS}),
    "momentum": ("of sgd", {}),
    "lr": ("highest learning rate", {}),
    "schedule": (
        "cosine: to zero along half a wave; steps: see --milestones",
        {"choices": SCHEDULES},
    ),
    "milestones": (
        "step numbers with commas between, from each of which on the rate is a tenth",
        {"type": step_list, "metavar": "STEPS"},
    ),
    "warmup": ("steps to reach the highest rate", {}),
    "weight_decay": ("of the weights", {}),
    "bias_rate": ("learning rate of biases as a multiple of the weights'", {}),
    "norm_decay": ("let the scale of the L2 normalisation decay as well", {}),
    "clip_norm": ("longest gradient (0: any)", {}),
    "negative_ratio": ("negatives to positives", {}),
    "seed": ("of weights, order and augmentation", {}),
    "eval_every": ("epochs between evaluations (0: only at the end)", {}),
    "save_every": ("steps between checkpoints; one after each epoch in any case", {}),
}


def add_settings(group: argparse._ArgumentGroup, *names: str, **defaults: object) -> None:
    """Add options for fields of `TrainConfig`; `defaults` names other defaults than its own, for the help."""
    for name in names:
        text, options = HELP[name]
        default = defaults.get(name, DEFAULTS[name])
        shown = "" if default in (None, "", (), False) else f" (default: {default})"
        if isinstance(DEFAULTS[name], bool):
            options = {"action": argparse.BooleanOptionalAction}
        elif "type" not in options:
            options = {"type": type(DEFAULTS[name] if DEFAULTS[name] is not None else 0), **options}
        flag = f"--{name.replace('_', '-')}"
        group.add_argument(flag, default=argparse.SUPPRESS, help=text + shown, **options)


def add_recipe(group: argparse._ArgumentGroup) -> None:
    """Add `--recipe NAME`, or list."""
    group.add_argument(
        "--recipe",
        choices=(*RECIPES, "list"),
        metavar="NAME",
        help=f"settings to begin with, which other options change: {', '.join(RECIPES)}; "
        "list: print their numbers",
    )


def given_settings(args: argparse.Namespace) -> dict[str, object]:
    """Return the settings that were typed, by name of the field."""
    given = {
        name: getattr(args, name) for name in DEFAULTS if name not in NOT_OPTIONS and name in args
    }
    if given.get("eval_split") == "none":
        given["eval_split"] = None
    return given


def chosen_settings(args: argparse.Namespace, base: dict[str, object]) -> dict[str, object]:
    """Return settings for a `TrainConfig`: those of the recipe, or else `base`, changed by what was typed."""
    settings = recipe_settings(args.recipe) if args.recipe else base
    return with_changes(settings, given_settings(args))


def note_random_body(config: TrainConfig) -> None:
    """Say on stderr if a body that is meant to be loaded begins with random weights."""
    network = config.spec(1).network
    made_for_it = network.body == "minissd" or network.batch_norm
    if not made_for_it and not config.init:
        print(
            f"note: {config.model} begins with random weights; without those of a trained body (--init FILE) "
            "it learns slowly or, at the paper's learning rate, diverges",
            file=sys.stderr,
        )
