"""Average precision and recall as COCO measures them, by COCO's own program.

pycocotools does the measuring (install the extra: `pip install minissd[coco]`); here our boxes become its records and
its twelve numbers get names. Objects that are difficult, as VOC says, are handed over as crowds, the one kind that
COCO ignores: finding one earns nothing and costs nothing, and a detection is about it by the share of itself that lies
in the object.

Source: Lin et al., "Microsoft COCO: Common Objects in Context", ECCV 2014; the evaluation of the COCO API.
"""

from __future__ import annotations

import contextlib
import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from minissd.boxes.nms import Detections
from minissd.errors import InputError
from minissd.evaluation.coco_records import coco_results, ground_truth
from minissd.evaluation.ranking import Truth

# In the order in which COCO's program gives its numbers.
WORDS = {
    "ap": "AP, IoU 0.50 to 0.95",
    "ap50": "AP, IoU 0.50",
    "ap75": "AP, IoU 0.75",
    "ap_small": "AP of small objects, below 32 x 32 pixels",
    "ap_medium": "AP of medium objects",
    "ap_large": "AP of large objects, above 96 x 96 pixels",
    "ar_1": "AR, 1 detection an image",
    "ar_10": "AR, 10 detections an image",
    "ar_100": "AR, 100 detections an image",
    "ar_small": "AR of small objects",
    "ar_medium": "AR of medium objects",
    "ar_large": "AR of large objects",
}
NAMES = tuple(WORDS)


@dataclass(frozen=True)
class CocoResult:
    """COCO's twelve numbers, each 0 to 1, nan where there is nothing to measure.

    Attributes:
        ap, ap50, ap75: Average precision, mean over IoU thresholds 0.50, 0.55, ... 0.95, and at 0.50 and 0.75 alone.
        ap_small, ap_medium, ap_large: The first, for objects below 32 x 32 pixels, up to 96 x 96, and above.
        ar_1, ar_10, ar_100: Average recall, mean over the same thresholds, with so many detections an image and class.
        ar_small, ar_medium, ar_large: The last of these by size.
        per_class: `ap` of each class by name.
        settings: Counts of images, objects, crowds and detections, and whatever the caller added.
    """

    ap: float
    ap50: float
    ap75: float
    ap_small: float
    ap_medium: float
    ap_large: float
    ar_1: float
    ar_10: float
    ar_100: float
    ar_small: float
    ar_medium: float
    ar_large: float
    per_class: dict[str, float]
    settings: dict[str, object]

    def format_table(self) -> str:
        """Return AP by class, the twelve numbers and the settings as text of fixed columns."""
        width = max(map(len, [*WORDS.values(), *self.per_class]))
        lines = [f"{'class':<{width}}  {'AP':>6}", "-" * (width + 8)]
        lines += [f"{name:<{width}}  {_shown(ap)}" for name, ap in self.per_class.items()]
        lines += ["-" * (width + 8)]
        lines += [
            f"{words:<{width}}  {_shown(getattr(self, name))}" for name, words in WORDS.items()
        ]
        shown = [f"{key.replace('_', ' ')} {value}" for key, value in self.settings.items()]
        return "\n".join([*lines, "", "settings: " + ", ".join(shown)])

    def to_json(self) -> dict:
        """Return everything as a dict that JSON can hold; nan becomes None."""
        values = asdict(self)
        numbers = {name: _known(values[name]) for name in NAMES}
        per_class = {name: _known(ap) for name, ap in self.per_class.items()}
        return {**numbers, "per_class": per_class, "settings": dict(self.settings)}


def evaluate_coco(
    detections: Sequence[Detections],
    truths: Sequence[Truth],
    class_names: Sequence[str],
    category_ids: Sequence[int] | None = None,
    details: Mapping[str, object] | None = None,
) -> CocoResult:
    """Measure detections by COCO's rule, with pycocotools.

    Args:
        detections: One an image.
        truths: One an image, in the same order; `size` is needed. `area`, where it is given, decides what is small
            (COCO counts the pixels of the object, not of its box); difficult objects are crowds.
        class_names: Name of label 1, 2, ...
        category_ids: Number of each class in the data set; None for 1, 2, ...
        details: Further settings to show with the result.

    Raises:
        InputError: pycocotools is not installed.
        ValueError: The two do not have one entry an image each, an image has no size, or a label has no name.
    """
    coco, coco_eval = load_pycocotools()
    truth = ground_truth(truths, class_names, category_ids)
    answers = coco_results(detections, truths, class_names, category_ids)
    records = [_result_record(number, row) for number, row in enumerate(answers, start=1)]
    with contextlib.redirect_stdout(io.StringIO()):  # it talks while it works
        known, found = coco(), coco()
        known.dataset, found.dataset = truth, {**truth, "annotations": records}
        known.createIndex()
        found.createIndex()
        run = coco_eval(known, found, "bbox")
        run.evaluate()
        run.accumulate()
        run.summarize()
    precision = run.eval["precision"][
        :, :, :, 0, -1
    ]  # (thresholds, recalls, classes), 100 detections
    ids = [category["id"] for category in truth["categories"]]
    column = {category: k for k, category in enumerate(sorted(ids))}
    settings = {
        "images": len(truths),
        "objects": sum(not row["iscrowd"] for row in truth["annotations"]),
        "crowds": sum(row["iscrowd"] for row in truth["annotations"]),
        "detections": len(answers),
    }
    return CocoResult(
        *(math.nan if number < 0 else float(number) for number in run.stats),
        {name: _mean_of_known(precision[:, :, column[i]]) for name, i in zip(class_names, ids)},
        {**settings, **(details or {})},
    )


def load_pycocotools() -> tuple[type, type]:
    """Return the two classes of COCO's program: the data set and the evaluation.

    Raises:
        InputError: pycocotools is not installed.
    """
    try:
        from pycocotools.coco import COCO
        from pycocotools.cocoeval import COCOeval
    except ImportError as error:
        raise InputError(
            f"COCO's metric needs pycocotools: pip install pycocotools, or minissd[coco] ({error})"
        ) from error
    return COCO, COCOeval


def _result_record(number: int, row: dict[str, Any]) -> dict[str, Any]:
    """Add what COCO's program adds when it reads a result file."""
    return {**row, "id": number, "area": row["bbox"][2] * row["bbox"][3], "iscrowd": 0}


def _mean_of_known(values: np.ndarray) -> float:
    known = values[values > -1]
    return float(known.mean()) if known.size else math.nan


def _known(value: float) -> float | None:
    return None if math.isnan(value) else value


def _shown(value: float) -> str:
    return f"{'-':>6}" if math.isnan(value) else f"{value:6.4f}"
