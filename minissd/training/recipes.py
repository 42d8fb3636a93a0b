"""Recipes: settings that belong together and were published with a result, as data.

`python -m minissd train --recipe list` prints this table. Whatever is given on the command line beside a recipe takes
the place of its setting; config.json of the run holds all of them.

The paper's recipes train a VGG16 that knows ImageNet (`--init`). Their biases learn at twice the rate and do not decay,
and the scale of the L2 normalisation decays, both as in the authors' solver and layers.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from minissd.errors import check
from minissd.training.config import TrainConfig


@dataclass(frozen=True)
class Recipe:
    """Settings under a name.

    Attributes:
        data: What they were made for, in words.
        settings: Fields of `TrainConfig`; the others keep their defaults.
        result: What was reached with them, and by whom.
        source: Where the numbers stand.
    """

    data: str
    settings: Mapping[str, object]
    result: str
    source: str


_AUTHORS = {  # what all recipes of the paper share
    "optimizer": "sgd",
    "momentum": 0.9,
    "lr": 1e-3,
    "schedule": "steps",
    "warmup": 0,
    "weight_decay": 5e-4,
    "bias_rate": 2.0,
    "norm_decay": True,
    "clip_norm": 0.0,
    "negative_ratio": 3.0,
    "batch_size": 32,
    "save_every": 200,
}


def _schedule(*lengths: int) -> dict[str, object]:
    """Turn lengths of the stretches at 1e-3, 1e-4, ... into the number of steps and the milestones."""
    ends = [sum(lengths[: i + 1]) for i in range(len(lengths))]
    return {"iterations": ends[-1], "milestones": tuple(ends[:-1])}


def _paper(model: str, *lengths: int, expansion: bool = False) -> dict[str, object]:
    augment = "paper" if expansion else "no-expansion"
    return {"model": model, **_AUTHORS, **_schedule(*lengths), "augment": augment}


VOC0712 = "VOC2007 trainval and VOC2012 trainval together"
RECIPES: dict[str, Recipe] = {
    "ssd300-voc0712": Recipe(
        VOC0712,
        _paper("ssd300", 80_000, 20_000, 20_000, expansion=True),
        "paper: mAP 77.2 on VOC2007 test",
        "section 3.6: expansion needs twice the iterations",
    ),
    "ssd300-voc0712-no-expansion": Recipe(
        VOC0712,
        _paper("ssd300", 40_000, 10_000, 10_000),
        "paper: mAP 74.3 on VOC2007 test",
        "section 3.1",
    ),
    "ssd300-voc07": Recipe(
        "VOC2007 trainval",
        _paper("ssd300", 40_000, 10_000, 10_000),
        "paper: mAP 68.0 on VOC2007 test",
        "section 3.1, which names one schedule for both training sets",
    ),
    "ssd512-voc0712": Recipe(
        VOC0712,
        _paper("ssd512", 80_000, 20_000, 20_000, expansion=True),
        "paper: mAP 79.8 on VOC2007 test",
        "section 3.6",
    ),
    "ssd512-voc0712-no-expansion": Recipe(
        VOC0712,
        _paper("ssd512", 40_000, 10_000, 10_000),
        "paper: mAP 76.8 on VOC2007 test",
        "section 3.1",
    ),
    "ssd300-voc2012": Recipe(
        "VOC2012 trainval and all of VOC2007",
        _paper("ssd300", 60_000, 20_000),
        "paper: mAP 72.4 on VOC2012 test",
        "section 3.3",
    ),
    "ssd300-coco": Recipe(
        "COCO trainval35k",
        _paper("ssd300-coco", 160_000, 40_000, 40_000),
        "paper: AP 23.2 on COCO test-dev",
        "section 3.4",
    ),
    "ssd-mobilenetv2-voc07": Recipe(
        "VOC2007 trainval, on a laptop",
        {
            "model": "ssd-mobilenetv2",
            "body_rate": 0.3,
            "epochs": 7,
            "batch_size": 32,
            "optimizer": "adamw",
            "lr": 1e-3,
            "schedule": "cosine",
            "warmup": 200,
            "weight_decay": 1e-3,
            "clip_norm": 10.0,
            "augment": "moderate",
        },
        "this project: mAP 0.516 on 1,000 photographs of VOC2007 test",
        "benchmarks/results/ssd_mobilenetv2_voc07",
    ),
}


def recipe_settings(name: str) -> dict[str, object]:
    """Return the settings of a recipe, its name among them.

    Raises:
        ValueError: There is no such recipe; the message lists them.
    """
    check(name in RECIPES, "recipe", " | ".join(RECIPES), name)
    return {**RECIPES[name].settings, "recipe": name}


def with_changes(settings: Mapping[str, object], changes: Mapping[str, object]) -> dict:
    """Return settings of a recipe, changed one by one.

    The length of a run is a number of steps or of epochs, so a number of epochs takes the place of one of steps; and a
    schedule without milestones drops those of the recipe.
    """
    changed = {**settings, **changes}
    if "epochs" in changes and "iterations" not in changes:
        changed["iterations"] = 0
    if changes.get("schedule") == "cosine" and "milestones" not in changes:
        changed["milestones"] = ()
    return changed


def format_recipes() -> str:
    """Return every recipe with its numbers as text."""
    return "\n\n".join(_describe(name, recipe) for name, recipe in RECIPES.items())


def _describe(name: str, recipe: Recipe) -> str:
    config = TrainConfig("", **recipe.settings)
    length = f"{config.iterations:,} steps" if config.iterations else f"{config.epochs} epochs"
    rate = f"{config.lr:g}, then along a cosine to 0"
    if config.schedule == "steps":
        drops = " and ".join(f"{step:,}" for step in config.milestones)
        rate = f"{config.lr:g}, a tenth from step {drops} on"
    rate += f", {config.warmup} steps of warm-up" if config.warmup else ""
    momentum = f", momentum {config.momentum:g}" if config.optimizer == "sgd" else ""
    solver = f"{config.optimizer}{momentum}, weight decay {config.weight_decay:g}"
    solver += f", biases at {config.bias_rate:g} times the rate" if config.bias_rate != 1 else ""
    solver += f", the body at {config.body_rate:g}" if config.body_rate != 1 else ""
    solver += f", gradient at most {config.clip_norm:g} long" if config.clip_norm else ""
    return "\n".join(
        [
            name,
            f"  for       {recipe.data}",
            f"  network   {config.model}",
            f"  length    {length}, {config.batch_size} images a step",
            f"  rate      {rate}",
            f"  solver    {solver}",
            f"  pictures  {config.augment}",
            f"  result    {recipe.result} ({recipe.source})",
        ]
    )
