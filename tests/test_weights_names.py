"""Files of every known family, with their true names and shapes, find their places in the network."""

from __future__ import annotations

import numpy as np
import pytest
import weight_names
from weight_cases import ssd300, write_pth
from weight_files import tensors, write_stream, write_zip
from weight_names import constant

from minissd.errors import InputError
from minissd.models.blank import build_blank
from minissd.models.build import model_spec
from minissd.models.class_names import COCO, COCO_NUMBERED, VOC, known_classes
from minissd.models.weights import load_body, load_detector


def value(arrays: dict, name: str) -> float:
    """The one number that `constant` filled an array with."""
    return float(arrays[name].flat[0])


def test_torchvision_ssd300(tmp_path):
    shapes = weight_names.torchvision_ssd300()
    assert sum(int(np.prod(shape)) for shape in shapes.values()) == 35_641_826
    model, names, report = load_detector(write_pth(tmp_path / "x.pth", shapes))
    assert (model.spec.name, len(names), names[0], names[11]) == (
        "ssd300-torchvision",
        90,
        "person",
        "N/A 12",
    )
    assert (report.left, report.ignored, len(report.filled)) == ([], {}, 59)
    state, theirs = model.state(), constant(shapes)
    pairs = {
        "segments.0.conv1_1.weight": "backbone.features.0.weight",
        "segments.0.conv4_3.bias": "backbone.features.21.bias",
        "segments.1.conv5_1.weight": "backbone.extra.0.1.weight",
        "segments.1.conv5_3.bias": "backbone.extra.0.5.bias",
        "segments.1.fc6.weight": "backbone.extra.0.7.1.weight",
        "segments.1.fc7.weight": "backbone.extra.0.7.3.weight",
        "segments.2.conv6_1.weight": "backbone.extra.1.0.weight",
        "segments.5.conv9_2.bias": "backbone.extra.4.2.bias",
        "taps.0.scale": "backbone.scale_weight",
    }
    for ours, name in pairs.items():
        np.testing.assert_array_equal(state[ours], np.float32(value(theirs, name)), err_msg=ours)
    check_heads(
        state,
        theirs,
        91,
        "head.classification_head.module_list.{}.",
        "head.regression_head.module_list.{}.",
    )


def check_heads(state, theirs, n_classes, scores, offsets, parts=("weight", "bias")):
    """Each box shape has first its scores from the one convolution, then its offsets from the other."""
    for i in range(6):
        for ours, part in zip(("weight", "bias"), parts):
            row = state[f"heads.{i}.{ours}"].reshape(-1, n_classes + 4)
            expected = [value(theirs, scores.format(i) + part)] * n_classes
            expected += [value(theirs, offsets.format(i) + part)] * 4
            np.testing.assert_array_equal(row, np.tile(np.float32(expected), (len(row), 1)))


def test_ssd_pytorch(tmp_path):
    shapes = weight_names.ssd_pytorch()
    assert sum(int(np.prod(shape)) for shape in shapes.values()) == 26_285_486
    path = write_stream(tmp_path / "ssd300_mAP_77.43_v2.pth", tensors(constant(shapes)))
    model, names, _report = load_detector(path)
    assert (model.spec.name, names) == ("ssd300", VOC)
    differs = (model.spec.clip, model.spec.matching, model.spec.network.norm_rule)
    assert differs == ("centers", "overwrite", "outside")
    assert model.taps[0].rule == "outside"
    state, theirs = model.state(), constant(shapes)
    for ours, name in {
        "segments.0.conv1_1.weight": "vgg.0.weight",
        "segments.1.conv5_3.weight": "vgg.28.weight",
        "segments.1.fc6.weight": "vgg.31.weight",
        "segments.1.fc7.bias": "vgg.33.bias",
        "segments.2.conv6_1.weight": "extras.0.weight",
        "segments.5.conv9_2.weight": "extras.7.weight",
        "taps.0.scale": "L2Norm.weight",
    }.items():
        np.testing.assert_array_equal(state[ours], np.float32(value(theirs, name)), err_msg=ours)
    check_heads(state, theirs, 21, "conf.{}.", "loc.{}.")


@pytest.mark.parametrize(
    "size, n_classes, name",
    [(300, 21, "ssd300"), (512, 21, "ssd512"), (300, 81, "ssd300-coco"), (512, 81, "ssd512-coco")],
)
def test_caffe_ssd(size, n_classes, name, tmp_path, monkeypatch):
    """The numbers of 27 million weights are left out here (blobs of zeros); `test_convert` writes them."""
    shapes = weight_names.caffe_ssd(size, n_classes)
    flat = {f"{layer}.{i}": s for layer, blobs in shapes.items() for i, s in enumerate(blobs)}
    counts = {"ssd300": 26_285_486, "ssd300-coco": 34_305_206, "ssd512": 27_188_676}
    counts["ssd512-coco"] = 36_038_196
    assert sum(int(np.prod(shape)) for shape in flat.values()) == counts[name]
    arrays = constant(flat)
    # The same names in a container that can store one number for many: the naming does not depend on the format.
    path = write_zip(tmp_path / "x.pth", tensors(arrays))
    model, names, _report = load_detector(path)
    assert (model.spec.name, len(names)) == (name, n_classes - 1)
    state = model.state()
    for ours, theirs in {
        "segments.0.conv4_3.weight": "conv4_3.0",
        "segments.1.fc6.bias": "fc6.1",
        "segments.5.conv9_2.weight": "conv9_2.0",
        "taps.0.scale": "conv4_3_norm.0",
    }.items():
        np.testing.assert_array_equal(state[ours], np.float32(value(arrays, theirs)), err_msg=ours)
    if size == 512:
        assert (state["segments.6.conv10_2.weight"] == value(arrays, "conv10_2.0")).all()
    head = state["heads.0.bias"].reshape(4, n_classes + 4)
    assert (head[:, :n_classes] == value(arrays, "conv4_3_norm_mbox_conf.1")).all()
    assert (head[:, n_classes:] == value(arrays, "conv4_3_norm_mbox_loc.1")).all()


def test_caffe_ssd_of_the_first_version(tmp_path):
    """The last map is the mean of the one before; the first has three box shapes a cell."""
    layers = weight_names.caffe_ssd(300)
    for name in [name for name in layers if name.startswith(("conv9", "conv10"))]:
        del layers[name]
    maps = {"conv4_3_norm": (512, 3), "conv8_2": (256, 6), "pool6": (256, 6)}
    for source, (inputs, boxes) in maps.items():
        for part, each in ("loc", 4), ("conf", 21):
            shape = (boxes * each, inputs, 3, 3)
            layers[f"{source}_mbox_{part}"] = [shape, shape[:1]]
    shapes = {f"{n}.{i}": shape for n, blobs in layers.items() for i, shape in enumerate(blobs)}
    assert sum(int(np.prod(shape)) for shape in shapes.values()) == 26_072_697
    model, _names, _report = load_detector(write_pth(tmp_path / "x.pth", shapes))
    assert (model.spec.name, model.spec.n_default_boxes) == ("ssd300-v1", 7308)


BODIES = {
    "torchvision": weight_names.torchvision_vgg16,
    "ssd.pytorch": weight_names.ssd_pytorch_body,
    "timm": lambda: {
        **weight_names.vgg_features("features."),
        "pre_logits.fc1.weight": (4096, 512, 7, 7),
        "pre_logits.fc1.bias": (4096,),
        "pre_logits.fc2.weight": (4096, 4096, 1, 1),
        "pre_logits.fc2.bias": (4096,),
        "head.fc.weight": (1000, 4096),
        "head.fc.bias": (1000,),
    },
    "Caffe": lambda: {
        f"{layer}.{i}": shape
        for layer, blobs in weight_names.caffe_body(reduced=False).items()
        for i, shape in enumerate(blobs)
    },
}


@pytest.mark.parametrize("family", BODIES)
def test_a_body_starts_a_detector(family, tmp_path):
    shapes = BODIES[family]()
    model = ssd300()
    report = load_body(model, write_pth(tmp_path / "x.pth", shapes))
    assert len(report.filled) == 30  # 15 layers
    assert {name.split(".")[0] for name in report.filled} == {"segments"}
    assert len(report.left) == 29
    state, theirs = model.state(), constant(shapes)
    last = [name for name in shapes if shapes[name] in ((4096, 4096), (4096, 4096, 1, 1))]
    last += [name for name in shapes if shapes[name] == (1024, 1024, 1, 1)]
    assert (state["segments.1.fc7.weight"] == value(theirs, last[0])).all()
    assert not state["segments.2.conv6_1.weight"].any()
    known = {"torchvision", "timm", "Caffe"}
    assert ("the ImageNet classifier" in report.ignored.values()) == (family in known)


def test_the_features_of_ssds_training_have_no_classifier_and_no_deviation(tmp_path):
    """torchvision's second file of VGG16: its classifier holds no numbers, its input is Caffe's."""
    shapes = weight_names.torchvision_vgg16()
    nan = {n: np.broadcast_to(np.float32("nan"), s) for n, s in shapes.items() if "classifier" in n}
    model = ssd300()
    report = load_body(model, write_pth(tmp_path / "x.pth", shapes, nan))
    assert len(report.filled) == 26
    assert model.spec.input_mean == (123, 117, 104)
    first = model.state()["segments.0.conv1_1.weight"]
    assert (first == value(constant(shapes), "features.0.weight")).all()


def test_features_alone_leave_fc6_and_fc7_as_they_were(tmp_path):
    report = load_body(
        ssd300(), write_pth(tmp_path / "x.pth", weight_names.vgg_features("features."))
    )
    assert len(report.filled) == 26
    assert "segments.1.fc6.weight" in report.left


def test_a_detectors_file_starts_another_detector_without_its_heads(tmp_path):
    model = build_blank(model_spec("ssd300", 3))
    report = load_body(model, write_pth(tmp_path / "x.pth", weight_names.ssd_pytorch()))
    assert len(report.filled) == 47
    assert all(name.startswith("heads.") for name in report.left)
    assert set(report.ignored.values()) == {"heads"}
    assert len(report.ignored) == 24


def test_mobilenet_v2(tmp_path):
    shapes = weight_names.mobilenet_v2()
    counted = [shape for name, shape in shapes.items() if "running" not in name and shape]
    assert sum(int(np.prod(shape)) for shape in counted) == 3_504_872  # as torchvision states
    model = build_blank(model_spec("ssd-mobilenetv2"))
    report = load_body(model, write_pth(tmp_path / "x.pth", shapes))
    assert len(report.filled) == 51 * 5
    assert len(report.ignored) == len(shapes) - 51 * 5
    state, theirs = model.state(), constant(shapes)
    for ours, name in {
        "segments.0.1.0.weight": "features.1.conv.0.0.weight",
        "segments.0.1.4.running_var": "features.1.conv.2.running_var",
        "segments.0.3.body.6.weight": "features.3.conv.2.weight",
        "segments.2.3.7.gamma": "features.17.conv.3.weight",
        "segments.2.3.7.beta": "features.17.conv.3.bias",
    }.items():
        np.testing.assert_array_equal(state[ours], np.float32(value(theirs, name)), err_msg=ours)
    del shapes["features.9.conv.3.running_var"]
    with pytest.raises(InputError, match=r"features\.9\.conv\.3\.running_var is missing"):
        load_body(model, write_pth(tmp_path / "x.pth", shapes))


def test_names_of_your_own_classes(tmp_path):
    shapes = weight_names.ssd_pytorch(3)
    path = write_pth(tmp_path / "x.pth", shapes)
    with pytest.raises(InputError, match="knows 2 classes"):
        load_detector(path)
    with pytest.raises(InputError, match="knows 2 classes, but 3 names"):
        load_detector(path, class_names=("cat", "dog", "cow"))
    model, names, _report = load_detector(path, class_names=("cat", "dog"))
    assert (names, model.spec.name, model.spec.n_object_classes) == (("cat", "dog"), "ssd300", 2)


def test_lists_of_class_names():
    assert (len(VOC), len(COCO), len(COCO_NUMBERED)) == (20, 80, 90)
    assert list(VOC) == sorted(VOC)
    assert len(set(COCO_NUMBERED)) == 90
    assert [COCO_NUMBERED[number - 1] for number in (1, 3, 18, 44, 90)] == [
        "person",
        "car",
        "dog",
        "bottle",
        "toothbrush",
    ]
    assert sum(name.startswith("N/A") for name in COCO_NUMBERED) == 10
    assert known_classes(20) == VOC
    assert known_classes(7) is None
