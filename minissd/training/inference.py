"""Running a detector over a whole data set, and measuring what it found."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from tqdm import tqdm

from minissd.boxes.nms import Detections
from minissd.datasets.augment import Resize
from minissd.datasets.loader import Loader
from minissd.evaluation.average_precision import Evaluation, Truth, evaluate
from minissd.models.detector import Detector


def detect_dataset(
    detector: Detector,
    dataset: Sequence,
    batch_size: int = 32,
    workers: int = 2,
    progress: bool = True,
) -> tuple[list[Detections], list[Truth]]:
    """Find the objects of every image of a data set.

    Args:
        detector: A trained network.
        dataset: Samples with their objects, such as `VocDataset`.
        batch_size: Images at a time.
        workers: Threads that load images.
        progress: Show a progress bar.

    Returns:
        Detections and true objects, one of each an image, in the order of the data set.
    """
    size = detector.model.spec.image_size
    loader = Loader(
        dataset, batch_size, Resize(size), workers=workers, shuffle=False, drop_last=False
    )
    found: list[Detections] = []
    truths: list[Truth] = []
    with tqdm(total=len(dataset), unit="img", desc="detecting", disable=not progress) as bar:
        for batch in loader.epoch(0):
            found += detector.detect(batch.images)
            truths += [Truth(*parts) for parts in zip(batch.boxes, batch.labels, batch.difficult)]
            bar.update(len(batch.images))
    return found, truths


def evaluate_dataset(
    detector: Detector,
    dataset: Sequence,
    method: str = "11-point",
    batch_size: int = 32,
    workers: int = 2,
    progress: bool = True,
) -> Evaluation:
    """Measure the average precision of a detector on a data set (IoU 0.5, as VOC).

    Args:
        detector: A trained network.
        dataset: Samples with their objects.
        method: "11-point" (VOC2007) or "all-point" (from VOC2010).
        batch_size: Images at a time.
        workers: Threads that load images.
        progress: Show a progress bar.
    """
    found, truths = detect_dataset(detector, dataset, batch_size, workers, progress)
    spec = detector.model.spec
    details = {
        "image_size": spec.image_size,
        "nms_iou": spec.nms_iou,
        "candidates_per_class": spec.candidates_per_class,
        "max_detections": spec.max_detections,
    }
    return evaluate(
        found,
        truths,
        detector.class_names,
        method=method,
        score_floor=spec.score_floor,
        details=details,
    )


class Subset:
    """The first images of a data set.

    Args:
        dataset: Anything with a length and samples by number.
        count: How many; 0 for all.
    """

    def __init__(self, dataset: Sequence, count: int):
        self.dataset = dataset
        self.count = min(count, len(dataset)) if count else len(dataset)

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> object:
        if not 0 <= index < self.count:
            raise IndexError(f"image {index} of {self.count}")
        return self.dataset[index]


def confident(found: Detections, min_score: float) -> Detections:
    """Return only the detections of at least a score (for pictures; measuring needs them all)."""
    keep = np.asarray(found.scores) >= min_score
    return Detections(found.boxes[keep], found.labels[keep], found.scores[keep])
