"""Profiles: every layer is timed once a round, the network is left as it was, and the words say what was measured."""

import numpy as np
import pytest

from minissd import cli
from minissd.models.build import build_minissd
from minissd.models.profile import profile
from minissd.models.profile_table import by_kind, profile_table
from minissd.nn import ReLU
from minissd.plotting.profile_figures import profile_figure


@pytest.fixture(scope="module")
def model():
    return build_minissd(3, 96, np.random.default_rng(0), width=8)


def test_every_layer_is_timed_in_every_round_and_the_shares_add_up(model):
    times = profile(model, images=2, rounds=3, training=True)
    for layer in times.layers:
        rounds = (
            {3, 0} if isinstance(layer.row.layer, ReLU) else {3}
        )  # 0: joined by the layer before
        assert len(layer.forward) == len(layer.backward)
        assert len(layer.forward) in rounds
    assert any(not layer.forward for layer in times.layers)
    for i, whole in enumerate(times.whole):
        ways = [way for layer in times.layers for way in (layer.forward, layer.backward) if way]
        layers = sum(way[i] for way in ways)
        parts = sum(seconds[i] for seconds in times.parts.values())
        assert layers + parts == pytest.approx(whole, rel=0.05)
    assert list(times.parts)[-1] == "the rest"
    assert {"targets", "loss", "optimizer"} <= set(times.parts)


def test_the_network_is_afterwards_what_it_was_before(model):
    before, was_training = model.state(), model.training
    profile(model, rounds=1, training=True)
    profile(model, rounds=1)
    assert model.training == was_training
    assert all(np.array_equal(value, before[name]) for name, value in model.state().items())
    assert not any(parameter.grad.any() for parameter in model.parameters().values())
    assert not any({"forward", "backward"} & set(vars(layer)) for _, layer in model.layers())


def test_work_is_counted_once_forward_and_twice_back(model):
    forward = profile(model, images=2, rounds=1)
    both = profile(model, images=2, rounds=1, training=True)
    for one, other in zip(forward.layers, both.layers):
        assert one.flop(2) == 2 * 2 * one.row.macs
        ways = 3 if getattr(one.row.layer, "input_gradient", True) else 2
        assert other.flop(2) == ways * one.flop(2)
    assert any(layer.flop(2) for layer in forward.layers)


def test_the_table_names_layers_algorithms_and_the_whole(model):
    times = profile(model, rounds=1, training=True)
    text = profile_table(times)
    assert text.count("winograd") + text.count("bands") > 3
    assert "backward ms" in text
    assert "100.0 %" in text
    assert "joined" in text
    short = profile_table(times, top=2)
    assert f"{len(times.layers) - 2} other layers" in short
    forward = profile_table(profile(model, rounds=1))
    assert "backward ms" not in forward
    assert sum(by_kind(times).values()) == pytest.approx(times.seconds, rel=0.05)


def test_bars_are_the_layers_in_milliseconds():
    figure = profile_figure([("one", 0.002, 0.004, "bands"), ("two", 0.001, 0.0, "")], "title")
    (axes,) = figure.axes
    assert [bar.get_width() for bar in axes.patches] == pytest.approx([2, 1, 4, 0])
    with pytest.raises(ValueError, match="bars"):
        profile_figure([], "title")


def test_the_command_prints_and_draws(tmp_path, capsys):
    picture = tmp_path / "profile.png"
    arguments = ["--image-size", "96", "--width", "8", "--rounds", "1", "--top", "3"]
    assert not cli.main(["profile", *arguments, "--device", "cpu", "--plot", str(picture)])
    said = capsys.readouterr().out
    assert "GFLOP/s" in said
    assert "images a second" in said
    assert picture.stat().st_size > 5000


def test_numbers_that_make_no_sense_are_refused(capsys):
    assert cli.main(["profile", "--rounds", "0"]) != 0
    assert "--rounds" in capsys.readouterr().err
