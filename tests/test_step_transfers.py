"""A training step on a device sends it images and objects, and waits for nothing: the loss is read when asked for."""

from __future__ import annotations

import numpy as np
import pytest
from strict_array import strict
from test_device_path import some_batch

from minissd.models.build import build_minissd
from minissd.models.loss import make_targets
from minissd.training import trainer as trainer_module
from minissd.training.communicator import ALONE
from minissd.training.config import TrainConfig
from minissd.training.loop import run_epochs
from minissd.training.trainer import READ_EVERY, StepResult, Trainer

SIZE = 96


@pytest.fixture
def on_stand_in(device):
    if device is not strict:
        pytest.skip("the stand-in counts transfers; a GPU does not")
    return device


def a_trainer(module, **settings):
    config = TrainConfig("", image_size=SIZE, lr=0.01, warmup=1, **settings)
    model = build_minissd(3, SIZE, np.random.default_rng(0), width=2).to(module)
    return Trainer(model, config, 100)


def give_targets_on_device(monkeypatch, trainer, batch):
    """Match the batch beforehand: what matching sends and reads is not counted here."""
    model = trainer.model
    targets = make_targets(model.default_centers(strict), batch.boxes, batch.labels, model.spec)
    monkeypatch.setattr(trainer_module, "make_targets", lambda *_: targets)


@pytest.mark.parametrize("optimizer, clip", [("sgd", 0.0), ("adamw", 1.0)])
def test_a_step_sends_the_images_and_reads_nothing(
    optimizer, clip, on_stand_in, counted, monkeypatch
):
    trainer = a_trainer(on_stand_in, optimizer=optimizer, clip_norm=clip)
    batch = some_batch(np.random.default_rng(1), n=2, size=SIZE)
    give_targets_on_device(monkeypatch, trainer, batch)
    trainer.step(batch)  # the first step makes tables and constants on the device
    counted.reset()
    result = trainer.step(batch)
    assert (counted.to_device, counted.to_host, counted.syncs) == (1, 0, 0)
    assert result.loss == pytest.approx(result.class_loss + result.box_loss, rel=1e-6)
    assert result.n_positives > 0
    assert counted.to_host == 1  # all of them together


def test_a_step_by_array_code_alone_reads_nothing_either(counted, monkeypatch):
    trainer = a_trainer(strict, optimizer="sgd")
    batch = some_batch(np.random.default_rng(1), n=2, size=SIZE)
    give_targets_on_device(monkeypatch, trainer, batch)
    trainer.step(batch)
    counted.reset()
    trainer.step(batch)
    assert (counted.to_device, counted.to_host, counted.syncs) == (1, 0, 0)


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
def test_steps_with_kernels_equal_those_on_the_host_and_repeat_bit_for_bit(optimizer, device):
    batch = some_batch(np.random.default_rng(1), n=2, size=SIZE)
    runs = []
    for module in (np, device, device):
        trainer = a_trainer(module, optimizer=optimizer, clip_norm=1.0)
        results = [trainer.step(batch) for _ in range(2)]
        runs.append(([list(result) for result in results], trainer.model.state()))
    np.testing.assert_allclose(runs[1][0], runs[0][0], rtol=1e-4)
    assert runs[1][0] == runs[2][0]
    for name, value in runs[0][1].items():
        np.testing.assert_allclose(runs[1][1][name], value, rtol=0.02, atol=0.02, err_msg=name)
        np.testing.assert_array_equal(runs[1][1][name], runs[2][1][name], err_msg=name)


class FakeTrainer:
    """Counts steps; its losses lie where it is told."""

    def __init__(self, module, n_steps, save_every=1000, bad_step=None):
        self.module, self.total_steps, self.bad_step = module, n_steps, bad_step
        self.config = TrainConfig("", save_every=save_every)
        self.parameters = {"a": type("P", (), {"value": module.zeros(1)})}
        self.step_number = 0
        self.communicator = ALONE

    must_read = Trainer.must_read

    def step(self, _batch):
        self.step_number += 1
        loss = self.module.full((), np.nan if self.step_number == self.bad_step else 1.0)
        return StepResult([loss] * 3 + [self.module.zeros(())], 0.1, self.step_number)


class FakeLoader:
    def __init__(self, length):
        self.length = length

    def __len__(self):
        return self.length

    def epoch(self, _number, skip):
        return iter(range(skip, self.length))


def read_at(trainer, loader):
    """Return (steps done, step reported) of each report."""
    seen = []
    run_epochs(trainer, loader, lambda r, _: seen.append((trainer.step_number, r.step_number)), id)
    return seen


def test_on_a_cpu_every_step_is_reported_at_once():
    assert read_at(FakeTrainer(np, 5), FakeLoader(3)) == [(i, i) for i in range(1, 6)]


def test_on_a_device_steps_are_reported_now_and_then_but_all_of_them_in_order(counted):
    seen = read_at(FakeTrainer(strict, 40, save_every=13), FakeLoader(24))
    assert [step for _, step in seen] == list(range(1, 41))
    due = {
        10,
        13,
        20,
        24,
        26,
        30,
        39,
        40,
    }  # tenth steps, checkpoints, end of the epoch and of the run
    assert READ_EVERY == 10
    assert {done for done, _ in seen} == due


def test_a_loss_that_is_no_number_is_named_by_its_step_though_read_later():
    trainer = FakeTrainer(strict, 40, bad_step=4)
    with pytest.raises(FloatingPointError, match="in step 4;"):
        read_at(trainer, FakeLoader(24))
    assert trainer.step_number == READ_EVERY
