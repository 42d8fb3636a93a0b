"""The chapters in numbers: words, cells, pictures, predictions, exercises, and seconds.

python chapters/counts.py              seconds on the fast profile, which the tests run
python chapters/counts.py --full       seconds of a whole run
"""

from __future__ import annotations

import argparse
import time

from build import execute
from contents import Chapter, chapters

HEAD = ("chapter", "words", "cells", "pictures", "moving", "predictions", "exercises", "seconds")


def main() -> None:
    """Run every chapter from a clean kernel and print a line for each."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--full", action="store_true", help="a whole run instead of the fast one")
    profile = "0" if parser.parse_args().full else "1"
    print(_line(HEAD), flush=True)
    rows = []
    for chapter in chapters():
        begun = time.perf_counter()
        execute(chapter.path, seconds=600, MINISSD_FAST=profile)
        rows.append(count(chapter) + [time.perf_counter() - begun])
        print(_line([chapter.path.stem[:36], *rows[-1]]), flush=True)
    print(_line(["all", *map(sum, zip(*rows))]))


def count(chapter: Chapter) -> list[float]:
    """Return what a chapter holds, in the order of the head."""
    moving = sum("interactive" in picture for picture in chapter.pictures)
    sizes = (chapter.words, len(chapter.cells), len(chapter.pictures), moving)
    return [*sizes, chapter.predictions, len(chapter.exercises)]


def _line(cells: list | tuple) -> str:
    name, *rest = cells
    words = [f"{cell:,.0f}" if isinstance(cell, (int, float)) else cell for cell in rest]
    return f"{name:<38}" + "".join(f"{word:>12}" for word in words)


if __name__ == "__main__":
    main()
