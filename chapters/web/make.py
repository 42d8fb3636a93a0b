"""Build the chapters as web pages: `make site` calls it, and the start page is build/site/index.html.

    python chapters/web/make.py               with pictures that move, drawn from the notebooks
    python chapters/web/make.py --no-frames   without: every picture as it was saved

The notebooks are not run for their outputs, which are saved in them. Where a picture moves, its steps are drawn by
running the notebook down to it, once: they are kept until the notebook or the code that draws changes.
"""

from __future__ import annotations

import argparse
import hashlib
import shutil
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import nbformat

sys.path[:0] = [str(Path(__file__).resolve().parent.parent)]

from build import execute  # noqa: E402
from contents import FOLDER, fingerprint, read_chapter  # noqa: E402
from pages import ROOT, Pages  # noqa: E402

BUILD = ROOT / "build"
WORKERS = 2  # notebooks run side by side


def code_key() -> str:
    """Return a short text that changes with the code of the library and of the chapters."""
    files = sorted([*(ROOT / "minissd").rglob("*.py"), *FOLDER.glob("*.py")])
    return hashlib.sha256(b"".join(path.read_bytes() for path in files)).hexdigest()[:16]


def draw_frames(path: Path, key: str) -> Path | None:
    """Run a notebook down to its last moving picture; return the folder with the steps drawn on the way."""
    chapter = read_chapter(path)
    moving = [k for k, cell in enumerate(chapter.cells) if "\nexplore(" in "\n" + cell["source"]]
    if not moving:
        return None
    folder = BUILD / "frames" / f"{path.name[:2]}-{fingerprint(chapter.notebook)}-{key}"
    if (folder / "done").exists():
        return folder
    start = time.perf_counter()
    for old in folder.parent.glob(f"{path.name[:2]}-*"):
        shutil.rmtree(old)
    folder.mkdir(parents=True)
    notebook = nbformat.read(path, as_version=4)
    notebook.cells = notebook.cells[: moving[-1] + 1]
    execute(path, notebook=notebook, MINISSD_FAST="0", MINISSD_FRAMES=str(folder))
    (folder / "done").touch()
    print(f"{path.name}: steps drawn in {time.perf_counter() - start:.0f} s")
    return folder


def main(arguments: list[str]) -> int:
    """Build the site; return what Sphinx returns, 0 where all is well."""
    from sphinx.cmd.build import build_main

    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--no-frames", action="store_true", help="every picture as it was saved")
    options = parser.parse_args(arguments)
    paths = [] if options.no_frames else sorted(FOLDER.glob("[0-9][0-9]_*.ipynb"))
    key = code_key()
    with ThreadPoolExecutor(WORKERS) as pool:
        folders = dict(zip(paths, pool.map(lambda path: draw_frames(path, key), paths)))
    frames = {path.name[:2]: folder for path, folder in folders.items() if folder}
    pages, site = BUILD / "site-pages", BUILD / "site"
    Pages(pages, frames).write_all()
    shutil.rmtree(site, ignore_errors=True)
    words = ["-q", "-W", "--keep-going", "-E", "-b", "html", "-d", str(BUILD / "site-state")]
    code = build_main([*words, str(pages), str(site)])
    if code == 0:
        print(f"open {site.relative_to(ROOT) / 'index.html'}")
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
