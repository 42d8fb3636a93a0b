"""Weights from outside: readers that need neither PyTorch nor Caffe, and the maps from their names to ours."""

from minissd.models.weights.convert import load_body, load_detector
from minissd.models.weights.formats import read_weights
from minissd.models.weights.report import LoadReport

__all__ = ["LoadReport", "load_body", "load_detector", "read_weights"]
