"""Half precision for inference: nearly the answers of float32, and refused where it would be wrong or slow."""

import numpy as np
import pytest
from strict_array import strict

from minissd import cli
from minissd.backend import to_cpu
from minissd.models.build import build_minissd
from minissd.models.detector import Detector
from minissd.models.half import InFloat32, halved
from minissd.nn import BatchNorm2d, Conv2d, L2Normalize, ReLU, Sequential


def small_model(module):
    model = build_minissd(3, 96, np.random.default_rng(0), width=4)
    return model.to(module).eval()


def test_detections_in_half_precision_are_nearly_those_in_float32(device, rng):
    model = small_model(device)
    images = rng.integers(0, 256, (2, 96, 96, 3), dtype=np.uint8)
    whole, half = (Detector(model, "abc", half).detect(images) for half in (False, True))
    for a, b in zip(whole, half):
        assert b.scores.dtype == b.boxes.dtype == np.float32
        np.testing.assert_allclose(np.sort(a.scores)[-20:], np.sort(b.scores)[-20:], atol=5e-3)
    assert all(p.value.dtype == np.float32 for p in model.parameters().values())  # a copy was cast


def test_scores_come_from_float16(device, rng):
    model = small_model(device)
    x = model.prepare(device.asarray(rng.integers(0, 256, (1, 96, 96, 3), dtype=np.uint8)))
    scores, offsets = model.forward(x)
    half_scores, half_offsets = halved(model).forward(x.astype("float16"))
    assert half_scores.dtype == half_offsets.dtype == np.float16
    for whole, half in ((scores, half_scores), (offsets, half_offsets)):
        scale = np.abs(to_cpu(whole)).max()
        np.testing.assert_allclose(to_cpu(half), to_cpu(whole), atol=0.01 * scale)


@pytest.mark.parametrize("bias", [True, False])
def test_a_batch_norm_behind_a_convolution_becomes_a_part_of_it(device, rng, bias):
    draw = np.random.default_rng(1)
    layers = Sequential(
        Conv2d(4, 8, 3, bias=bias, rng=draw), BatchNorm2d(8), ReLU(), BatchNorm2d(8)
    )
    for norm in (layers.steps[1], layers.steps[3]):
        for array in (norm.gamma.value, norm.beta.value, norm.running_mean, norm.running_var):
            array[...] = rng.uniform(0.5, 2, array.shape)
    layers.to(device).eval()
    x = device.asarray(rng.standard_normal((2, 5, 6, 4), dtype=np.float32))
    half = halved(layers)
    assert [type(step) for step in half.steps] == [Conv2d, ReLU, InFloat32]
    assert half.steps[0].bias.value.dtype == np.float16
    expected = to_cpu(layers.forward(x))
    found = to_cpu(half.forward(x.astype("float16")))
    np.testing.assert_allclose(found, expected, atol=0.005 * np.abs(expected).max())


def test_normalisation_of_large_numbers_does_not_overflow(device):
    layers = Sequential(Conv2d(4, 4, 1, rng=np.random.default_rng(1)), L2Normalize(4)).to(device)
    x = device.full((1, 2, 2, 4), 3000.0, "float32")  # 3000^2 is beyond float16
    half = halved(layers)
    assert isinstance(half.steps[1], InFloat32)
    y = to_cpu(half.forward(x.astype("float16")))
    np.testing.assert_allclose(y, to_cpu(layers.forward(x)), rtol=0.01)


def test_half_precision_is_refused_on_a_cpu_and_without_kernels(capsys):
    for module in (np, strict):
        with pytest.raises(ValueError, match="half precision is for a GPU"):
            Detector(small_model(module), "abc", half=True)


def test_the_command_line_refuses_what_a_cpu_cannot(capsys, tmp_path):
    for option, word in (("--half", "half precision"), ("--tf32", "TF32")):
        words = ["detect", str(tmp_path / "x.jpg"), "--device", "cpu", option]
        (tmp_path / "x.jpg").write_bytes(b"")
        assert cli.main(words) == 2
        error = capsys.readouterr().err
        assert error.startswith("minissd detect: error:")
        assert word in error
        assert "Traceback" not in error
