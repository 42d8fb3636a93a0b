"""Run chapters from a clean kernel, in order, and save them as readers shall see them.

    python chapters/build.py 01 05     two chapters
    python chapters/build.py           all of them
    python chapters/build.py --map     only the tables of the start page

Run it after every change of a notebook. What must not be saved is left out: the state of widgets, times of
execution, the names of a machine. The tables of the start page are written anew each time.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from pathlib import Path

import nbformat
from contents import FOLDER, SOURCE_KEY, chapters, fingerprint, with_tables
from nbclient import NotebookClient

KERNEL = {"name": "python3", "display_name": "Python 3", "language": "python"}


def execute(
    path: Path,
    seconds: int = 600,
    notebook: nbformat.NotebookNode | None = None,
    **environment: str,
) -> nbformat.NotebookNode:
    """Run a notebook in its folder from a clean kernel and return it with its outputs.

    Args:
        path: The notebook; the file is not changed.
        seconds: Longest time of one cell.
        notebook: Is run instead of what the file holds, as a part of it.
        environment: Variables that the kernel sees, such as MINISSD_FAST="1".

    Raises:
        CellExecutionError: A cell failed.
    """
    notebook = notebook or nbformat.read(path, as_version=4)
    client = NotebookClient(
        notebook,
        timeout=seconds,
        kernel_name=KERNEL["name"],
        resources={"metadata": {"path": str(path.parent)}},
        store_widget_state=False,
        record_timing=False,
        extra_arguments=["--log-level=ERROR"],
    )
    kernel_sees = {**os.environ, "PYTHONPATH": str(FOLDER.parent), "MINISSD_STATIC": "1"}
    return client.execute(env={**kernel_sees, **environment})


def clean(notebook: nbformat.NotebookNode, number: str) -> nbformat.NotebookNode:
    """Leave only what belongs into the file: steady cell ids, no machine, the fingerprint of the sources."""
    for place, cell in enumerate(notebook.cells):
        cell["id"] = f"{number}-{place:02d}"
        cell["metadata"] = {key: cell["metadata"][key] for key in ("tags",) if key in cell.metadata}
    notebook["metadata"] = {
        "kernelspec": KERNEL,
        "language_info": {"name": "python"},
        SOURCE_KEY: fingerprint(notebook),
    }
    return notebook


def build(path: Path) -> None:
    """Run a notebook and save it in place, whole or not at all."""
    start = time.perf_counter()
    notebook = clean(execute(path, MINISSD_FAST="0"), path.name[:2])
    nbformat.validate(notebook)
    part = path.with_suffix(".part")
    part.write_text(nbformat.writes(notebook) + "\n", encoding="utf-8", newline="\n")
    part.replace(path)
    print(f"{path.name}: {time.perf_counter() - start:.0f} s, {path.stat().st_size / 1000:.0f} kB")


def write_map() -> None:
    """Write the tables of the start page from the notebooks."""
    page = FOLDER / "README.md"
    words = with_tables(page.read_text(encoding="utf-8"), chapters())
    page.write_text(words, encoding="utf-8", newline="\n")


def main(arguments: list[str]) -> int:
    """Build what the command line asks for; return 2 where a chapter that it names does not exist."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument(
        "numbers", nargs="*", metavar="NN", help="chapters; all where none is given"
    )
    parser.add_argument("--map", action="store_true", help="only the tables of the start page")
    options = parser.parse_args(arguments)
    paths = {path.name[:2]: path for path in sorted(FOLDER.glob("[0-9][0-9]_*.ipynb"))}
    unknown = [number for number in options.numbers if number not in paths]
    if unknown:
        print(f"no chapter {', '.join(unknown)}; there are {', '.join(paths)}", file=sys.stderr)
        return 2
    for number in [] if options.map else options.numbers or paths:
        build(paths[number])
    write_map()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
