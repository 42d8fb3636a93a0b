"""Check the finished pages: links and anchors by reading them, the rest in Chromium. `make test-site` calls it.

The pages are those of build/site, or of the folder that is named.
"""

from __future__ import annotations

import functools
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from browser import Browser, find_browser
from links import faults_of

SITE = Path(__file__).resolve().parent.parent.parent / "build" / "site"
WIDTHS = (380, 1400)  # pixels: a telephone, a desktop
PICTURES = "[...document.images].filter((p) => !p.naturalWidth).map((p) => p.src)"
SLIDERS = """(async () => {
  const faults = [];
  for (const figure of document.querySelectorAll("figure[data-frames]")) {
    const slider = figure.querySelector("input"), picture = figure.querySelector("img");
    const name = figure.dataset.name;
    if (!slider.offsetHeight) faults.push(`the slider ${name} is not seen`);
    if (slider.labels.length !== 1) faults.push(`the slider ${name} has no label`);
    const start = Number(slider.value), seen = new Set();
    for (let place = 0; place <= Number(slider.max); place++) {
      slider.value = place;
      slider.dispatchEvent(new Event("input"));
      await picture.decode().catch(() => faults.push(`${picture.src} does not load`));
      seen.add(picture.src);
      const says = figure.querySelector("output").value;
      if (slider.getAttribute("aria-valuetext") !== says) faults.push(`${name}: ${says} is not told`);
    }
    if (seen.size !== Number(slider.max) + 1) faults.push(`the slider ${name} moves nothing`);
    slider.value = start;
    slider.dispatchEvent(new Event("input"));
  }
  return faults;
})()"""


class Quiet(SimpleHTTPRequestHandler):
    """Serves files without a word."""

    def log_message(self, *words: object) -> None:
        """Say nothing."""


@contextmanager
def served(folder: Path) -> Iterator[str]:
    """Serve a folder on this machine; the address is given to the block."""
    handler = functools.partial(Quiet, directory=str(folder))
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/"
    finally:
        server.shutdown()
        server.server_close()


def look_at(browser: Browser, address: str, page: str) -> list[str]:
    """Open a page, look at it in windows of all widths, and return one line for each fault."""
    browser.open(address + page, WIDTHS[0])
    faults = browser.ask(SLIDERS)
    faults += search_faults(browser) if "search.html" in page else []
    for width in WIDTHS:
        browser.resize(width)
        faults += [f"{source} does not load" for source in browser.ask(PICTURES)]
        wide = browser.ask("document.documentElement.scrollWidth")
        faults += [f"is {wide} pixels wide at {width}"] if wide > width else []
    strange = [url for url in browser.requests if not url.startswith((address, "about:", "data:"))]
    faults += [f"asks for {url}" for url in strange]
    return [f"{page}: {fault}" for fault in [*faults, *browser.complaints]]


def search_faults(browser: Browser) -> list[str]:
    """Wait for the results of a search; return a line where there are none."""
    end = time.monotonic() + 10
    while time.monotonic() < end:
        if browser.ask("document.querySelectorAll('#search-results li a').length"):
            return []
        time.sleep(0.1)
    return ["the search finds nothing"]


def main(arguments: list[str]) -> int:
    """Check the pages in a folder; return 0 where all is well, 1 with the faults printed, one a line."""
    site = Path(arguments[0]) if arguments else SITE
    start = time.perf_counter()
    faults = faults_of(site)
    pages = sorted(p.relative_to(site).as_posix() for p in site.rglob("*.html"))
    pages = [page for page in pages if not page.startswith("_static")]
    pages = [f"{page}?q=matching" if page == "search.html" else page for page in pages]
    program = find_browser()
    if program is None:
        print("SKIPPED: pages in Chromium, which is not installed (Debian: apt install chromium)")
    else:
        with served(site) as address, Browser(program) as browser:
            for page in pages:
                faults += look_at(browser, address, page)
    print(*faults, sep="\n", end="\n" if faults else "")
    print(f"{len(pages)} pages, {len(faults)} faults, {time.perf_counter() - start:.0f} s")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
