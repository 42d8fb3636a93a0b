"""The benchmarks' own machinery: contenders in turns, what they answer, and the tables of it. No times are judged."""

import dataclasses
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from benchmarks import distributed_model, gpu_training
from benchmarks.cases import CASES, CONTENDERS, Case
from benchmarks.distributed import table
from benchmarks.race import ROOT, Result, race
from benchmarks.report import comparison_figure, comparison_table
from minissd import cli
from minissd.datasets.pack import write_pack
from minissd.training.run import TrainingRun

TINY = {"model": "minissd", "batch": 1, "classes": 3, "image_size": 96}


def test_every_case_has_its_contenders_and_ours_come_first():
    for name, case in CASES.items():
        assert case.name == name
        assert case.contenders[0] == "minissd"
        assert set(case.contenders) <= set(CONTENDERS[case.kind])


@pytest.mark.parametrize("kind", ["forward", "step", "detect", "match"])
def test_our_contender_of_each_kind_does_a_round(kind):
    case = Case("tiny", "", kind, ("minissd",), **TINY)
    CONTENDERS[kind]["minissd"](case)()


@pytest.mark.parametrize("kind", ["layer", "layer-step"])
@pytest.mark.parametrize("who", ["minissd", "minissd im2col"])
def test_layers_do_a_round(kind, who):
    CONTENDERS[kind][who](Case("tiny", "", kind, (who,), layer=(8, 16, 16, 1)))()


def test_contenders_are_measured_in_processes_of_their_own():
    case = Case("tiny", "a tiny step", "step", ("minissd",), **TINY)
    one, other = race(case, ["minissd", "minissd"], threads=1, rounds=2)
    assert len(one.seconds) == len(other.seconds) == 2
    assert min(one.seconds) > 0
    assert one.peak_mb > 30
    assert one.package == f"numpy {np.__version__}"


def test_a_contender_that_fails_says_why():
    case = Case("tiny", "", "forward", ("minissd",), model="no such model")
    with pytest.raises(RuntimeError, match="no such model"):
        race(case, ["minissd"], threads=1, rounds=1)


def test_the_table_gives_our_time_over_theirs():
    ours = Result("minissd", "numpy 2", [0.1, 0.2, 0.3], 10)
    theirs = Result("pytorch", "torch 2", [0.4, 0.4, 0.4], 20)
    text = comparison_table({"detect": [ours, theirs]})
    assert "0.50" in text
    assert CASES["detect"].title in text
    (axes,) = comparison_figure({"detect": [ours, theirs]}).axes
    assert [bar.get_width() for bar in axes.patches] == pytest.approx([0.5])


@pytest.mark.parametrize(
    "module",
    [
        "compare",
        "scaling",
        "loader",
        "distributed",
        "distributed_model",
        "pack_sizes",
        "gpu_training",
    ],
)
def test_commands_have_help(module):
    command = [sys.executable, "-m", f"benchmarks.{module}", "--help"]
    said = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT).stdout
    assert f"python -m benchmarks.{module}" in said


def test_the_gpu_trainings_in_legs(tiny_shapes, tmp_path, monkeypatch, capsys):
    """With a small network in their place: unpacked once, begun, gone on with, and written down."""
    write_pack(tiny_shapes, tmp_path / "p.tar.gz", ("trainval", "test"))
    small = ("--image-size", "96", "--width", "2", "--epochs", "2", "--batch-size", "4")
    monkeypatch.setitem(gpu_training.TRAININGS, "ssd300-bn", small)
    monkeypatch.setattr(gpu_training, "COMMON", ("--eval-split", "test", "--workers", "0"))
    words = [
        "ssd300-bn",
        "--pack",
        str(tmp_path / "p.tar.gz"),
        "--out",
        str(tmp_path / "a" / "run"),
    ]
    words += ["--device", "cpu", "--minutes"]
    assert gpu_training.main([*words, "1e-9", "--", "--batch-size", "6"]) == 0
    assert gpu_training.main([*words, "10"]) == 0
    assert "8 steps done" in capsys.readouterr().out
    rows = (tmp_path / "a" / "run" / "legs.jsonl").read_text().splitlines()
    assert [json.loads(row)["steps"] for row in rows] == [1, 7]
    row = json.loads(rows[1])
    assert row["images_per_second"] == pytest.approx(6 * 7 / row["seconds"], rel=0.1)
    assert (tmp_path / "a" / "run" / "evaluation.json").exists()


@pytest.mark.parametrize("name", gpu_training.TRAININGS)
def test_the_gpu_trainings_have_sound_settings(name, tmp_path, monkeypatch):
    """The command takes them; the run itself is not begun."""
    begun = []
    monkeypatch.setattr(TrainingRun, "start", lambda config, *rest: begun.append(config) or Ended())
    words = gpu_training.command(name, Path("data"), tmp_path / "run", ["--seed", "3"])
    assert cli.main([*words, "--device", "cpu"]) == 0
    (config,) = begun
    assert (config.model, config.schedule, config.eval_split) == (name, "cosine", "test_dev")
    assert (config.batch_size, config.augment, config.seed) == (32, "paper", 3)
    assert config.iterations in (12_000, 6_000)


class Ended:
    folder = "run"

    def run(self, time_is_over):
        return 0


def block_after(mark):
    """Return the code block of docs/scaling.md that follows a mark."""
    text = (ROOT / "docs" / "scaling.md").read_text(encoding="utf-8")
    return text.partition(f"<!-- {mark} -->\n\n```\n")[2].partition("```")[0]


def test_the_document_on_scaling_holds_what_the_scripts_print():
    assert block_after("model") == distributed_model.report() + "\n"
    tables = [
        (distributed_model.RESULTS / f"{name}.txt").read_text(encoding="utf-8").split("\n", 1)[1]
        for name in ("small", "ssd300")
    ]
    assert block_after("measured") == "\n".join(tables)


def test_the_calculation_on_paper():
    link = distributed_model.Link("", bandwidth=1e9, latency=1e-3)
    assert distributed_model.ring(2, 1e9, link) == pytest.approx(1 + 2e-3)
    assert distributed_model.ring(4, 1e9, link) == pytest.approx(1.5 + 6e-3)
    assert distributed_model.norm_seconds(8, 10, link) == pytest.approx(3 * 10 * 6e-3)
    case = distributed_model.network("ssd300", 32, 0.3)
    assert case.gradient_bytes == 4 * 26_285_486
    assert case.flop == pytest.approx(3 * 32 * 62.7e9, rel=1e-3)
    case = dataclasses.replace(case, seconds=3.0, gradient_bytes=1e9)
    assert distributed_model.efficiency(1, case, link, overlap=False) == 1
    assert distributed_model.efficiency(2, case, link, overlap=False) == pytest.approx(3 / 4.002)
    hidden = distributed_model.efficiency(2, case, link, overlap=True)  # all but the last bucket
    last = distributed_model.ring(2, distributed_model.BUCKET_BYTES, link)
    assert hidden == pytest.approx(3 / (3 + last))
    slow = dataclasses.replace(link, bandwidth=1e8)  # 10 s beside a way back of 2 s
    assert distributed_model.efficiency(2, case, slow, overlap=True) == pytest.approx(3 / 11.002)


def test_the_table_of_processes_compares_with_the_first():
    turns = {"1 process, 1 thread": [0.4], "2 processes, overlapped": [0.2]}
    results = {n: [{"seconds": s, "talk": 0.001}] for n, s in turns.items()}
    first, second = table(results).splitlines()[1:]
    assert first.split()[-3:] == ["400.0", "400.0", "1.00"]
    assert second.split()[-4:] == ["200.0", "200.0", "2.00", "1.00"]
