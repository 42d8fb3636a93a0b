"""Weights that do not fit are refused with all that does not fit by name, and with the likely reason."""

from __future__ import annotations

import numpy as np
import pytest
import weight_names
from weight_cases import ssd300, write_pth
from weight_files import write_caffe

from minissd.errors import InputError
from minissd.models.weights import load_body, load_detector


def test_all_that_does_not_fit_is_named_at_once(tmp_path):
    shapes = weight_names.ssd_pytorch()
    del shapes["vgg.5.bias"], shapes["conf.3.weight"]
    shapes |= {"extras.2.weight": (7, 512, 1, 1), "vgg.40.weight": (3,), "loc.5.bias": (15,)}
    with pytest.raises(InputError) as caught:
        load_detector(write_pth(tmp_path / "odd.pth", shapes))
    text = str(caught.value)
    assert "odd.pth: does not fit ssd300" in text
    for fault in (
        "vgg.5.bias is missing",
        "conf.3.weight is missing",
        "vgg.40.weight is not expected",
        "extras.2.weight has shape (7, 512, 1, 1), not (128, 512, 1, 1)",
        "loc.5.bias has shape (15,), not (16,)",
    ):
        assert fault in text


def test_nothing_is_changed_where_a_file_does_not_fit(tmp_path):
    model = ssd300()
    shapes = weight_names.ssd_pytorch_body()
    del shapes["33.bias"]
    with pytest.raises(InputError, match=r"33\.bias is missing"):
        load_body(model, write_pth(tmp_path / "x.pth", shapes))
    assert not any(array.any() for name, array in model.state().items() if name != "taps.0.scale")


def test_numbers_that_are_none_are_refused(tmp_path):
    for number in np.float32("inf"), np.float64(1e300):  # the second is none in float32
        bad = {"28.bias": np.broadcast_to(number, (512,))}
        path = write_pth(tmp_path / "x.pth", weight_names.ssd_pytorch_body(), bad)
        with pytest.raises(InputError, match=r"28\.bias holds numbers that are not finite"):
            load_body(ssd300(), path)


def test_weights_of_a_quantised_network_are_refused(tmp_path):
    bad = {"28.bias": np.broadcast_to(np.int64(3), (512,))}
    path = write_pth(tmp_path / "x.pth", weight_names.ssd_pytorch_body(), bad)
    with pytest.raises(InputError, match=r"28\.bias holds numbers of kind int64, not float"):
        load_body(ssd300(), path)


def flat_caffe(size: int, n_classes: int = 21) -> dict:
    layers = weight_names.caffe_ssd(size, n_classes)
    return {f"{name}.{i}": shape for name, blobs in layers.items() for i, shape in enumerate(blobs)}


VGG19 = {f"features.{i}.weight": (64, 3, 3, 3) for i in (0, 2, 5, 7, 10, 12, 14, 16, 28, 34)}
WRONG = {
    "seven maps": (lambda: flat_caffe(512), "ssd300", "7 maps, as .*ssd512"),
    "six maps": (lambda: flat_caffe(300), "ssd512", "6 maps, as .*ssd300"),
    "COCO's classes": (lambda: flat_caffe(300, 81), "ssd300", "80 classes .as ssd300-coco"),
    "VOC's classes": (lambda: flat_caffe(300), "ssd300-coco", "20 classes .as ssd300"),
    "an early version": (lambda: flat_caffe(300), "ssd300-v1", r"pool6_mbox_conf\.0 is missing"),
    "torchvision's": (weight_names.torchvision_ssd300, "ssd300", "are for ssd300-torchvision"),
    "a ResNet": (lambda: {"layer1.0.conv1.weight": (64, 64, 1, 1)}, None, "those of a ResNet"),
    "VGG19": (lambda: VGG19, None, "a body without heads"),
    "unknown": (lambda: {"something.weight": (3,)}, None, r"of no family .*\(something\.weight"),
    "a body": (weight_names.ssd_pytorch_body, None, "a body without heads"),
    "no such model": (lambda: flat_caffe(300), "ssd301", "model: expected .*ssd300"),
    "without heads": (
        lambda: {n: s for n, s in weight_names.ssd_pytorch().items() if "conf" not in n},
        None,
        "missing or damaged",
    ),
}


@pytest.mark.parametrize("what", WRONG)
def test_a_wrong_architecture_is_refused_with_the_likely_reason(what, tmp_path):
    shapes, name, fault = WRONG[what]
    with pytest.raises(ValueError, match=fault):
        load_detector(write_pth(tmp_path / "x.pth", shapes()), name)


@pytest.mark.parametrize(
    "shapes, fault",
    [
        (VGG19, "the weights look like those of VGG19"),
        (
            {
                "features.0.weight": (64, 3, 3, 3),
                "features.5.weight": (1,),
                "features.1.running_mean": (64,),
            },
            "VGG with batch norm",
        ),
        (
            {"features.0.0.weight": (32, 3, 3, 3), "features.1.conv.0.0.weight": (32, 1, 3, 3)},
            "mobilenetv2.*no use to ssd300",
        ),
    ],
)
def test_another_body_is_refused_with_the_likely_reason(shapes, fault, tmp_path):
    with pytest.raises(InputError, match=fault):
        load_body(ssd300(), write_pth(tmp_path / "x.pth", shapes))


def test_caffes_own_container_goes_the_same_way(tmp_path):
    """A body in a .caffemodel of each format, narrowed to what fits a test: shapes are refused, names are known."""
    layers = {"conv1_1": [np.ones((4, 3, 3, 3), np.float32), np.ones(4, np.float32)]}
    layers |= {"conv5_3": [np.ones((4, 4, 3, 3), np.float32), np.ones(4, np.float32)]}
    for old in (False, True):
        path = write_caffe(tmp_path / "x.caffemodel", layers, old)
        with pytest.raises(InputError, match=r"conv1_1\.0 has shape \(4, 3, 3, 3\), not \(64, 3"):
            load_body(ssd300(), path)
