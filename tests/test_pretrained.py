"""The trained network that comes with the package: whole, small enough, and able to find what it was trained for."""

from __future__ import annotations

import numpy as np
import pytest

from minissd.commands.common import open_detector
from minissd.datasets.opening import open_with_classes
from minissd.models.class_names import VOC
from minissd.models.model_file import model_source
from minissd.models.pretrained import PHOTOS
from minissd.training.inference import Subset, evaluate_dataset


@pytest.fixture(scope="module")
def detector():
    return open_detector(PHOTOS, "cpu")[0]


def test_it_is_at_most_eight_megabytes_and_says_where_it_comes_from():
    assert PHOTOS.stat().st_size <= 8_000_000
    assert "VOC2007" in model_source(PHOTOS)
    assert "research" in model_source(PHOTOS)
    assert PHOTOS.with_name("README.md").is_file()


def test_it_knows_the_classes_of_voc(detector):
    assert detector.class_names == tuple(VOC)
    assert detector.model.spec.name == "ssd-mobilenetv2"
    assert all(np.isfinite(value).all() for value in detector.model.state().values())


def test_an_empty_picture_holds_nothing(detector):
    grey = np.full((224, 224, 3), 128, np.uint8)
    assert (detector.detect_one(grey).scores < 0.4).all()


def test_it_finds_objects_in_photographs_it_has_not_seen(detector, voc_root):
    """On a thousand of them it was measured at mAP 0.515; on 60 the figure scatters."""
    lists = voc_root / "ImageSets" / "Main"
    split = "test_dev" if (lists / "test_dev.txt").is_file() else "test"
    data = open_with_classes(voc_root, split, detector.class_names, False)
    evaluation = evaluate_dataset(detector, Subset(data, 60), progress=False)
    assert evaluation.mean_ap > 0.40
