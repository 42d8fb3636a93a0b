"""Layout changes proven on numbers: what a loaded layer answers is what the other framework's layer would, by hand."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import weight_names
from weight_files import tensors, write_caffe, write_zip

from minissd.errors import InputError
from minissd.models.blank import build_blank
from minissd.models.model_file import save_start
from minissd.models.spec import published_spec
from minissd.models.weights import load_body
from minissd.models.weights.formats import read_weights
from minissd.models.weights.load import fill
from minissd.models.weights.moves import thin_steps
from minissd.models.weights.recognise import recognise

WIDTH, FC = 2, 8


def narrow_spec(n_object_classes=2, **settings):
    """Return SSD300 with a few channels everywhere, so that random numbers for all of it are cheap."""
    extras = tuple(
        dataclasses.replace(e, squeeze=3, channels=4)
        for e in published_spec("ssd300").network.extras
    )
    network = dataclasses.replace(
        published_spec("ssd300").network, width=WIDTH, fc_channels=FC, extras=extras
    )
    spec = published_spec("ssd300")
    return dataclasses.replace(spec, n_object_classes=n_object_classes, network=network, **settings)


def narrow(rng, shapes):
    """Return random arrays for a file's names, with the channels of `narrow_spec`."""
    wide = {64: 2, 128: 4, 256: 8, 512: 16, 1024: FC, 4096: 4 * FC, 25088: 16 * 49}
    return {
        name: rng.standard_normal([wide.get(n, n) for n in shape]).astype(np.float32)
        for name, shape in shapes.items()
    }


def by_hand(image, weight, bias, row, column):
    """Correlate (C, H, W) with (K, C, 3, 3) at one place, zeros around the image: what Caffe and PyTorch compute."""
    answers = bias.astype(np.float64)
    for k in range(len(weight)):
        for c in range(len(image)):
            for i in range(3):
                for j in range(3):
                    y, x = row + i - 1, column + j - 1
                    if 0 <= y < image.shape[1] and 0 <= x < image.shape[2]:
                        answers[k] += float(weight[k, c, i, j]) * float(image[c, y, x])
    return answers


PLACES = [(0, 0), (0, 3), (2, 2), (5, 6)]  # corners, a border, the middle


def first_layer(model, photo):
    """Return conv1_1's answer (H, W, K) for a photograph (H, W, 3) uint8 RGB."""
    return model.segments[0].steps[0].forward(model.prepare(photo[None]))[0]


@pytest.mark.parametrize("old", [False, True], ids=["V2", "V1"])
def test_caffes_first_layer_reads_blue_first(rng, tmp_path, old):
    layers = {}
    for name, array in narrow(rng, flat(weight_names.caffe_body())).items():
        layers.setdefault(name.split(".")[0], []).append(array)
    model = build_blank(narrow_spec())
    load_body(model, write_caffe(tmp_path / "x.caffemodel", layers, old))
    photo = rng.integers(0, 256, (6, 7, 3), dtype=np.uint8)
    answer = first_layer(model, photo)
    blue_first = photo[..., ::-1].transpose(2, 0, 1) - np.array([104.0, 117, 123])[:, None, None]
    for row, column in PLACES:
        expected = by_hand(blue_first, *layers["conv1_1"], row, column)
        np.testing.assert_allclose(answer[row, column], expected, rtol=1e-4)


def flat(layers):
    return {f"{name}.{i}": shape for name, blobs in layers.items() for i, shape in enumerate(blobs)}


@pytest.mark.parametrize("input_std", [1.0, 58.0])
def test_torchvisions_normalisation_is_folded_in_exactly(rng, tmp_path, input_std):
    """At the borders too, where zeros stand for pixels of the mean's colour."""
    arrays = narrow(rng, weight_names.torchvision_vgg16())
    model = build_blank(narrow_spec(input_std=input_std))
    report = load_body(model, write_zip(tmp_path / "x.pth", tensors(arrays)))
    assert any("58.40, 57.12, 57.38" in change for change in report.changes)
    photo = rng.integers(0, 256, (6, 7, 3), dtype=np.uint8)
    answer = first_layer(model, photo)
    unit = photo.astype(np.float64) / 255
    normal = ((unit - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225]).transpose(2, 0, 1)
    for row, column in PLACES:
        weight, bias = arrays["features.0.weight"], arrays["features.0.bias"]
        expected = by_hand(normal, weight, bias, row, column)
        np.testing.assert_allclose(answer[row, column], expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("by_start", [False, True], ids=["file", "start"])
def test_a_network_may_keep_its_own_mean(rng, tmp_path, by_start):
    """Then the biases make up for it: exactly in the middle, nearly along the border."""
    path = write_zip(tmp_path / "x.pth", tensors(narrow(rng, weight_names.torchvision_vgg16())))
    exact, kept = build_blank(narrow_spec()), build_blank(narrow_spec(input_std=4.0))
    report = load_body(exact, path)
    if by_start:
        path = tmp_path / "start.safetensors"
        save_start(path, exact, report.filled)
    load_body(kept, path, keep_mean=True)
    assert kept.spec == narrow_spec(input_std=4.0)
    assert exact.spec.input_mean != kept.spec.input_mean
    photo = rng.integers(0, 256, (6, 7, 3), dtype=np.uint8)
    answers = [first_layer(model, photo) for model in (exact, kept)]
    np.testing.assert_allclose(answers[0][1:-1, 1:-1], answers[1][1:-1, 1:-1], rtol=1e-4, atol=1e-4)
    assert 1e-4 < np.abs(answers[0] - answers[1]).max() < 0.2


def test_a_network_with_batch_norm_has_no_place_for_biases(rng, tmp_path):
    path = write_zip(tmp_path / "x.pth", tensors(narrow(rng, weight_names.torchvision_vgg16())))
    spec = narrow_spec()
    network = dataclasses.replace(spec.network, batch_norm=True)
    model = build_blank(dataclasses.replace(spec, network=network))
    with pytest.raises(InputError, match="has batch norm in place of biases"):
        load_body(model, path)


def test_fc6_and_fc7_are_thinned_out_as_the_paper_does(rng, tmp_path):
    arrays = narrow(rng, weight_names.torchvision_vgg16())
    model = build_blank(narrow_spec())
    load_body(model, write_zip(tmp_path / "x.pth", tensors(arrays)))
    state = model.state()
    whole = arrays["classifier.0.weight"].reshape(
        4 * FC, 16, 7, 7
    )  # flattened as channel, row, column
    for k in range(FC):
        assert state["segments.1.fc6.bias"][k] == arrays["classifier.0.bias"][4 * k]
        for i in range(3):
            for j in range(3):
                ours = state["segments.1.fc6.weight"][i, j, :, k]
                np.testing.assert_array_equal(ours, whole[4 * k, :, 3 * i, 3 * j])
    fc7 = arrays["classifier.3.weight"]
    np.testing.assert_array_equal(state["segments.1.fc7.weight"][0, 0], fc7[::4, ::4].T)


def test_steps_of_thinning():
    assert thin_steps((4096, 25088), (1024, 512, 3, 3)) == ((4096, 512, 7, 7), (4, 1, 3, 3))
    assert thin_steps((4096, 4096), (1024, 1024, 1, 1)) == ((4096, 4096, 1, 1), (4, 4, 1, 1))
    assert thin_steps((4096, 25088), (4096, 512, 7, 7)) == ((4096, 512, 7, 7), (1, 1, 1, 1))
    assert thin_steps((4096,), (1024,)) == ((4096,), (4,))
    for shape, wanted in [
        ((4096, 25087), (1024, 512, 3, 3)),
        ((4096, 512, 6, 6), (1024, 512, 3, 3)),
        ((1000,), (1024,)),
        ((1025,), (1024,)),
        ((4096, 4096, 3, 3), (1024, 1024, 1, 1)),
        ((4096, 25088, 1), (1024, 512, 3, 3)),
    ]:
        assert thin_steps(shape, wanted) is None


def test_a_pair_of_head_convolutions_answers_as_one(rng, tmp_path):
    """Every box shape, class and offset at its place, on a map of 3x3 cells."""
    shapes = weight_names.ssd_pytorch(3)
    for i, inputs in enumerate((16, FC, 4, 4, 4, 4)):
        for head, each in ("conf", 3), ("loc", 4):
            boxes = (4, 6, 6, 6, 4, 4)[i]
            shapes[f"{head}.{i}.weight"] = (boxes * each, inputs, 3, 3)
    arrays = narrow(rng, with_narrow_extras(shapes))
    file = read_weights(write_zip(tmp_path / "x.pth", tensors(arrays)))
    model = build_blank(narrow_spec())
    fill(model, file, recognise(file), heads=True)
    features = rng.standard_normal((1, 3, 3, 4)).astype(np.float32)
    rows = model.heads[3].forward(features).reshape(3, 3, 6, 3 + 4)
    for row, column in [(0, 0), (1, 1), (2, 1)]:
        there = features[0].transpose(2, 0, 1)
        scores = by_hand(there, arrays["conf.3.weight"], arrays["conf.3.bias"], row, column)
        offsets = by_hand(there, arrays["loc.3.weight"], arrays["loc.3.bias"], row, column)
        expected = np.concatenate([scores.reshape(6, 3), offsets.reshape(6, 4)], axis=1)
        np.testing.assert_allclose(rows[row, column], expected, rtol=1e-4, atol=1e-5)


def with_narrow_extras(shapes):
    inputs = FC
    for i in range(0, 8, 2):
        shapes[f"extras.{i}.weight"], shapes[f"extras.{i}.bias"] = (3, inputs, 1, 1), (3,)
        shapes[f"extras.{i + 1}.weight"], shapes[f"extras.{i + 1}.bias"] = (4, 3, 3, 3), (4,)
        inputs = 4
    return shapes


def test_convolutions_behind_the_first_keep_their_channels(rng, tmp_path):
    arrays = narrow(rng, weight_names.ssd_pytorch_body())
    model = build_blank(narrow_spec())
    load_body(model, write_zip(tmp_path / "x.pth", tensors(arrays)))
    x = rng.standard_normal((1, 6, 7, 16)).astype(np.float32)
    layer = dict(model.layers())["segments.1.conv5_2"]
    answer = layer.forward(x)[0]
    for row, column in PLACES:
        theirs = arrays["26.weight"], arrays["26.bias"]
        expected = by_hand(x[0].transpose(2, 0, 1), *theirs, row, column)
        np.testing.assert_allclose(answer[row, column], expected, rtol=1e-4, atol=1e-4)
