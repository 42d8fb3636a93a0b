"""The rows of the ablation's tables, as data: what each changes, and what the paper found with it.

Rows whose settings are those of the base share one run, the baseline.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from minissd.errors import check
from minissd.training.config import TrainConfig

BASELINE = "baseline"
# More negatives than any picture has: every default box that is not positive counts, in pictures with a positive.
ALL_NEGATIVES = 1e6
PAPER = "SSD300, VOC2007 test"  # what the paper's figures were measured with
GROUPS = {
    "augmentation": "augmentation of the training pictures",
    "ratios": "shapes of default boxes",
    "dilation": "dilated fc6, or VGG16 whole",
    "maps": "maps that predict, at a nearly constant number of default boxes",
    "negatives": "mined negatives to positives",
}


@dataclass(frozen=True)
class Row:
    """One row of a table.

    Attributes:
        group: Which table, a key of `GROUPS`.
        label: What is said of it.
        run: Folder of the run that fills it; rows may share one. Empty: it does not apply to this network.
        changes: Settings of that run that are other than the base's.
        paper: mAP that the paper reports for this, 0 to 1 (`PAPER`), or None.
        note: Why it does not apply, or what the paper's figure is of.
    """

    group: str
    label: str
    run: str = BASELINE
    changes: Mapping[str, object] = field(default_factory=dict)
    paper: float | None = None
    note: str = ""


def ablation_rows(base: TrainConfig, groups: Sequence[str] = tuple(GROUPS)) -> list[Row]:
    """Return the rows of some groups, in the order of the tables.

    Args:
        base: Settings of the baseline; its model decides what applies.
        groups: Keys of `GROUPS`.

    Raises:
        ValueError: There is no such group.
    """
    for group in groups:
        check(group in GROUPS, "group", " | ".join(GROUPS), group)
    rows = [*_augmentation(), *_ratios(), *_dilation(base), *_maps(base), *_negatives()]
    return [_shared(row, base) for row in rows if row.group in groups]


def _shared(row: Row, base: TrainConfig) -> Row:
    """Give a row that changes nothing the run of the baseline."""
    if any(getattr(base, name) != value for name, value in row.changes.items()) or not row.run:
        return row
    return dataclasses.replace(row, run=BASELINE, changes={})


def _augmentation() -> list[Row]:
    def row(label: str, augment: str, paper: float | None = None) -> Row:
        return Row("augmentation", label, f"augment-{augment}", {"augment": augment}, paper)

    return [
        row("none", "none"),
        row("flips", "flip", 0.655),
        row("flips, colours", "photometric"),
        row("flips, patches", "light"),
        row("flips, patches, colours", "no-expansion", 0.743),
        row("flips, patches, colours, expansion", "paper", 0.772),
    ]


def _ratios() -> list[Row]:
    def row(label: str, variant: str, paper: float) -> Row:
        return Row("ratios", label, variant or BASELINE, {"variant": variant}, paper)

    return [
        row("squares only", "no-ratios", 0.716),
        row("squares, 2 and 1/2", "no-ratio-3", 0.737),
        row("squares, 2 and 1/2, 3 and 1/3", "", 0.743),
    ]


def _dilation(base: TrainConfig) -> list[Row]:
    whole = "VGG16 whole: pool5 2x2, conv5_3 as a further source"
    dilated = "pool5 3x3, fc6 dilated"
    if base.model == "ssd300":
        change = {"model": "ssd300-full-vgg"}
        return [
            Row("dilation", whole, "full-vgg", change, 0.742),
            Row("dilation", dilated, paper=0.743),
        ]
    note = f"not applicable: {base.model} has no dilated layer"
    if base.spec(1).network.body == "vgg16":
        note = (
            f"not applicable: of the dilated networks, ssd300 has a whole twin, {base.model} none"
        )
    return [
        Row("dilation", whole, "", paper=0.742, note=note),
        Row("dilation", dilated, "", paper=0.743, note=note),
    ]


# Table 3 of the paper by what is left of its six maps: mAP with border boxes kept, and ignored.
_PAPER_MAPS = {
    "all": (0.743, 0.634),
    "without the last": (0.746, 0.631),
    "first four": (0.738, 0.684),
    "first three": (0.707, 0.692),
    "first two": (0.642, 0.644),
    "second": (0.624, 0.640),
}


def _maps(base: TrainConfig) -> list[Row]:
    n_maps = len(base.spec(1).maps)
    numbers = {6: "first six", 5: "first five", 4: "first four", 3: "first three", 2: "first two"}
    kept = {"all": "maps-all"}
    for n in range(min(6, n_maps - 1), 1, -1):
        kept["without the last" if n == n_maps - 1 else numbers[n]] = f"maps-{n}"
    kept["second"] = "maps-second"
    rows = []
    for ignored, border in ((False, "border boxes kept"), (True, "border boxes ignored")):
        for name, variant in kept.items():
            label = f"{'the second only' if name == 'second' else name}, {border}"
            paper = _PAPER_MAPS.get(name, (None, None))[ignored]
            variant = f"{variant}-inside" if ignored else variant.removeprefix("maps-all")
            rows.append(Row("maps", label, variant or BASELINE, {"variant": variant}, paper))
    return rows


def _negatives() -> list[Row]:
    def row(label: str, ratio: float) -> Row:
        change = {"negative_ratio": ratio}
        return Row("negatives", label, f"negatives-{label.split(' ')[0]}", change)

    return [
        row("1 for each positive", 1.0),
        row("3 for each positive", 3.0),
        row("10 for each positive", 10.0),
        row("all of them, no mining", ALL_NEGATIVES),
    ]
