"""Every chapter that is there: its skeleton, what is saved in it, and that it runs. See chapters/CONTRIBUTING.md."""

from __future__ import annotations

import re
import statistics

import pytest
from chapter_tools import CHAPTERS, FOLDER, REPOSITORY, fast_run
from contents import PAINS, SECTIONS, SOURCE_KEY, TIME, Chapter, fingerprint, text, with_tables

LINK = re.compile(r"\]\(([^)\s]+)\)")
MACHINE = re.compile(
    r"(?<![\w.~-])/(?:" + "home|Users|root|work|tmp" + r")/\w|[A-Z]:\\|ipykernel_\d"
)

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:zmq.*")
each_chapter = pytest.mark.parametrize("chapter", CHAPTERS, ids=lambda chapter: chapter.key)


def spoken(chapter: Chapter) -> str:
    """Return all text that is printed or shown, pictures left out."""
    parts = []
    for output in chapter.outputs:
        parts.append(text(output.get("text", "")))
        parts.append(text(output.get("data", {}).get("text/plain", "")))
    return "\n".join(parts)


def test_there_are_chapters_and_their_numbers_are_their_own():
    numbers = [chapter.number for chapter in CHAPTERS]
    assert numbers
    assert numbers == sorted(set(numbers))


@each_chapter
def test_the_skeleton_is_whole(chapter):
    assert re.match(rf"# {chapter.number} · \S", chapter.prose)
    assert TIME.search(chapter.prose), "the line with **Time:** and **Before:**"
    assert 10 <= chapter.time[0] <= 120
    last = [heading for heading in chapter.headings if heading in SECTIONS]
    assert last == list(SECTIONS), chapter.headings
    assert chapter.headings[0] == SECTIONS[0]
    assert chapter.headings[-5:] == list(SECTIONS[1:])
    assert len(chapter.headings) >= len(SECTIONS) + 3, "three sections that build, or more"
    assert len(re.findall(r"^- ", chapter.section(SECTIONS[0]), re.MULTILINE)) == 3
    assert all(chapter.section(heading) for heading in SECTIONS)


@each_chapter
def test_there_is_enough_of_everything_and_not_too_much(chapter):
    assert chapter.predictions >= 3
    assert 5 <= len(chapter.pictures) <= 9
    assert 3 <= len(chapter.exercises) <= 5
    assert 1200 <= chapter.words <= 2200, f"{chapter.words} words"
    assert "../minissd/" in chapter.section("What now lives in `minissd`")
    assert "assert " in chapter.notebook_code("Checks")
    lengths = [len(cell["source"].splitlines()) for cell in chapter.code]
    print(
        f"{chapter.key}: {chapter.words} words, {len(chapter.cells)} cells, longest {max(lengths)}"
    )
    assert statistics.median(lengths) <= 6
    assert max(lengths) <= 30


@each_chapter
def test_pictures_have_words_for_those_who_cannot_see_them(chapter):
    for picture in chapter.pictures:
        assert len(picture.get("alt", "").split()) >= 5, picture


@each_chapter
def test_exercises_are_numbered_and_each_has_one_cell(chapter):
    numbers = range(1, len(chapter.exercises) + 1)
    begins = [f"# Exercise {number}: your answer" for number in numbers]
    cells = [c for c in chapter.code if c["source"].startswith("# Exercise")]
    assert [cell["source"].splitlines()[0] for cell in cells] == begins
    assert re.findall(r"^### Exercise (\d+)", chapter.prose, re.M) == [str(n) for n in numbers]


@each_chapter
def test_numbers_in_prose_are_computed_or_asserted(chapter):
    known = spoken(chapter) + "\n".join(cell["source"] for cell in chapter.code)
    known = set(re.findall(r"\d+(?:\.\d+)?", known.replace(",", "")))
    known |= {str(float(number)) for number in known}
    prose = re.sub(r"<!--.*?-->|\]\([^)]*\)|`[^`]*`", " ", chapter.prose)
    numbers = re.findall(r"(?<![\w.])\d[\d,]*(?:\.\d+)?(?!\w)", prose)
    numbers = [number.replace(",", "") for number in numbers]
    strange = [
        number
        for number in numbers
        if ("." in number or len(number) > 2)
        and not re.fullmatch(r"(?:19|20)\d\d", number)
        and number not in known
        and str(float(number)) not in known
    ]
    assert not strange


@each_chapter
def test_links_lead_somewhere(chapter):
    anchors = set(re.findall(r'<a id="([\w-]+)">', (FOLDER / "glossary.md").read_text("utf-8")))
    for link in LINK.findall(chapter.prose):
        if not link.startswith(("https://", "http://")):
            name, _, anchor = link.partition("#")
            assert (FOLDER / name).exists(), link
            assert name != "glossary.md" or not anchor or anchor in anchors, link


@each_chapter
def test_what_is_saved_comes_from_a_clean_run_in_order(chapter):
    counts = [cell["execution_count"] for cell in chapter.code]
    assert counts == list(range(1, len(counts) + 1))
    built = chapter.notebook["metadata"][SOURCE_KEY] == fingerprint(chapter.notebook)
    assert built, f"changed since it was saved: python chapters/build.py {chapter.number:02d}"


@each_chapter
def test_what_is_saved_is_fit_for_readers(chapter):
    assert chapter.path.stat().st_size <= 1_500_000
    assert "widgets" not in chapter.notebook["metadata"]
    for output in chapter.outputs:
        assert output["output_type"] != "error"
        assert output.get("name") != "stderr", text(output["text"])
        assert not any("widget" in kind for kind in output.get("data", {}))
    said = spoken(chapter)
    assert not MACHINE.search(said), MACHINE.search(said)
    assert "Warning" not in said


@each_chapter
def test_it_runs_from_a_clean_kernel_on_the_fast_profile(chapter):
    run = fast_run(chapter.key)
    assert not [o for o in run.outputs if o["output_type"] == "error" or o.get("name") == "stderr"]
    assert len(run.pictures) == len(chapter.pictures)


@each_chapter
def test_every_callback_of_a_moving_picture_is_called(chapter):
    moving = [c for c in chapter.code if re.search(r"^explore\(", c["source"], re.MULTILINE)]
    calls = [
        p["interactive"]["calls"] for p in fast_run(chapter.key).pictures if "interactive" in p
    ]
    sliders = [cell["source"].count("Slider(") for cell in moving]
    assert len(calls) == len(moving)
    # once still, once as the panel opens, and for each slider at least two moves
    assert all(n >= 1 and called >= 2 + 2 * n for n, called in zip(sliders, calls)), calls


@each_chapter
def test_its_unsolved_exercises_give_hints_in_the_notebook(chapter):
    cells = [c for c in fast_run(chapter.key).code if c["source"].startswith("# Exercise")]
    for cell in cells:
        (result,) = (o for o in cell["outputs"] if o["output_type"] == "execute_result")
        assert "✗ Not yet: this one is still empty" in text(result["data"]["text/plain"])


def test_the_start_page_tells_what_the_chapters_hold():
    page = (FOLDER / "README.md").read_text("utf-8")
    assert with_tables(page, CHAPTERS) == page, "python chapters/build.py --map"
    answered = {number for chapter in CHAPTERS for number in chapter.answers()}
    assert answered <= set(range(1, len(PAINS) + 1))
    if {chapter.number for chapter in CHAPTERS} >= set(range(1, 13)):
        assert answered == set(range(1, len(PAINS) + 1))


@pytest.mark.parametrize("name", ["README.md", "glossary.md", "CONTRIBUTING.md"])
def test_links_of_the_other_pages_lead_somewhere(name):
    for link in LINK.findall((FOLDER / name).read_text("utf-8")):
        if not link.startswith("http"):
            assert (FOLDER / link.partition("#")[0]).exists(), link


def test_no_module_of_a_chapter_is_without_its_notebook():
    keys = {chapter.key for chapter in CHAPTERS}
    for folder in ("chapters/checks", "chapters/solutions", "tests/chapter_answers"):
        found = {path.stem for path in (REPOSITORY / folder).glob("ch*.py")}
        assert found == keys, folder
