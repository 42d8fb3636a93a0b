"""Running a detector over a whole data set, and measuring what it found."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from tqdm import tqdm

from minissd.boxes.nms import Detections
from minissd.datasets.augment import Resize
from minissd.datasets.loader import Loader
from minissd.datasets.sample import Sample
from minissd.evaluation.average_precision import Evaluation, Truth, evaluate
from minissd.models.detector import Detector
from minissd.training.communicator import ALONE, Communicator


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
        dataset: Samples with their objects, such as `PictureSet`.
        batch_size: Images at a time.
        workers: Threads that load images.
        progress: Show a progress bar.

    Returns:
        Detections and true objects, one of each an image, in the order of the data set. The latter know name and
        size of their image.
    """
    size = detector.model.spec.image_size
    watched = _Watched(dataset)
    loader = Loader(
        watched, batch_size, Resize(size), workers=workers, shuffle=False, drop_last=False
    )
    found: list[Detections] = []
    with tqdm(total=len(dataset), unit="img", desc="detecting", disable=not progress) as bar:
        for batch in loader.epoch(0):
            found += detector.detect(batch.images)
            bar.update(len(batch.images))
    return found, [watched.truths[index] for index in range(len(dataset))]


def read_truths(dataset: Sequence) -> list[Truth]:
    """Return the true objects of every image of a data set without reading the pictures.

    Args:
        dataset: Such as `PictureSet`.
    """
    truths = []
    for index in range(len(dataset)):
        annotation, objects = dataset.annotation(index), dataset.truth(index)
        size = annotation.width, annotation.height
        area = getattr(annotation, "area", None)
        if area is not None:
            given = np.isin(annotation.names, dataset.class_names)
            if given.sum() > len(objects[1]):  # the data set leaves out crowds
                given &= ~annotation.crowd
            area = area[given]
        truths.append(Truth(*objects, size, dataset.image_ids[index], area))
    return truths


def truth_of(sample: Sample) -> Truth:
    """Return the objects of a sample, with name and size of its image and the areas that the data set states."""
    area = getattr(sample, "area", None)
    return Truth(sample.boxes, sample.labels, sample.difficult, sample.size, sample.image_id, area)


def category_ids(dataset: Sequence, class_names: Sequence[str]) -> list[int] | None:
    """Return the number that result files of a data set (COCO) use for each class; None where it has no numbers."""
    contents = getattr(dataset, "contents", None)
    numbers = getattr(contents, "category_ids", None)
    if numbers is None:
        return None
    known = dict(zip(contents.class_names, numbers))
    return [known[name] for name in class_names] if set(class_names) <= known.keys() else None


def evaluate_dataset(
    detector: Detector,
    dataset: Sequence,
    method: str = "11-point",
    batch_size: int = 32,
    workers: int = 2,
    progress: bool = True,
    communicator: Communicator = ALONE,
) -> Evaluation | None:
    """Measure the average precision of a detector on a data set (IoU 0.5, as VOC).

    Args:
        detector: A trained network.
        dataset: Samples with their objects.
        method: "11-point" (VOC2007) or "all-point" (from VOC2010).
        batch_size: Images at a time.
        workers: Threads that load images.
        progress: Show a progress bar.
        communicator: The processes that share the images, each with the same network.

    Returns:
        What process 0 measured over all images; None in the others.
    """
    shard = Shard(dataset, communicator.rank, communicator.size)
    own = ([], [])
    if len(shard):
        own = detect_dataset(detector, shard, batch_size, workers, progress and communicator.leads)
    all_parts = communicator.gather(own)
    if not communicator.leads:
        return None
    found, truths = (interleave(parts) for parts in zip(*all_parts))
    return evaluate(
        found,
        truths,
        detector.class_names,
        method=method,
        score_floor=detector.model.spec.score_floor,
        details=detector_settings(detector),
    )


def detector_settings(detector: Detector) -> dict[str, object]:
    """Return the settings of a detector that its average precision depends on."""
    spec = detector.model.spec
    names = ("image_size", "nms_iou", "candidates_per_class", "max_detections")
    return {name: getattr(spec, name) for name in names}


class _Watched:
    """A data set that remembers the objects of every sample it gave, as they were before any transform."""

    def __init__(self, dataset: Sequence):
        self.dataset = dataset
        self.truths: dict[int, Truth] = {}

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, index: int) -> Sample:
        sample = self.dataset[index]
        self.truths[index] = truth_of(sample)
        return sample


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


class Shard:
    """Every n-th image of a data set, for one of n processes.

    Args:
        dataset: Anything with a length and samples by number.
        first: Number of the first image, below `step`.
        step: n.
    """

    def __init__(self, dataset: Sequence, first: int, step: int):
        self.dataset = dataset
        self.numbers = range(first, len(dataset), step)

    def __len__(self) -> int:
        return len(self.numbers)

    def __getitem__(self, index: int) -> object:
        return self.dataset[self.numbers[index]]


def interleave(parts: Sequence[list]) -> list:
    """Put the results of all shards back into the order of the data set."""
    together: list = [None] * sum(map(len, parts))
    for first, part in enumerate(parts):
        together[first :: len(parts)] = part
    return together


def confident(found: Detections, min_score: float) -> Detections:
    """Return only the detections of at least a score (for pictures; measuring needs them all)."""
    keep = np.asarray(found.scores) >= min_score
    return Detections(found.boxes[keep], found.labels[keep], found.scores[keep])
