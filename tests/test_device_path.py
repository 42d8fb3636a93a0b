"""Training and detection on a device: with the strict stand-in, a slip between host and device fails without a GPU."""

import numpy as np
import pytest
from conftest import DEVICES

from minissd.backend import array_module, to_cpu
from minissd.datasets.loader import Batch
from minissd.models.build import build_minissd
from minissd.models.detector import Detector
from minissd.training.config import TrainConfig
from minissd.training.trainer import Trainer


@pytest.fixture(params=DEVICES, ids=lambda module: module.__name__)
def module(request):
    """Return the stand-in (without kernels, which would be slow here), and CuPy where a GPU is."""
    return request.param


def some_batch(rng, n=4, size=96):
    boxes = []
    for _ in range(n):
        sides = np.array([0.15, 0.4, 0.8])[:, None] * np.ones(2)
        corner = rng.uniform(0, 1, (3, 2)) * (1 - sides)
        boxes.append(np.concatenate([corner, corner + sides], axis=1).astype(np.float32))
    boxes[0] = boxes[0][:0]  # one image without objects
    labels = [rng.integers(1, 4, len(b)) for b in boxes]
    images = rng.integers(0, 256, (n, size, size, 3), dtype=np.uint8)
    return Batch(images, boxes, labels, [np.zeros(len(b), bool) for b in boxes], ["x"] * n)


def train(module, optimizer, steps=3):
    config = TrainConfig("", image_size=96, optimizer=optimizer, lr=0.01, warmup=1)
    model = build_minissd(3, 96, np.random.default_rng(0), width=4).to(module)
    trainer = Trainer(model, config, steps)
    batch = some_batch(np.random.default_rng(1))
    return model, [trainer.step(batch) for _ in range(steps)], batch


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
def test_training_steps_on_a_device_equal_those_on_the_host(optimizer, module):
    host, host_results, _ = train(np, optimizer)
    device, device_results, _ = train(module, optimizer)
    for a, b in zip(host_results, device_results):
        np.testing.assert_allclose(a, b, rtol=1e-3)
    for name, parameter in device.parameters().items():
        assert array_module(parameter.value) is module, name
    device_state = device.state()
    for name, value in host.state().items():
        np.testing.assert_allclose(device_state[name], value, rtol=0.02, atol=0.02, err_msg=name)


def test_training_steps_with_kernels_equal_those_on_the_host(device):
    host, host_results, _ = train(np, "sgd", steps=2)
    trained, results, batch = train(device, "sgd", steps=2)
    for a, b in zip(host_results, results):
        np.testing.assert_allclose(a, b, rtol=1e-3)
    state = trained.state()
    for name, value in host.state().items():
        np.testing.assert_allclose(state[name], value, rtol=0.02, atol=0.02, err_msg=name)
    for a, b in zip(*(Detector(m, ("a", "b", "c")).detect(batch.images) for m in (host, trained))):
        assert len(a.scores) == len(b.scores)
        np.testing.assert_allclose(a.scores, b.scores, atol=2e-3)


def test_detection_on_a_device_equals_that_on_the_host(module):
    model, _, batch = train(np, "sgd")
    names = ("a", "b", "c")
    on_host = Detector(model, names).detect(batch.images)
    on_device = Detector(model.to(module), names).detect(batch.images)
    for a, b in zip(on_host, on_device):
        assert isinstance(b.boxes, np.ndarray)
        assert len(a.scores) == len(b.scores)
        np.testing.assert_allclose(a.scores, b.scores, atol=1e-4)


def test_a_model_that_visits_the_device_comes_back_unchanged(module):
    model, _, _ = train(np, "sgd", steps=1)
    before = model.state()
    model.to(module).to("cpu")
    for name, value in model.state().items():
        np.testing.assert_array_equal(value, before[name])
    assert isinstance(to_cpu(model.parameters()["heads.0.weight"].value), np.ndarray)
