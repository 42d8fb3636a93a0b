"""convert, on files in each format with their true names and shapes; then the commands that take its result."""

from __future__ import annotations

import json
import struct

import numpy as np
import pytest
import weight_names
from PIL import Image
from safetensors.numpy import save_file
from weight_files import Call, Name, tensors, write_caffe, write_stream, write_zip

from minissd.cli import main
from minissd.models.build import build_model
from minissd.models.class_names import COCO_NUMBERED, VOC
from minissd.models.model_file import load_model, save_model
from minissd.models.weights import load_body
from minissd.training.checkpoint import Checkpoint, save_checkpoint
from minissd.training.config import TrainConfig

DOG = VOC.index("dog") + 1


def zeros(shapes, dtype=np.float32):
    return {name: np.zeros(shape, dtype) for name, shape in shapes.items()}


def one_dog(arrays, scores, n_classes, label):
    """Let every box shape be background, but the first of the last map's only cell a certain class."""
    for i in range(6):
        bias = arrays[scores(i)].reshape(-1, n_classes)
        bias[:, 0] = 9
        if i == 5:
            bias[0, [0, label]] = 0, 9


def torchvision_file(folder):
    arrays = zeros(weight_names.torchvision_ssd300(), np.float16)
    one_dog(arrays, "head.classification_head.module_list.{}.bias".format, 91, 18)
    return write_zip(folder / "ssd300_vgg16_coco.pth", tensors(arrays))


def ssd_pytorch_file(folder):
    arrays = zeros(weight_names.ssd_pytorch())
    one_dog(arrays, "conf.{}.bias".format, 21, DOG)
    return write_stream(folder / "ssd300_mAP_77.43_v2.pth", tensors(arrays))


def caffe_file(folder):
    layers = {
        n: [np.zeros(s, np.float32) for s in each] for n, each in weight_names.caffe_ssd().items()
    }
    heads = [n for n in layers if n.endswith("_mbox_conf")]
    one_dog({i: layers[n][1] for i, n in enumerate(heads)}, int, 21, DOG)
    return write_caffe(folder / "VGG_VOC0712_SSD_300x300_iter_120000.caffemodel", layers)


def run(capsys, *words) -> tuple[int, str, str]:
    code = main([str(word) for word in words])
    return code, *capsys.readouterr()


DETECTORS = {
    "PyTorch, zip": (torchvision_file, "ssd300-torchvision", COCO_NUMBERED),
    "PyTorch, stream": (ssd_pytorch_file, "ssd300", VOC),
    "Caffe": (caffe_file, "ssd300", VOC),
}


@pytest.mark.parametrize("form", DETECTORS)
def test_a_detector_of_each_format(form, capsys, tmp_path):
    make, name, classes = DETECTORS[form]
    path, out = make(tmp_path), tmp_path / "out" / "model.safetensors"
    code, text, _ = run(capsys, "convert", path, "--out", out, "--half")
    assert code == 0
    for word in (form, path.name, "71, with", "59 arrays", f"{name}, {len(classes)} classes"):
        assert word in text
    assert "8,732 default boxes on 300 x 300" in text
    model, names = load_model(out)
    assert (model.spec.name, names) == (name, classes)
    bias = model.state()["heads.5.bias"].reshape(4, len(names) + 5)
    assert names[int(bias[0].argmax()) - 1] == "dog"
    assert (bias[1:].argmax(axis=1) == 0).all()
    assert [p.name for p in out.parent.iterdir()] == ["model.safetensors"]


def test_convert_then_detect(capsys, tmp_path):
    """The one default box whose class is set is found, where it stands: a square of 264 in the middle of 300."""
    path, model = caffe_file(tmp_path), tmp_path / "model.safetensors"
    assert run(capsys, "convert", path, "--out", model)[0] == 0
    path.unlink()  # the model needs nothing beside it
    Image.new("RGB", (600, 300), (90, 120, 30)).save(tmp_path / "photo.jpg")
    code, _, error = run(
        capsys, "detect", tmp_path / "photo.jpg", "--weights", model, "--out", tmp_path / "found"
    )
    assert (code, error) == (0, "")
    (image,) = json.loads((tmp_path / "found" / "detections.json").read_text())["images"]
    (found,) = image["objects"]
    assert found["class"] == "dog"
    np.testing.assert_allclose(found["box"], [36, 18, 564, 282], atol=0.2)


def test_vgg16_in_safetensors_starts_a_training(capsys, tmp_path):
    """The file of 138 million numbers, of which most are holes on the disk."""
    header, at = {}, 0
    for name, shape in weight_names.torchvision_vgg16().items():
        end = at + 2 * int(np.prod(shape))
        header[name] = {"dtype": "F16", "shape": list(shape), "data_offsets": [at, end]}
        at = end
    text = json.dumps(header).encode()
    path, out = tmp_path / "vgg16.safetensors", tmp_path / "start.safetensors"
    with path.open("wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        file.truncate(8 + len(text) + at)
        file.seek(8 + len(text))
        file.write(np.full(3 * 3 * 3, 2, np.float16).tobytes())  # the first filter
    code, text, _ = run(capsys, "convert", path, "--model", "ssd300", "--out", out, "--half")
    assert code == 0
    for word in (
        "safetensors",
        "torchvision's names",
        "32, with 138,357,544 numbers",
        "30 arrays",
        "the ImageNet classifier (classifier.6)",
        "fc6 and fc7 thinned out from classifier.0.weight, classifier.0.bias, classifier.3.weight",
        "(123.67, 116.28, 103.53)",
        "a start for a training of ssd300",
    ):
        assert word in text
    model = build_model("ssd300", 2, np.random.default_rng(0))
    report = load_body(model, out)
    assert len(report.filled) == 30
    first = model.state()["segments.0.conv1_1.weight"]
    expected = np.broadcast_to(2 / (255 * np.array([0.229, 0.224, 0.225])), (3, 3, 3))
    np.testing.assert_allclose(first[..., 0], expected, rtol=1e-3)
    assert model.spec.input_mean == pytest.approx((123.675, 116.28, 103.53))


def test_a_model_of_this_project_is_written_again_at_half_the_size(capsys, rng, tmp_path):
    model = build_model("minissd", 2, rng, image_size=128, width=8)
    path, out = tmp_path / "a.safetensors", tmp_path / "b.safetensors"
    save_model(path, model, ("cat", "dog"))
    code, text, _ = run(capsys, "convert", path, "--out", out, "--half")
    assert code == 0
    assert "a model of minissd, 2 classes" in text
    assert load_model(out)[1] == ("cat", "dog")
    assert out.stat().st_size < 0.6 * path.stat().st_size
    code, text, _ = run(capsys, "info", "--weights", out)
    assert "a.safetensors, a model of minissd" in text


def test_a_run_becomes_a_model(capsys, rng, tmp_path):
    """Without the optimiser's state; and its checkpoint starts another training."""
    model = build_model("minissd", 2, rng, image_size=128, width=8)
    config = TrainConfig("somewhere", image_size=128, width=8)
    velocity = {"velocity": np.zeros(100_000, np.float32)}
    run_folder, out = tmp_path / "run", tmp_path / "m.safetensors"
    checkpoint = Checkpoint(model.state(), velocity, config, ("cat", "dog"), 1234)
    save_checkpoint(run_folder / "last.safetensors", checkpoint)
    code, text, _ = run(capsys, "convert", run_folder, "--out", out)
    assert code == 0
    assert "a checkpoint after 1,234 steps of minissd, 2 classes" in text
    loaded, names = load_model(out)
    assert names == ("cat", "dog")
    for name, array in model.state().items():
        np.testing.assert_array_equal(loaded.state()[name], array, err_msg=name)
    fresh = build_model("minissd", 5, np.random.default_rng(1), image_size=128, width=8)
    report = load_body(fresh, run_folder / "last.safetensors")
    assert {name.split(".")[0] for name in report.left} == {"heads"}
    np.testing.assert_array_equal(
        fresh.state()["segments.1.0.weight"], model.state()["segments.1.0.weight"]
    )


def faults(tmp_path):
    """Return what is asked for, and what the one line of the error says."""
    body = write_zip(
        tmp_path / "body.pth", tensors(weight_names.constant(weight_names.ssd_pytorch_body()))
    )
    whole = weight_names.constant(weight_names.ssd_pytorch())
    detector = write_zip(tmp_path / "det.pth", tensors(whole))
    evil = write_zip(tmp_path / "evil.pth", {"a": Call(Name("os", "system"), ("true",))})
    cut = tmp_path / "cut.pth"
    cut.write_bytes(detector.read_bytes()[:-30])
    other = tmp_path / "other.safetensors"
    save_file({"layer1.0.conv1.weight": np.zeros(3, np.float32)}, other)
    return {
        (evil,): "evil.pth: its pickle asks for os.system, which is not allowed",
        (cut,): "cut.pth: truncated or damaged zip archive",
        (tmp_path / "none.pth",): "none.pth: cannot be read (No such file or directory)",
        (other,): "other.safetensors: the names of its 1 tensors are of no family",
        (body,): "body.pth: a body without heads; name the --model",
        (body, "--model", "minissd"): "no use to minissd",
        (body, "--model", "ssd300", "--classes", "a,b"): "leave --classes out",
        (body, "--model", "ssd3"): "model: expected",
        (detector, "--model", "ssd512"): "predicts on 6 maps",
        (detector, "--classes", "a,b"): "knows 20 classes, but 2 names are given",
    }


def test_what_cannot_be_converted_is_refused_in_one_line_and_leaves_nothing(capsys, tmp_path):
    out = tmp_path / "out.safetensors"
    for words, fault in faults(tmp_path).items():
        code, text, error = run(capsys, "convert", *words, "--out", out)
        assert (code, text) == (2, ""), words
        assert error.startswith("minissd convert: error: ")
        assert fault in error
        assert error.count("\n") == 1
        assert not out.exists()


def test_a_file_does_not_replace_itself(capsys, tmp_path):
    path = tmp_path / "a.safetensors"
    save_file({"a": np.zeros(3)}, path)
    before = path.read_bytes()
    code, _, error = run(capsys, "convert", path, "--out", path)
    assert code == 2
    assert "is the file to be converted" in error
    assert path.read_bytes() == before


def test_detect_says_that_foreign_weights_must_be_converted(capsys, tmp_path):
    path = write_zip(tmp_path / "x.pth", tensors({"a": np.ones(2, np.float32)}))
    Image.new("RGB", (8, 8)).save(tmp_path / "p.png")
    code, _, error = run(capsys, "detect", tmp_path / "p.png", "--weights", path)
    assert code == 2
    assert "run: python -m minissd convert" in error
