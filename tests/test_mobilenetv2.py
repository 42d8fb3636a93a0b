"""MobileNetV2 as SSD's body: its sizes, the names of published weights, and what loading does to the first layer."""

from __future__ import annotations

import numpy as np
import pytest
from safetensors.numpy import save_file

from minissd.models.build import build_model
from minissd.models.mobilenetv2 import (
    block_table,
    torchvision_names,
)
from minissd.models.spec import IMAGENET_MEAN, IMAGENET_STD
from minissd.models.weights import load_body
from minissd.nn import BatchNorm2d, Conv2d, Residual
from minissd.nn.losses import softmax


@pytest.fixture(scope="module")
def model():
    return build_model("ssd-mobilenetv2", 20, np.random.default_rng(0))


def published_state(model, rng):
    """Return made-up weights under torchvision's names, in its layout."""
    layers = dict(model.layers())
    state = {"classifier.1.weight": np.zeros((1000, 1280), np.float32)}  # is left aside
    for theirs, ours in torchvision_names():
        layer = layers[ours]
        if isinstance(layer, Conv2d):
            kh, kw, c, k = layer.weight.value.shape
            state[f"{theirs}.weight"] = rng.standard_normal((k, c, kh, kw)).astype(np.float32)
        else:
            for name in ("weight", "bias", "running_mean", "running_var"):
                state[f"{theirs}.{name}"] = rng.uniform(0.5, 1, layer.channels).astype(np.float32)
            state[f"{theirs}.num_batches_tracked"] = np.array(1)
    return state


def test_blocks_are_those_of_the_papers_table():
    table = block_table()
    assert len(table) == 17
    assert sum(block.has_detour for block in table) == 10
    assert [block.channels for block in table][-1] == 320
    assert np.prod([block.stride for block in table]) * 2 == 32


def test_numbers_of_the_network(model):
    sizes = {name: p.value.size for name, p in model.parameters().items()}
    body = sum(
        n
        for name, n in sizes.items()
        if name.startswith(("segments.0", "segments.1", "segments.2"))
    )
    # torchvision's mobilenet_v2 has 3,504,872 parameters, 1,281,000 of them in the classifier and
    # 320 * 1280 + 2 * 1280 in features.18.
    assert body == 3_504_872 - 1_281_000 - 320 * 1280 - 2 * 1280
    assert model.spec.n_default_boxes == 28**2 * 4 + 14**2 * 6 + 7**2 * 6 + 4**2 * 6 + 2**2 * 4
    assert sum(sizes.values()) == 3_290_698


def test_maps_have_the_sizes_of_the_default_boxes(model):
    scores, offsets = model.eval().forward(np.zeros((1, 224, 224, 3), np.float32))
    assert scores.shape == (1, 4718, 21)
    assert offsets.shape == (1, 4718, 4)


def test_another_size_is_refused(rng):
    with pytest.raises(ValueError, match="224"):
        build_model("ssd-mobilenetv2", 3, rng, image_size=160)


def test_every_layer_with_weights_has_its_published_name(model):
    named = {ours for _, ours in torchvision_names()}
    body = {
        name
        for name, layer in model.layers()
        if isinstance(layer, (Conv2d, BatchNorm2d)) and name.split(".")[1] in "012"
        if name.startswith("segments")
    }
    assert named == body
    theirs = [theirs for theirs, _ in torchvision_names()]
    assert len(set(theirs)) == len(theirs) == 102
    assert theirs[:4] == [
        "features.0.0",
        "features.0.1",
        "features.1.conv.0.0",
        "features.1.conv.0.1",
    ]
    assert theirs[-2:] == ["features.17.conv.2", "features.17.conv.3"]


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    """Return made-up weights under the published names, and the file that holds them."""
    model = build_model("ssd-mobilenetv2", 20, np.random.default_rng(0))
    state = published_state(model, np.random.default_rng(1))
    path = tmp_path_factory.mktemp("published") / "mobilenet_v2.safetensors"
    save_file(state, path)
    return state, path


def test_published_weights_arrive_where_they_belong(model, published):
    state, path = published
    load_body(model, path)
    layers = dict(model.layers())
    wide = layers["segments.1.0"]  # features.7: the first block of the second segment
    theirs = state["features.7.conv.1.0.weight"]  # (K, 1, 3, 3), depthwise
    np.testing.assert_array_equal(wide.steps[3].weight.value[1, 2, 0], theirs[:, 0, 1, 2])
    assert isinstance(layers["segments.1.1"], Residual)
    np.testing.assert_array_equal(
        layers["segments.1.1.body.7"].running_var, state["features.8.conv.3.running_var"]
    )


def test_the_first_layer_makes_up_for_the_scale_of_the_channels(model, published, rng):
    """A picture through our preparation and first layer is one through torchvision's normalisation and theirs."""
    state, path = published
    load_body(model, path)
    picture = rng.integers(0, 256, (1, 224, 224, 3), dtype=np.uint8)
    first = dict(model.layers())["segments.0.0.0"]
    ours = first.forward(model.prepare(picture))
    theirs = Conv2d(3, 32, 3, 2, 1, bias=False, rng=rng, dtype=np.float64)
    theirs.weight.value[...] = state["features.0.0.weight"].transpose(2, 3, 1, 0)
    expected = theirs.forward((picture - np.array(IMAGENET_MEAN)) / IMAGENET_STD)
    np.testing.assert_allclose(ours, expected, rtol=1e-4, atol=1e-4)


def test_untrained_heads_expect_as_much_background_as_mining_will_give_them(rng):
    """Three negatives to a positive: the class loss starts where a network that ignores the picture ends."""
    model = build_model("ssd-mobilenetv2", 20, rng).eval()
    scores, _ = model.forward(model.prepare(rng.integers(0, 256, (1, 224, 224, 3), dtype=np.uint8)))
    background = softmax(scores)[..., 0]
    assert background.mean() == pytest.approx(0.75, abs=0.05)  # without it: 1 / 21
