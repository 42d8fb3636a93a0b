"""What the report says around a run: slow tests are listed, and named where they lack the mark."""

from types import SimpleNamespace

import conftest
import numpy as np
import pytest
from strict_array import strict


def phase(test: str, seconds: float, *keywords: str) -> SimpleNamespace:
    return SimpleNamespace(nodeid=test, duration=seconds, keywords=dict.fromkeys(keywords, 1))


def test_phases_of_a_test_are_added_up():
    reports = [
        phase("fast", 19.0),
        phase("marked", 15.0, "slow"),
        phase("marked", 6.0, "slow"),
        phase("unmarked", 30.0),
    ]
    assert conftest.slow_tests(reports) == [(30.0, "unmarked", False), (21.0, "marked", True)]


def test_the_summary_names_unmarked_tests(monkeypatch):
    lines = []
    reporter = SimpleNamespace(
        stats={"passed": ["a line"], "": []},
        section=lines.append,
        write_line=lines.append,
    )
    conftest.pytest_terminal_summary(reporter)
    assert lines == []
    slow = [(30.0, "test_x", False), (21.0, "test_y", True)]
    monkeypatch.setattr(conftest, "slow_tests", lambda reports: slow)
    conftest.pytest_terminal_summary(reporter)
    assert lines[0] == "tests above 20 s"
    assert "test_x  (not marked" in lines[1]
    assert lines[2].endswith("test_y")


def test_the_header_says_what_is_not_tested():
    header = "\n".join(conftest.pytest_report_header())
    assert np.__version__ in header
    assert "CuPy: tested" in header or "CuPy: not tested here (" in header
    assert "photographs: found" in header or "photographs: not tested here (" in header


def test_array_modules_are_numpy_the_stand_in_and_a_gpu():
    modules = conftest._array_modules()
    assert modules[:2] == [np, strict]
    assert (len(modules) == 3) == (conftest.GPU_PROBLEM is None)


def test_each_test_gets_the_same_random_numbers(rng):
    assert rng.random() == np.random.default_rng(20161008).random()


def test_photographs_that_were_asked_for_must_be_there(monkeypatch, tmp_path):
    monkeypatch.setenv("MINISSD_VOC", str(tmp_path))
    with pytest.raises(pytest.fail.Exception, match="no folder Annotations"):
        conftest.find_photos()
    (tmp_path / "Annotations").mkdir()
    assert conftest.find_photos() == tmp_path
    monkeypatch.delenv("MINISSD_VOC")
    monkeypatch.setattr(conftest, "REPOSITORY", tmp_path)
    with pytest.raises(pytest.skip.Exception, match="not tested on real photographs"):
        conftest.find_photos()


def test_tests_on_photographs_carry_the_mark():
    marks = []
    item = SimpleNamespace(fixturenames=["voc_root"], add_marker=marks.append)
    other = SimpleNamespace(fixturenames=["rng"], add_marker=marks.append)
    conftest.pytest_collection_modifyitems([item, other])
    assert [mark.name for mark in marks] == ["photos"]
