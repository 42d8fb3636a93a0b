"""Boxes: pure functions on (N, 4) arrays, knowing nothing of layers."""

from minissd.boxes.coding import decode, encode
from minissd.boxes.default_boxes import FeatureMap, default_boxes
from minissd.boxes.geometry import (
    area,
    centers_to_corners,
    check_boxes,
    clip,
    corners_to_centers,
    inside_image,
    iou,
)
from minissd.boxes.matching import Matching, match
from minissd.boxes.mining import mine_hard_negatives
from minissd.boxes.nms import Detections, multiclass_nms, nms

__all__ = [
    "Detections",
    "FeatureMap",
    "Matching",
    "area",
    "centers_to_corners",
    "check_boxes",
    "clip",
    "corners_to_centers",
    "decode",
    "default_boxes",
    "encode",
    "inside_image",
    "iou",
    "match",
    "mine_hard_negatives",
    "multiclass_nms",
    "nms",
]
