"""What a training run reads before it begins: its images, and weights trained elsewhere."""

from __future__ import annotations

from minissd.datasets.opening import open_dataset, open_with_classes
from minissd.datasets.picture_set import PictureSet
from minissd.models.ssd import SSD
from minissd.training.config import TrainConfig
from minissd.training.inference import Subset


def fill_body(model: SSD, path: str) -> str:
    """Set the body's weights to those of a file that was trained elsewhere, and return the list of them as text.

    The network keeps its own input mean, since a checkpoint's settings make the same network again.

    Raises:
        InputError: The file cannot be used; the message says why.
    """
    from minissd.models.weights import load_body  # readers of other projects' files: seldom needed

    return load_body(model, path, keep_mean=True).text()


def open_data(config: TrainConfig) -> tuple[PictureSet, Subset | None]:
    """Open the training and evaluation images of a run.

    Raises:
        InputError: They cannot be used; the message says why.
    """
    classes = config.classes or None
    train_set = open_dataset(config.data, config.split, classes, keep_empty=not config.skip_empty)
    train_set.annotations()  # whatever is wrong with them is said now, not in the middle of the training
    if config.eval_split is None:
        return train_set, None
    names, ignore_others = train_set.class_names, bool(config.classes)
    eval_set = open_with_classes(config.data, config.eval_split, names, ignore_others)
    eval_set.annotations()
    return train_set, Subset(eval_set, config.eval_limit)
