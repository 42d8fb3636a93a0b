"""ONNX export of whole detectors: the same answers at every stage, and a file that says what it is."""

from __future__ import annotations

import dataclasses
import importlib
import json

import numpy as np
import onnx_cases as cases
import pytest
from onnx_cases import assert_equal, inverted_residual

from minissd.export.onnx_check import apart, compare
from minissd.export.onnx_file import STAGES, build_onnx, output_ports, write_onnx
from minissd.export.onnx_graph import IR_VERSION, OPSET
from minissd.models.backbones import Trunk
from minissd.models.build import build_from_spec, build_minissd
from minissd.models.spec import minissd_spec, published_spec
from minissd.models.ssd import SSD
from minissd.nn import BatchNorm2d, Conv2d, MaxPool2d, ReLU, ReLU6, Sequential


def small(rng):
    return build_minissd(4, 96, rng, width=4)


def published(name, **settings):
    """A published configuration with an eighth of the channels."""

    def build(rng):
        spec = published_spec(name)
        network = dataclasses.replace(spec.network, width=8, fc_channels=64)
        return build_from_spec(dataclasses.replace(spec, network=network, **settings), rng)

    return build


def mobile(rng):
    """A detector on inverted residual blocks."""
    spec = minissd_spec(96, (24, 12), 3)
    stem = [Conv2d(3, 4, 3, 4, 1, bias=False, rng=rng), BatchNorm2d(4), ReLU6()]
    shrink = [Conv2d(4, 4, 3, 2, 1, groups=4, rng=rng), BatchNorm2d(4), ReLU6()]
    segments = [
        Sequential(*stem, inverted_residual(rng)),
        Sequential(*shrink, inverted_residual(rng)),
    ]
    return SSD(spec, Trunk(segments, [4, 4]), rng)


MODELS = {
    "small": small,
    "mobile": mobile,
    "ssd300": published("ssd300"),
    "borders left out": published("ssd300", ignore_border=True),
    "ssd300-v1": published("ssd300-v1"),
    "ssd300-torchvision": published("ssd300-torchvision", n_object_classes=20),
}


@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize("kind", MODELS)
def test_a_detector_answers_as_ours_does(rng, tmp_path, kind, stage):
    detector = cases.named(cases.trained_size(MODELS[kind](rng), rng))
    path = tmp_path / "model.onnx"
    write_onnx(build_onnx(detector, stage), path)
    differences = compare(detector, stage, path, cases.noise(rng, detector.model))
    print({name: f"{value:.1e}" for name, value in differences.items()})
    assert set(differences) >= {"boxes", "scores", "offsets"} & {
        port.name for port in output_ports(detector.model.spec, stage)
    }
    assert max(differences.values()) <= 1e-4, differences
    assert all(len(each.scores) > 20 for each in detector.detect(cases.noise(rng, detector.model)))


@pytest.mark.parametrize("stage", STAGES)
def test_another_runtime_gives_the_same(rng, stage):
    """ONNX's own plain evaluator says what the operators mean; nothing leans on a habit of ONNX Runtime."""
    evaluator = importlib.import_module("onnx.reference").ReferenceEvaluator
    detector = cases.named(cases.trained_size(small(rng), rng))
    model = build_onnx(detector, stage)
    images = {"images": cases.noise(rng, detector.model, 1)}
    expected = cases.run_onnx(model.SerializeToString(), images)
    for name, found in zip(expected, evaluator(model).run(None, images), strict=True):
        assert_equal(found, expected[name], 1e-4)


def test_a_difference_is_seen(rng, tmp_path):
    """The comparison itself can fail: one weight of the network moves after it was exported."""
    detector = cases.named(cases.trained_size(small(rng), rng))
    path = tmp_path / "model.onnx"
    images = cases.noise(rng, detector.model)
    for stage in STAGES:
        write_onnx(build_onnx(detector, stage), path)
        bias = detector.model.heads[0].bias.value
        bias[0] += 0.1
        assert max(compare(detector, stage, path, images).values()) > 1e-3
        bias[0] -= 0.1


def test_how_far_numbers_lie_apart():
    one, hundred = np.ones((2, 3), np.float32), np.full((2, 3), -100, np.float32)
    assert apart(one, one) == 0
    assert apart(one, one + 0.5) == 0.5
    assert apart(hundred, hundred + 1) == pytest.approx(0.01)
    assert apart(one[:0], one[:0]) == 0
    for wrong in (one[:1], one * np.nan, one * np.inf):
        assert apart(one, wrong) == np.inf


def test_the_file_says_what_it_is(rng):
    detector = cases.named(small(rng))
    for stage in STAGES:
        model = build_onnx(detector, stage)
        cases.onnx.checker.check_model(model, full_check=True)
        assert model.ir_version == IR_VERSION == 8
        assert [(each.domain, each.version) for each in model.opset_import] == [("", OPSET)]
        assert model.producer_name == "minissd"
        texts = {each.key: each.value for each in model.metadata_props}
        assert json.loads(texts["class_names"]) == ["1", "2", "3", "4"]
        assert (texts["spec"], texts["stage"], texts["image_size"]) == ("minissd", stage, "96")
        ports = output_ports(detector.model.spec, stage)
        assert [each.name for each in model.graph.output] == [port.name for port in ports]
        for value, port in zip(model.graph.output, ports):
            sizes = [each.dim_param or each.dim_value for each in value.type.tensor_type.shape.dim]
            assert tuple(sizes) == port.shape
            assert value.doc_string == port.description
        assert model.SerializeToString() == build_onnx(detector, stage).SerializeToString()


def test_the_shapes_are_those_that_come_out(rng, tmp_path):
    detector = cases.named(small(rng))
    for stage in STAGES:
        data = build_onnx(detector, stage).SerializeToString()
        for count in (1, 3):
            found = cases.run_onnx(data, {"images": cases.noise(rng, detector.model, count)})
            for port in output_ports(detector.model.spec, stage):
                assert found[port.name].shape == (count, *port.shape[1:])
                assert found[port.name].dtype == port.dtype


def test_a_network_on_a_device_is_written_the_same(rng, xp):
    detector = cases.named(cases.trained_size(published("ssd300")(rng), rng))
    expected = build_onnx(detector, "nms").SerializeToString()
    detector.model.to(xp)
    assert build_onnx(detector, "nms").SerializeToString() == expected


def test_training_mode_is_left_alone(rng, tmp_path):
    """Batch norm is exported as it is in evaluation, and the network goes on in its own mode."""
    detector = cases.named(cases.trained_size(small(rng), rng))
    detector.model.train()
    before = detector.model.state()
    for stage in STAGES:
        write_onnx(build_onnx(detector, stage), tmp_path / "m.onnx")
        images = cases.noise(rng, detector.model)
        assert max(compare(detector, stage, tmp_path / "m.onnx", images).values()) <= 1e-4
    assert detector.model.training
    after = detector.model.state()
    assert all(np.array_equal(before[name], after[name]) for name in before)


def test_a_map_of_another_size_than_the_default_boxes_is_refused(rng):
    model = small(rng)
    model.segments[1] = Sequential(model.segments[1], ReLU(), MaxPool2d(2))
    with pytest.raises(ValueError, match=r"segments\.1: expected a map of 6 x 6"):
        build_onnx(cases.named(model), "raw")


def test_an_unknown_stage(rng):
    with pytest.raises(ValueError, match=r"stage: expected raw \| decode \| nms, got 'boxes'"):
        build_onnx(cases.named(small(rng)), "boxes")
