from __future__ import annotations

import numpy as np
import pytest

from minissd.backend import to_cpu
from minissd.nn import BatchNorm2d, Conv2d, Dropout, Linear, ReLU, ReLU6, Residual, Sequential
from minissd.nn.layer import without_backward


def small_network(rng):
    head = Sequential(Linear(3, 2, rng=rng), Dropout(0.5, rng))
    return Sequential(Conv2d(2, 3, 3, padding=1, rng=rng), BatchNorm2d(3), ReLU(), head)


def test_names_of_parameters_and_state(rng):
    network = small_network(rng)
    parameters = ["0.weight", "0.bias", "1.gamma", "1.beta", "3.0.weight", "3.0.bias"]
    assert list(network.parameters()) == parameters
    assert set(network.state()) == {*parameters, "1.running_mean", "1.running_var"}
    decaying = [name for name, p in network.parameters().items() if p.decay]
    assert decaying == ["0.weight", "3.0.weight"]


def test_sequential_is_its_layers_one_after_another(rng):
    network = small_network(rng).eval()
    x = rng.standard_normal((2, 3, 4, 2)).astype(np.float32)
    conv, norm, relu, head = network.steps
    by_hand = head.forward(relu.forward(norm.forward(conv.forward(x))))
    dx = conv.backward(norm.backward(relu.backward(head.backward(by_hand))))
    assert np.array_equal(network(x), by_hand)
    assert np.array_equal(network.backward(by_hand), dx)
    assert Sequential().forward(x) is x


def test_the_way_back_frees_the_maps_and_can_be_gone_once(rng):
    network = small_network(rng)
    y = network.forward(rng.standard_normal((2, 3, 4, 2)).astype(np.float32))
    kept = [(layer, name) for _, layer in network.layers() for name in layer.kept]
    assert len(kept) == 5
    assert all(getattr(layer, name) is not None for layer, name in kept)
    network.backward(y)
    assert all(getattr(layer, name) is None for layer, name in kept)
    with pytest.raises(ValueError, match="expected a forward before each"):
        network.backward(y)


def test_without_backward_no_map_is_kept(rng):
    network = small_network(rng).eval()
    x = rng.standard_normal((2, 3, 4, 2)).astype(np.float32)
    y = network.forward(x)
    with without_backward():
        np.testing.assert_allclose(network.forward(x), y, atol=1e-5)
    kept = [getattr(layer, name) for _, layer in network.layers() for name in layer.kept]
    assert kept == [None] * 5
    with pytest.raises(ValueError, match="expected a forward before each"):
        network.backward(y)
    network.forward(x)
    network.backward(y)


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("after", [None, ReLU, ReLU6])
def test_where_nothing_goes_back_batch_norm_is_folded_into_the_convolution(
    bias, after, rng, monkeypatch
):
    conv = Conv2d(3, 5, 3, padding=1, bias=bias, rng=rng, dtype=np.float64)
    norm = BatchNorm2d(5, dtype=np.float64)
    network = Sequential(conv, norm, *([after()] if after else []))
    x = rng.standard_normal((2, 6, 7, 3))
    for _ in range(3):
        network.forward(x)  # moves the running statistics
    conv.weight.value *= 9
    norm.gamma.value[...], norm.beta.value[...] = rng.standard_normal((2, 5))
    y = network.eval().forward(x)
    monkeypatch.setattr(BatchNorm2d, "_normalise", None)  # not called
    with without_backward():
        np.testing.assert_allclose(network.forward(x), y, atol=1e-12)


def test_batch_norm_in_training_is_never_folded(rng):
    network = Sequential(Conv2d(3, 5, 3, rng=rng), BatchNorm2d(5))
    x = rng.standard_normal((2, 6, 7, 3)).astype(np.float32)
    y = network.forward(x)
    with without_backward():
        assert np.array_equal(network.forward(x), y)


def test_modes_and_gradients_reach_every_layer(rng):
    network = small_network(rng)
    assert all(layer.training for _, layer in network.layers())
    assert network.eval() is network
    assert not any(layer.training for _, layer in network.layers())
    network.train()
    network.backward(network.forward(rng.standard_normal((2, 3, 4, 2)).astype(np.float32)))
    grads = [parameter.grad for parameter in network.parameters().values()]
    assert all(grad.any() for grad in grads)
    network.zero_grad()
    assert not any(grad.any() for grad in grads)


def test_state_goes_out_and_comes_back(xp, rng):
    first, second = small_network(rng), small_network(rng).to(xp)
    x = rng.standard_normal((2, 3, 4, 2)).astype(np.float32)
    first.forward(x)  # so that the running statistics are their own
    state = first.state()
    second.load_state(state)
    y = to_cpu(second.eval().forward(xp.asarray(x)))
    assert np.allclose(y, first.eval().forward(x), atol=1e-6)
    assert all(np.array_equal(state[name], array) for name, array in second.state().items())
    state["0.weight"][...] = 0
    assert first.state()["0.weight"].any()  # it was a copy


def test_a_state_that_does_not_fit_is_refused_whole(rng):
    network = small_network(rng)
    before = network.state()
    wrong = {name: array + 1 for name, array in before.items()}
    del wrong["0.bias"]
    wrong["9.bias"] = np.zeros(1)
    wrong["1.gamma"] = np.zeros(4)
    with pytest.raises(ValueError, match="does not fit") as caught:
        network.load_state(wrong)
    for part in ("0.bias is missing", "9.bias is not in", "1.gamma has shape (4,), not (3,)"):
        assert part in str(caught.value)
    assert all(np.array_equal(before[name], array) for name, array in network.state().items())


def test_astype_casts_everything(rng):
    network = small_network(rng).astype(np.float64)
    assert all(array.dtype == np.float64 for array in network.state().values())
    parameters = network.parameters().values()
    assert all(p.grad.dtype == p.value.dtype == np.float64 for p in parameters)
    y = network.forward(rng.standard_normal((2, 3, 4, 2)))
    assert y.dtype == np.float64


def test_moving_moves_gradients_and_buffers_too(xp, rng):
    network = small_network(rng).to(xp)
    assert isinstance(network.steps[0].weight.grad, xp.ndarray)
    assert isinstance(network.steps[1].running_mean, xp.ndarray)
    network.to("cpu")
    assert isinstance(network.steps[0].weight.grad, np.ndarray)


def test_the_same_seed_gives_the_same_weights():
    states = [small_network(np.random.default_rng(8)).state() for _ in range(2)]
    assert all(np.array_equal(states[0][name], states[1][name]) for name in states[0])


def test_residual_adds_what_its_body_makes(xp, rng):
    layer = Residual(Conv2d(3, 3, 3, padding=1, rng=rng)).to(xp)
    x = rng.standard_normal((2, 4, 5, 3)).astype(np.float32)
    y = to_cpu(layer.forward(xp.asarray(x)))
    np.testing.assert_allclose(y, x + to_cpu(layer.body.forward(xp.asarray(x))), rtol=1e-6)


def test_residual_refuses_a_body_that_changes_the_shape(rng):
    with pytest.raises(ValueError, match="body"):
        Residual(Conv2d(3, 4, 1, rng=rng)).forward(np.zeros((1, 2, 2, 3), np.float32))
