"""Models by name."""

import dataclasses

import numpy as np
import pytest
from narrow import narrow

from minissd.models.build import (
    BODIES,
    SPECS,
    build_from_spec,
    build_minissd,
    build_model,
    model_spec,
)
from minissd.models.spec import ABLATIONS, FROM_SCRATCH, PUBLISHED


def test_every_published_name_is_a_model():
    assert {"minissd", *PUBLISHED, *ABLATIONS, *FROM_SCRATCH} <= set(SPECS)
    for name, spec in (PUBLISHED | ABLATIONS | FROM_SCRATCH).items():
        assert model_spec(name) == spec
        assert spec.network.body in BODIES


def test_minissd_by_name_is_the_one_of_its_own_function():
    ours = build_minissd(3, 96, np.random.default_rng(7), width=4)
    named = build_model("minissd", 3, np.random.default_rng(7), image_size=96, width=4)
    assert named.spec == ours.spec
    for name, value in ours.state().items():
        np.testing.assert_array_equal(named.state()[name], value, err_msg=name)


def test_sizes_and_classes_of_their_own():
    assert (model_spec("minissd").image_size, model_spec("minissd").n_object_classes) == (160, 6)
    assert model_spec("minissd", image_size=128, width=8).network.width == 8
    spec = model_spec("ssd512-coco", 3, image_size=512)
    assert spec == dataclasses.replace(PUBLISHED["ssd512-coco"], n_object_classes=3)


def test_the_same_seed_gives_the_same_weights():
    spec = narrow(PUBLISHED["ssd300"])
    one, two, other = (build_from_spec(spec, np.random.default_rng(s)).state() for s in (1, 1, 2))
    assert all((one[name] == two[name]).all() for name in one)
    assert (one["segments.0.conv1_1.weight"] != other["segments.0.conv1_1.weight"]).any()


def test_what_there_is_not_is_refused(rng):
    with pytest.raises(ValueError, match=r"model: expected minissd \| ssd300 .*got 'ssd321'"):
        build_model("ssd321", None, rng)
    with pytest.raises(ValueError, match="image_size: expected 300, which is part of ssd300"):
        build_model("ssd300", None, rng, image_size=512)
    with pytest.raises(ValueError, match="n_object_classes: expected at least 1, got 0"):
        build_model("ssd300", 0, rng)
    spec = PUBLISHED["ssd300"]
    spec = dataclasses.replace(spec, network=dataclasses.replace(spec.network, body="vgg17"))
    with pytest.raises(ValueError, match=r"body: expected .*vgg16.*got 'vgg17'"):
        build_from_spec(spec, rng)
