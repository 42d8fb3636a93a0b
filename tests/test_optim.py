from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from strict_array import strict

from minissd.backend import array_module, to_cpu, to_device
from minissd.nn import Parameter
from minissd.nn.optim import (
    BLOCK_SIZE,
    SGD,
    Adam,
    AdamW,
    StepSchedule,
    WarmupCosine,
    clip_gradients,
)

ALL = pytest.mark.parametrize("make", [SGD, Adam, AdamW])


def parameters(xp=np, dtype=np.float64, sizes=None):
    draw = np.random.default_rng(1)
    sizes = sizes or {"a.weight": (3, 4), "a.bias": (4,)}
    return {
        name: Parameter(
            xp.asarray(draw.standard_normal(size).astype(dtype)), decay="bias" not in name
        )
        for name, size in sizes.items()
    }


def give_gradients(chosen, step):
    draw = np.random.default_rng([7, step])
    for parameter in chosen.values():
        host = draw.standard_normal(parameter.value.shape).astype(parameter.value.dtype)
        parameter.grad[...] = to_device(host, array_module(parameter.value))


def train(make, chosen, steps, **options):
    optimizer = make(chosen, 0.05, **options)
    for step in range(steps):
        give_gradients(chosen, step)
        optimizer.step(0.05 / (step + 1))
    return optimizer


def sgd_loop(value, grads, rates, momentum=0.9, decay=0.0):
    """One number, as Caffe's solver writes it."""
    velocity = 0.0
    for grad, lr in zip(grads, rates):
        velocity = momentum * velocity + lr * (grad + decay * value)
        value = value - velocity
    return value


def adam_loop(value, grads, rates, decay=0.0, decoupled=False):
    """One number, as in algorithm 1 of the paper (decoupled: as in algorithm 2 of AdamW's)."""
    mean = square = 0.0
    for t, (grad, lr) in enumerate(zip(grads, rates), start=1):
        if decoupled:
            value -= lr * decay * value
        else:
            grad += decay * value
        mean = 0.9 * mean + 0.1 * grad
        square = 0.999 * square + 0.001 * grad**2
        value -= lr * (mean / (1 - 0.9**t)) / (math.sqrt(square / (1 - 0.999**t)) + 1e-8)
    return value


LOOPS = {
    SGD: sgd_loop,
    Adam: adam_loop,
    AdamW: lambda *args, **options: adam_loop(*args, **options, decoupled=True),
}


@ALL
def test_every_number_moves_as_in_the_plain_loop(make, xp):
    chosen, start = parameters(xp), parameters()
    train(make, chosen, 5, weight_decay=0.3)
    draws = [np.random.default_rng([7, step]) for step in range(5)]
    rates = [0.05 / (step + 1) for step in range(5)]
    for name, parameter in start.items():
        grads = [draw.standard_normal(parameter.value.shape) for draw in draws]
        found = to_cpu(chosen[name].value)
        for place in np.ndindex(parameter.value.shape):
            expected = LOOPS[make](
                parameter.value[place],
                [grad[place] for grad in grads],
                rates,
                decay=0.3 if parameter.decay else 0.0,
            )
            assert found[place] == pytest.approx(expected, rel=1e-12)


@ALL
def test_gradients_are_only_read_and_values_keep_dtype_and_memory(make):
    chosen = parameters(dtype=np.float32)
    arrays = {name: parameter.value for name, parameter in chosen.items()}
    optimizer = make(chosen, 0.1, weight_decay=0.1)
    give_gradients(chosen, 0)
    grads = {name: parameter.grad.copy() for name, parameter in chosen.items()}
    optimizer.step()
    for name, parameter in chosen.items():
        assert parameter.value is arrays[name]
        assert parameter.value.dtype == np.float32
        assert np.array_equal(parameter.grad, grads[name])


@ALL
def test_blocks_and_odd_memory_change_nothing(make):
    """More numbers than a block holds, once in line and once as a transposed view."""
    size = (2, BLOCK_SIZE // 2 + 100)
    plain, turned = (parameters(sizes={"w": size}) for _ in range(2))
    turned["w"].value = np.asfortranarray(turned["w"].value)
    for chosen in (plain, turned):
        train(make, chosen, 3, weight_decay=0.01)
    assert np.array_equal(plain["w"].value, turned["w"].value)
    moved = plain["w"].value != parameters(sizes={"w": size})["w"].value
    assert moved.all()


@ALL
def test_a_resumed_run_ends_with_the_very_same_numbers(make):
    whole, halves = parameters(dtype=np.float32), parameters(dtype=np.float32)
    train(make, whole, 6)
    first = train(make, halves, 3)
    state = {name: np.ascontiguousarray(array) for name, array in first.state().items()}
    second = make(halves, 0.05)
    second.load_state(state)
    assert second.steps == 3
    for step in range(3, 6):
        give_gradients(halves, step)
        second.step(0.05 / (step + 1))
    assert all(np.array_equal(whole[name].value, halves[name].value) for name in whole)


@ALL
def test_the_state_is_a_copy_on_the_host(make, xp):
    chosen = parameters(xp)
    optimizer = train(make, chosen, 1)
    state = optimizer.state()
    assert all(isinstance(array, np.ndarray) for array in state.values())
    kept = {name: array.copy() for name, array in state.items()}
    give_gradients(chosen, 1)
    optimizer.step()
    assert all(np.array_equal(state[name], kept[name]) for name in state)
    optimizer.load_state(state)
    assert all(np.array_equal(array, kept[name]) for name, array in optimizer.state().items())


def test_the_names_of_the_state():
    assert set(SGD(parameters(), 0.1).state()) == {"steps", "velocity.a.weight", "velocity.a.bias"}
    names = {f"{slot}.a.{name}" for slot in ("mean", "square") for name in ("weight", "bias")}
    assert set(AdamW(parameters(), 0.1).state()) == {"steps"} | names


def test_a_state_that_does_not_fit_is_refused_whole():
    optimizer = train(SGD, parameters(), 2)
    before = optimizer.state()
    state = dict(before, extra=np.zeros(1))
    state["velocity.a.bias"] = np.zeros(5)
    del state["velocity.a.weight"]
    with pytest.raises(ValueError, match="does not fit") as caught:
        optimizer.load_state(state)
    for part in (
        "velocity.a.weight is missing",
        "extra is not of this optimiser",
        "velocity.a.bias has shape (5,), not (4,)",
    ):
        assert part in str(caught.value)
    assert all(np.array_equal(array, before[name]) for name, array in optimizer.state().items())


@ALL
def test_rates_and_groups_multiply_the_learning_rate(make):
    chosen = {name: Parameter(np.ones(2)) for name in ("a", "b", "c", "d")}
    chosen["b"].rate = 2.0
    optimizer = make(
        chosen,
        0.01,
        groups=[
            (lambda name: name == "c", {"lr_scale": 3}),
            (lambda name: name in "cd", {"lr_scale": 0}),  # the first match counts for c
        ],
    )
    for parameter in chosen.values():
        parameter.grad += 0.5
    optimizer.step()
    moved = {name: 1 - parameter.value[0] for name, parameter in chosen.items()}
    assert moved["a"] > 0
    assert moved["b"] == pytest.approx(2 * moved["a"])
    assert moved["c"] == pytest.approx(3 * moved["a"])
    assert moved["d"] == 0


@ALL
def test_weight_decay_spares_what_is_not_to_decay_and_groups_may_set_their_own(make):
    chosen = {name: Parameter(np.ones(2)) for name in ("a", "b", "own", "bias")}
    chosen["bias"].decay = False
    groups = [(lambda name: name in ("own", "bias"), {"weight_decay": 0.0})]
    make(chosen, 0.1, weight_decay=0.5, groups=groups[:1]).step()
    assert chosen["a"].value[0] == chosen["b"].value[0] < 1
    assert chosen["own"].value[0] == chosen["bias"].value[0] == 1


def test_adam_mixes_decay_with_the_gradient_and_adamw_does_not():
    first, second = ({"w": Parameter(np.full(1, 2.0))} for _ in range(2))
    Adam(first, 0.1, weight_decay=0.5).step()
    AdamW(second, 0.1, weight_decay=0.5).step()
    assert first["w"].value[0] == pytest.approx(2 - 0.1)  # the size of the gradient is divided out
    assert second["w"].value[0] == pytest.approx(2 * (1 - 0.05))


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"lr": -1}, "lr: expected"),
        ({"weight_decay": -1}, "weight_decay: expected"),
        ({"momentum": 1}, "momentum: expected"),
        ({"groups": [(lambda name: True, {"rate": 1})]}, r"groups\[0\]: .*lr_scale.*'rate'"),
        ({"groups": [(lambda name: name == "x", {})]}, r"groups\[0\]: expected a match"),
    ],
)
def test_settings_are_checked(options, text):
    with pytest.raises(ValueError, match=text):
        SGD(parameters(), **{"lr": 0.1, **options})
    with pytest.raises(ValueError, match="betas"):
        Adam(parameters(), betas=(0.9, 1.0))


@ALL
def test_a_parabola_is_descended(make):
    chosen = {"w": Parameter(np.array([3.0, -2.0]))}
    optimizer = make(chosen, 0.05)
    for _ in range(400):
        chosen["w"].zero_grad()
        chosen["w"].grad += chosen["w"].value
        optimizer.step()
    assert np.abs(chosen["w"].value).max() < 1e-2


@ALL
def test_an_update_does_not_wait_for_the_device(make, counted):
    chosen = parameters(strict, np.float32)
    optimizer = make(chosen, 0.1, weight_decay=0.1)
    give_gradients(chosen, 0)
    counted.reset()
    clip_gradients(chosen, 1.0)
    optimizer.step()
    assert (counted.to_host, counted.to_device, counted.syncs) == (0, 0, 0)


@pytest.mark.parametrize("max_norm", [0.5, 100.0])
def test_clipping(xp, max_norm):
    chosen = parameters(xp, np.float32)
    give_gradients(chosen, 0)
    before = {name: to_cpu(parameter.grad).copy() for name, parameter in chosen.items()}
    length = math.sqrt(sum((grad.astype(np.float64) ** 2).sum() for grad in before.values()))
    norm = clip_gradients(chosen, max_norm)
    assert norm.shape == ()
    assert norm.dtype == np.float32
    assert to_cpu(norm) == pytest.approx(length, rel=1e-6)
    scale = min(1, max_norm / length)
    for name, parameter in chosen.items():
        assert np.allclose(to_cpu(parameter.grad), before[name] * scale, rtol=1e-6)
        assert scale < 1 or np.array_equal(to_cpu(parameter.grad), before[name])


def test_clipping_edges():
    still = parameters()
    assert clip_gradients(still, 1.0) == 0
    with pytest.raises(ValueError, match="max_norm"):
        clip_gradients(still, 0)
    with pytest.raises(ValueError, match="parameters"):
        clip_gradients({}, 1.0)


def test_the_schedule_of_the_paper():
    schedule = StepSchedule(1e-3, (40_000, 50_000))
    rates = [schedule(step) for step in (0, 39_999, 40_000, 49_999, 50_000, 59_999)]
    assert rates == pytest.approx([1e-3, 1e-3, 1e-4, 1e-4, 1e-5, 1e-5])
    warm = StepSchedule(1.0, (10,), factor=0.5, warmup=4)
    assert [warm(step) for step in (0, 1, 3, 4, 9, 10)] == [0.25, 0.5, 1, 1, 1, 0.5]


def test_warmup_and_cosine():
    schedule = WarmupCosine(2.0, total=110, warmup=10, final=0.5)
    assert [schedule(step) for step in (0, 4, 9, 10)] == pytest.approx([0.2, 1.0, 2.0, 2.0])
    assert schedule(60) == pytest.approx(1.25)
    assert schedule(110) == schedule(10_000) == pytest.approx(0.5)
    rates = [schedule(step) for step in range(10, 111)]
    assert all(later < earlier for earlier, later in itertools.pairwise(rates))
    assert WarmupCosine(1.0, total=1)(0) == 1
    assert WarmupCosine(1.0, total=5, warmup=5)(5) == pytest.approx(1.0)


@pytest.mark.parametrize(
    "make",
    [
        lambda: StepSchedule(0, (1,)),
        lambda: StepSchedule(1, (5, 2)),
        lambda: StepSchedule(1, (5,), warmup=-1),
        lambda: WarmupCosine(1, 0),
        lambda: WarmupCosine(1, 10, final=2),
        lambda: WarmupCosine(-1, 10),
    ],
)
def test_schedules_check_their_numbers(make):
    with pytest.raises(ValueError, match="expected"):
        make()
