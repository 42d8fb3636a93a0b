"""The chapters as web pages: how they are put together and judged, without Sphinx; `make test-site` does all."""

import base64
import json
import sys
from functools import partial

import chapter_tools  # noqa: F401 - so that the folder of the chapters is found
import contents
import interactive
import nbformat
import pytest
from course import png
from matplotlib.figure import Figure

sys.path.insert(0, str(contents.FOLDER / "web"))

import browser
import check
import links
import pages

HEAD = '<meta name="viewport" content="width=device-width"><link rel="icon" href="data:,">'
BODY = '<h1 id="top">T</h1><a href="other.html#end">o</a><img src="p.png" alt="a box">'
GOOD = f"<html><head>{HEAD}</head><body>{BODY}</body></html>"
OTHER = f'<html><head>{HEAD}</head><body><p id="end">E</p><a href="index.html">i</a></body></html>'


def figure(**values):
    made = Figure(figsize=(2, 1))
    made.text(0.1, 0.5, " ".join(f"{value:g}" for value in values.values()))
    return made


@pytest.mark.parametrize(
    "slider",
    [(0, 60, 14), (-12, 0, 0), (0.2, 0.9, 0.5, 0.05), (0, 1, 1), (0, 13, 7), (1, 1000, 333, 0.5)],
)
def test_the_steps_of_a_slider_are_few_and_hold_its_ends_and_its_start(slider):
    slider = interactive.Slider(*slider)
    steps = interactive.steps(slider)
    assert {slider.low, slider.high, slider.start} <= set(steps)
    assert len(steps) <= interactive.MAX_FRAMES
    assert steps == sorted(set(steps))


@pytest.fixture
def site(tmp_path):
    (tmp_path / "index.html").write_text(GOOD, encoding="utf-8")
    (tmp_path / "other.html").write_text(OTHER, encoding="utf-8")
    (tmp_path / "p.png").write_bytes(png(figure(a=1)))
    (tmp_path / "site.css").write_text("p { background: url(p.png) }", encoding="utf-8")
    return tmp_path


def test_good_pages_have_no_faults(site):
    assert links.faults_of(site) == []
    assert links.faults_of(site / "empty") != []


@pytest.mark.parametrize(
    "right, wrong, fault",
    [
        ("other.html#end", "other.html#start", "no such anchor"),
        ("other.html#end", "gone.html", "gone.html is not there"),
        ("p.png", "q.png", "q.png is not there"),
        ("p.png", "https://example.org/p.png", "from elsewhere"),
        ('alt="a box"', 'alt=""', "without alternative text"),
        ("<img", '<p id="top">t</p><img', "stands twice"),
        ("<img", '<script src="//cdn.example.org/x.js"></script><img', "from elsewhere"),
    ],
)
def test_a_planted_fault_is_found(site, right, wrong, fault):
    (site / "index.html").write_text(GOOD.replace(right, wrong), encoding="utf-8")
    (found,) = links.faults_of(site)
    assert fault in found


def test_a_style_from_elsewhere_is_found(site):
    (site / "site.css").write_text("@import url('https://example.org/font.css');", encoding="utf-8")
    (found,) = links.faults_of(site)
    assert "example.org/font.css" in found


@pytest.fixture
def made(tmp_path, monkeypatch):
    """Pages whose first chapter has one moving picture, with steps drawn by `explore` itself."""
    frames = tmp_path / "frames"
    frames.mkdir()
    monkeypatch.setattr(interactive, "FRAMES", str(frames))
    monkeypatch.setattr(interactive, "STATIC", True)
    monkeypatch.setattr(interactive, "FAST", False)
    shown = []
    monkeypatch.setattr(interactive, "display", shown.append)
    sliders = {
        "size": interactive.Slider(0, 4, 2),
        "score_floor": interactive.Slider(0, 1, 0.5, 0.1),
    }
    interactive.explore(figure, alt="two <numbers>", **sliders)
    data = base64.b64encode(shown[0].data).decode()
    meta = {"image/png": {"alt": "two <numbers>", "interactive": {"calls": 1}}}
    output = nbformat.v4.new_output("display_data", {"image/png": data}, metadata=meta)
    note = "(In a running notebook the picture has a slider.)"
    words = (
        f"# 1 · T <!-- answers 1 -->\n\n{note}\n\n[m](../minissd/boxes/nms.py) [g](glossary.md#nms)"
    )
    cells = [nbformat.v4.new_markdown_cell(words), nbformat.v4.new_code_cell("1", outputs=[output])]
    notebook = tmp_path / "01_t.ipynb"
    nbformat.write(nbformat.v4.new_notebook(cells=cells), notebook)
    written = pages.Pages(tmp_path / "pages", {"01": frames})
    written._notebook(notebook)
    written._sources()
    return tmp_path / "pages"


def test_a_moving_picture_gets_a_slider_with_its_steps(made):
    notebook = json.loads((made / "01_t.ipynb").read_text(encoding="utf-8"))
    html = notebook["cells"][1]["outputs"][0]["data"]["text/html"]
    assert 'alt="two &lt;numbers&gt;"' in html
    assert 'max="4" step="1" value="2"' in html
    assert "score floor 0.5" in html
    (files,) = [json.loads(links_of) for links_of in frames_in(html)]
    assert [step["value"] for step in files] == ["0", "1", "2", "3", "4"]
    assert all((made / "extra" / step["file"]).is_file() for step in files)


def frames_in(html):
    found = links.HTMLParser()
    lists = []
    found.handle_starttag = lambda tag, attrs: lists.extend(
        value for key, value in attrs if key == "data-frames"
    )
    found.feed(html)
    return lists


def test_links_lead_to_pages_and_comments_are_gone(made):
    notebook = json.loads((made / "01_t.ipynb").read_text(encoding="utf-8"))
    words = notebook["cells"][0]["source"]
    assert words == "# 1 · T\n\n[m](source/minissd/boxes/nms.py.md) [g](glossary.md#nms)"
    page = (made / "source" / "minissd" / "boxes" / "nms.py.md").read_text(encoding="utf-8")
    assert "def nms(" in page


def test_a_link_to_nothing_is_refused(tmp_path):
    written = pages.Pages(tmp_path / "pages", {})
    with pytest.raises(FileNotFoundError, match="gone"):
        written._words("[x](gone.py)", contents.FOLDER)


def test_the_browser_finds_what_only_it_can_see(site):
    pytest.importorskip(
        "websocket", reason="websocket-client is not installed: pip install -e .[site]"
    )
    if (program := browser.find_browser()) is None:
        pytest.skip("Chromium is not installed (Debian: apt install chromium)")
    wide = '<p style="width: 2000px">wide</p><script>console.error("oh")</script><img src="q.png" alt="q">'
    (site / "bad.html").write_text(GOOD.replace("<img", f"{wide}<img"), encoding="utf-8")
    with check.served(site) as address, browser.Browser(program) as chromium:
        look = partial(check.look_at, chromium, address)
        assert look("other.html") == []
        faults = "\n".join(look("bad.html"))
    for fault in ("q.png does not load", "pixels wide at 380", "pixels wide at 1400", "oh", "404"):
        assert fault in faults
