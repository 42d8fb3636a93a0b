"""How good is it: average precision as PASCAL VOC measures it."""

from minissd.evaluation.average_precision import average_precision, evaluate
from minissd.evaluation.results import ClassResult, Evaluation, SizeResult
from minissd.evaluation.verdicts import Truth, judge_images

__all__ = [
    "ClassResult",
    "Evaluation",
    "SizeResult",
    "Truth",
    "average_precision",
    "evaluate",
    "judge_images",
]
