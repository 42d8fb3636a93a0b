"""docs/performance.md says what commands printed: its blocks are compared with what they left behind."""

import json
from pathlib import Path

import pytest

from benchmarks import targets
from benchmarks.cases import CASES
from benchmarks.targets import TARGETS, Target, ratio, speedups

ROOT = Path(__file__).resolve().parents[1]
DOCUMENT = (ROOT / "docs" / "performance.md").read_text(encoding="utf-8")


def block_after(mark):
    """Return the code block that follows a mark."""
    return DOCUMENT.partition(f"<!-- {mark} -->\n\n```\n")[2].partition("\n```")[0]


def test_the_table_of_targets_is_what_the_command_prints():
    assert block_after("targets") == targets.report()


def test_the_steps_of_one_layer_are_those_of_the_saved_chapter():
    notebook = json.loads((ROOT / "chapters" / "13_fast.ipynb").read_text(encoding="utf-8"))
    printed = [
        "".join(output["text"])
        for cell in notebook["cells"]
        for output in cell.get("outputs", [])
        if output["output_type"] == "stream"
    ]
    steps = block_after("steps")
    assert steps.count("GFLOP/s") == 7
    assert any(steps in text for text in printed)


@pytest.mark.parametrize("mark, name", [("noavx", "without_avx512.txt"), ("loader", "loader.txt")])
def test_other_blocks_are_kept_outputs(mark, name):
    kept = (ROOT / "benchmarks" / "results" / "compare" / name).read_text(encoding="utf-8")
    assert len(block_after(mark)) > 100
    assert block_after(mark) in kept


def test_targets_name_cases_that_are_measured():
    for target in TARGETS:
        assert target.case in CASES
        assert target.to in {"best", *CASES[target.case].contenders, *CASES}


def test_ratios_of_medians_and_of_memory():
    rounds = {
        "a": [
            {"who": "minissd", "seconds": [1, 2, 9], "peak_mb": 30},
            {"who": "pytorch", "seconds": [4, 4, 1], "peak_mb": 40},
            {"who": "openvino", "seconds": [3, 3, 3], "peak_mb": 50},
        ],
        "b": [{"who": "minissd", "seconds": [8, 8, 8], "peak_mb": 1}],
    }
    assert ratio(Target("", "a", "best", 1), rounds) == pytest.approx(2 / 3)
    assert ratio(Target("", "a", "pytorch", 1), rounds) == pytest.approx(2 / 4)
    assert ratio(Target("", "a", "b", 1), rounds) == pytest.approx(2 / 8)
    assert ratio(Target("", "a", "pytorch", 1, "peak_mb"), rounds) == pytest.approx(30 / 40)


def test_speedup_is_the_first_time_over_the_last():
    points = [{"milliseconds": {"minissd": 9.0}}, {"milliseconds": {"minissd": 6.0}}]
    assert dict(speedups(points)) == {"minissd": pytest.approx(1.5)}
