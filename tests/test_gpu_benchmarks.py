"""The GPU benchmark without a GPU: its cases on the strict stand-in, its floors by hand, its table, and its refusal."""

import argparse
import io
import json
import subprocess
import sys
from contextlib import contextmanager
from dataclasses import replace
from importlib.util import find_spec
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest
from strict_array import strict

from benchmarks import compare, gpu, gpu_cases, gpu_floors, gpu_worker
from benchmarks.gpu_cases import GPU_CASES, GPU_CONTENDERS, WHO, GpuCase
from benchmarks.gpu_floors import Card, Work, count_work, inputs, measure_card
from benchmarks.race import ROOT, Result
from benchmarks.rounds import plausible_output
from minissd.backend import gpu_problem, to_cpu
from minissd.boxes.nms import nms
from minissd.errors import DeviceError
from minissd.models.build import build_model
from minissd.models.trace import trace
from minissd.system import cuda_version

TINY = GpuCase("tiny", "", "forward", WHO, "minissd", 2, 3, 96)
SMALLEST = replace(TINY, batch=1)
KINDS = ["forward", "step", "detect"]
no_gpu = pytest.mark.skipif(gpu_problem() is None, reason="there is a GPU here")


def test_the_cases_are_those_that_were_promised():
    found = [(c.model, c.kind, c.batch, c.precision) for c in GPU_CASES.values()]
    forward = [("ssd300", "forward", n, p) for n in (1, 8, 32) for p in ("fp32", "tf32", "half")]
    steps = [("ssd300", "step", n, p) for n in (8, 32) for p in ("fp32", "tf32")]
    small = [("minissd", "step", 64, p) for p in ("fp32", "tf32")]
    assert found == [*forward, *steps, *small, ("ssd300", "detect", 8, "fp32")]
    assert all(name == case.name for name, case in GPU_CASES.items())
    assert all(set(WHO) == set(GPU_CONTENDERS[case.kind]) for case in GPU_CASES.values())


@pytest.mark.parametrize("kind", KINDS)
def test_our_contenders_do_a_round_on_a_device(kind, counted):
    run = GPU_CONTENDERS[kind]["minissd"](replace(TINY, kind=kind), strict)
    run()
    counted.reset()
    run()
    if kind == "forward":  # all that it needs lies on the device
        assert counted.to_host == 0


def test_half_precision_computes_in_half_and_answers_the_same(device):
    pytest.importorskip("minissd.models.half")
    full, half = (
        GPU_CONTENDERS["forward"]["minissd"](replace(SMALLEST, precision=precision), device)()
        for precision in ("fp32", "half")
    )
    for a, b in zip(full, half):
        assert b.dtype == np.float16
        np.testing.assert_allclose(to_cpu(b).astype(np.float32), to_cpu(a), rtol=0.05, atol=0.05)


def test_half_precision_that_cannot_be_had_says_why():
    with pytest.raises(DeviceError, match="half"):  # strict is here a device without kernels
        GPU_CONTENDERS["forward"]["minissd"](replace(TINY, precision="half"), strict)


@pytest.mark.parametrize("kind", ["forward", "step"])
def test_pytorch_does_a_round(kind):
    pytest.importorskip("torch")
    GPU_CONTENDERS[kind]["pytorch"](replace(TINY, kind=kind), "cpu")()


def test_both_networks_give_the_same_scores():
    pytest.importorskip("torch")
    scores, _ = GPU_CONTENDERS["forward"]["minissd"](TINY, np)()
    theirs, _ = GPU_CONTENDERS["forward"]["pytorch"](TINY, "cpu")()
    np.testing.assert_allclose(theirs.numpy(), scores, atol=1e-3)


def nms_by_class(boxes, scores, labels, threshold):
    """Stand in for torchvision's, which is not always there; the code around it is what is tested."""
    import torch

    shifted = boxes.numpy() + 10.0 * labels.numpy()[:, None]  # boxes of two classes never meet
    return torch.from_numpy(nms(shifted, scores.numpy(), threshold))


def test_both_find_the_same_objects(monkeypatch):
    pytest.importorskip("torch")
    package, ops = ModuleType("torchvision"), ModuleType("torchvision.ops")
    package.ops, ops.batched_nms = ops, nms_by_class
    monkeypatch.setitem(sys.modules, "torchvision", package)
    monkeypatch.setitem(sys.modules, "torchvision.ops", ops)
    case = replace(TINY, kind="detect")
    ours = GPU_CONTENDERS["detect"]["minissd"](case, np)()
    theirs = GPU_CONTENDERS["detect"]["pytorch"](case, "cpu")()
    for a, (boxes, labels, scores) in zip(ours, theirs):
        assert len(a.scores) > 20
        np.testing.assert_allclose(scores.numpy(), a.scores, atol=1e-6)
        np.testing.assert_array_equal(labels.numpy(), a.labels)
        np.testing.assert_allclose(boxes.numpy(), a.boxes, atol=1e-6)


def test_some_of_the_plausible_output_stands_out():
    model = build_model("minissd", 3, np.random.default_rng(0), image_size=96)
    scores, offsets = plausible_output(model, TINY.batch)
    assert scores.shape == (2, model.spec.n_default_boxes, 4)
    assert offsets.dtype == scores.dtype == np.float32
    assert 0 < (scores[..., 1:].max(axis=-1) > 6).mean() < 1


def test_tf32_is_on_from_its_switch_until_it_is_switched_back(monkeypatch):
    seen = []

    @contextmanager
    def use_tf32(device):
        seen.append(f"{device} on")
        yield
        seen.append("off")

    monkeypatch.setattr(gpu_cases, "use_tf32", use_tf32)
    gpu_cases.switch_to_tf32("fp32")()  # nothing to switch
    back = gpu_cases.switch_to_tf32("tf32")
    assert seen == ["gpu on"]
    back()
    assert seen == ["gpu on", "off"]


def test_each_layer_reads_what_the_layer_before_it_wrote():
    rng = np.random.default_rng(0)
    rows = {row.name: n_in for row, n_in in inputs(trace(build_model("ssd300", 20, rng)), 300)}
    first, *_ = rows.values()
    assert first == 300 * 300 * 3
    assert rows["taps.0"] == rows["heads.0"] == 38 * 38 * 512  # conv4_3, normalised
    assert rows["heads.1"] == 19 * 19 * 1024  # fc7
    assert next(n for name, n in rows.items() if name.startswith("segments.1")) == 38 * 38 * 512


def test_work_of_a_network_counted_another_way():
    rng = np.random.default_rng(0)
    model = build_model("minissd", 3, rng, image_size=96)
    macs = sum(row.macs for row in trace(model))
    forward = count_work(TINY, model)
    assert forward.operations == 2 * 2 * macs
    half = count_work(replace(TINY, precision="half"), model)
    assert (half.bytes, half.operations) == (forward.bytes / 2, forward.operations)
    step = count_work(replace(TINY, kind="step"), model)
    assert step.operations == 3 * forward.operations - 2 * 2 * trace(model)[0].macs
    assert step.bytes > 2 * forward.bytes
    weights = 4 * sum(p.value.size for p in model.parameters().values())
    more = count_work(replace(TINY, batch=3), model).bytes - forward.bytes
    assert (
        weights * 0.95 < forward.bytes - 2 * more <= weights
    )  # batch norm's are part of its input
    detect = count_work(replace(TINY, kind="detect"), model)
    assert (detect.bytes, detect.operations) == (2 * model.spec.n_default_boxes * 8 * 4, 0)


def test_the_larger_floor_counts():
    card = Card(bandwidth=100.0, rates={"fp32": 10.0, "half": 1000.0})
    work = Work(bytes=200.0, operations=50.0)
    assert card.floor(work, "fp32") == (5.0, "products")
    assert card.floor(work, "half") == (2.0, "memory")


def test_a_card_is_measured_in_every_precision_it_has():
    card = measure_card(strict, lambda: None, side=16, copied=4096)
    assert card.bandwidth > 0
    assert {"fp32", "half"} <= set(card.rates)
    assert all(rate > 0 for rate in card.rates.values())
    assert set(card.rates) | set(card.missing) == {"fp32", "tf32", "half"}


def test_the_worker_answers_each_round(monkeypatch, capsys):
    calls = []
    monkeypatch.setattr(sys, "stdin", io.StringIO("round\nround\nstop\n"))
    monkeypatch.setattr(gpu_worker, "ROUND_SECONDS", 0.0)
    gpu_worker.serve(lambda: calls.append(1), lambda: None, lambda: 7.0, "cupy 14")
    ready, *rounds = map(json.loads, capsys.readouterr().out.splitlines())
    assert ready["ready"] == "cupy 14"
    assert [each["peak_mb"] for each in rounds] == [7.0, 7.0]
    assert (
        len(calls) == 1 + gpu_worker.WARM_UP + 1 + 2 * 2
    )  # each round: one that warms, one that counts


def cupy_stand_in():
    """Return what the benchmark asks of CuPy beyond arrays, around the strict stand-in."""
    properties = {"name": b"a card", "totalGlobalMem": 80 * 2**30, "major": 9, "minor": 0}
    runtime = SimpleNamespace(
        getDeviceProperties=lambda number: properties,
        driverGetVersion=lambda: 12080,
        runtimeGetVersion=lambda: 12090,
    )
    pool = SimpleNamespace(free_all_blocks=lambda: None, total_bytes=lambda: 3 * 2**20)
    module = ModuleType("cupy")
    module.__dict__.update({name: getattr(strict, name) for name in ("zeros", "ones", "matmul")})
    device = SimpleNamespace(synchronize=lambda: None)
    module.cuda = SimpleNamespace(runtime=runtime, Device=lambda: device)
    module.get_default_memory_pool = lambda: pool
    module.__version__ = "14"
    return module


def test_a_card_is_named_with_the_versions_of_what_drives_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "cupy", cupy_stand_in())
    monkeypatch.setattr(gpu, "measure_card", lambda xp, wait: measure_card(xp, wait, 16, 4096))
    monkeypatch.setattr(gpu_floors, "switch_to_tf32", lambda precision: lambda: None)
    card, facts = gpu.look_at_card()
    assert set(card.rates) == {"fp32", "tf32", "half"}
    found = [facts[name] for name in ("chip", "memory", "compute capability", "cupy")]
    assert found == ["a card", "80 GiB", "9.0", "14"]
    assert (facts["CUDA of the driver"], facts["CUDA of CuPy"]) == ("12.8", "12.9")
    assert "not known" in facts["driver"] or facts["driver"][0].isdigit()
    monkeypatch.setattr(gpu_worker, "resolve_device", lambda name: "gpu")
    module, _, held_mb, package = gpu_worker.our_device()
    assert (module.__name__, held_mb(), package) == ("cupy", 3.0, "cupy 14")


ROW = [Result("minissd", "cupy 14", [0.01, 0.02, 0.03], 900), Result("pytorch", "torch 2", [0.04])]


def test_the_table_gives_rate_ratio_and_share_of_the_floor():
    name = "ssd300-detect-8-fp32"
    n_bytes = 8 * 8732 * 25 * 4
    card = Card(bandwidth=n_bytes / 0.005, rates={"fp32": 1e12})
    head, title, ours, theirs = gpu.gpu_table({name: ROW}, card).splitlines()
    assert title == "SSD300 decode and NMS, batch 8, fp32"
    assert ours.split() == ["minissd", "20.00", "400", "25.0%", "memory", "900"]
    assert theirs.split()[:4] == ["pytorch", "40.00", "200", "0.50"]
    assert "images/s" in head


def test_a_run_writes_table_figure_and_all_it_knows(monkeypatch, tmp_path, capsys):
    card = Card(1e12, {"fp32": 5e13}, {"tf32": "no such units"})
    facts = {"chip": "a card", "driver": "550", "cupy": "14"}
    monkeypatch.setattr(gpu, "resolve_device", lambda name: "gpu")
    monkeypatch.setattr(gpu, "torch_problem", lambda: None)
    monkeypatch.setattr(gpu, "look_at_card", lambda: (card, facts))
    monkeypatch.setattr(gpu, "race", lambda *args, **kwargs: ROW)
    args = argparse.Namespace(threads=1, rounds=3, out=tmp_path)
    names = ["minissd-step-64-tf32", "minissd-step-64-fp32"]
    assert gpu.run(args, names) == 1  # one could not be measured
    assert "not measured: no such units" in capsys.readouterr().out
    text = (tmp_path / "table.txt").read_text()
    assert "chip: a card" in text
    assert "copies 1,000 GB/s" in text
    assert "small SSD training step, batch 64, tf32: not measured: no such units" in text
    kept = json.loads((tmp_path / "rounds.json").read_text())
    assert kept["facts"] == facts
    assert kept["results"]["minissd-step-64-fp32"][0]["seconds"] == ROW[0].seconds
    assert (tmp_path / "ratios.png").stat().st_size > 1000


def test_versions_are_written_as_people_write_them():
    assert cuda_version(12080) == "12.8"
    assert cuda_version(13010) == "13.1"


@no_gpu
def test_a_machine_without_a_gpu_is_told_what_is_missing(capsys):
    args = argparse.Namespace(threads=1, rounds=1, out=None)
    assert gpu.run(args, list(GPU_CASES)) == 2
    said = capsys.readouterr().err
    assert "there is none to use" in said
    assert "--device cpu" in said


def test_the_command_lists_the_cases_and_refuses_those_of_the_other_device(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["compare", "--device", "gpu", "--list"])
    compare.main()
    assert "ssd300-forward-32-half" in capsys.readouterr().out
    monkeypatch.setattr(sys, "argv", ["compare", "ssd300-forward-32-half"])
    with pytest.raises(SystemExit):
        compare.main()
    assert "no case ssd300-forward-32-half" in capsys.readouterr().err


@no_gpu
def test_the_command_ends_with_a_status_and_no_traceback():
    command = [sys.executable, "-m", "benchmarks.compare", "--device", "gpu"]
    ended = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
    assert ended.returncode == 2
    assert "Traceback" not in ended.stderr


def test_pytorch_that_sees_no_gpu_is_named(monkeypatch):
    monkeypatch.setattr(gpu, "find_spec", lambda name: None)
    assert "pip install torch" in gpu.torch_problem()
    if find_spec("torch") and gpu_problem() is not None:
        monkeypatch.undo()
        assert "finds no GPU" in gpu.torch_problem()
