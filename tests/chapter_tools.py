"""The chapters as tests see them: their modules of checks, solutions and wrong answers, and a run of each notebook."""

from __future__ import annotations

import importlib
import sys
from functools import cache
from pathlib import Path
from types import ModuleType

REPOSITORY = Path(__file__).resolve().parent.parent
FOLDER = REPOSITORY / "chapters"
for place in (str(FOLDER), str(REPOSITORY / "tests")):
    if place not in sys.path:
        sys.path.insert(0, place)

from build import execute  # noqa: E402 - found in the folder of the chapters
from contents import Chapter, chapters, read_chapter  # noqa: E402

CHAPTERS = chapters()
SKELETON_OF = {chapter.key: chapter for chapter in CHAPTERS}


def module(kind: str, key: str) -> ModuleType:
    """Return checks, solutions or chapter_answers of a chapter: module("checks", "ch01")."""
    return importlib.import_module(f"{kind}.{key}")


def checks_of(key: str) -> dict:
    """Return the checks of a chapter by the name of their exercise."""
    members = vars(module("checks", key)).items()
    return {name.removeprefix("check_"): f for name, f in members if name.startswith("check_")}


@cache
def fast_run(key: str) -> Chapter:
    """Run a notebook on the fast profile from a clean kernel, once for all tests."""
    path = SKELETON_OF[key].path
    return Chapter(path, execute(path, seconds=60, MINISSD_FAST="1"))


__all__ = ["CHAPTERS", "FOLDER", "REPOSITORY", "checks_of", "fast_run", "module", "read_chapter"]
