"""Loading a file of weights into a network, and saying what was done with each of its tensors."""

from __future__ import annotations

import dataclasses
import math

from minissd.errors import InputError
from minissd.models.ssd import SSD
from minissd.models.weights.first_layer import keep_normalisation
from minissd.models.weights.moves import Move, Plan, body_moves, gather, head_moves, make_plan
from minissd.models.weights.naming import Naming
from minissd.models.weights.recognise import stranger
from minissd.models.weights.report import LoadReport
from minissd.models.weights.stored import WeightFile


def fill(
    model: SSD, file: WeightFile, naming: Naming, heads: bool, keep_mean: bool = False
) -> LoadReport:
    """Fill a network from a file; nothing is changed unless all of it fits.

    Args:
        model: The network. Its spec takes over how the family's network normalises images.
        file: The file.
        naming: Its family.
        heads: Whether the heads are filled too (the file must have them); otherwise all but the heads.
        keep_mean: Leave the spec as it is, and see `keep_normalisation`.

    Raises:
        InputError: Tensors are missing, unexpected or mis-shaped; all of them are named.
    """
    if naming.body != model.spec.network.body:
        raise InputError(
            f"{file.path}: holds weights for {naming.body} ({naming.title}), which are no use to "
            f"{model.spec.name}, a network on {model.spec.network.body}"
        )
    shapes = {name: array.shape for name, array in model.state().items()}
    mean = model.spec.input_mean if naming.mean is None else naming.mean
    spec = dataclasses.replace(model.spec, input_mean=mean)
    plan = _plan(file, naming, model, heads, shapes)
    if plan.faults:
        raise InputError(_fault_text(file, naming, model, plan.faults))
    state = gather(plan, file, naming, spec, shapes)
    changes = _changes(plan, naming, file, shapes)
    if keep_mean and spec.input_mean != model.spec.input_mean:
        (first,) = (move.target for move in plan.moves if move.first)
        keep_normalisation(state, first, spec, model.spec)
        spec, changes = model.spec, [*changes, "and then moved into the first layer's biases"]
    model.load_state({**model.state(), **state})
    model.spec = spec
    filled = [move.target for move in plan.moves]
    left = [name for name in shapes if name not in set(filled)]
    return LoadReport(file, naming.title, filled, left, plan.ignored, changes)


def _plan(file: WeightFile, naming: Naming, model: SSD, heads: bool, shapes: dict) -> Plan:
    spec = model.spec
    moves = body_moves(spec, naming)
    if naming.heads is None:
        moves = [move for move in moves if _is_of_body(move, naming, file)]
    if heads:
        moves += head_moves(spec, naming)
        return make_plan(file, naming, moves, shapes, spec.n_object_classes + 1)
    plan = make_plan(file, naming, moves, shapes, spec.n_object_classes + 1)
    if naming.heads is not None:  # a detector's file for a network with heads of its own
        of_heads = {name for move in head_moves(spec, naming) for name in move.sources}
        for name in of_heads & file.tensors.keys():
            plan.ignored[name] = "heads"
            plan.faults.remove(f"{name} is not expected")
    return plan


def _is_of_body(move: Move, naming: Naming, file: WeightFile) -> bool:
    """Say whether a file of a body is to have it: not extra maps and norms; fc6 and fc7 where they are there."""
    (name,) = move.sources
    if not name or name.startswith("("):
        return False
    layer = name.rpartition(".")[0]
    optional = layer in (naming.layers.get("fc6"), naming.layers.get("fc7"))
    return not optional or any(each.startswith(f"{layer}.") for each in file.tensors)


def _fault_text(file: WeightFile, naming: Naming, model: SSD, faults: list[str]) -> str:
    reason = _reason(file, naming, model)
    return (
        f"{file.path}: does not fit {model.spec.name}{reason} ({naming.title}): "
        f"{'; '.join(sorted(faults))}"
    )


def _reason(file: WeightFile, naming: Naming, model: SSD) -> str:
    guess = stranger(file)
    if guess:
        return f"; the weights look like those of {guess}"
    have, want = n_maps(file, naming), len(model.spec.maps)
    if have and have != want:
        return f"; the file predicts on {have} maps, {model.spec.name} on {want}"
    return ""


def n_maps(file: WeightFile, naming: Naming) -> int:
    """Count the maps on which the network of a file predicts; 0 for a body."""
    if naming.heads is None:
        return 0
    before, after = naming.heads[1].replace("{map}", "{i}").split("{i}")
    ending = f"{after}.{naming.parts[0]}"
    return sum(name.startswith(before) and name.endswith(ending) for name in file.tensors)


def _changes(plan: Plan, naming: Naming, file: WeightFile, shapes: dict) -> list[str]:
    changes = []
    if naming.bgr:
        changes.append("the first layer reads red first, not blue first")
    if naming.std is not None:
        std = ", ".join(f"{each:.2f}" for each in naming.std)
        changes.append(f"the first layer's weights divided by the deviation of its input ({std})")
    if naming.mean is not None:
        mean = ", ".join(f"{each:.2f}" for each in naming.mean)
        changes.append(f"the mean that is subtracted from images set to ({mean})")
    sizes = {move: math.prod(shapes[move.target]) for move in plan.moves if move.thin}
    thinned = [m.sources[0] for m, size in sizes.items() if file.tensors[m.sources[0]].size != size]
    if thinned:
        places = "every fourth filter, every third of 7 x 7 places"
        changes.append(f"fc6 and fc7 thinned out from {', '.join(thinned)}: {places}")
    return changes
