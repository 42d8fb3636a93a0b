"""The benchmarks' own machinery: contenders in turns, what they answer, and the tables of it. No times are judged."""

import subprocess
import sys

import numpy as np
import pytest

from benchmarks.cases import CASES, CONTENDERS, Case
from benchmarks.race import ROOT, Result, race
from benchmarks.report import comparison_figure, comparison_table

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


@pytest.mark.parametrize("module", ["compare", "scaling", "loader"])
def test_commands_have_help(module):
    command = [sys.executable, "-m", f"benchmarks.{module}", "--help"]
    said = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT).stdout
    assert f"python -m benchmarks.{module}" in said
