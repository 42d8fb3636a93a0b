"""What stands in the chapters, read from the notebooks: for the start page, for the build, and for the tests."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).resolve().parent
SECTIONS = (
    "What you will be able to do",
    "Checks",
    "Exercises",
    "What now lives in `minissd`",
    "Questions people ask",
    "Summary",
)
PREDICT = "> **Predict before you run.**"
TIME = re.compile(r"\*\*Time:\*\* about (\d+) minutes · \*\*Before:\*\* (.+)")
EXERCISE = re.compile(r"^### Exercise (\d+) · (.+)$", re.MULTILINE)
ANSWERS = re.compile(r"<!-- answers (\d+) -->")
SOURCE_KEY = "minissd_source"  # in the notebook's metadata: which cells the saved outputs came from

PAINS = (
    "My loss is nan or inf",
    "An IndexError or a dtype error with newer versions",
    "How many classes do I give, and is background 0?",
    "Why are there two sorts in hard-negative mining, and is mining wrong?",
    "What are the variances?",
    "An object without a box: which rule of matching?",
    "Which scales and ratios for my data? Clipping? Why the steps 100 and 300?",
    "38 × 38 or 37 × 37, and why does the number of boxes not fit?",
    "Why L2 normalisation only there, and why 20?",
    "My mAP differs from the published one",
    "Pictures without objects",
    "Non-maximum suppression is slow",
    "Two boxes of different classes on one object",
    "xy or yx, corners or centers, pixels or fractions?",
    "RGB or BGR, and in which order are the means?",
    "The loss stays high: from scratch, or on my own data",
    "The rule of the random crop",
)


@dataclass(frozen=True)
class Chapter:
    """One notebook."""

    path: Path
    notebook: dict[str, Any]

    @property
    def number(self) -> int:
        """The number that its file name begins with."""
        return int(self.path.name[:2])

    @property
    def key(self) -> str:
        """Name of its modules of checks, solutions and wrong answers: "ch01"."""
        return f"ch{self.number:02d}"

    @property
    def cells(self) -> list[dict[str, Any]]:
        """All cells, each with its source as one text."""
        return [{**cell, "source": text(cell["source"])} for cell in self.notebook["cells"]]

    @property
    def code(self) -> list[dict[str, Any]]:
        """The cells of code."""
        return [cell for cell in self.cells if cell["cell_type"] == "code"]

    @cached_property
    def prose(self) -> str:
        """All Markdown, one empty line between two cells."""
        return "\n\n".join(c["source"] for c in self.cells if c["cell_type"] == "markdown")

    @property
    def outputs(self) -> list[dict[str, Any]]:
        """All saved outputs."""
        return [output for cell in self.code for output in cell["outputs"]]

    @property
    def title(self) -> str:
        """The first heading, without its number."""
        return re.search(r"^# (?:\d+ · )?(.+)$", self.prose, re.MULTILINE)[1]

    @property
    def headings(self) -> list[str]:
        """The headings of the second level."""
        return re.findall(r"^## (.+)$", self.prose, re.MULTILINE)

    @property
    def time(self) -> tuple[int, str]:
        """Minutes, and what should be read before."""
        found = TIME.search(self.prose)
        return (int(found[1]), found[2]) if found else (0, "")

    @property
    def words(self) -> int:
        """Words of prose; comments, code, formulas and the addresses of links are not counted."""
        prose = re.sub(r"<!--.*?-->|```.*?```|\$\$.*?\$\$", " ", self.prose, flags=re.DOTALL)
        prose = re.sub(r"\]\([^)]*\)", "] ", prose)
        return len(re.findall(r"\w[\w'’.,/-]*", prose))

    @property
    def pictures(self) -> list[dict[str, Any]]:
        """Metadata of each picture that is saved, the alternative text among them."""
        pictures = [o for o in self.outputs if "image/png" in o.get("data", {})]
        return [o.get("metadata", {}).get("image/png", {}) for o in pictures]

    @property
    def predictions(self) -> int:
        """How often the reader is asked to predict."""
        return self.prose.count(PREDICT)

    @property
    def exercises(self) -> list[str]:
        """Titles of the exercises, in their order."""
        return [title for _, title in EXERCISE.findall(self.prose)]

    def section(self, heading: str) -> str:
        """Return the prose of a section without its heading; empty where there is none."""
        found = re.search(rf"^## {re.escape(heading)}$(.*?)(?=^## |\Z)", self.prose, re.M | re.S)
        return found[1].strip() if found else ""

    def notebook_code(self, heading: str) -> str:
        """Return the code under a heading of the second level, up to the next one."""
        inside, code = False, []
        for cell in self.cells:
            if cell["cell_type"] == "code":
                code += [cell["source"]] * inside
            elif headings := re.findall(r"^## (.+)$", cell["source"], re.MULTILINE):
                inside = headings[-1] == heading
        return "\n".join(code)

    def answers(self) -> dict[int, str]:
        """Return the pain points answered here: number to the nearest heading above the answer."""
        places, heading = {}, self.title
        for line in self.prose.splitlines():
            if re.match(r"#{2,} ", line):
                heading = re.sub(r"^#+ |\s*<!--.*?-->", "", line).strip()
            places.update({int(number): heading for number in ANSWERS.findall(line)})
        return places


def text(source: str | list[str]) -> str:
    """Return a cell's text, which the file holds as one string or as lines."""
    return source if isinstance(source, str) else "".join(source)


def read_chapter(path: Path) -> Chapter:
    """Read one notebook."""
    return Chapter(path, json.loads(path.read_text(encoding="utf-8")))


def chapters(folder: Path = FOLDER) -> list[Chapter]:
    """Read all chapters, in their order: the notebooks whose names begin with two digits."""
    return [read_chapter(path) for path in sorted(folder.glob("[0-9][0-9]_*.ipynb"))]


def fingerprint(notebook: dict[str, Any]) -> str:
    """Return a short text that changes with any cell's source, not with its output."""
    sources = [[cell["cell_type"], text(cell["source"])] for cell in notebook["cells"]]
    return hashlib.sha256(json.dumps(sources).encode()).hexdigest()[:16]


def map_of_chapters(all_chapters: list[Chapter]) -> str:
    """Return the table of chapters for the start page."""
    lines = ["| | chapter | minutes | before |", "| --- | --- | --- | --- |"]
    for chapter in all_chapters:
        minutes, before = chapter.time
        link = f"[{chapter.title}]({chapter.path.name})"
        lines.append(f"| {chapter.number} | {link} | {minutes} | {before} |")
    return "\n".join(lines)


def table_of_pains(all_chapters: list[Chapter]) -> str:
    """Return the table of the questions that learners ask most, and where each is answered."""
    lines = ["| | question | answered in |", "| --- | --- | --- |"]
    for number, pain in enumerate(PAINS, 1):
        places = [
            f"[{chapter.number}]({chapter.path.name}): {chapter.answers()[number]}"
            for chapter in all_chapters
            if number in chapter.answers()
        ]
        lines.append(f"| {number} | {pain} | {'; '.join(places) or 'a later chapter'} |")
    return "\n".join(lines)


def with_tables(page: str, all_chapters: list[Chapter]) -> str:
    """Return the start page with both of its tables written anew between their marks."""
    tables = {"map": map_of_chapters(all_chapters), "questions": table_of_pains(all_chapters)}
    for name, table in tables.items():
        marks = re.compile(rf"(<!-- {name} -->\n).*?(<!-- /{name} -->)", re.DOTALL)
        page = marks.sub(lambda found, table=table: f"{found[1]}{table}\n{found[2]}", page)
    return page
