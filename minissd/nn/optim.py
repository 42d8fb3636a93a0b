"""Optimisers: how a gradient changes a parameter, and which parameters are treated apart.

An update is a dozen simple operations on arrays that together are larger than any cache. On the CPU they are done
block by block: a block comes from memory once and not once an operation, and intermediate results stay in the cache.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np

from minissd.backend import Array, array_module, to_cpu, to_device
from minissd.cuda import BLOCK
from minissd.errors import check
from minissd.nn import many
from minissd.nn.layer import Parameter
from minissd.nn.schedule import StepSchedule, WarmupCosine

__all__ = [
    "SGD",
    "Adam",
    "AdamW",
    "Optimizer",
    "StepSchedule",
    "WarmupCosine",
    "clip_gradients",
]

BLOCK_SIZE = 2**16  # numbers: 256 KiB of float32, so four arrays fit a core's cache
GROUP_KEYS = {"lr_scale", "weight_decay"}

Group = tuple[Callable[[str], bool], Mapping[str, float]]


class Optimizer:
    """Base of the optimisers: whose settings are whose, and the state that goes into a checkpoint.

    Args:
        parameters: What is learnt, by name. Move a network to its device and dtype before.
        lr: Learning rate where `step` is not told another. A parameter's own `rate` multiplies it.
        weight_decay: Pull towards zero of the parameters whose `decay` is set.
        groups: Exceptions: pairs of a function of the name and settings `lr_scale` (multiplies `lr` once more) or
            `weight_decay` (instead of the general one). The first function that answers True counts. For example
            `[(lambda name: name.startswith("backbone."), {"lr_scale": 0.1})]`.

    Attributes:
        steps: Updates done.

    Raises:
        ValueError: A rate is negative, a setting unknown, or a group matches no parameter.
    """

    slots: tuple[str, ...] = ()  # names of the arrays kept for every parameter

    def __init__(
        self,
        parameters: Mapping[str, Parameter],
        lr: float,
        weight_decay: float = 0.0,
        groups: Sequence[Group] = (),
    ):
        check(lr >= 0, "lr", "a number of at least 0", lr)
        check(weight_decay >= 0, "weight_decay", "a number of at least 0", weight_decay)
        self.parameters = dict(parameters)
        self.lr = float(lr)
        self.steps = 0
        self._settings = _settings(self.parameters, float(weight_decay), groups)
        self._slots = {
            slot: {name: p.value * 0 for name, p in self.parameters.items()} for slot in self.slots
        }

    def step(self, lr: float | None = None) -> None:
        """Change every parameter by its gradient.

        Args:
            lr: Learning rate of this step, from a schedule; `self.lr` where not given.
        """
        lr = self.lr if lr is None else float(lr)
        self.steps += 1
        if self._step_at_once(lr):
            return
        for name, parameter in self.parameters.items():
            scale, decay = self._settings[name]
            kept = [self._slots[slot][name] for slot in self.slots]
            for block in _blocks(parameter.value, parameter.grad, *kept):
                self._update(*block, lr=lr * scale, decay=decay)

    def _step_at_once(self, lr: float) -> bool:
        """Do the step by one launch for all parameters, and say so; or say that array code must do it.

        Kernels know the optimisers of this file. A class derived from them may go its own way.
        """
        name = vars(type(self)).get("kernel")
        arrays = [[p.value for p in self.parameters.values()]]
        arrays += [[p.grad for p in self.parameters.values()]]
        arrays += [list(self._slots[slot].values()) for slot in self.slots]
        kernels = many.kernels_for(*arrays) if name else None
        if kernels is None:
            return False
        xp, dtype = array_module(arrays[0][0]), str(arrays[0][0].dtype)
        settings = many.constants(xp, tuple(self._settings.values()), dtype)
        table = many.table(*arrays)
        kernels.launch(name, (len(table),), BLOCK, (table, settings, lr, *self._numbers()))
        return True

    def _numbers(self) -> tuple[float, ...]:
        """Return what the kernel takes after the learning rate."""
        return ()

    def _update(self, value: Array, grad: Array, *slots: Array, lr: float, decay: float) -> None:
        """Change `value` and the slots in place; `grad` is only read."""
        raise NotImplementedError(f"{type(self).__name__} has no _update")

    def state(self) -> dict[str, np.ndarray]:
        """Return copies of what must be kept to continue: "steps" (1,) and "<slot>.<parameter>" arrays."""
        arrays = {f"{slot}.{name}": a for slot, name, a in self._entries()}
        copies = {key: np.array(to_cpu(array)) for key, array in arrays.items()}
        return {"steps": np.array([self.steps], np.int64), **copies}

    def load_state(self, state: Mapping[str, np.ndarray]) -> None:
        """Continue from what `state` returned.

        Raises:
            ValueError: Names are missing or unknown, or shapes differ; all of them are listed, nothing was changed.
        """
        wanted = {
            "steps": (1,),
            **{f"{s}.{name}": tuple(a.shape) for s, name, a in self._entries()},
        }
        faults = [f"{name} is missing" for name in wanted if name not in state]
        faults += [f"{name} is not of this optimiser" for name in state if name not in wanted]
        faults += [
            f"{name} has shape {tuple(state[name].shape)}, not {shape}"
            for name, shape in wanted.items()
            if name in state and tuple(state[name].shape) != shape
        ]
        if faults:
            raise ValueError(f"the state does not fit the optimiser: {'; '.join(faults)}")
        self.steps = int(state["steps"][0])
        for slot, name, array in self._entries():
            loaded = state[f"{slot}.{name}"].astype(array.dtype)
            array[...] = to_device(loaded, array_module(array))

    def _entries(self) -> Iterator[tuple[str, str, Array]]:
        for slot, arrays in self._slots.items():
            for name, array in arrays.items():
                yield slot, name, array


def _settings(
    parameters: Mapping[str, Parameter], weight_decay: float, groups: Sequence[Group]
) -> dict[str, tuple[float, float]]:
    """Return (multiplier of the learning rate, weight decay) of every parameter."""
    for i, (matches, chosen) in enumerate(groups):
        unknown = set(chosen) - GROUP_KEYS
        check(not unknown, f"groups[{i}]", f"settings among {sorted(GROUP_KEYS)}", sorted(unknown))
        check(any(map(matches, parameters)), f"groups[{i}]", "a match among the parameters", "none")
    settings = {}
    for name, parameter in parameters.items():
        own = next((chosen for matches, chosen in groups if matches(name)), {})
        decay = own.get("weight_decay", weight_decay) if parameter.decay else 0.0
        settings[name] = (parameter.rate * own.get("lr_scale", 1.0), float(decay))
    return settings


def _blocks(*arrays: Array) -> Iterator[tuple[Array, ...]]:
    """Yield views of the same stretch of all arrays; the whole at once on a device or where memory is not in line."""
    on_cpu = array_module(*arrays) is np
    if not on_cpu or not all(array.flags.c_contiguous for array in arrays):
        yield arrays
        return
    flat = [array.reshape(-1) for array in arrays]
    for start in range(0, flat[0].size, BLOCK_SIZE):
        yield tuple(array[start : start + BLOCK_SIZE] for array in flat)


class SGD(Optimizer):
    """Stochastic gradient descent with momentum, as Caffe defines it.

    velocity <- momentum * velocity + lr * (grad + weight_decay * value);  value <- value - velocity

    The learning rate enters the velocity (PyTorch multiplies it in afterwards): the two are the same as long as the
    rate is constant, and after a drop the old velocity here runs out at its old size.

    Args:
        parameters: See `Optimizer`.
        lr: See `Optimizer`.
        momentum: Part of the velocity that is kept, 0 <= momentum < 1.
        weight_decay: See `Optimizer`.
        groups: See `Optimizer`.

    Source: Liu et al. 2016, section 3 (SGD, 1e-3, momentum 0.9, weight decay 5e-4).
    """

    slots = ("velocity",)
    kernel = "sgd"

    def __init__(
        self,
        parameters: Mapping[str, Parameter],
        lr: float,
        momentum: float = 0.9,
        weight_decay: float = 0.0,
        groups: Sequence[Group] = (),
    ):
        check(0 <= momentum < 1, "momentum", "a number in [0, 1)", momentum)
        super().__init__(parameters, lr, weight_decay, groups)
        self.momentum = float(momentum)

    def _numbers(self) -> tuple[float, ...]:
        return (self.momentum,)

    def _update(
        self, value: Array, grad: Array, velocity: Array, *, lr: float, decay: float
    ) -> None:
        velocity *= self.momentum
        velocity += grad * lr
        if decay:
            velocity += value * (lr * decay)
        value -= velocity


class Adam(Optimizer):
    """Adam: each number's step is its mean gradient over the root of its mean squared gradient.

    Weight decay is added to the gradient here, as in the first publication; `AdamW` keeps the two apart.

    Args:
        parameters: See `Optimizer`.
        lr: See `Optimizer`.
        betas: Parts of the old mean and of the old mean square that are kept, each in [0, 1).
        eps: Added to the root.
        weight_decay: See `Optimizer`.
        groups: See `Optimizer`.

    Source: Kingma and Ba 2015, algorithm 1.
    """

    slots = ("mean", "square")
    kernel = "adam"

    def __init__(
        self,
        parameters: Mapping[str, Parameter],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        groups: Sequence[Group] = (),
    ):
        check(all(0 <= beta < 1 for beta in betas), "betas", "two numbers in [0, 1)", betas)
        check(eps > 0, "eps", "a number above 0", eps)
        super().__init__(parameters, lr, weight_decay, groups)
        self.betas = (float(betas[0]), float(betas[1]))
        self.eps = float(eps)

    def _numbers(self) -> tuple[float, ...]:
        keep_mean, keep_square = self.betas
        root_scale = 1 / math.sqrt(1 - keep_square**self.steps)
        rate_scale = 1 / (1 - keep_mean**self.steps)
        gains = (1 - keep_mean, 1 - keep_square)
        return (isinstance(self, AdamW), *self.betas, *gains, root_scale, rate_scale, self.eps)

    def _update(
        self, value: Array, grad: Array, mean: Array, square: Array, *, lr: float, decay: float
    ) -> None:
        if decay:
            grad = grad + value * decay
        self._move(value, grad, mean, square, lr)

    def _move(self, value: Array, grad: Array, mean: Array, square: Array, lr: float) -> None:
        xp = array_module(value)
        keep_mean, keep_square = self.betas
        mean *= keep_mean
        mean += grad * (1 - keep_mean)
        square *= keep_square
        square += grad * grad * (1 - keep_square)
        # Both averages start at zero; the divisors undo that bias.
        root = xp.sqrt(square)
        root *= 1 / math.sqrt(1 - keep_square**self.steps)
        root += self.eps
        xp.divide(mean, root, out=root)
        root *= lr / (1 - keep_mean**self.steps)
        value -= root


class AdamW(Adam):
    """Adam with decoupled weight decay: value <- value * (1 - lr * weight_decay), and then Adam's step.

    The arguments are those of `Adam`.

    Source: Loshchilov and Hutter 2019, algorithm 2, with the decay multiplied by the learning rate as in PyTorch.
    """

    kernel = "adam"

    def _update(
        self, value: Array, grad: Array, mean: Array, square: Array, *, lr: float, decay: float
    ) -> None:
        if decay:
            value *= 1 - lr * decay
        self._move(value, grad, mean, square, lr)


def clip_gradients(parameters: Mapping[str, Parameter], max_norm: float) -> Array:
    """Scale all gradients down together so that their common length is at most `max_norm`.

    Args:
        parameters: By name; their `grad` is changed in place.
        max_norm: Longest length allowed, > 0.

    Returns:
        The length before, a 0-d array; on a device it stays there, and nothing waits for it. Where it is not finite,
        the gradients are not either.

    Source: Pascanu, Mikolov and Bengio 2013, algorithm 1.
    """
    check(max_norm > 0, "max_norm", "a number above 0", max_norm)
    check(len(parameters) > 0, "parameters", "at least one", "none")
    gradients = [parameter.grad for parameter in parameters.values()]
    kernels = many.kernels_for(gradients)
    if kernels is not None:
        return many.shorten(kernels, gradients, float(max_norm))
    flat = [parameter.grad.reshape(-1) for parameter in parameters.values()]
    xp = array_module(*flat)
    norm = xp.sqrt(xp.stack([xp.dot(grad, grad) for grad in flat]).sum())
    scale = float(max_norm) / xp.maximum(norm, float(max_norm))  # exactly 1 where short enough
    for parameter in parameters.values():
        parameter.grad *= scale
    return norm
