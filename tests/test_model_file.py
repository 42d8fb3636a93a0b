"""The project's own model file: what goes in comes out, alone; what is damaged is refused by name."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest
from narrow import narrow
from safetensors import safe_open
from safetensors.numpy import save_file

from minissd.commands.common import open_detector
from minissd.errors import InputError
from minissd.models.blank import Zeros, build_blank
from minissd.models.build import SPECS, build_from_spec, build_model, model_spec
from minissd.models.model_file import (
    load_model,
    model_source,
    save_model,
    save_start,
)
from minissd.models.spec_json import spec_from_json, spec_to_json
from minissd.models.weights import load_body

NAMES = ("cat", "dog")


@pytest.fixture
def model(rng):
    model = build_model("minissd", 2, rng, image_size=128, width=8)
    model.segments[0].steps[1].running_mean += 0.5  # a buffer that is not as new
    return model


def test_comes_back_as_it_was(model, rng, tmp_path):
    model.spec = dataclasses.replace(model.spec, input_mean=(1.5, 2.5, 3.25), score_floor=0.03)
    save_model(tmp_path / "m.safetensors", model, NAMES, "drawn at random")
    loaded, names = load_model(tmp_path / "m.safetensors")
    assert (loaded.spec, names, loaded.training) == (model.spec, NAMES, False)
    before, after = model.state(), loaded.state()
    assert before.keys() == after.keys()
    for name, array in before.items():
        np.testing.assert_array_equal(after[name], array, err_msg=name)
    x = loaded.prepare(rng.integers(0, 256, (1, 128, 128, 3), dtype=np.uint8))
    for ours, theirs in zip(loaded.forward(x), model.eval().forward(x), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    assert model_source(tmp_path / "m.safetensors") == "drawn at random"


def test_batch_norm_in_vgg_comes_back(rng, tmp_path):
    """The field that makes it, and the running statistics."""
    model = build_from_spec(narrow(model_spec("ssd300-bn", 2)), rng)
    statistics = [
        name for name in model.state() if name.endswith((".running_mean", ".running_var"))
    ]
    assert len(statistics) == 2 * (15 + 8)
    for name, array in model.state().items():
        if name in statistics:
            array += rng.uniform(0.5, 1, array.shape).astype(np.float32)
    save_model(tmp_path / "m.safetensors", model, NAMES)
    loaded, _ = load_model(tmp_path / "m.safetensors")
    assert loaded.spec == model.spec
    assert loaded.spec.network.batch_norm
    for name, array in model.state().items():
        np.testing.assert_array_equal(loaded.state()[name], array, err_msg=name)


def test_half_precision_is_stored_and_float32_is_used(model, tmp_path):
    save_model(tmp_path / "whole.safetensors", model, NAMES)
    save_model(tmp_path / "half.safetensors", model, NAMES, dtype=np.float16)
    sizes = [(tmp_path / f"{name}.safetensors").stat().st_size for name in ("whole", "half")]
    assert sizes[1] < 0.6 * sizes[0]
    loaded, _ = load_model(tmp_path / "half.safetensors")
    for name, array in loaded.state().items():
        assert array.dtype == np.float32
        before = model.state()[name]
        kept = before.astype(np.float16) if before.ndim > 1 else before
        np.testing.assert_array_equal(array, kept, err_msg=name)


def test_a_number_too_large_for_half_precision_is_refused(model, tmp_path):
    model.heads[0].weight.value[0, 0, 0, 0] = 7e4
    with pytest.raises(ValueError, match=r"heads\.0\.weight: expected numbers that float16 can"):
        save_model(tmp_path / "m.safetensors", model, NAMES, dtype=np.float16)
    assert list(tmp_path.iterdir()) == []


def test_names_must_be_as_many_as_classes(model, tmp_path):
    with pytest.raises(ValueError, match="class_names: expected 2 names"):
        save_model(tmp_path / "m.safetensors", model, ("cat",))


@pytest.mark.parametrize("name", SPECS)
def test_every_configuration_survives_as_text(name):
    spec = model_spec(name)
    assert spec_from_json(spec_to_json(spec)) == spec


@pytest.mark.parametrize("text", ["", "[]", "{}", "null", '{"maps": 3}', "[" * 100_000])
def test_a_text_that_is_no_configuration_is_refused(text):
    with pytest.raises(ValueError):
        spec_from_json(text)


def test_a_configuration_of_another_version_is_refused():
    fields = json.loads(spec_to_json(model_spec("ssd300")))
    with pytest.raises(ValueError, match="not a configuration of this version"):
        spec_from_json(json.dumps(fields | {"anchors": 9}))


def rewrite(path, **changes):
    with safe_open(path, framework="np") as file:
        metadata = file.metadata() | changes
        arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    save_file(arrays, path, {key: text for key, text in metadata.items() if text is not None})


@pytest.mark.parametrize(
    "changes, fault",
    [
        ({"format": "minissd-model-2"}, "not a model of minissd"),
        ({"spec": "{}"}, "its configuration is damaged"),
        ({"spec": None}, "its configuration is damaged"),
        ({"class_names": '["cat"]'}, "1 class names for 2 classes"),
        ({"class_names": "[1, 2]"}, "header of the model is damaged"),
        ({"class_names": "[" * 100_000}, "header of the model is damaged"),
        ({"class_names": None}, "header of the model is damaged"),
    ],
)
def test_a_damaged_header_is_refused(model, changes, fault, tmp_path):
    path = tmp_path / "m.safetensors"
    save_model(path, model, NAMES)
    rewrite(path, **changes)
    with pytest.raises(InputError, match=rf"m\.safetensors: .*{fault}"):
        load_model(path)


def test_weights_of_another_network_are_refused(model, rng, tmp_path):
    path = tmp_path / "m.safetensors"
    save_model(path, model, NAMES)
    spec = build_model("minissd", 2, rng, image_size=128, width=16).spec
    rewrite(path, spec=spec_to_json(spec))
    with pytest.raises(InputError, match=r"m\.safetensors: .*has shape"):
        load_model(path)


@pytest.mark.parametrize("keep", [0, 4, 100, -1])
def test_a_truncated_file_is_refused_by_name(model, tmp_path, keep):
    path = tmp_path / "m.safetensors"
    save_model(path, model, NAMES)
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(InputError, match=r"m\.safetensors: "):
        load_model(path)
    with pytest.raises(InputError, match=r"m\.safetensors: truncated or damaged"):
        open_detector(path, "cpu")


def test_commands_open_a_model_as_they_open_a_checkpoint(model, tmp_path):
    save_model(tmp_path / "m.safetensors", model, NAMES)
    detector, checkpoint = open_detector(tmp_path / "m.safetensors", "cpu")
    assert (detector.class_names, checkpoint) == (NAMES, None)
    assert len(detector.detect(np.zeros((1, 128, 128, 3), np.uint8))) == 1


def test_a_start_fills_a_part_and_is_no_detector(model, rng, tmp_path):
    path = tmp_path / "start.safetensors"
    body = [name for name in model.state() if name.startswith("segments.0.")]
    model.spec = dataclasses.replace(model.spec, input_mean=(1.0, 2.0, 3.0))
    save_start(path, model, body)
    with pytest.raises(InputError, match="a start for a training, not a trained network"):
        open_detector(path, "cpu")
    fresh = build_model("minissd", 5, rng, image_size=128, width=8)
    untouched = fresh.state()
    report = load_body(fresh, path)
    assert report.filled == body
    assert fresh.spec.input_mean == (1.0, 2.0, 3.0)
    for name, array in fresh.state().items():
        source = model.state() if name in body else untouched
        np.testing.assert_array_equal(array, source[name], err_msg=name)


def test_a_model_starts_one_with_other_classes(model, rng, tmp_path):
    save_model(tmp_path / "m.safetensors", model, NAMES)
    fresh = build_model("minissd", 5, rng, image_size=128, width=8)
    report = load_body(fresh, tmp_path / "m.safetensors")
    assert {name.split(".")[0] for name in report.left} == {"heads"}
    assert set(report.ignored.values()) == {"heads"}
    wide = build_model("minissd", 5, rng, image_size=128, width=16)
    with pytest.raises(InputError, match=r"segments\.0\.0\.weight has shape"):
        load_body(wide, tmp_path / "m.safetensors")


def test_a_blank_network_has_the_shapes_of_a_fresh_one(rng):
    fresh = build_model("minissd", 2, rng, image_size=128, width=8).state()
    blank = build_blank(model_spec("minissd", 2, image_size=128, width=8)).state()
    assert {n: (a.shape, a.dtype) for n, a in fresh.items()} == {
        n: (a.shape, a.dtype) for n, a in blank.items()
    }
    assert not any(array.any() for name, array in blank.items() if name.endswith("weight"))
    assert not Zeros().uniform(1, 2, (3,)).any()
