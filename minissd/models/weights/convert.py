"""From a file of weights to a network that answers: guess what it is, build the network, fill it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from minissd.errors import InputError
from minissd.models.blank import build_blank
from minissd.models.build import model_spec
from minissd.models.class_names import known_classes
from minissd.models.spec import PUBLISHED, DetectorSpec
from minissd.models.ssd import SSD
from minissd.models.weights.formats import read_weights
from minissd.models.weights.load import fill, n_maps
from minissd.models.weights.naming import Naming
from minissd.models.weights.own import fill_from_own, own_format
from minissd.models.weights.recognise import recognise
from minissd.models.weights.report import LoadReport
from minissd.models.weights.stored import WeightFile


def load_detector(
    path: str | Path,
    model_name: str | None = None,
    class_names: Sequence[str] | None = None,
) -> tuple[SSD, tuple[str, ...], LoadReport]:
    """Build a detector from a file of a detector's weights.

    Args:
        path: The file: torchvision's, ssd.pytorch's or the authors' own.
        model_name: Which configuration; None: the one that fits the file.
        class_names: Names of the object classes, label 1 first; None: those of VOC or COCO, by their number.

    Returns:
        The network, the class names, and what was done.

    Raises:
        InputError: The file cannot be read, is of no known family, or does not fit the configuration.
    """
    file = read_weights(path)
    naming = recognise(file)
    if naming.heads is None:
        raise InputError(f"{path}: {naming.title}: a body without heads, not a detector")
    count = _n_object_classes(file, naming)
    name = _model_name(file, naming, count) if model_name is None else model_name
    spec = _spec(file, naming, name, count, class_names)
    names = tuple(class_names or known_classes(count))
    model = build_blank(naming.adapt(spec))
    return model, names, fill(model, file, naming, heads=True)


def load_body(model: SSD, path: str | Path, keep_mean: bool = False) -> LoadReport:
    """Fill what a file of weights has of a network and leave the rest as it is: a start for training.

    From a classifier's file that is the body; from a detector's, everything but the heads.

    Args:
        model: The network, fresh; its spec takes over the mean that the file's network subtracts from images.
        path: The file.
        keep_mean: Leave the spec as it is and move the difference of the means into the biases of the first layer;
            exact but for the outermost pixels. For trainings whose checkpoints do not keep the spec.

    Returns:
        What was filled, what was left, what the file had besides.

    Raises:
        InputError: The file cannot be read, or does not fit; the network is then as it was.
    """
    file = read_weights(path)
    if own_format(file):
        return fill_from_own(model, file, keep_mean)
    return fill(model, file, recognise(file), heads=False, keep_mean=keep_mean)


def _n_object_classes(file: WeightFile, naming: Naming) -> int:
    """Count the classes without background: a box shape has one score for each, against four offsets."""
    tensors = [file.tensors.get(name) for name in naming.head(1, "fc7", "weight")]
    if all(tensor is not None and tensor.size for tensor in tensors):
        scores, offsets = (tensor.shape[0] for tensor in tensors)
        count, rest = divmod(4 * scores, offsets)
        if rest == 0 and count > 1:
            return count - 1
    raise InputError(f"{file.path}: the head of its second map is missing or damaged")


def _model_name(file: WeightFile, naming: Naming, count: int) -> str:
    """Return the configuration that fits a file by its maps and classes."""
    if len(naming.models) == 1:
        return naming.models[0]
    have = n_maps(file, naming)
    early = "pool6_mbox_conf.0" in file.tensors
    fitting = [
        name
        for name, spec in PUBLISHED.items()
        if len(spec.maps) == have
        and spec.network.global_average == early
        and (not naming.models or name in naming.models)
        and name != "ssd300-torchvision"
    ]
    exact = [name for name in fitting if PUBLISHED[name].n_object_classes == count]
    if not fitting:
        raise InputError(f"{file.path}: predicts on {have} maps; no published configuration does")
    return (exact or fitting)[0]


def _spec(
    file: WeightFile,
    naming: Naming,
    name: str,
    count: int,
    class_names: Sequence[str] | None,
) -> DetectorSpec:
    """Return the configuration with the file's number of classes, or say why it cannot be the one."""
    spec = model_spec(name)
    if naming.models and name not in naming.models:
        raise InputError(
            f"{file.path}: {naming.title}: these weights are for {' or '.join(naming.models)}, not for {name}"
        )
    have, want = n_maps(file, naming), len(spec.maps)
    if have != want:
        others = [each for each, other in PUBLISHED.items() if len(other.maps) == have]
        hint = f", as {' and '.join(others)} do" if others else ""
        raise InputError(f"{file.path}: predicts on {have} maps{hint}; {name} predicts on {want}")
    if class_names is not None:
        if len(class_names) != count:
            raise InputError(
                f"{file.path}: knows {count} classes, but {len(class_names)} names are given"
            )
    elif count != spec.n_object_classes:
        raise InputError(_class_hint(file, spec, count))
    return model_spec(name, count)


def _class_hint(file: WeightFile, spec: DetectorSpec, count: int) -> str:
    others = [
        name
        for name, other in PUBLISHED.items()
        if other.n_object_classes == count and other.image_size == spec.image_size
    ]
    meant = f" (as {' or '.join(others)})" if others else ""
    return (
        f"{file.path}: knows {count} classes{meant}, {spec.name} {spec.n_object_classes}; name another model, or give "
        "the names of the classes (--classes) if they are your own"
    )
