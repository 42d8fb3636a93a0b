"""Training: it learns, it repeats bit for bit, and it can be stopped at any moment and resumed to the same weights."""

import dataclasses
import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from minissd import cli
from minissd.datasets.loader import Batch
from minissd.errors import InputError
from minissd.models.build import build_minissd
from minissd.training.checkpoint import load_checkpoint
from minissd.training.config import TrainConfig
from minissd.training.loop import Interrupted, run_epochs, time_limit
from minissd.training.metrics import MetricsLog, read_metrics
from minissd.training.run import TrainingRun
from minissd.training.trainer import Trainer


def tiny_config(data, **changes):
    settings = {"image_size": 96, "width": 2, "epochs": 2, "batch_size": 4, "warmup": 2}
    return TrainConfig(str(data), **(settings | {"workers": 2} | changes))


def weights(folder):
    return load_checkpoint(folder).model


def assert_same_weights(first, second):
    assert first.keys() == second.keys()
    for name in first:
        np.testing.assert_array_equal(first[name], second[name], err_msg=name)


@pytest.fixture(scope="module")
def uninterrupted(tiny_shapes, tmp_path_factory):
    """A finished run, which others are compared with."""
    folder = tmp_path_factory.mktemp("run") / "whole"
    assert TrainingRun.start(tiny_config(tiny_shapes), folder, "cpu").run(progress=False) == 0
    return folder


def test_the_run_folder_holds_everything(uninterrupted):
    names = {p.name for p in uninterrupted.iterdir()}
    assert names == {
        "config.json", "metrics.jsonl", "last.safetensors", "evaluation.json",
        "loss.png", "precision_recall.png", "before.png", "after.png",
    }  # fmt: skip
    rows = read_metrics(uninterrupted / "metrics.jsonl")
    steps = [row["step"] for row in rows if "loss" in row]
    assert steps == list(range(1, len(steps) + 1))
    assert "mean_ap" in rows[-1]
    evaluation = json.loads((uninterrupted / "evaluation.json").read_text())
    assert evaluation["mean_ap"] == rows[-1]["mean_ap"]
    assert (uninterrupted / "after.png").stat().st_size > 10_000


def test_the_same_seed_gives_the_same_weights_whatever_the_threads(
    uninterrupted, tiny_shapes, tmp_path
):
    again = tmp_path / "again"
    TrainingRun.start(tiny_config(tiny_shapes, workers=0), again, "cpu").run(progress=False)
    assert_same_weights(weights(uninterrupted), weights(again))


def test_another_seed_gives_other_weights(uninterrupted, tiny_shapes, tmp_path):
    TrainingRun.start(tiny_config(tiny_shapes, seed=1), tmp_path / "b", "cpu").run(progress=False)
    first, second = weights(uninterrupted), weights(tmp_path / "b")
    assert any((first[name] != second[name]).any() for name in first)


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
@pytest.mark.parametrize(
    "stop_after", [1, 6, 7]
)  # within an epoch of 6 steps, at its end, after it
def test_stopped_and_resumed_equals_uninterrupted(tiny_shapes, tmp_path, stop_after, optimizer):
    config = tiny_config(tiny_shapes, optimizer=optimizer, lr=0.01, eval_split=None)
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    TrainingRun.start(config, whole, "cpu").run(progress=False)

    run = TrainingRun.start(config, parts, "cpu")
    step = run.trainer.step

    def step_then_ctrl_c(batch):
        result = step(batch)
        if run.trainer.step_number == stop_after:
            signal.raise_signal(signal.SIGINT)
        return result

    run.trainer.step = step_then_ctrl_c
    assert run.run(progress=False) == 130
    assert load_checkpoint(parts).step == stop_after
    assert TrainingRun.resume(parts, "cpu").run(progress=False) == 0
    assert_same_weights(weights(whole), weights(parts))
    assert read_metrics(parts / "metrics.jsonl") == read_metrics(whole / "metrics.jsonl")


class Clock:
    """Ten seconds a look, and no time between."""

    def __init__(self):
        self.seconds = 1000.0

    def __call__(self):
        self.seconds += 10
        return self.seconds


def test_a_time_limit():
    clock = Clock()
    time_is_over = time_limit(0.5, clock)
    assert [time_is_over() for _ in range(4)] == [False, False, True, True]
    assert not time_limit(None, clock)()
    with pytest.raises(ValueError, match="minutes: expected a number above 0, got 0"):
        time_limit(0)


# 12 steps, 6 an epoch: legs that end within epochs, at the end of one, and with the last step.
@pytest.mark.parametrize("ends", [(4, 7, 9), (6, 12), (1, 5)])
def test_legs_end_in_the_same_weights(tiny_shapes, tmp_path, capsys, uninterrupted, ends):
    folder = tmp_path / "legs"
    run = TrainingRun.start(tiny_config(tiny_shapes), folder, "cpu")
    for end in ends:
        steps = end - run.trainer.step_number
        ten_seconds_a_step = time_limit(steps / 6, lambda t=run.trainer: 10 * t.step_number)
        assert run.run(progress=False, time_is_over=ten_seconds_a_step) == 0
        assert load_checkpoint(folder).step == end
        how = (
            f"stopped after step {end} of 12; go on with: python -m minissd train --resume {folder}"
        )
        assert how in capsys.readouterr().err
        assert not (folder / "evaluation.json").exists()
        run = TrainingRun.resume(folder, "cpu")
    assert run.run(progress=False) == 0
    assert_same_weights(weights(uninterrupted), weights(folder))
    assert read_metrics(folder / "metrics.jsonl") == read_metrics(uninterrupted / "metrics.jsonl")


def test_legs_by_the_command(tiny_shapes, tmp_path, uninterrupted, capsys):
    folder = tmp_path / "legs"
    begin = ["train", str(tiny_shapes), "--out", str(folder), "--image-size", "96", "--width", "2"]
    begin += ["--epochs", "2", "--batch-size", "4", "--warmup", "2", "--device", "cpu"]
    assert cli.main([*begin, "--minutes", "0"]) == 2
    assert "minutes: expected a number above 0, got 0" in capsys.readouterr().err
    assert cli.main([*begin, "--minutes", "1e-9"]) == 0
    assert load_checkpoint(folder).step == 1
    go_on = ["train", "--resume", str(folder), "--device", "cpu", "--minutes"]
    assert cli.main([*go_on, "1e-9"]) == 0
    assert load_checkpoint(folder).step == 2
    assert cli.main([*go_on, "100"]) == 0
    assert_same_weights(weights(uninterrupted), weights(folder))


def start_process(tiny_shapes, folder, *options):
    command = [sys.executable, "-m", "minissd", "train", str(tiny_shapes), "--out", str(folder)]
    command += ["--image-size", "96", "--width", "2", "--epochs", "3", "--batch-size", "4"]
    command += ["--warmup", "2", "--eval-split", "none", "--device", "cpu", *options]
    return subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def wait_for_step(folder, step, process):
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and process.poll() is None:
        rows = read_metrics(folder / "metrics.jsonl")
        if rows and rows[-1]["step"] >= step:
            return
        time.sleep(0.01)
    process.kill()
    pytest.fail(f"the training never reached step {step}: {process.communicate()}")


@pytest.mark.skipif(os.name == "nt", reason="POSIX signals")
@pytest.mark.parametrize("kind", [signal.SIGKILL, signal.SIGINT], ids=["kill -9", "Ctrl-C"])
def test_a_process_stopped_by_a_signal_loses_at_most_its_epoch(tiny_shapes, tmp_path, kind):
    whole, stopped = tmp_path / "whole", tmp_path / "stopped"
    process = start_process(tiny_shapes, whole)
    process.communicate(timeout=120)
    assert process.returncode == 0

    process = start_process(tiny_shapes, stopped)
    wait_for_step(stopped, 8, process)  # in the second epoch of 6 steps
    process.send_signal(kind)
    _, errors = process.communicate(timeout=60)
    kept = load_checkpoint(stopped).step
    if kind == signal.SIGINT:
        assert process.returncode == 130
        assert f"--resume {stopped}" in errors
        assert kept >= 8
    else:
        assert kept >= 6
        assert kept % 6 == 0
    assert TrainingRun.resume(stopped, "cpu").run(progress=False) == 0
    assert_same_weights(weights(whole), weights(stopped))


def test_a_run_is_never_overwritten(uninterrupted, tiny_shapes):
    before = (uninterrupted / "last.safetensors").read_bytes()
    with pytest.raises(InputError, match=r"holds a run already.*--resume"):
        TrainingRun.start(tiny_config(tiny_shapes), uninterrupted, "cpu")
    assert (uninterrupted / "last.safetensors").read_bytes() == before


def test_an_output_path_under_a_file_is_refused_before_training(tiny_shapes, tmp_path):
    (tmp_path / "file").write_text("x")
    for folder in (tmp_path / "file", tmp_path / "file" / "run"):
        with pytest.raises(InputError, match="is a file"):
            TrainingRun.start(tiny_config(tiny_shapes), folder, "cpu")


def test_a_loss_that_is_no_number_ends_the_run(tiny_shapes, tmp_path):
    config = tiny_config(tiny_shapes, lr=1e30, clip_norm=0.0, eval_split=None)
    run = TrainingRun.start(config, tmp_path / "run", "cpu")
    with (
        np.errstate(all="ignore"),
        pytest.raises(FloatingPointError, match="smaller learning rate"),
    ):
        run.run(progress=False)


@pytest.mark.parametrize(
    "change",
    [
        {"image_size": 95}, {"epochs": 0}, {"lr": 0.0}, {"optimizer": "adam"}, {"augment": "x"},
        {"weight_decay": -1.0}, {"seed": -1}, {"batch_size": 2.5},
    ],
)  # fmt: skip
def test_a_wrong_setting_is_named(change):
    (name,) = change
    with pytest.raises(ValueError, match=name):
        TrainConfig("data", **change)


def test_settings_come_back_from_json():
    config = TrainConfig("data", classes=("a", "b"), lr=0.1)
    assert TrainConfig.from_json(config.to_json(), "config.json") == config
    with pytest.raises(InputError, match=r"config\.json"):
        TrainConfig.from_json('{"data": "x", "wrong": 1}', "config.json")


def test_metrics_drop_what_will_be_done_again(tmp_path):
    log = MetricsLog(tmp_path / "m.jsonl")
    for step in range(1, 6):
        log.append(step=step, epoch=step / 3, loss=1.0 / step)
    with (tmp_path / "m.jsonl").open("a") as file:
        file.write('{"step": 6, "lo')  # cut short by a crash
    log = MetricsLog(tmp_path / "m.jsonl", step=3)
    assert [row["step"] for row in log.rows] == [1, 2, 3]
    assert read_metrics(tmp_path / "m.jsonl") == log.rows


def test_bias_and_normalisation_have_no_weight_decay(tiny_shapes, tmp_path):
    run = TrainingRun.start(tiny_config(tiny_shapes), tmp_path / "run", "cpu")
    for name, parameter in run.trainer.parameters.items():
        assert parameter.decay == name.endswith("weight"), name


def test_interruption_outside_a_run_is_not_swallowed(tiny_shapes, tmp_path):
    """After training, Ctrl-C works as before."""
    config = dataclasses.replace(tiny_config(tiny_shapes), eval_split=None)
    run = TrainingRun.start(config, tmp_path / "run", "cpu")
    before = signal.getsignal(signal.SIGINT)
    run.run(progress=False)
    assert signal.getsignal(signal.SIGINT) is before
    trainer = Trainer(run.trainer.model, config, 1)
    with pytest.raises(Interrupted):
        run_epochs(
            trainer, run.loader, lambda *_: signal.raise_signal(signal.SIGINT), lambda _: None
        )
    assert signal.getsignal(signal.SIGINT) is before


@pytest.mark.parametrize("least", [0, 5])
def test_an_image_without_objects_is_trained_on_where_the_spec_asks_for_negatives(least):
    model = build_minissd(3, 96, np.random.default_rng(0), width=2)
    model.spec = dataclasses.replace(model.spec, min_negatives=least)
    images = np.random.default_rng(1).integers(0, 256, (1, 96, 96, 3), dtype=np.uint8)
    empty = np.zeros((0, 4), np.float32), np.zeros(0, np.int64), np.zeros(0, bool)
    batch = Batch(images, *([part] for part in empty), ["x"])
    result = Trainer(model, TrainConfig("", image_size=96, width=2), 1).step(batch)
    assert result.n_positives == 0
    assert (result.class_loss > 0) == (least > 0)
