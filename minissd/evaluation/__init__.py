"""How good is it: average precision as VOC and COCO measure it, result files, and what kinds of errors there are."""

from minissd.evaluation.average_precision import average_precision, evaluate
from minissd.evaluation.results import ClassResult, Evaluation, SizeResult
from minissd.evaluation.verdicts import Truth, judge_images
from minissd.evaluation.voc_files import read_voc_results, write_voc_results

__all__ = [
    "ClassResult",
    "Evaluation",
    "SizeResult",
    "Truth",
    "average_precision",
    "evaluate",
    "judge_images",
    "read_voc_results",
    "write_voc_results",
]
