"""Judge the finished pages without a browser: what they link to and load is there, and nothing comes from elsewhere."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

OUTSIDE = re.compile(r"(?:https?:)?//")
STYLE = re.compile(r"(?:url\(|@import)\s*[\"']?((?:https?:)?//[^\"')\s]+)")


class Page(HTMLParser):
    """What one page has and asks for.

    Attributes:
        anchors: Every `id` on the page, and the old form `name` of links.
        links: Where its links lead.
        loads: What the browser fetches by itself: scripts, styles, pictures.
        faults: Pictures without alternative text, an `id` that stands twice.
    """

    def __init__(self, words: str) -> None:
        super().__init__()
        self.anchors: set[str] = set()
        self.links: list[str] = []
        self.loads: list[str] = []
        self.faults: list[str] = []
        self.feed(words)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note what one tag has and asks for."""
        has = {key: value or "" for key, value in attrs}
        name = has.get("id", "")
        if name and name in self.anchors:
            self.faults.append(f"the anchor {name!r} stands twice")
        self.anchors.add(name)
        if tag == "a":
            self.anchors.add(has.get("name", ""))
            if "href" in has:
                self.links.append(has["href"])
        if tag == "link" and has.get("rel") in ("stylesheet", "icon", "preload"):
            self.loads.append(has["href"])
        if "src" in has:
            self.loads.append(has["src"])
        if tag == "img" and not has.get("alt"):
            self.faults.append(f"a picture without alternative text: {has.get('src')}")


def faults_of(site: Path) -> list[str]:
    """Return one line for each fault of the pages in a folder."""
    paths = sorted(path for path in site.rglob("*.html") if "_static" not in path.parts)
    pages = {path.resolve(): Page(path.read_text(encoding="utf-8")) for path in paths}
    faults = [] if pages else [f"{site}: no pages"]
    for path, page in pages.items():
        here = path.relative_to(site.resolve()).as_posix()
        found = [*page.faults]
        found += [f"loads {load} from elsewhere" for load in page.loads if OUTSIDE.match(load)]
        inner = [load for load in page.loads if not OUTSIDE.match(load)]
        for link in [*page.links, *inner]:
            found += _broken(link, path, pages)
        faults += [f"{here}: {fault}" for fault in found]
    for path in sorted(site.rglob("*.css")):
        loads = STYLE.findall(path.read_text(encoding="utf-8"))
        faults += [f"{path.relative_to(site)}: loads {load} from elsewhere" for load in loads]
    return faults


def _broken(link: str, path: Path, pages: dict[Path, Page]) -> list[str]:
    parts = urlsplit(link)
    if parts.scheme or parts.netloc:
        return []
    target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
    if not target.is_file():
        return [f"{link} is not there"]
    anchor = unquote(parts.fragment)
    if anchor and target in pages and anchor not in pages[target].anchors:
        return [f"{link} has no such anchor"]
    return []
