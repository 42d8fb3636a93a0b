"""Every exercise: its solution passes, its stub gets its first hint, and each usual mistake a hint of its own."""

from __future__ import annotations

import re

import pytest
from chapter_tools import CHAPTERS, checks_of, module
from checks import exercise, hint_if, run

EXERCISES = [(chapter.key, name) for chapter in CHAPTERS for name in checks_of(chapter.key)]
each_exercise = pytest.mark.parametrize("key, name", EXERCISES)


def not_implemented(*_):
    raise NotImplementedError


def stopping(*_):
    raise KeyError("lost")


@pytest.mark.parametrize("chapter", CHAPTERS, ids=lambda chapter: chapter.key)
def test_checks_solutions_and_wrong_answers_are_of_the_exercises_in_the_notebook(chapter):
    cells = [c["source"] for c in chapter.code if c["source"].startswith("# Exercise")]
    calls = [re.fullmatch(r"check_(\w+)\((\w+)\)", cell.splitlines()[-1]) for cell in cells]
    assert all(call and call[1] == call[2] for call in calls), cells
    names = [call[1] for call in calls]
    assert sorted(names) == sorted(checks_of(chapter.key))
    assert sorted(names) == sorted(module("chapter_answers", chapter.key).WRONG)
    assert all(hasattr(module("solutions", chapter.key), name) for name in names)


@each_exercise
def test_the_solution_passes(key, name):
    verdict = checks_of(key)[name](getattr(module("solutions", key), name))
    assert verdict.right, verdict
    assert repr(verdict).startswith("✓ Right: ")


@each_exercise
def test_an_unsolved_stub_gets_its_first_hint(key, name):
    check = checks_of(key)[name]
    stubs = [None, ...]
    if callable(getattr(module("solutions", key), name)):
        stubs += [lambda *_: None, lambda *_: ..., not_implemented]
    for stub in stubs:
        verdict = check(stub)
        assert not verdict.right
        assert "still empty" in repr(verdict)
        assert check.start in repr(verdict)


@each_exercise
def test_code_that_stops_gets_words_and_no_traceback(key, name):
    verdict = checks_of(key)[name](stopping)
    assert not verdict.right
    assert "\n" not in repr(verdict)


@each_exercise
def test_each_usual_mistake_gets_a_hint_of_its_own(key, name):
    check, wrong = checks_of(key)[name], module("chapter_answers", key).WRONG[name]
    assert len(wrong) >= 3
    hints = []
    for answer, words in wrong:
        verdict = check(answer)
        assert not verdict.right, words
        assert words in verdict.words, verdict
        hints.append(verdict.words)
    assert len(set(hints)) == len(wrong), "two mistakes get the same hint"
    assert check.start not in " ".join(hints), "a usual mistake gets only the first hint"


@exercise("begin here")
def check_doubled(answer):
    """A function that doubles a list's first number."""
    got = run(answer, [2, 3])
    hint_if(got != 4, "twice two is more")
    return "doubled."


def test_a_check_passes_what_is_right_and_hands_out_copies():
    assert check_doubled(lambda x: 2 * x[0]).right
    assert "twice two" in check_doubled(lambda x: x[0]).words
    assert "changes the arrays" in check_doubled(lambda x: 2 * x.pop(0)).words
    assert "KeyError: 'lost'. A way in: begin here" in check_doubled(stopping).words
    assert "a function is asked for" in check_doubled(3).words
