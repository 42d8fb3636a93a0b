"""The network that the benchmarks time in PyTorch is ours: outputs, loss and gradients agree."""

import numpy as np
import pytest
from narrow import narrow
from peer_torch import hwio, to_numpy, torch

from benchmarks import torch_network as peer
from minissd.models.build import build_from_spec, build_model
from minissd.models.loss import make_targets, multibox_loss
from minissd.models.spec import published_spec

pytestmark = pytest.mark.peer

OBJECTS = np.array([[0.1, 0.1, 0.5, 0.6], [0.4, 0.3, 0.9, 0.9]], np.float32)
MODELS = {
    "small": lambda rng: build_model("minissd", 3, rng, image_size=96, width=8),
    "ssd300": lambda rng: build_from_spec(narrow(published_spec("ssd300")), rng),
    "mobilenetv2": lambda rng: build_model("ssd-mobilenetv2", 3, rng),
}


@pytest.mark.parametrize("name", MODELS)
def test_one_training_step_is_the_same(name):
    rng = np.random.default_rng(0)
    model = MODELS[name](rng).astype(np.float64).train()
    network = peer.TorchSSD(model).double().train()
    size = model.spec.image_size
    images = rng.integers(0, 256, (2, size, size, 3), dtype=np.uint8)
    prepared = model.prepare(images).astype(np.float64)
    targets = make_targets(
        model.default_centers(np), [OBJECTS] * 2, [np.array([1, 2])] * 2, model.spec
    )

    scores, offsets = model.forward(prepared)
    result = multibox_loss(scores, offsets, targets)
    model.backward(result.d_scores, result.d_offsets)

    given = [torch.from_numpy(part) for part in targets]
    pixels = torch.from_numpy(prepared).permute(0, 3, 1, 2)
    loss = peer.multibox_loss(*network.predict(pixels), given)
    loss.backward()
    assert float(loss.detach()) == pytest.approx(float(result.loss), rel=1e-6)
    ours = next(iter(model.parameters().values())).grad
    theirs = hwio(to_numpy(next(network.parameters()).grad))
    assert np.abs(ours - theirs).max() < 1e-6 * np.abs(ours).max()


@pytest.mark.parametrize("name", MODELS)
def test_both_prepare_pixels_alike(name):
    rng = np.random.default_rng(0)
    model = MODELS[name](rng).eval()
    network = peer.TorchSSD(model).eval()
    size = model.spec.image_size
    images = rng.integers(0, 256, (1, size, size, 3), dtype=np.uint8)
    with torch.inference_mode():
        theirs = [to_numpy(part) for part in network(torch.from_numpy(images))]
    for ours, other in zip(model.forward(model.prepare(images)), theirs):
        assert np.abs(ours - other).max() < 1e-3 * np.abs(other).max()
