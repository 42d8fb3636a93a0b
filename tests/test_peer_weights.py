"""Files that PyTorch itself wrote are read as PyTorch wrote them, and torchvision's networks answer the same here."""

from __future__ import annotations

import numpy as np
import pytest

from minissd.errors import InputError
from minissd.models.build import build_model
from minissd.models.weights import load_body, load_detector, read_weights

torch = pytest.importorskip(
    "torch", reason="not compared with PyTorch, which is not installed (`make test-peer` does it)"
)
pytestmark = pytest.mark.peer


@pytest.fixture(params=[True, False], ids=["zip", "stream"])
def is_zip(request):
    return request.param


def states():
    """Return tensors as networks and slices of them have, all on a few storages."""
    block = torch.arange(120.0).reshape(4, 5, 6)
    layer = torch.nn.Sequential(torch.nn.Conv2d(3, 4, (3, 2)), torch.nn.BatchNorm2d(4))
    return {
        **layer.state_dict(),
        "whole": block,
        "permuted": block.permute(2, 0, 1),
        "slice": block[1:3, :, ::2],
        "same": block[0, 0, :1].expand(3, 7),
        "parameter": torch.nn.Parameter(block[2]),
        "double": block.double() / 7,
        "half": block.half() / 8,
        "bfloat16": (block / 7).bfloat16(),
        "short": torch.arange(-5, 5, dtype=torch.int16),
        "flags": torch.tensor([True, False, True]),
        "scalar": torch.tensor(2.5),
        "empty": torch.zeros(0, 3),
    }


@pytest.mark.parametrize("wrapped", [False, True])
def test_what_pytorch_saves_is_read_as_it_is(is_zip, wrapped, tmp_path):
    state = states()
    top = {"epoch": 3, "model": state, "args": {"lr": 0.1}} if wrapped else state
    torch.save(top, tmp_path / "x.pth", _use_new_zipfile_serialization=is_zip)
    file = read_weights(tmp_path / "x.pth")
    assert file.format == f"PyTorch, {'zip' if is_zip else 'stream'} container"
    assert list(file.tensors) == list(state)
    for name, tensor in state.items():
        theirs = tensor.detach().double().numpy()
        np.testing.assert_array_equal(file.tensors[name].numpy(), theirs, err_msg=name)


def test_a_whole_model_is_refused_by_the_name_of_its_class(is_zip, tmp_path):
    torch.save(torch.nn.Linear(2, 2), tmp_path / "x.pth", _use_new_zipfile_serialization=is_zip)
    with pytest.raises(InputError, match=r"torch\.nn\.modules\.linear\.Linear.*state_dict"):
        read_weights(tmp_path / "x.pth")


def torchvision(module):
    """Import one of torchvision's modules, or skip with a reason."""
    reason = "not compared with torchvision, which is not installed"
    helper = pytest.importorskip("peer_torch", reason=reason)
    helper.import_torchvision()
    return pytest.importorskip(f"torchvision.models.{module}", reason=reason)


def test_torchvisions_ssd300_answers_the_same_here(tmp_path):
    torch.manual_seed(0)
    theirs = torchvision("detection").ssd300_vgg16(weights=None, weights_backbone=None).eval()
    torch.save(theirs.state_dict(), tmp_path / "x.pth")
    ours, names, report = load_detector(tmp_path / "x.pth")
    assert (len(names), report.left, report.ignored) == (90, [], {})
    photo = np.random.default_rng(0).integers(0, 256, (1, 300, 300, 3), dtype=np.uint8)
    scores, offsets = ours.eval().forward(ours.prepare(photo))
    with torch.no_grad():
        image = torch.tensor(photo[0].transpose(2, 0, 1)).float() / 255
        batch, _ = theirs.transform([image])
        answer = theirs.head(list(theirs.backbone(batch.tensors).values()))
    for ours, name in (scores, "cls_logits"), (offsets, "bbox_regression"):
        expected = answer[name].numpy()
        np.testing.assert_allclose(ours, expected, rtol=1e-4, atol=1e-4 * np.abs(expected).max())


@pytest.mark.parametrize("name, model", [("vgg16", "ssd300"), ("mobilenet_v2", "ssd-mobilenetv2")])
def test_torchvisions_bodies_fill_ours(name, model, tmp_path):
    """The first layer, with the normalisation of its input, answers as theirs does on the same photograph."""
    module = torchvision({"vgg16": "vgg", "mobilenet_v2": "mobilenetv2"}[name])
    theirs = getattr(module, name)(weights=None).eval()
    torch.save(theirs.state_dict(), tmp_path / "x.pth")
    ours = build_model(model, None, np.random.default_rng(0))
    load_body(ours, tmp_path / "x.pth")
    photo = np.random.default_rng(0).integers(0, 256, (1, 40, 48, 3), dtype=np.uint8)
    x = ours.eval().segments[0].forward(ours.prepare(photo))
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    normal = (torch.tensor(photo).float() / 255 - mean) / std
    last = 23 if name == "vgg16" else 7  # places of `features` that our first segment covers
    with torch.no_grad():
        expected = theirs.features[:last](normal.permute(0, 3, 1, 2)).permute(0, 2, 3, 1).numpy()
    np.testing.assert_allclose(x, expected, rtol=1e-3, atol=1e-4 * np.abs(expected).max())
