"""What `info` shows: shapes on paper equal to those of a run, work and fields worked by hand, readable tables."""

import numpy as np
import pytest
from narrow import narrow

from minissd import cli
from minissd.models.build import build_from_spec, build_minissd
from minissd.models.spec import PUBLISHED
from minissd.models.summary import boxes_table, layer_table
from minissd.models.trace import Row, View, follow, trace
from minissd.nn import (
    BatchNorm2d,
    Conv2d,
    GlobalAvgPool,
    L2Normalize,
    Layer,
    Linear,
    MaxPool2d,
    ReLU,
    Residual,
    Sequential,
)


def shapes_of_a_run(model) -> dict[str, tuple[int, int, int]]:
    """Run an empty image through the network and note (height, width, channels) of every leaf's output, in order."""
    shapes = {}
    for name, layer in model.layers():
        if any(layer.children()):
            continue

        def forward(x, layer=layer, name=name):
            y = type(layer).forward(layer, x)
            shapes[name] = y.shape[1:]
            return y

        layer.forward = forward
        layer.joins = lambda after: False  # each by itself
    size = model.spec.image_size
    model.eval().forward(np.zeros((1, size, size, 3), np.float32))
    return shapes


@pytest.mark.parametrize("name", ["minissd", *PUBLISHED])
def test_shapes_on_paper_are_those_of_a_run(name, rng):
    if name == "minissd":
        model = build_minissd(3, 97, rng, width=2)
    else:
        model = build_from_spec(narrow(PUBLISHED[name], width=1), rng)
    rows = trace(model)
    assert [(row.name, row.view.shape) for row in rows] == [*shapes_of_a_run(model).items()]
    with_parameters = {name.rpartition(".")[0] for name in model.parameters()}
    assert with_parameters == {row.name for row in rows if row.n_parameters}


def last_row(layer: Layer, shape=(40, 40, 2)) -> Row:
    rows = []
    follow(layer, View(shape), "x", rows)
    return rows[-1]


def stacks(rng) -> dict[str, Layer]:
    def conv(kernel, stride=1, padding=0, dilation=1, groups=1):
        return Conv2d(2, 2, kernel, stride, padding, dilation, groups, rng=rng)

    return {
        "two 3x3": Sequential(conv(3, padding=1), ReLU(), conv(3, padding=1)),
        "stride, then 3x3": Sequential(conv(3, 2, 1), BatchNorm2d(2), conv(3, padding=1)),
        "pools, then dilation": Sequential(
            MaxPool2d(2), conv(3, padding=1, groups=2), MaxPool2d(3, 1, 1), conv(3, 1, 3, 3)
        ),
        "residual": Sequential(conv(7, 4, 3), Residual(conv(3, padding=1), L2Normalize(2))),
        "everything": Sequential(conv(3, 4), GlobalAvgPool()),
    }


@pytest.mark.parametrize("case", stacks(np.random.default_rng(0)))
def test_the_receptive_field_is_what_a_gradient_reaches(case, rng):
    """A pixel's gradient reaches exactly a square of that side, and the next pixel's is shifted by the stride.

    Pooling passes its gradient to the winner only; over sixty images every place of a window wins somewhere.
    """
    layer = stacks(rng)[case]
    layer.eval()
    for _, part in layer.layers():
        if isinstance(part, Conv2d):
            part.weight.value = np.abs(part.weight.value).astype(np.float64) + 0.1
    x = rng.uniform(0.1, 1, (60, 40, 40, 2))
    y = layer.forward(x)
    view = last_row(layer).view
    assert y.shape[1:] == view.shape
    spans = []
    for place in range(2 if y.shape[1] > 1 else 1):
        dy = np.zeros(y.shape)
        middle = y.shape[1] // 2 - 1 + place if y.shape[1] > 1 else 0
        dy[:, middle, middle] = rng.uniform(0.5, 1, dy[:, middle, middle].shape)
        layer.forward(x)
        reached = np.abs(layer.backward(dy)).sum(axis=(0, 2, 3)) > 0
        spans.append(np.flatnonzero(reached))
    assert spans[0][-1] - spans[0][0] + 1 == view.field
    if len(spans) == 2:
        assert spans[1][0] - spans[0][0] == view.stride


def test_work_by_hand(rng):
    row = last_row(Conv2d(4, 6, 3, 2, 1, groups=2, rng=rng), (9, 8, 4))
    assert row.view == View((5, 4, 6), 3, 2)
    assert row.macs == 5 * 4 * 6 * (3 * 3 * 2)
    assert row.n_parameters == 3 * 3 * 2 * 6 + 6
    assert row.activation_bytes == 4 * 5 * 4 * 6
    row = last_row(Linear(10, 7, rng=rng), (1, 1, 10))
    assert (row.macs, row.n_parameters, row.view.shape) == (70, 77, (1, 1, 7))
    assert last_row(ReLU()).macs == 0


def test_a_composition_that_is_not_known_is_named():
    class Strange(Layer):
        def __init__(self):
            self.inside = ReLU()

    with pytest.raises(TypeError, match="x: Strange is made of layers in an unknown way"):
        last_row(Strange())


SSD300 = [  # every convolution: side of its output, kernel, channels in and out
    *[(300, 3, 3, 64), (300, 3, 64, 64), (150, 3, 64, 128), (150, 3, 128, 128)],
    *[(75, 3, 128, 256), (75, 3, 256, 256), (75, 3, 256, 256)],
    *[(38, 3, 256, 512), (38, 3, 512, 512), (38, 3, 512, 512), (38, 3, 512, 4 * 25)],
    *[(19, 3, 512, 512)] * 3,
    *[(19, 3, 512, 1024), (19, 1, 1024, 1024), (19, 3, 1024, 6 * 25)],
    *[(19, 1, 1024, 256), (10, 3, 256, 512), (10, 3, 512, 6 * 25)],
    *[(10, 1, 512, 128), (5, 3, 128, 256), (5, 3, 256, 6 * 25)],
    *[(5, 1, 256, 128), (3, 3, 128, 256), (3, 3, 256, 4 * 25)],
    *[(3, 1, 256, 128), (1, 3, 128, 256), (1, 3, 256, 4 * 25)],
]


def info(capsys, *words) -> str:
    assert cli.main(["info", *words]) == 0
    return capsys.readouterr().out


def test_info_of_ssd300(capsys):
    out = info(capsys, "ssd300")
    rows = {line.split()[0]: line.split() for line in out.splitlines() if line}
    assert rows["segments.0.conv1_2"][1:] == [
        "Conv",
        "3x3",
        "300x300x64",
        "36,928",
        "6,635.5",
        "23.040",
        "5",
        "1",
    ]
    assert rows["segments.1.fc6"][1:] == (
        ["Conv", "3x3", "dilation", "6", "19x19x1024", "4,719,616", "3,406.8", "1.479", "420", "16"]
    )
    assert rows["segments.0.pool3"][1:] == ["MaxPool", "2x2", "/2", "38x38x256", "1.479", "44", "8"]
    assert rows["taps.0"][1:4] == ["L2Normalize", "38x38x512", "512"]
    # 31.37 G multiply-adds, worked by hand map by map: twice that
    assert rows["total"][1:] == ["26,285,486", "62,747.1", "217.680"]
    assert rows["ssd300:"][1] == "8,732"


def test_info_of_the_small_network_is_readable(capsys):
    """Those of the published networks are checked in test_vgg.py, where they are built anyway."""
    out = info(capsys)
    assert max(map(len, out.splitlines())) <= 100
    assert "minissd: 2,428 default boxes on 160 x 160 pixels" in out


def test_info_takes_classes_and_size_and_refuses_the_impossible(capsys):
    assert "38x38x32 " in info(capsys, "ssd300", "--classes", "3")
    assert "minissd: " in info(capsys, "--image-size", "128", "--width", "8")
    for words, message in [
        (["ssd322"], "model: expected minissd | ssd300"),
        (["ssd300", "--image-size", "200"], "image_size: expected 300"),
        (["ssd300", "--classes", "0"], "n_object_classes: expected at least 1"),
    ]:
        assert cli.main(["info", *words]) == 2
        assert message in capsys.readouterr().err


def test_the_table_says_what_differs_between_the_codes():
    text = boxes_table(PUBLISHED["ssd300-torchvision"])
    assert "clip size; matching overwrite, IoU 0.5; decode clamp 4.135" in text
    assert "sizes cut down to whole pixels; clip none; matching one-to-one" in boxes_table(
        PUBLISHED["ssd512"]
    )


def test_a_table_computes_nothing(rng):
    """Weights are not read, so a network with nonsense in them has the same table, and no layer runs."""
    model = build_from_spec(narrow(PUBLISHED["ssd300"]), rng)
    before = layer_table(model)
    for parameter in model.parameters().values():
        parameter.value[...] = np.nan
    for _, layer in model.layers():
        layer.forward = None
    assert layer_table(model) == before
