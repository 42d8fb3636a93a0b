"""The judge's own rules: what counts as agreeing, and what the table says."""

import numpy as np
import peer_report
import pytest
from peer_report import Difference, agree, agree_all, table


@pytest.fixture(autouse=True)
def found(monkeypatch):
    """Keep what is tried here out of the real table."""
    monkeypatch.setattr(peer_report, "FOUND", [])
    return peer_report


def test_the_difference_is_relative_to_the_largest_element(found):
    agree("layers", "y", np.array([1.0, -200.0]), np.array([1.1, -200.0]), allowed=1e-3)
    (only,) = found.FOUND
    assert only.found == pytest.approx(0.1 / 200)
    assert (only.group, only.what, only.allowed) == ("layers", "y", 1e-3)


@pytest.mark.parametrize(
    "ours, message",
    [
        ([1.0, 2.0 + 3e-8], "differs by 1.5e-08, more than 1e-08"),
        ([1.0, np.nan], "differs by nan"),
        ([1.0, 2.0, 3.0], "shape"),
        (np.array([1.0, 2.0], np.float32), "float32, not float64"),
    ],
)
def test_what_does_not_agree_is_told(ours, message):
    with pytest.raises(AssertionError, match=f"layers: y: .*{message}"):
        agree("layers", "y", ours, np.array([1.0, 2.0]))


@pytest.mark.parametrize("nothing", [[], [0.0, 0.0], [np.nan, 1.0], [np.inf, 1.0]])
def test_zeros_and_nothing_prove_nothing(nothing):
    with pytest.raises(AssertionError, match="nothing to compare"):
        agree("layers", "y", np.array(nothing), np.array(nothing))


def test_names_must_be_the_same_on_both_sides():
    one = np.ones(1)
    with pytest.raises(AssertionError, match=r"only on one side: \['b', 'c'\]"):
        agree_all("layers", {"a": one, "b": one}, {"a": one, "c": one})


def test_all_faults_of_a_group_are_told(found):
    one = np.ones(1)
    with pytest.raises(AssertionError, match=r"layers: a: .*\n.*layers: b: "):
        agree_all("layers", {"a": one, "b": one, "c": one}, {"a": -one, "b": 2 * one, "c": one})
    assert [each.what for each in found.FOUND] == ["a", "b", "c"]


def test_the_table_names_the_worst_of_each_group():
    lines = list(
        table(
            [
                Difference("layers", "y", 1e-15, 1e-8),
                Difference("boxes", "rows", 2e-7, 1e-6),
                Difference("layers", "dx", 3e-12, 1e-8),
            ]
        )
    )
    assert [" ".join(line.split()) for line in lines] == [
        "3.0e-12 allowed 1e-08 2 arrays layers (most: dx)",
        "2.0e-07 allowed 1e-06 1 arrays boxes (most: rows)",
    ]
