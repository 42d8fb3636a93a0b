"""The ablation: one training a variant, all on the same pictures with the same seed, and tables of what came out.

Liu et al. 2016, tables 2 and 3, asked what augmentation, box ratios, dilation and the several maps are worth. Here the
same questions, and that of the mined negatives, are put to any network. A run a folder, so a stopped ablation goes on
where it was: finished runs are read, the one in progress is resumed.
"""

from __future__ import annotations

import dataclasses
import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from minissd import plotting
from minissd.boxes.geometry import centers_to_corners
from minissd.errors import InputError, check
from minissd.files import make_folder, write_text
from minissd.models.loss import usable_boxes
from minissd.training.ablation_rows import GROUPS, PAPER, Row
from minissd.training.checkpoint import LAST, load_checkpoint
from minissd.training.config import TrainConfig
from minissd.training.run import TrainingRun

# Twenty runs in about half an hour on two processor cores, on drawn shapes. Flips alone learn most in so short a time.
QUICK = {
    "model": "minissd",
    "image_size": 96,
    "width": 24,
    "epochs": 12,
    "batch_size": 16,
    "augment": "flip",
}
N_IMAGES, N_TEST = 1500, 400  # pictures that are drawn where no data set is named
SIZES = ("small", "medium", "large")


def run_configs(base: TrainConfig, rows: Sequence[Row]) -> dict[str, TrainConfig]:
    """Return the settings of every run that the rows need, by the name of its folder, each once.

    Raises:
        ValueError: A run's settings do not fit the network.
    """
    return {row.run: dataclasses.replace(base, **row.changes) for row in rows if row.run}


def run_ablation(
    base: TrainConfig,
    rows: Sequence[Row],
    folder: str | Path,
    device: str = "auto",
    progress: bool = True,
) -> int:
    """Train and evaluate every variant that is not finished yet, and write the tables.

    Args:
        base: Settings of the baseline, with a set to evaluate on.
        rows: From `ablation_rows`.
        folder: Gets a run folder a variant, results.json, results.md and ablation.png.
        device: auto, cpu or gpu.
        progress: Show progress bars.

    Returns:
        0, or 130 after Ctrl-C.

    Raises:
        InputError: A run in the folder has other settings, or the data cannot be used.
    """
    check(base.eval_split is not None, "eval_split", "a set to evaluate on", None)
    folder = Path(folder)
    configs = run_configs(base, rows)
    for name, config in configs.items():
        check_same_settings(folder / name, config)
    make_folder(folder)
    results = {}
    for number, (name, config) in enumerate(configs.items(), start=1):
        start = time.perf_counter()
        head = f"{number}/{len(configs)} {name}"
        if not is_finished(folder / name):
            print(head, file=sys.stderr)
            code = open_run(config, folder / name, device).run(progress, brief=True)
            if code:
                print("the same command goes on from there", file=sys.stderr)
                return code
        results[name] = read_result(folder / name, config)
        seconds = time.perf_counter() - start
        print(f"{head}: mAP {results[name]['mean_ap'] or 0:.3f} ({seconds:.0f} s)", file=sys.stderr)
    write_results(base, rows, results, folder)
    return 0


def check_same_settings(folder: Path, config: TrainConfig) -> None:
    """Raise an `InputError` where a run folder holds a run of other settings."""
    if not (folder / LAST).exists():
        return
    there, wanted = (dataclasses.asdict(c) for c in (load_checkpoint(folder).config, config))
    names = [n for n in there if there[n] != wanted[n] and n not in ("workers", "save_every")]
    other = [f"{name} {there[name]}, not {wanted[name]}" for name in names]
    if other:
        raise InputError(
            f"{folder}: holds a run with other settings ({'; '.join(other)}); "
            "name another folder with --out, or delete this one"
        )


def is_finished(folder: Path) -> bool:
    """Whether a run was trained and evaluated to the end."""
    return (folder / LAST).exists() and (folder / "evaluation.json").exists()


def open_run(config: TrainConfig, folder: Path, device: str) -> TrainingRun:
    """Begin the run of a folder, or go on with it."""
    if (folder / LAST).exists():
        return TrainingRun.resume(folder, device)
    return TrainingRun.start(config, folder, device)


def box_counts(config: TrainConfig) -> tuple[int, int]:
    """Return how many default boxes a run's network has, and how many of them take part."""
    spec = config.spec(1)
    corners = centers_to_corners(spec.default_boxes())
    return spec.n_default_boxes, int(np.count_nonzero(usable_boxes(corners, spec)))


def describe_runs(base: TrainConfig, rows: Sequence[Row]) -> str:
    """Return a table of the runs: name, default boxes a cell of each map, their number, what is changed."""
    line = "{:<20} {:<18} {:>7} {:>7}  {}".format
    lines = [line("run", "boxes a cell", "boxes", "used", "what is changed")]
    changes = {row.run: row.changes for row in rows}
    for name, config in run_configs(base, rows).items():
        cells = " ".join(str(m.boxes_per_cell) for m in config.spec(1).maps)
        changed = ", ".join(f"{key} {value}" for key, value in changes[name].items())
        lines.append(line(name, cells, *(f"{n:,}" for n in box_counts(config)), changed))
    notes = dict.fromkeys(f"{GROUPS[row.group]}: {row.note}" for row in rows if row.note)
    return "\n".join([*lines, *notes])


def read_result(folder: Path, config: TrainConfig) -> dict:
    """Return what a finished run is worth: mAP, mAP by object size, and its default boxes.

    Raises:
        InputError: Its evaluation is damaged.
    """
    path = folder / "evaluation.json"
    try:
        evaluation = json.loads(path.read_text(encoding="utf-8"))
        by_size = {name: size["mean_ap"] for name, size in evaluation["by_size"].items()}
        mean_ap, settings = evaluation["mean_ap"], evaluation["settings"]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(f"{path}: damaged ({error}); delete it to evaluate again") from error
    total, used = box_counts(config)
    boxes = {"default_boxes": total, "default_boxes_used": used}
    return {"mean_ap": mean_ap, "by_size": by_size, **boxes, "evaluation": settings}


def write_results(
    base: TrainConfig, rows: Sequence[Row], results: dict[str, dict], folder: Path
) -> None:
    """Write results.json, results.md and ablation.png, and print the tables."""
    tables = f"{describe_base(base, results)}\n\n{format_tables(rows, results)}"
    report = {
        "base": dataclasses.asdict(base),
        "runs": results,
        "rows": [dataclasses.asdict(row) for row in rows],
        "paper": PAPER,
    }
    write_text(folder / "results.json", json.dumps(report, indent=2) + "\n")
    write_text(folder / "results.md", tables + "\n")
    figure = plotting.ablation_figure(
        {GROUPS[group]: points for group, points in _points(rows, results).items()},
        heading=f"{base.model}: mAP of each variant",
        reference=f"the paper's ({PAPER})",
    )
    plotting.save_figure(figure, folder / "ablation.png")
    print(tables)
    print(f"\nthe runs, results.json, results.md and ablation.png are in {folder}")


def describe_base(base: TrainConfig, results: dict[str, dict]) -> str:
    """Return a sentence that says what all rows have in common; without it the numbers mean little."""
    length = f"{base.iterations:,} steps" if base.iterations else f"{base.epochs} epochs"
    text = f"{base.model} at {base.spec(1).image_size} pixels, {length} with {base.batch_size} images a step, "
    text += f"one run a row, all with seed {base.seed}"
    for result in list(results.values())[:1]:
        measured = result["evaluation"]
        text += f"; mAP ({measured['method']}, IoU {measured['iou_threshold']:g}) on {measured['images']:,} images"
    return f"{text}. Boxes: those that take part. Small, medium, large: by the objects' size."


def _points(rows: Sequence[Row], results: dict[str, dict]) -> dict[str, list[tuple]]:
    """Return (label, our mAP, the paper's) of every row, by group."""
    points: dict[str, list[tuple]] = {}
    for row in rows:
        ours = results[row.run]["mean_ap"] if row.run else None
        points.setdefault(row.group, []).append((row.label, ours, row.paper))
    return points


def format_tables(rows: Sequence[Row], results: dict[str, dict]) -> str:
    """Return one Markdown table a group; the paper's figures stand in a column of their own."""
    return "\n\n".join(
        format_table(group, [row for row in rows if row.group == group], results)
        for group in GROUPS
        if any(row.group == group for row in rows)
    )


def format_table(group: str, rows: Sequence[Row], results: dict[str, dict]) -> str:
    """Return the Markdown table of one group."""
    head = [GROUPS[group], "default boxes", "mAP", *SIZES, f"the paper's mAP ({PAPER})"]
    known = any(row.paper is not None for row in rows)  # else its column is left out
    head = head if known else head[:-1]
    lines = [head, ["---"] + ["---:"] * (len(head) - 1)]
    for row in rows:
        if row.run:
            result = results[row.run]
            cells = [f"{result['default_boxes_used']:,}", _ap(result["mean_ap"])]
            cells += [_ap(result["by_size"].get(size)) for size in SIZES]
        else:
            cells = ["-"] * (2 + len(SIZES))
        lines.append([row.label, *cells, *([_ap(row.paper)] if known else [])])
    table = "\n".join(f"| {' | '.join(line)} |" for line in lines)
    notes = dict.fromkeys(row.note for row in rows if row.note)
    return "\n\n".join([table, *(f"({note})" for note in notes)])


def _ap(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"
