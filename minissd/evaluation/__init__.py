"""How good is it: average precision as VOC and COCO measure it, result files, and what kinds of errors there are."""

from minissd.evaluation.average_precision import average_precision, evaluate
from minissd.evaluation.coco import CocoResult, evaluate_coco
from minissd.evaluation.coco_records import write_coco_results
from minissd.evaluation.errors import ErrorAnalysis, analyse_errors
from minissd.evaluation.ranking import Truth
from minissd.evaluation.results import ClassResult, Evaluation, SizeResult
from minissd.evaluation.sensitivity import Sensitivity, analyse_sensitivity
from minissd.evaluation.verdicts import judge_images
from minissd.evaluation.voc_files import read_voc_results, write_voc_results

__all__ = [
    "ClassResult",
    "CocoResult",
    "ErrorAnalysis",
    "Evaluation",
    "Sensitivity",
    "SizeResult",
    "Truth",
    "analyse_errors",
    "analyse_sensitivity",
    "average_precision",
    "evaluate",
    "evaluate_coco",
    "judge_images",
    "read_voc_results",
    "write_coco_results",
    "write_voc_results",
]
