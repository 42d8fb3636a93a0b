"""Gradient checks: what `backward` says, against what happens to the output when a number is nudged.

Every number of every input and parameter is moved up and down by a small step, in float64, and the change of
sum(output * upstream) is compared with the gradient. The upstream gradient is random: with all ones, wrong batch norm,
softmax or transposed channels go unseen. Parameters get odd random values first, since zeros and ones hide faults too.

The relative error of a number is |analytic - numeric| / max(|analytic|, |numeric|, floor). The floor is a hundredth of
the tensor's largest gradient, or the size below which the rounding of the output hides a gradient, if that is larger: a
number that ought to be zero is not judged by its rounding. Smooth layers come out near 1e-8 or better.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from minissd.backend import Array, array_module, to_cpu, to_device
from minissd.errors import check
from minissd.nn.gradcheck_report import GradientReport, TensorRow, format_table
from minissd.nn.layer import Layer

__all__ = [
    "CheckSettings",
    "GradientReport",
    "TensorRow",
    "check_function",
    "check_layer",
    "format_table",
    "randomize_parameters",
]

UPSTREAMS = ("random", "ones")


@dataclass(frozen=True)
class CheckSettings:
    """How a check is done.

    Attributes:
        step: Distance of the nudge, small against the distance to the next kink.
        tolerance: Largest relative error that passes.
        max_elements: Of larger tensors, a random sample of this many numbers is checked.
        upstream: "random", or "ones" to see what an all-ones upstream gradient misses.
    """

    step: float = 1e-5
    tolerance: float = 1e-6
    max_elements: int = 400
    upstream: str = "random"

    def __post_init__(self):
        check(self.step > 0, "step", "a number above 0", self.step)
        check(self.upstream in UPSTREAMS, "upstream", " | ".join(UPSTREAMS), self.upstream)


DEFAULTS = CheckSettings()


def check_layer(
    layer: Layer,
    x: Array,
    rng: np.random.Generator,
    case: str = "",
    settings: CheckSettings = DEFAULTS,
    *,
    randomize: bool = True,
    input_gradient: bool = True,
) -> GradientReport:
    """Check a layer's gradients and its promises.

    The promises: `forward` and `backward` change neither x, nor dy, nor a parameter's value; dx has the shape and
    dtype of x; doing both a second time gives the same dx and exactly doubles the gradients of the parameters.

    Args:
        layer: Any layer or network; a float64 copy of it is checked. Random layers are replayed from the same state.
        x: Input, cast to float64.
        rng: Source of the upstream gradient, the parameters and the samples.
        case: A word for the report.
        settings: Step, tolerance, sample, upstream.
        randomize: Whether parameters get odd random values of their own size first.
        input_gradient: False for a network that does not return the gradient of its input.

    Returns:
        The report.
    """
    layer = copy.deepcopy(layer).astype(np.float64)
    if randomize:
        randomize_parameters(layer, rng)
    x = x.astype(np.float64)
    forward = _replayed(layer)
    dy = _upstream(forward(x.copy()), rng, settings.upstream)
    gradients, faults = _layer_gradients(layer, forward, x, dy)
    tensors = {name: parameter.value for name, parameter in layer.parameters().items()}
    if input_gradient:
        tensors = {"x": x, **tensors}
    rows = _compare(lambda: forward(x.copy()), tensors, gradients, dy, rng, settings)
    return GradientReport(type(layer).__name__, case, rows, faults)


def check_function(
    function: Callable[..., tuple[Array, Callable[[Array], Mapping[str, Array]]]],
    inputs: Mapping[str, Array],
    rng: np.random.Generator,
    name: str,
    case: str = "",
    settings: CheckSettings = DEFAULTS,
) -> GradientReport:
    """Check the gradients of a function of several arrays, such as a loss.

    Args:
        function: Called with the inputs by name; returns its values and a function `backward(dy)` that returns the
            gradient of sum(values * dy) for every input by name.
        inputs: Arrays by name, cast to float64.
        rng: Source of the upstream gradient and the samples.
        name: Of the function, for the report.
        case: A word for the report.
        settings: Step, tolerance, sample, upstream.

    Returns:
        The report.
    """
    inputs = {key: array.astype(np.float64) for key, array in inputs.items()}
    before = {key: array.copy() for key, array in inputs.items()}
    values, backward = function(**inputs)
    dy = _upstream(values, rng, settings.upstream)
    given = dy.copy()
    gradients = {key: gradient.copy() for key, gradient in backward(given).items()}
    faults = [f"{key} was changed" for key in inputs if not _same(inputs[key], before[key])]
    if not _same(given, dy):
        faults.append("backward changed the upstream gradient")
    rows = _compare(lambda: function(**before)[0], before, gradients, dy, rng, settings)
    return GradientReport(name, case, rows, tuple(faults))


def randomize_parameters(layer: Layer, rng: np.random.Generator) -> None:
    """Give every parameter odd values: random sign, 0.5 to 1.5 times its own size (of zeros: 0.5)."""
    for parameter in layer.parameters().values():
        value = to_cpu(parameter.value)
        size = float(np.sqrt(np.mean(value * value))) or 0.5
        odd = size * _odd_values(value.shape, rng)
        parameter.value[...] = to_device(odd.astype(value.dtype), array_module(parameter.value))


def _odd_values(shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
    """Return random numbers none of which is near zero: +-(0.5 to 1.5)."""
    return np.asarray(rng.uniform(0.5, 1.5, shape) * rng.choice((-1.0, 1.0), shape))


def _upstream(y: Array, rng: np.random.Generator, kind: str) -> Array:
    shape = tuple(y.shape)
    dy = _odd_values(shape, rng) if kind == "random" else np.ones(shape)
    return to_device(dy, array_module(y))


def _replayed(layer: Layer) -> Callable[[Array], Array]:
    """Return the layer's forward with all its random generators set back to their present state before each call."""
    generators = [
        value
        for _, part in layer.layers()
        for value in vars(part).values()
        if isinstance(value, np.random.Generator)
    ]
    states = [generator.bit_generator.state for generator in generators]

    def forward(x: Array) -> Array:
        for generator, state in zip(generators, states):
            generator.bit_generator.state = state
        return layer.forward(x)

    return forward


def _layer_gradients(
    layer: Layer, forward: Callable[[Array], Array], x: Array, dy: Array
) -> tuple[dict[str, Array], tuple[str, ...]]:
    """Go forward and back twice; return the gradients of the first time, and the broken promises."""
    parameters = layer.parameters()
    values = {name: parameter.value.copy() for name, parameter in parameters.items()}
    layer.zero_grad()
    passes = []
    faults = []
    for _ in range(2):
        given_x, given_dy = x.copy(), dy.copy()
        y = forward(given_x)
        if y.dtype != x.dtype:
            faults.append(f"the output is {y.dtype} for an input of {x.dtype}")
        dx = layer.backward(given_dy)
        found = {name: parameter.grad.copy() for name, parameter in parameters.items()}
        passes.append(found if dx is None else {"x": dx.copy(), **found})
        if not _same(given_x, x):
            faults.append("x was changed")
        if not _same(given_dy, dy):
            faults.append("the upstream gradient dy was changed")
    once, twice = passes
    changed = [name for name in parameters if not _same(parameters[name].value, values[name])]
    faults += [f"the value of {name} was changed" for name in changed]
    faults += _input_faults(once, twice, x)
    faults += [
        f"the gradient of {name} is not added up: two passes give another sum than twice the first"
        for name in parameters
        if not _doubled(once[name], twice[name])
    ]
    return once, tuple(dict.fromkeys(faults))


def _input_faults(once: dict[str, Array], twice: dict[str, Array], x: Array) -> list[str]:
    if "x" not in once:
        return []
    dx, faults = once["x"], []
    if dx.shape != x.shape:
        faults.append(f"dx has shape {tuple(dx.shape)}, x has {tuple(x.shape)}")
    if dx.dtype != x.dtype:
        faults.append(f"dx is {dx.dtype}, x is {x.dtype}")
    if not _same(dx, twice["x"]):
        faults.append("a second pass gives another dx")
    return faults


def _same(a: Array, b: Array) -> bool:
    return np.array_equal(to_cpu(a), to_cpu(b), equal_nan=True)


def _doubled(once: Array, twice: Array) -> bool:
    """Twice as large up to the rounding of a parameter that is used in several places."""
    first, both = to_cpu(once), to_cpu(twice)
    return bool(np.allclose(both, 2 * first, rtol=0, atol=1e-12 * np.abs(first).max(initial=0)))


def _compare(
    forward: Callable[[], Array],
    tensors: Mapping[str, Array],
    gradients: Mapping[str, Array],
    dy: Array,
    rng: np.random.Generator,
    settings: CheckSettings,
) -> tuple[TensorRow, ...]:
    """Measure the numeric gradients of all tensors and hold them against the analytic ones."""
    places, numeric = {}, {}
    for name, tensor in tensors.items():
        every = np.arange(tensor.size)
        if tensor.size > settings.max_elements:
            every = np.sort(rng.choice(every, settings.max_elements, replace=False))
        places[name] = every
        numeric[name] = np.array([_slope(forward, tensor, i, dy, settings.step) for i in every])
    resolved = _resolved(forward(), dy, settings)
    rows = []
    for name, tensor in tensors.items():
        if name not in gradients or gradients[name].shape != tensor.shape:
            found = np.full(len(places[name]), np.nan)  # no gradient at all: nothing can be right
        else:
            found = to_cpu(gradients[name]).reshape(-1)[places[name]]
        rows.append(
            _row(
                name, tensor.shape, places[name], found, numeric[name], resolved, settings.tolerance
            )
        )
    return tuple(rows)


def _slope(
    forward: Callable[[], Array], tensor: Array, place: int, dy: Array, step: float
) -> float:
    """Central difference of sum(output * dy) as one number of the tensor moves.

    The outputs are subtracted first and added up then: what did not change drops out without rounding.
    """
    index = tuple(int(i) for i in np.unravel_index(place, tensor.shape))
    value = float(to_cpu(tensor[index]))
    above, below = value + step, value - step
    tensor[index] = above
    y_above = forward().copy()
    tensor[index] = below
    y_below = forward().copy()
    tensor[index] = value
    return float(to_cpu(((y_above - y_below) * dy).sum())) / (above - below)


def _resolved(y: Array, dy: Array, settings: CheckSettings) -> float:
    """Return the smallest gradient that a central difference tells to the tolerance, given the rounding of y."""
    rounding = np.finfo(float).eps * float(np.linalg.norm(to_cpu(y * dy)))
    return 10 * rounding / settings.step / settings.tolerance


def _row(
    name: str,
    shape: tuple[int, ...],
    places: np.ndarray,
    analytic: np.ndarray,
    numeric: np.ndarray,
    resolved: float,
    tolerance: float,
) -> TensorRow:
    size = int(np.prod(shape))
    if len(places) == 0:
        return TensorRow(name, 0, size, 0.0, (), 0.0, 0.0, True)
    floor = max(1e-2 * np.abs(numeric).max(), resolved, np.finfo(float).tiny)
    scale = np.maximum(np.maximum(np.abs(analytic), np.abs(numeric)), floor)
    with np.errstate(invalid="ignore"):  # inf and nan are found in the next line
        errors = np.abs(analytic - numeric) / scale
    errors = np.where(np.isfinite(errors), errors, np.inf)
    worst = int(errors.argmax())
    return TensorRow(
        name,
        len(places),
        size,
        float(errors[worst]),
        tuple(int(i) for i in np.unravel_index(places[worst], shape)),
        float(analytic[worst]),
        float(numeric[worst]),
        bool(errors[worst] <= tolerance),
    )
