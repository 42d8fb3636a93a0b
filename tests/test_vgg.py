"""SSD on VGG16: the published networks' counts, maps and names, and the tap of conv4_3."""

import dataclasses
import re

import numpy as np
import pytest
from narrow import narrow
from network_gradient import check_network_gradient

from minissd.backend import to_cpu
from minissd.boxes.default_boxes import FeatureMap
from minissd.models.build import build_from_spec, build_model
from minissd.models.network import ExtraMap, Network
from minissd.models.spec import ABLATIONS, FROM_SCRATCH, PUBLISHED, DetectorSpec
from minissd.models.summary import boxes_table, layer_table
from minissd.models.trace import trace
from minissd.models.vgg import head_names, layer_names
from minissd.nn import Conv2d, GlobalAvgPool, MaxPool2d

N_PARAMETERS = {
    "ssd300": 26_285_486,
    "ssd300-coco": 34_305_206,
    "ssd300-torchvision": 35_641_826,
    "ssd512": 27_188_676,
    "ssd512-coco": 36_038_196,
    "ssd300-v1": 26_072_697,
    "ssd500-v1": 26_746_511,  # not published: VGG16, five more blocks, and heads by the same rules
}

N_BOXES = {"ssd512": 24564, "ssd512-coco": 24564, "ssd300-v1": 7308, "ssd500-v1": 20097}


@pytest.fixture(scope="module", params=N_PARAMETERS)
def published(request):
    """Each published network once, at full width."""
    return build_model(request.param, None, np.random.default_rng(0))


def test_every_published_configuration_is_counted_here():
    assert set(N_PARAMETERS) == set(PUBLISHED)


def test_number_of_parameters(published):
    n_parameters = sum(p.value.size for p in published.parameters().values())
    assert n_parameters == N_PARAMETERS[published.spec.name]
    assert sum(row.n_parameters for row in trace(published)) == n_parameters


def test_batch_norm_takes_the_place_of_the_biases():
    """A scale and a shift for each of the 8,192 filters of body and extra maps, where there was a bias."""
    model = build_model("ssd300-bn", None, np.random.default_rng(0))
    parameters = model.parameters()
    assert sum(p.value.size for p in parameters.values()) == N_PARAMETERS["ssd300"] + 8192
    plain = set(build_model("ssd300", None, np.random.default_rng(0)).parameters())
    gone, new = plain - parameters.keys(), parameters.keys() - plain
    normed = {name.removesuffix(".bias") for name in gone}
    assert gone == {f"{name}.bias" for name in normed}
    assert not any(name.startswith("heads.") for name in gone)
    norms = {name.replace("conv", "bn").replace("fc", "bn") for name in normed}
    assert new == {f"{name}.{part}" for name in norms for part in ("gamma", "beta")}
    assert not any(parameters[name].decay for name in new)
    names = list(dict(model.segments[0].children()))
    assert names[:4] == ["conv1_1", "bn1_1", "relu1_1", "conv1_2"]
    assert names[-3:] == ["conv4_3", "bn4_3", "relu4_3"]
    assert list(dict(model.segments[2].children()))[:3] == ["conv6_1", "bn6_1", "relu6_1"]


def test_batch_norm_is_all_that_makes_ssd300_bn_another_network():
    ours, plain = FROM_SCRATCH["ssd300-bn"], PUBLISHED["ssd300"]
    fields = {"batch_norm": False, "head_gain": 1.0, "background_prior": None}
    network = dataclasses.replace(ours.network, **fields)
    assert dataclasses.replace(ours, name="ssd300", network=network) == plain


def test_the_maps_are_those_of_the_spec(published):
    shapes = {row.name: row.view.shape for row in trace(published)}
    for i, feature_map in enumerate(published.spec.maps):
        filters = feature_map.boxes_per_cell * (published.spec.n_object_classes + 5)
        assert shapes[f"heads.{i}"] == (feature_map.size, feature_map.size, filters)


def test_the_tables_that_info_prints(published):
    text = f"{layer_table(published)}\n\n{boxes_table(published.spec)}"
    assert max(map(len, text.splitlines())) <= 100
    name = published.spec.name
    assert re.search(rf"^total +{N_PARAMETERS[name]:,} ", text, re.MULTILINE)
    assert f"{name}: {N_BOXES.get(name, 8732):,} default boxes" in text
    assert not re.search(r"\bnan\b|\binf\b", text)


def test_names_lead_to_every_parameter(published):
    named = layer_names(published.spec) + head_names(published.spec)
    prefixes = [prefix for _, prefix in named]
    assert len(set(prefixes)) == len(prefixes)
    assert set(prefixes) == {name.rpartition(".")[0] for name in published.parameters()}


def test_biases_and_scales_do_not_decay(published):
    for name, parameter in published.parameters().items():
        assert parameter.decay == name.endswith(".weight"), name
        assert parameter.value.dtype == np.float32, name


def test_names_of_ssd300():
    names = dict(layer_names(PUBLISHED["ssd300"]))
    assert names["conv1_1"] == "segments.0.conv1_1"
    assert names["conv4_3"] == "segments.0.conv4_3"
    assert names["conv5_1"] == "segments.1.conv5_1"
    assert names["fc7"] == "segments.1.fc7"
    assert names["conv6_1"] == "segments.2.conv6_1"
    assert names["conv9_2"] == "segments.5.conv9_2"
    assert names["conv4_3_norm"] == "taps.0"
    assert len(names) == 13 + 2 + 8 + 1
    heads = [name for name, _ in head_names(PUBLISHED["ssd300"])]
    assert heads == ["conv4_3_norm", "fc7", "conv6_2", "conv7_2", "conv8_2", "conv9_2"]
    assert head_names(PUBLISHED["ssd500-v1"])[-1] == ("pool6", "heads.6")


@pytest.mark.parametrize(
    "name", ["ssd300", "ssd512", "ssd300-v1", "ssd500-v1", "ssd300-full-vgg", "ssd300-bn"]
)
def test_every_network_runs_at_its_own_size(name, rng):
    """With few channels; `forward` itself refuses a map of another size than the spec's."""
    spec = narrow((PUBLISHED | ABLATIONS | FROM_SCRATCH)[name], width=1)
    model = build_from_spec(spec, rng).eval()
    scores, offsets = model.forward(np.zeros((1, spec.image_size, spec.image_size, 3), np.float32))
    assert scores.shape == (1, spec.n_default_boxes, 21)
    assert offsets.shape == (1, spec.n_default_boxes, 4)


def layers_of(spec, kind):
    model = build_from_spec(narrow(spec), np.random.default_rng(0))
    return {
        name.rpartition(".")[2]: layer for name, layer in model.layers() if isinstance(layer, kind)
    }


def test_poolings_that_round_up():
    """500 -> 250 -> 125 -> 63 -> 32 in the authors' code; rounding down it would be 62 and 31."""
    spec = narrow(PUBLISHED["ssd500-v1"])
    up = {
        row.name: row.view.shape[0]
        for row in trace(build_from_spec(spec, np.random.default_rng(0)))
    }
    assert (up["segments.0.pool3"], up["segments.1.pool4"]) == (63, 32)
    spec = narrow(PUBLISHED["ssd500-v1"], ceil_pools=())
    down = {
        row.name: row.view.shape[0]
        for row in trace(build_from_spec(spec, np.random.default_rng(0)))
    }
    assert (down["segments.0.pool3"], down["segments.1.pool4"]) == (62, 31)
    pools = layers_of(PUBLISHED["ssd300-torchvision"], MaxPool2d)
    assert [name for name, pool in pools.items() if pool.ceil_mode] == ["pool3"]


def test_fc6_and_pool5_with_and_without_dilation():
    convs, pools = layers_of(PUBLISHED["ssd300"], Conv2d), layers_of(PUBLISHED["ssd300"], MaxPool2d)
    fc6, pool5 = convs["fc6"].shape, pools["pool5"].shape
    assert (fc6.kernel, fc6.dilation, fc6.padding) == ((3, 3), (6, 6), (6, 6))
    assert (pool5.kernel, pool5.stride, pool5.padding) == ((3, 3), (1, 1), (1, 1))
    full = ABLATIONS["ssd300-full-vgg"]
    convs, pools = layers_of(full, Conv2d), layers_of(full, MaxPool2d)
    fc6, pool5 = convs["fc6"].shape, pools["pool5"].shape
    assert (fc6.kernel, fc6.dilation, fc6.padding) == ((7, 7), (1, 1), (3, 3))
    assert (pool5.kernel, pool5.stride, pool5.padding) == ((2, 2), (2, 2), (0, 0))
    assert [name for name, _ in head_names(full)][:3] == ["conv4_3_norm", "conv5_3", "fc7"]
    assert full.network.fc_channels == 4096
    assert full.maps == PUBLISHED["ssd300"].maps


def test_only_the_early_versions_end_in_a_global_average():
    for name, spec in PUBLISHED.items():
        averaging = [*layers_of(spec, GlobalAvgPool)]
        assert averaging == (["pool6"] if name.endswith("-v1") else []), name


def test_only_the_first_layer_leaves_out_the_gradient_of_its_input():
    without = [
        n for n, conv in layers_of(PUBLISHED["ssd300"], Conv2d).items() if not conv.input_gradient
    ]
    assert without == ["conv1_1"]


def test_first_weights():
    """He for VGG16, Caffe's Xavier (fan in) for extra maps and heads, torchvision's (average) for its variant."""
    model = build_from_spec(narrow(PUBLISHED["ssd300"], width=8), np.random.default_rng(0))
    weights = model.parameters()
    conv = weights["segments.1.conv5_1.weight"].value
    assert conv.std() == pytest.approx(np.sqrt(2 / (9 * 64)), rel=0.05)
    extra = weights["segments.2.conv6_2.weight"].value  # 8 -> 16 channels
    assert np.abs(extra).max() == pytest.approx(np.sqrt(3 / (9 * 8)), rel=0.02)
    head = weights["heads.0.weight"].value
    assert np.abs(head).max() == pytest.approx(np.sqrt(3 / (9 * 64)), rel=0.02)
    assert (weights["taps.0.scale"].value == 20).all()
    model = build_from_spec(
        narrow(PUBLISHED["ssd300-torchvision"], width=8), np.random.default_rng(0)
    )
    extra = model.parameters()["segments.2.conv6_2.weight"].value
    assert np.abs(extra).max() == pytest.approx(np.sqrt(3 / (9 * 12)), rel=0.02)


def tiny_spec(**fields) -> DetectorSpec:
    """VGG16 with 2 channels on 65 pixels (odd at every pooling): maps of 9, 5, 3 and 1 cells."""
    maps = tuple(
        FeatureMap(size, 65 / size, low, high, (2.0,))
        for size, low, high in ((9, 8, 16), (5, 16, 30), (3, 30, 45), (1, 45, 60))
    )
    network = Network(
        width=2, fc_channels=6, fc6_dilation=2, extras=(ExtraMap(4, 5, 3, 2, 1), ExtraMap(3, 5))
    )
    spec = DetectorSpec("tiny", 65, maps, 3, network=network)
    return dataclasses.replace(spec, network=dataclasses.replace(network, **fields))


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"norm_rule": "floor", "norm_eps": 1e-12, "ceil_pools": (1, 2, 3, 4)},
        {"norm_rule": "outside", "extras": (ExtraMap(4, 5, 3, 2, 1),), "global_average": True},
        {
            "sources": ("conv4_3", "conv5_3", "fc7"),
            "pool5": (2, 2, 0),
            "fc6_kernel": 5,
            "extras": (ExtraMap(3, 5),),
        },
        {"batch_norm": True},
    ],
    ids=["caffe", "torchvision", "global average", "full VGG16", "batch norm"],
)
def test_gradient_of_the_whole_network(fields, rng):
    """Batch norm needs more than two images: of two, a map of one cell leaves it no slope."""
    n_images = 5 if fields.get("batch_norm") else 2
    check_network_gradient(build_from_spec(tiny_spec(**fields), rng), rng, n_images)


def test_the_trunk_goes_on_from_the_map_before_its_tap(rng):
    model = build_from_spec(tiny_spec(), rng)
    x = rng.standard_normal((1, 65, 65, 3)).astype(np.float32)
    before, _ = model.forward(x)
    model.taps[0].scale.value *= 3
    after, _ = model.forward(x)
    first = model.spec.maps[0].n_boxes
    assert np.abs(after[:, :first] - before[:, :first]).max() > 0.1
    np.testing.assert_array_equal(after[:, first:], before[:, first:])


@pytest.mark.parametrize("batch_norm", [False, True])
def test_a_tap_on_a_device(xp, rng, batch_norm):
    model = build_from_spec(tiny_spec(batch_norm=batch_norm), rng)
    x = rng.standard_normal((2, 65, 65, 3)).astype(np.float32)
    upstream = [rng.standard_normal(part.shape).astype(np.float32) for part in model.forward(x)]
    model.backward(*upstream)
    expected = model.taps[0].scale.grad.copy()
    model.zero_grad()
    model.to(xp)
    model.forward(xp.asarray(x))
    assert model.backward(*(xp.asarray(part) for part in upstream)) is None
    np.testing.assert_allclose(to_cpu(model.taps[0].scale.grad), expected, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("sources", [("conv4_4", "fc7"), ("fc7", "conv4_3"), ("fc7", "fc7"), ()])
def test_sources_that_vgg_does_not_have(sources, rng):
    spec = tiny_spec(sources=sources, normalised=())
    with pytest.raises(ValueError, match="sources: expected layers of VGG16 in their order"):
        build_from_spec(spec, rng)


def test_a_network_with_another_number_of_maps_than_the_spec_is_refused(rng):
    with pytest.raises(ValueError, match="trunk: expected 4 segments, got 3"):
        build_from_spec(tiny_spec(extras=(ExtraMap(4, 5, 3, 2, 1),)), rng)
