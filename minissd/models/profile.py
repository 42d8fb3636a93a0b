"""Where the time goes: seconds of every layer of a network, forward and backward, and the rates they amount to.

A layer's time is what passes between entering and leaving its `forward` or `backward`. What no layer accounts for
(preparing the pixels, joining the rows of the heads, matching, the loss, the optimizer) is timed as parts of its own,
so that the shares add up to the whole.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np

from minissd.backend import array_module, to_device
from minissd.errors import check_positive_int
from minissd.models.loss import make_targets, multibox_loss
from minissd.models.ssd import SSD
from minissd.models.trace import Row, trace
from minissd.nn import Conv2d
from minissd.nn.layer import without_backward
from minissd.nn.optim import SGD

Seconds = list[float]  # one entry a round
WAYS = {
    "forward": "forward",
    "forward_with": "forward",
    "forward_folded": "forward",
    "backward": "backward",
    "backward_with": "backward",
}  # methods of a layer, and where their seconds are noted


@dataclass
class LayerTime:
    """What one layer took.

    Attributes:
        row: The layer as `trace` sees it: name, output, multiplications.
        algorithm: Which convolution it took; "" for other layers.
        forward: Seconds of each round; empty where the layer before has done this one's work too (`Layer.joins`).
        backward: Seconds of each round; empty for that reason, or where only the way forward was timed.
    """

    row: Row
    algorithm: str = ""
    forward: Seconds = field(default_factory=list)
    backward: Seconds = field(default_factory=list)

    @property
    def forward_seconds(self) -> float:
        """Median seconds of the way forward."""
        return _median(self.forward)

    @property
    def backward_seconds(self) -> float:
        """Median seconds of the way back; 0 where it was not timed."""
        return _median(self.backward)

    @property
    def seconds(self) -> float:
        """Median seconds of both ways together."""
        return self.forward_seconds + self.backward_seconds

    def flop(self, images: int) -> float:
        """Multiplications and additions that the definition of the layer asks for, on all ways that were timed.

        The way back is two convolutions of the same work, one for the weights and one for the input; a network's first
        layer needs only that for the weights.
        """
        ways = 1 if self.forward else 0
        if self.backward:
            ways += 2 if getattr(self.row.layer, "input_gradient", True) else 1
        return 2.0 * self.row.macs * images * ways


@dataclass
class Profile:
    """Times of a network.

    Attributes:
        images: Of each round.
        training: Whether a round is a training step, or the way forward alone.
        layers: In the order in which the network runs them.
        parts: Seconds of each round by the name of what is no layer, "the rest" last.
        whole: Seconds of each round.
    """

    images: int
    training: bool
    layers: list[LayerTime]
    parts: dict[str, Seconds]
    whole: Seconds

    @property
    def seconds(self) -> float:
        """Median seconds of a round."""
        return _median(self.whole)

    def medians(self) -> dict[str, float]:
        """Return the median seconds of every part that is no layer."""
        return {name: _median(seconds) for name, seconds in self.parts.items()}


def profile(model: SSD, images: int = 1, rounds: int = 5, training: bool = False) -> Profile:
    """Time a network on random pictures.

    Args:
        model: On the CPU or on a GPU, where each layer is waited for. Its state is afterwards what it was before;
            gradients are zero.
        images: How many a round.
        rounds: How many count, after one that does not.
        training: A whole training step (targets, forward, loss, backward, optimizer at rate 0) instead of the way
            forward in evaluation mode.

    Raises:
        ValueError: A number is not positive.
    """
    check_positive_int(images, "images")
    check_positive_int(rounds, "rounds")
    work = _training_step(model, images) if training else _forward(model, images)
    was_training, kept = model.training, model.state()
    model.train(training)
    wait = _waiting(model)
    try:
        with _watched(model, wait) as (layers, passed):
            whole, parts = [], {}
            for _ in range(rounds + 1):
                _run(work, wait, whole, parts, passed)
    finally:
        model.train(was_training)
        model.zero_grad()
        model.load_state(kept)  # batch normalisation has seen noise
    ways = [way for layer in layers for way in (layer.forward, layer.backward)]
    for seconds in [whole, *parts.values(), *ways]:
        del seconds[:1]  # the round that does not count
    return Profile(images, training, layers, parts, whole)


Part = tuple[str, Callable[[], None]]


def _run(
    work: list[Part], wait: Callable[[], None], whole: Seconds, parts: dict, passed: Seconds
) -> None:
    """Do one round of the work; note what each part took beyond its layers."""
    rest = 0.0
    wait()
    begun = time.perf_counter()
    for name, do in work:
        passed[0], start = 0.0, time.perf_counter()
        do()
        wait()
        spent = time.perf_counter() - start - passed[0]
        if name:
            parts.setdefault(name, []).append(spent)
        else:
            rest += spent
    whole.append(time.perf_counter() - begun)
    parts.setdefault("the rest", []).append(rest)
    parts["the rest"] = parts.pop("the rest")  # stays the last


def _forward(model: SSD, images: int) -> list[Part]:
    pixels = _pictures(model, images)
    state: dict = {}

    def predict() -> None:
        with without_backward():
            model.forward(state["x"])

    return [("preparing pixels", lambda: state.update(x=model.prepare(pixels))), ("", predict)]


def _training_step(model: SSD, images: int) -> list[Part]:
    pixels = _pictures(model, images)
    corners = np.array([[0.1, 0.1, 0.5, 0.6], [0.4, 0.3, 0.9, 0.9], [0.2, 0.7, 0.3, 0.8]])
    labels = np.ones(len(corners), np.int64)
    xp = array_module(pixels)
    boxes = to_device(corners.astype(np.float32), xp)
    labels = to_device(labels, xp)
    optimizer = SGD(model.parameters(), 0.0, momentum=0.9)
    state: dict = {}

    def target() -> None:
        centers = model.default_centers(xp)
        state["targets"] = make_targets(centers, [boxes] * images, [labels] * images, model.spec)

    def loss() -> None:
        state["loss"] = multibox_loss(*state["rows"], state["targets"])

    return [
        ("preparing pixels", lambda: state.update(x=model.prepare(pixels))),
        ("targets", target),
        ("zeroing gradients", model.zero_grad),
        ("", lambda: state.update(rows=model.forward(state["x"]))),
        ("loss", loss),
        ("", lambda: model.backward(state["loss"].d_scores, state["loss"].d_offsets)),
        ("optimizer", optimizer.step),
    ]


def _pictures(model: SSD, images: int) -> object:
    size = model.spec.image_size
    noise = np.random.default_rng(0).integers(0, 256, (images, size, size, 3), dtype=np.uint8)
    parameter = next(iter(model.parameters().values()))
    return to_device(noise, array_module(parameter.value))


def _waiting(model: SSD) -> Callable[[], None]:
    """Return what waits until the device has done all it was told; on a CPU that is the case at once."""
    xp = array_module(next(iter(model.parameters().values())).value)
    if not hasattr(xp, "cuda"):
        return lambda: None
    return xp.cuda.get_current_stream().synchronize


@contextmanager
def _watched(model: SSD, wait: Callable[[], None]) -> Iterator[tuple[list[LayerTime], Seconds]]:
    """Time every layer without children for as long as the block lasts; `passed[0]` sums what all layers took."""
    layers = [LayerTime(row) for row in trace(model)]
    passed = [0.0]
    for entry in layers:
        layer = entry.row.layer
        for name, seconds in WAYS.items():
            way = _timed(getattr(layer, name), entry, getattr(entry, seconds), passed, wait)
            setattr(layer, name, way)
    try:
        yield layers, passed
    finally:
        for entry in layers:
            for name in WAYS:
                delattr(entry.row.layer, name)  # that of the class shows again


def _timed(
    way: Callable, entry: LayerTime, seconds: Seconds, passed: Seconds, wait: Callable[[], None]
) -> Callable:
    def run(x: object, *after: object) -> object:
        begun, before = time.perf_counter(), passed[0]
        n_before = len(seconds)
        y = way(x, *after)
        wait()
        spent = time.perf_counter() - begun
        own = spent - (passed[0] - before)  # two ways of one layer may call each other
        seconds[n_before:] = [own + sum(seconds[n_before:])]
        passed[0] = before + spent
        if isinstance(entry.row.layer, Conv2d) and not entry.algorithm:
            entry.algorithm = entry.row.layer.algorithm_for(x).__name__.rpartition(".")[2]
        return y

    return run


def _median(seconds: Seconds) -> float:
    return statistics.median(seconds) if seconds else 0.0
