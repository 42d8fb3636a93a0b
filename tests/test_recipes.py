"""Recipes and the solver: the published numbers, the rate and decay of every parameter, and batches in parts."""

import dataclasses
import json
import sys
import types

import numpy as np
import pytest
from strict_array import strict

from minissd.backend import array_module
from minissd.cli import main
from minissd.datasets.loader import Batch
from minissd.errors import InputError
from minissd.models.build import build_from_spec, model_spec
from minissd.models.loss import Targets, multibox_loss
from minissd.training.checkpoint import load_checkpoint
from minissd.training.config import TrainConfig
from minissd.training.optimizer import make_optimizer
from minissd.training.recipes import RECIPES, format_recipes, recipe_settings, with_changes
from minissd.training.run import TrainingRun
from minissd.training.trainer import Trainer, parts_of


def config_of(recipe, **changes):
    return TrainConfig("data", **with_changes(recipe_settings(recipe), changes))


@pytest.mark.parametrize(
    ("name", "model", "iterations", "milestones", "augment"),
    [
        ("ssd300-voc0712", "ssd300", 120_000, (80_000, 100_000), "paper"),
        ("ssd300-voc0712-no-expansion", "ssd300", 60_000, (40_000, 50_000), "no-expansion"),
        ("ssd300-voc07", "ssd300", 60_000, (40_000, 50_000), "no-expansion"),
        ("ssd512-voc0712", "ssd512", 120_000, (80_000, 100_000), "paper"),
        ("ssd512-voc0712-no-expansion", "ssd512", 60_000, (40_000, 50_000), "no-expansion"),
        ("ssd300-voc2012", "ssd300", 80_000, (60_000,), "no-expansion"),
        ("ssd300-coco", "ssd300-coco", 240_000, (160_000, 200_000), "no-expansion"),
    ],
)
def test_the_papers_numbers(name, model, iterations, milestones, augment):
    config = config_of(name)
    assert (config.model, config.iterations, config.milestones) == (model, iterations, milestones)
    assert (config.augment, config.batch_size, config.recipe) == (augment, 32, name)
    assert (config.optimizer, config.momentum, config.weight_decay) == ("sgd", 0.9, 5e-4)
    assert (config.bias_rate, config.norm_decay, config.negative_ratio) == (2, True, 3)
    assert (config.warmup, config.clip_norm) == (0, 0)
    rates = config.rates(iterations)
    assert rates(0) == 1e-3
    for number, step in enumerate(milestones):
        assert rates(step - 1) == pytest.approx(1e-3 * 0.1**number, rel=1e-12)
        assert rates(step) == pytest.approx(1e-4 * 0.1**number, rel=1e-12)
    assert rates(iterations - 1) == pytest.approx(1e-3 * 0.1 ** len(milestones), rel=1e-12)


def test_the_laptop_recipes_numbers():
    config = config_of("ssd-mobilenetv2-voc07")
    assert (config.model, config.epochs, config.iterations) == ("ssd-mobilenetv2", 7, 0)
    assert (config.optimizer, config.lr, config.weight_decay) == ("adamw", 1e-3, 1e-3)
    assert (config.warmup, config.clip_norm, config.augment) == (200, 10, "moderate")
    assert (config.batch_size, config.body_rate, config.bias_rate) == (32, 0.3, 1)
    assert config.rates(1096)(200) == 1e-3
    assert config.rates(1096)(1096) == pytest.approx(0, abs=1e-12)


def test_every_recipe_is_printed_with_its_numbers(capsys):
    assert main(["train", "--recipe", "list"]) == 0
    text = capsys.readouterr().out
    assert text == format_recipes() + "\n"
    assert all(name in text.splitlines() for name in RECIPES)
    assert "120,000 steps, 32 images a step" in text
    assert "0.001, a tenth from step 160,000 and 200,000 on" in text


def slim(name, **changes):
    """A published configuration with very few channels."""
    spec = model_spec(name, 3)
    return dataclasses.replace(
        spec, network=dataclasses.replace(spec.network, width=2, fc_channels=16), **changes
    )


def test_rate_and_decay_of_every_parameter_of_ssd300(rng):
    """Weights: rate 1, decay 5e-4. Biases: rate 2, none. The scale of conv4_3's norm is a weight to the authors."""
    model = build_from_spec(slim("ssd300"), rng)
    optimizer = make_optimizer(model, config_of("ssd300-voc0712"))
    wanted = {"weight": (1, 5e-4), "bias": (2, 0), "scale": (1, 5e-4)}
    settings = {name: wanted[name.rpartition(".")[2]] for name in model.parameters()}
    assert optimizer._settings == settings
    assert len(settings) == 2 * (15 + 8 + 6) + 1
    assert [name for name in settings if name.endswith("scale")] == ["taps.0.scale"]


def test_an_own_choice_replaces_the_authors(rng):
    model = build_from_spec(slim("ssd300"), rng)
    config = config_of("ssd300-voc0712", norm_decay=False, bias_rate=1.0, body_rate=0.5)
    settings = make_optimizer(model, config)._settings
    assert settings["taps.0.scale"] == (1, 0)
    assert settings["segments.0.conv1_1.weight"] == (0.5, 5e-4)
    assert settings["segments.1.fc7.bias"] == (0.5, 0)
    assert settings["segments.2.conv6_1.bias"] == settings["heads.0.bias"] == (1, 0)


def batch_of(rng, sizes, side):
    """Images with so many objects each."""
    boxes = []
    for n in sizes:
        low = rng.uniform(0, 0.5, (n, 2))
        boxes.append(np.concatenate([low, low + rng.uniform(0.1, 0.5, (n, 2))], 1).astype("f4"))
    images = rng.integers(0, 256, (len(sizes), side, side, 3), dtype=np.uint8)
    labels = [rng.integers(1, 4, n) for n in sizes]
    return Batch(images, boxes, labels, [np.zeros(n, bool) for n in sizes], ["x"] * len(sizes))


def gradients(accumulate, batch):
    """Gradients and losses of a batch in float64, on a VGG16 with few channels."""
    model = build_from_spec(slim("ssd300"), np.random.default_rng(3)).astype(np.float64)
    model.prepare = lambda images: images.astype(np.float64) / 64 - 2
    config = config_of("ssd300-voc0712", accumulate=accumulate)
    losses = Trainer(model, config, 200_000).add_gradients(batch)
    return {name: p.grad for name, p in model.parameters().items()}, losses


@pytest.mark.parametrize("accumulate", [2, 3, 5])
def test_a_batch_in_parts_has_the_gradients_of_the_whole(rng, accumulate):
    """Also where the parts have unequal numbers of images and positives, and one has none."""
    batch = batch_of(rng, (6, 0, 1, 0, 3), 300)
    whole, losses = gradients(1, batch)
    parts, part_losses = gradients(accumulate, batch)
    np.testing.assert_allclose(part_losses, losses, rtol=1e-12)
    for name in whole:
        scale = np.abs(whole[name]).max()
        np.testing.assert_allclose(parts[name], whole[name], atol=1e-12 * scale, err_msg=name)
    assert sum(grad.any() for grad in whole.values()) > 40  # the others' maps have no part in it


def test_parts_on_a_device_equal_those_on_the_host(rng):
    batch = batch_of(rng, (3, 0, 2), 96)
    config = TrainConfig("", image_size=96, width=2, accumulate=2, warmup=0, optimizer="sgd")
    results = []
    for module in (np, strict):
        model = config.build(3, np.random.default_rng(0)).to(module)
        results.append(Trainer(model, config, 2).step(batch))
        assert array_module(model.parameters()["heads.0.weight"].value) is module
    np.testing.assert_allclose(results[0], results[1], rtol=1e-4)


def test_parts_divided_by_their_own_positives_would_differ(rng):
    """The count of the whole batch matters: each part by its own gives another loss."""
    labels = np.zeros((2, 8), np.int64)
    labels[0, :4], labels[1, 0] = 1, 2
    targets = Targets(labels, rng.standard_normal((2, 8, 4)))
    scores, offsets = rng.standard_normal((2, 8, 3)), rng.standard_normal((2, 8, 4))
    whole = multibox_loss(scores, offsets, targets).loss

    def sum_of_parts(n_positives):
        parts = [Targets(labels[i : i + 1], targets.offsets[i : i + 1]) for i in range(2)]
        rows = zip(scores[:, None], offsets[:, None], parts)
        return sum(multibox_loss(*row, n_positives=n_positives).loss for row in rows)

    assert sum_of_parts(np.array(5)) == pytest.approx(whole, rel=1e-12)
    assert abs(sum_of_parts(None) - whole) > 0.1


def test_parts_are_as_equal_as_can_be():
    lengths = [[len(range(10)[part]) for part in parts_of(10, n)] for n in (1, 2, 3, 4, 10)]
    assert lengths == [[10], [5, 5], [4, 4, 2], [3, 3, 3, 1], [1] * 10]
    assert len(parts_of(2, 8)) == 2


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("milestones", {"schedule": "steps"}),
        ("milestones", {"milestones": (3,)}),
        ("milestones", {"schedule": "steps", "milestones": (5, 3)}),
        ("milestones", {"schedule": "steps", "milestones": (5, 9), "iterations": 9}),
        ("milestones", {"schedule": "steps", "milestones": (0.5,)}),
        ("accumulate", {"accumulate": 17}),
        ("schedule", {"schedule": "linear"}),
        ("bias_rate", {"bias_rate": 0.0}),
        ("save_every", {"save_every": 0}),
        ("variant", {"variant": "maps-0"}),
    ],
)
def test_a_wrong_setting_is_named(name, change):
    with pytest.raises(ValueError, match=name):
        TrainConfig("data", **change)


def test_changes_of_a_recipe():
    epochs = config_of("ssd-mobilenetv2-voc07", epochs=3)
    assert (epochs.epochs, epochs.iterations, epochs.lr) == (3, 0, 1e-3)
    short = config_of("ssd300-voc07", iterations=100, milestones=(50, 80))
    assert (short.iterations, short.milestones, short.weight_decay) == (100, (50, 80), 5e-4)
    cosine = config_of("ssd300-voc07", epochs=2, schedule="cosine")
    assert (cosine.iterations, cosine.milestones) == (0, ())
    with pytest.raises(ValueError, match="milestones: expected steps before the run's end at 100"):
        config_of("ssd300-voc07", iterations=100)
    with pytest.raises(ValueError, match="recipe"):
        recipe_settings("ssd300-voc99")


def test_settings_of_older_versions_are_read():
    old = {"data": "x", "classes": ["a"], "augment": "flip", "batch_size": 8, "lr": 0.002}
    config = TrainConfig.from_json(json.dumps(old), "config.json")
    assert config == TrainConfig("x", classes=("a",), augment="flip", batch_size=8, lr=0.002)
    assert (config.schedule, config.accumulate, config.bias_rate) == ("cosine", 1, 1)
    with_steps = TrainConfig("x", schedule="steps", milestones=(3, 5), norm_decay=True)
    assert TrainConfig.from_json(with_steps.to_json(), "config.json") == with_steps


# Runs


TINY = ["--image-size", "96", "--width", "2", "--batch-size", "4", "--eval-split", "none"]


def test_a_run_in_steps_ends_in_the_middle_of_an_epoch_and_goes_on(tiny_shapes, tmp_path):
    """Eight steps of six an epoch; checkpoints every third step; the tenth rates of the milestones."""
    settings = {"image_size": 96, "width": 2, "batch_size": 4, "eval_split": None, "workers": 0}
    settings |= {"iterations": 8, "schedule": "steps", "milestones": (3, 7), "save_every": 3}
    config = TrainConfig(str(tiny_shapes), warmup=0, accumulate=2, lr=0.001, **settings)
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    run = TrainingRun.start(config, whole, "cpu")
    assert run.run(progress=False, brief=True) == 0
    rates = [row["lr"] for row in run.log.rows]
    assert rates == pytest.approx([1e-3] * 3 + [1e-4] * 4 + [1e-5])
    assert load_checkpoint(whole).step == 8
    assert load_checkpoint(whole).spec["image_size"] == 96

    run = TrainingRun.start(config, parts, "cpu")
    step = run.trainer.step

    def step_then_crash(batch):
        if run.trainer.step_number == 4:
            raise MemoryError("the plug was pulled")
        return step(batch)

    run.trainer.step = step_then_crash
    with pytest.raises(MemoryError):
        run.run(progress=False, brief=True)
    assert load_checkpoint(parts).step == 3
    assert TrainingRun.resume(parts, "cpu").run(progress=False, brief=True) == 0
    first, second = load_checkpoint(whole).model, load_checkpoint(parts).model
    for name in first:
        np.testing.assert_array_equal(first[name], second[name], err_msg=name)


@pytest.fixture
def body_file(tmp_path, monkeypatch):
    """A file that a stand-in for the readers of other projects' files can read, once."""
    path = tmp_path / "body.safetensors"
    path.write_bytes(b"weights")
    read = []

    def load_body(model, source, keep_mean):
        assert keep_mean
        if source != str(path):
            raise InputError(f"{source}: there is no such file")
        read.append(source)
        model.parameters()["segments.0.0.weight"].value[...] = 0.125
        return types.SimpleNamespace(text=lambda: "segments.0.0.weight: filled")

    fake = types.SimpleNamespace(load_body=load_body)
    monkeypatch.setitem(sys.modules, "minissd.models.weights", fake)
    return path, read


def test_weights_of_the_body_are_read_once(tiny_shapes, tmp_path, capsys, body_file):
    path, read = body_file
    words = ["train", str(tiny_shapes), *TINY, "--out", str(tmp_path / "run"), "--epochs", "1"]
    words += ["--init", str(path), "--lr", "1e-12", "--weight-decay", "0"]
    assert main(words) == 0
    assert "segments.0.0.weight: filled" in capsys.readouterr().out
    checkpoint = load_checkpoint(tmp_path / "run")
    assert checkpoint.config.init == str(path)
    np.testing.assert_allclose(checkpoint.model["segments.0.0.weight"], 0.125, atol=1e-6)
    assert read == [str(path)]
    assert main(["train", "--resume", str(tmp_path / "run")]) == 0
    assert read == [str(path)]  # the checkpoint holds the body


def test_a_missing_file_of_weights_starts_nothing(tiny_shapes, tmp_path, capsys, body_file):
    words = ["train", str(tiny_shapes), *TINY, "--out", str(tmp_path / "run"), "--init", "none.pth"]
    assert main(words) == 2
    assert "none.pth" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_options_beside_a_recipe_change_only_their_own_numbers(tiny_shapes, monkeypatch, capsys):
    started = []
    monkeypatch.setattr(TrainingRun, "start", lambda *words: started.append(words[0]) or Ended())
    words = ["train", str(tiny_shapes), "--recipe", "ssd300-voc0712", "--accumulate", "4"]
    assert main([*words, "--seed", "5", "--eval-split", "none", "--no-norm-decay"]) == 0
    assert (
        main(["train", str(tiny_shapes), "--epochs", "8", "--recipe", "ssd-mobilenetv2-voc07"]) == 0
    )
    changes = {"accumulate": 4, "seed": 5, "eval_split": None, "norm_decay": False}
    expected = config_of("ssd300-voc0712", **changes)
    assert started[0] == dataclasses.replace(expected, data=str(tiny_shapes))
    assert started[1].epochs == 8  # the default of the command, but it was asked for
    assert capsys.readouterr().err.count("begins with random weights") == 2
    assert main(["train", str(tiny_shapes), "--recipe", "ssd300-voc07", "--init", "x.pth"]) == 0
    assert main(["train", str(tiny_shapes)]) == 0
    assert capsys.readouterr().err == ""


class Ended:
    def run(self, time_is_over):
        return 0


def test_a_recipe_beside_resume_is_refused(capsys):
    assert main(["train", "--resume", "runs/x", "--recipe", "ssd300-coco", "--seed", "0"]) == 2
    assert "leave out --seed, --recipe" in capsys.readouterr().err
