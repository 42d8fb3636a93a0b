"""From tensors of a file to arrays of a network: which goes where, whether it fits, and the change of layout.

Other frameworks store the weights of a convolution as (K, C, kh, kw), here they are (kh, kw, C, K). All changes are
made once, here: this transposition, blue-first to red-first, the deviation of the input, thinned-out classifier layers,
and the two convolutions of a head woven into one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from minissd.errors import InputError
from minissd.models.heads import interleave_head
from minissd.models.mobilenetv2 import torchvision_names
from minissd.models.spec import DetectorSpec
from minissd.models.vgg import head_names, layer_names
from minissd.models.weights.names_mobilenet import ENDINGS
from minissd.models.weights.naming import Naming
from minissd.models.weights.stored import StoredTensor, WeightFile

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Move:
    """One array of the network and where it comes from.

    Attributes:
        target: Its name in the network.
        sources: Names in the file: one, or the class and the box convolution of a head.
        thin: Whether the source may be a classifier's layer, to be thinned out.
        first: Whether it is the convolution that reads the image.
    """

    target: str
    sources: tuple[str, ...]
    thin: bool = False
    first: bool = False


@dataclass
class Plan:
    """What will be moved, and what the file has or lacks beyond that.

    Attributes:
        moves: For every array that is filled.
        ignored: Names in the file that are known and not needed, and what they are.
        faults: What does not fit, in words; empty if all does.
    """

    moves: list[Move]
    ignored: dict[str, str] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)


def body_moves(spec: DetectorSpec, naming: Naming) -> list[Move]:
    """Return the moves of all that stands before the heads."""
    if spec.network.body == "mobilenetv2":
        return _mobilenet_moves()
    if spec.network.batch_norm:
        raise InputError(
            f"{spec.name}: has batch norm in place of biases; {naming.title}: weights that do not fit it"
        )
    moves = []
    for layer, prefix in layer_names(spec):
        if layer.endswith("_norm"):
            moves.append(Move(f"{prefix}.scale", (naming.tensor(layer, "scale"),)))
            continue
        thin = naming.subsample and layer in ("fc6", "fc7")
        for part in ("weight", "bias"):
            first = layer == "conv1_1" and part == "weight"
            source = (naming.tensor(layer, part),)
            moves.append(Move(f"{prefix}.{part}", source, thin, first))
    return moves


def head_moves(spec: DetectorSpec, naming: Naming) -> list[Move]:
    """Return the moves of the heads."""
    return [
        Move(f"{prefix}.{part}", naming.head(i, caffe_map, part))
        for i, (caffe_map, prefix) in enumerate(head_names(spec))
        for part in ("weight", "bias")
    ]


def _mobilenet_moves() -> list[Move]:
    moves = []
    for theirs, ours in torchvision_names():
        is_norm = moves and not moves[-1].target.endswith(".running_var")
        endings = ENDINGS if is_norm else {"weight": "weight"}  # they take turns
        for source, target in endings.items():
            moves.append(Move(f"{ours}.{target}", (f"{theirs}.{source}",), first=not moves))
    return moves


def make_plan(
    file: WeightFile,
    naming: Naming,
    moves: list[Move],
    shapes: Mapping[str, Shape],
    n_classes: int,
) -> Plan:
    """Account for every tensor of the file and every array to be filled.

    Args:
        file: The file.
        naming: Its family.
        moves: What is to be filled.
        shapes: Of the network's arrays, by name.
        n_classes: Classes with background.
    """
    plan = Plan(moves)
    wanted = {name for move in moves for name in move.sources}
    plan.faults += [f"{name} is missing" for name in sorted(wanted - file.tensors.keys())]
    for name in file.tensors.keys() - wanted:
        why = naming.why_ignored(name)
        if why:
            plan.ignored[name] = why
        else:
            plan.faults.append(f"{name} is not expected")
    for move in moves:
        for name, shape in zip(move.sources, source_shapes(move, shapes[move.target], n_classes)):
            if name in file.tensors:
                plan.faults += _misfits(name, file.tensors[name], shape, move.thin)
    return plan


def _misfits(name: str, tensor: StoredTensor, shape: Shape, thin: bool) -> list[str]:
    """Say what keeps a tensor from its place: its shape, or that it holds whole numbers (of a quantised network)."""
    fits = tensor.shape == shape or (thin and thin_steps(tensor.shape, shape) is not None)
    faults = [] if fits else [f"{name} has shape {tensor.shape}, not {shape}"]
    if "float" not in tensor.kind:
        faults.append(f"{name} holds numbers of kind {tensor.kind}, not float")
    return faults


def source_shapes(move: Move, shape: Shape, n_classes: int) -> list[Shape]:
    """Return the shapes that a move's sources must have, in the layout of the file."""
    if len(move.sources) == 1:
        return [_to_oihw(shape)]
    n_boxes = shape[-1] // (n_classes + 4)
    return [_to_oihw((*shape[:-1], n_boxes * each)) for each in (n_classes, 4)]


def _to_oihw(shape: Shape) -> Shape:
    return (shape[3], shape[2], shape[0], shape[1]) if len(shape) == 4 else shape


def thin_steps(shape: Shape, wanted: Shape) -> tuple[Shape, Shape] | None:
    """Return how a classifier's layer becomes a smaller convolution: its shape as one, and the step along each axis.

    The rule is the one by which the authors' fc6 and fc7 came about: of 7x7 places every third (0, 3, 6), of 4096
    filters every fourth. From an axis of n numbers to one of m the step is (n - 1) / (m - 1) for places, n / m for
    channels.

    Args:
        shape: In the file: (K, C), (K, C, kh, kw) or (K,).
        wanted: (K, C, kh, kw) or (K,).

    Source: Liu et al. 2016, section 3: "subsample parameters from fc6 and fc7".
    """
    if len(shape) == 2 and len(wanted) == 4:
        side = 7 if wanted[2] > 1 else 1  # fc6 reads a map of 7x7, fc7 a vector
        shape = (shape[0], shape[1] // side**2, side, side) if shape[1] % side**2 == 0 else shape
    if len(shape) != len(wanted) or any(n < m for n, m in zip(shape, wanted)) or 0 in wanted:
        return None
    steps = []
    for axis, (n, m) in enumerate(zip(shape, wanted)):
        whole, part = (n, m) if axis < 2 or n == m == 1 else (n - 1, m - 1)
        if part == 0 or whole % part:
            return None
        steps.append(whole // part)
    return shape, tuple(steps)


def gather(
    plan: Plan,
    file: WeightFile,
    naming: Naming,
    spec: DetectorSpec,
    shapes: Mapping[str, Shape],
) -> dict[str, np.ndarray]:
    """Read the tensors of a plan without faults, in the layout of the network.

    Returns:
        Arrays by the network's names, float32.

    Raises:
        InputError: A tensor holds a number that is not finite.
    """
    n_classes = spec.n_object_classes + 1
    state = {}
    for move in plan.moves:
        wanted = source_shapes(move, shapes[move.target], n_classes)
        parts = [_read(file, name, shape) for name, shape in zip(move.sources, wanted)]
        array = parts[0] if len(parts) == 1 else interleave_head(*parts, n_classes)
        if move.first:
            array = _for_our_images(array, naming, spec)
        state[move.target] = np.ascontiguousarray(array, dtype=np.float32)
    return state


def _read(file: WeightFile, name: str, shape: Shape) -> np.ndarray:
    tensor: StoredTensor = file.tensors[name]
    if tensor.shape != shape:
        form, steps = thin_steps(tensor.shape, shape)
        kept = tensor.raw.reshape(form)[tuple(slice(None, None, step) for step in steps)]
        tensor = StoredTensor(kept, tensor.kind)  # thinned out before it is read
    with np.errstate(over="ignore"):
        array = tensor.numpy().astype(np.float32, copy=False)
    if not np.isfinite(array).all():
        raise InputError(f"{file.path}: {name} holds numbers that are not finite")
    return array.transpose(2, 3, 1, 0) if array.ndim == 4 else array


def _for_our_images(weight: np.ndarray, naming: Naming, spec: DetectorSpec) -> np.ndarray:
    """Change the first convolution (kh, kw, 3, K) so that it reads images as the spec prepares them.

    Theirs saw (x - mean) / std of each channel, ours sees (x - mean) / input_std: what is left of the division goes
    into the weights. The mean cannot go into the bias: the zeros of the padding stand for pixels of the mean's colour,
    so a shift of the mean counts less along the borders than in the middle. It goes into the spec, which is exact.
    """
    if naming.bgr:
        weight = weight[:, :, ::-1]
    if naming.std is None:
        return weight * spec.input_std
    scale = spec.input_std / np.asarray(naming.std)
    return weight * scale[:, None]
