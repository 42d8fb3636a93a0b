"""Parameter, Layer and Sequential: what every layer of the library shares.

A layer is two methods that stand next to each other. `forward(x)` computes the output and keeps what the way back
needs; `backward(dy)` takes the gradient of the loss with respect to the output, *adds* the gradients of the layer's
parameters to `Parameter.grad`, and returns the gradient with respect to the input. It changes none of its inputs.

There is no graph and no autograd: whoever builds a network calls `backward` in the reverse order of `forward`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from types import ModuleType

import numpy as np

from minissd.backend import Array, array_module, to_cpu, to_device
from minissd.nn import many

_keeps: ContextVar[bool] = ContextVar("_keeps", default=True)


class Parameter:
    """An array that is learnt, and the gradient that is collected for it.

    Attributes:
        value: The numbers themselves.
        grad: Sum of the gradients since `zero_grad`; same shape and dtype as `value`.
        decay: Whether weight decay applies (weights yes; biases and normalisation no).
        rate: Multiplier of the learning rate (the authors' solver gives biases 2).
    """

    def __init__(self, value: Array, decay: bool = True, rate: float = 1.0):
        self.value = value
        self.grad = value * 0
        self.decay = decay
        self.rate = rate

    def zero_grad(self) -> None:
        """Forget the gradient collected so far."""
        self.grad[...] = 0

    def __repr__(self) -> str:
        return f"Parameter(shape={tuple(self.value.shape)}, dtype={self.value.dtype})"


@contextmanager
def without_backward() -> Iterator[None]:
    """Let networks free each map as soon as the next layer has read it, within a `with` block of this thread."""
    token = _keeps.set(False)
    try:
        yield
    finally:
        _keeps.reset(token)


def maps_are_kept() -> bool:
    """Say whether `forward` shall leave its maps for `backward`."""
    return _keeps.get()


class Layer:
    """Base of all layers: finds its parameters and child layers among its attributes.

    Subclasses write `forward` and `backward`. What is an attribute counts, in the order it was set: a `Parameter` is
    a parameter, a `Layer` (or a list of layers) is a child, and the names in `buffers` are arrays that belong to the
    layer's state without being learnt (running statistics). The names in `kept` are the maps that `forward` leaves for
    `backward`, which `forget` sets free.
    """

    training: bool = True
    buffers: tuple[str, ...] = ()
    kept: tuple[str, ...] = ()

    def forward(self, x: Array) -> Array:
        """Compute the output of the layer."""
        raise NotImplementedError(f"{type(self).__name__} has no forward")

    def backward(self, dy: Array) -> Array:
        """Return the gradient with respect to the input of the last `forward`; add those of the parameters."""
        raise NotImplementedError(f"{type(self).__name__} has no backward")

    def joins(self, after: Layer) -> bool:
        """Say whether this layer and the one after it can be done in one pass over memory: by the two methods below."""
        return False

    def forward_with(self, x: Array, after: Layer) -> Array:
        """Compute the output of both layers; afterwards each is ready for its `backward`."""
        return after.forward(self.forward(x))

    def backward_with(self, dy: Array, after: Layer) -> Array:
        """Do the way back of both layers."""
        return self.backward(after.backward(dy))

    def folds(self, norm: Layer) -> bool:
        """Say whether this layer can do a normalisation with fixed statistics by other weights: `forward_folded`."""
        return False

    def forward_folded(self, x: Array, norm: Layer, after: Layer | None) -> Array:
        """Compute the output of this layer, a normalisation and an activation, where no `backward` will follow."""
        raise NotImplementedError(f"{type(self).__name__} folds nothing")

    def forget(self) -> None:
        """Let go of the maps that `forward` kept for `backward` (`kept`), here and in the layers below."""
        for _, layer in self.layers():
            for name in layer.kept:
                setattr(layer, name, None)

    def __call__(self, x: Array) -> Array:
        """Do the same as `forward`."""
        return self.forward(x)

    def children(self) -> Iterator[tuple[str, Layer]]:
        """Yield (name, layer) for each direct child."""
        for name, value in vars(self).items():
            if isinstance(value, Layer):
                yield name, value
            elif isinstance(value, (list, tuple)):
                for i, item in enumerate(value):
                    if isinstance(item, Layer):
                        yield f"{name}.{i}", item

    def layers(self, prefix: str = "") -> Iterator[tuple[str, Layer]]:
        """Yield (name, layer) for this layer and everything below it, parents first."""
        yield prefix, self
        for name, child in self.children():
            yield from child.layers(f"{prefix}.{name}" if prefix else name)

    def parameters(self) -> dict[str, Parameter]:
        """Return every parameter of this layer and the layers below it, by its dotted name."""
        return {
            f"{prefix}.{name}" if prefix else name: value
            for prefix, layer in self.layers()
            for name, value in vars(layer).items()
            if isinstance(value, Parameter)
        }

    def zero_grad(self) -> None:
        """Forget the gradients of all parameters."""
        parameters = self.parameters().values()
        if many.fill_zero([parameter.grad for parameter in parameters]):
            return
        for parameter in parameters:
            parameter.zero_grad()

    def train(self, training: bool = True) -> Layer:
        """Set training mode (batch statistics, dropout) here and below; returns the layer."""
        for _, layer in self.layers():
            layer.training = training
        return self

    def eval(self) -> Layer:
        """Set evaluation mode (running statistics, no dropout) here and below; returns the layer."""
        return self.train(False)

    def _state_slots(self) -> dict[str, tuple[object, str]]:
        """Return where each named array of the state lives: (object, attribute)."""
        slots: dict[str, tuple[object, str]] = {}
        for prefix, layer in self.layers():
            dot = f"{prefix}." if prefix else ""
            for name, value in vars(layer).items():
                if isinstance(value, Parameter):
                    slots[dot + name] = (value, "value")
                elif name in layer.buffers:
                    slots[dot + name] = (layer, name)
        return slots

    def arrays(self) -> list[Array]:
        """Return all parameters and buffers where they live, in the order of `state`."""
        return [getattr(owner, key) for owner, key in self._state_slots().values()]

    def buffer_arrays(self) -> list[Array]:
        """Return the buffers alone (running statistics) where they live."""
        slots = self._state_slots().values()
        return [getattr(owner, key) for owner, key in slots if not isinstance(owner, Parameter)]

    def state(self) -> dict[str, np.ndarray]:
        """Return a copy of all parameters and buffers as NumPy arrays, by dotted name."""
        slots = self._state_slots().items()
        return {name: np.array(to_cpu(getattr(owner, key))) for name, (owner, key) in slots}

    def load_state(self, state: Mapping[str, np.ndarray]) -> None:
        """Set all parameters and buffers from named arrays; every name and shape must fit.

        Args:
            state: Arrays by dotted name, as `state` returns them. They are cast to the dtype in use.

        Raises:
            ValueError: Names are missing or unknown, or shapes differ; all of them are listed, nothing was changed.
        """
        slots = self._state_slots()
        faults = [f"{name} is missing" for name in slots if name not in state]
        faults += [f"{name} is not in this model" for name in state if name not in slots]
        for name, (owner, key) in slots.items():
            have, want = state.get(name), getattr(owner, key)
            if have is not None and tuple(have.shape) != tuple(want.shape):
                faults.append(f"{name} has shape {tuple(have.shape)}, not {tuple(want.shape)}")
        if faults:
            raise ValueError(f"the state does not fit the model: {'; '.join(faults)}")
        for name, (owner, key) in slots.items():
            slot = getattr(owner, key)
            slot[...] = to_device(state[name].astype(slot.dtype), array_module(slot))

    def to(self, device: str | ModuleType) -> Layer:
        """Move all parameters, gradients and buffers to "cpu" or "gpu"; returns the layer."""
        for owner, key in self._state_slots().values():
            setattr(owner, key, to_device(getattr(owner, key), device))
            if isinstance(owner, Parameter):
                owner.grad = to_device(owner.grad, device)
        return self

    def astype(self, dtype: np.dtype | type) -> Layer:
        """Cast all parameters, gradients and buffers (gradient checks work in float64); returns the layer."""
        for owner, key in self._state_slots().values():
            setattr(owner, key, getattr(owner, key).astype(dtype))
            if isinstance(owner, Parameter):
                owner.grad = owner.grad.astype(dtype)
        return self


class Sequential(Layer):
    """Layers one after another; the way back visits them in reverse."""

    def __init__(self, *layers: Layer):
        self.steps = list(layers)
        self._maps_are_gone = False

    def forward(self, x: Array) -> Array:
        """Pass `x` through all layers; two that join, in one step."""
        self._maps_are_gone = not maps_are_kept()
        if self._maps_are_gone:
            return self._predict(x)
        for layer, after in self._pairs():
            x = layer.forward(x) if after is None else layer.forward_with(x, after)
        return x

    def _predict(self, x: Array) -> Array:
        """Do the same where no `backward` will follow: maps are freed, and normalisations folded where they can be."""
        pairs = self._pairs()
        while pairs:
            layer, after = pairs.pop(0)
            if after is None and pairs and layer.folds(pairs[0][0]):
                norm, after = pairs.pop(0)
                x = layer.forward_folded(x, norm, after)
                norm.forget()
            else:
                x = layer.forward(x) if after is None else layer.forward_with(x, after)
            forget(layer, after)
        return x

    def backward(self, dy: Array) -> Array:
        """Pass the gradient back through all layers, in the same steps; each then lets go of its maps.

        On the way back, the largest maps come last: by then the memory of all others is free.

        Raises:
            ValueError: There was no `forward` since the last way back.
        """
        if self._maps_are_gone:
            raise ValueError(
                "backward: expected a forward before each, as the way back frees the maps"
            )
        self._maps_are_gone = True
        for layer, after in reversed(self._pairs()):
            dy = layer.backward(dy) if after is None else layer.backward_with(dy, after)
            forget(layer, after)
        return dy

    def _pairs(self) -> list[tuple[Layer, Layer | None]]:
        """Return the layers in order, each with the one it is joined by, or None."""
        pairs: list[tuple[Layer, Layer | None]] = []
        for layer in self.steps:
            if pairs and pairs[-1][1] is None and pairs[-1][0].joins(layer):
                pairs[-1] = (pairs[-1][0], layer)
            else:
                pairs.append((layer, None))
        return pairs

    def children(self) -> Iterator[tuple[str, Layer]]:
        """Yield the layers under their position: "0", "1", ..."""
        return ((str(i), layer) for i, layer in enumerate(self.steps))


def forget(*layers: Layer | None) -> None:
    """Let layers go of their maps; None for a layer that is not there."""
    for layer in layers:
        if layer is not None:
            layer.forget()
