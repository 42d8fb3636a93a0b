"""Put the pages together that Sphinx reads: the chapters, the glossary, and the source files that they link to."""

from __future__ import annotations

import base64
import html
import json
import os
import re
import shutil
from pathlib import Path, PurePosixPath
from typing import Any

from contents import FOLDER, text

ROOT = FOLDER.parent
LINK = re.compile(r"(?<!!)\]\(([^)\s]+)\)")
COMMENT = re.compile(r"[ \t]*<!--.*?-->", re.DOTALL)
NOTE = re.compile(
    r"^\(In a running notebook [^)]*\)\n*", re.MULTILINE
)  # not true of a page with sliders
LANGUAGES = {".py": "python", ".toml": "toml", ".json": "json", ".cu": "cpp"}
MARKDOWN = ("glossary.md", "CONTRIBUTING.md")


class Pages:
    """The folder that Sphinx reads, filled page by page.

    Args:
        folder: Is emptied first.
        frames: For each key of a chapter ("01") the folder with its pre-drawn pictures.
    """

    def __init__(self, folder: Path, frames: dict[str, Path]) -> None:
        self.folder, self.frames = folder, frames
        self.linked: set[Path] = set()
        shutil.rmtree(folder, ignore_errors=True)
        (folder / "extra" / "pictures").mkdir(parents=True)
        web = Path(__file__).parent
        (folder / "web").mkdir()
        shutil.copy(web / "conf.py", folder / "conf.py")
        for name in ("site.css", "frames.js", "favicon.svg"):
            shutil.copy(web / name, folder / "web" / name)

    def write_all(self) -> None:
        """Write every page: what is there is found by its name."""
        notebooks = sorted(FOLDER.glob("[0-9][0-9]_*.ipynb"))
        for path in notebooks:
            self._notebook(path)
        for name in MARKDOWN:
            self._write(name, self._words((FOLDER / name).read_text(encoding="utf-8"), FOLDER))
        start = self._words((FOLDER / "README.md").read_text(encoding="utf-8"), FOLDER)
        solutions = sorted((FOLDER / "solutions").glob("ch*.py"))
        self.linked.update(solutions)
        listed = "\n".join(f"- [Chapter {int(p.stem[2:])}]({self._place(p)})" for p in solutions)
        self._write("solutions.md", f"# Solutions\n\nTry the exercises first.\n\n{listed}\n")
        self._write("index.md", start + contents_of([path.stem for path in notebooks]))
        self._sources()

    def _write(self, name: str, words: str) -> None:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(words, encoding="utf-8", newline="\n")

    def _words(self, words: str, folder: Path) -> str:
        """Return Markdown with links that hold on the site, without comments."""
        return LINK.sub(
            lambda found: f"]({self._target(found[1], folder)})", COMMENT.sub("", words)
        )

    def _target(self, link: str, folder: Path) -> str:
        if re.match(r"[a-z]+:", link) or link.startswith("#"):
            return link
        name, _, anchor = link.partition("#")
        path = Path(os.path.normpath(folder / name))
        if not path.exists():
            raise FileNotFoundError(f"{folder.name}: a link leads to {link}, which is not there")
        if path.parent == FOLDER and path.name == "README.md":
            return "index.md"
        if path.parent == FOLDER and (path.suffix == ".ipynb" or path.name in MARKDOWN):
            return f"{path.name}#{anchor}" if anchor else path.name
        self.linked.add(path)
        return self._place(path)

    def _place(self, path: Path) -> str:
        """Return where the page of a source file or a folder lies, as seen from the start page."""
        return f"source/{path.relative_to(ROOT).as_posix()}.md"

    def _notebook(self, path: Path) -> None:
        notebook = json.loads(path.read_text(encoding="utf-8"))
        note = NOTE if self._frames(path).exists() else re.compile("(?!)")
        moving = sorted(self._frames(path).glob("*.json"))
        for place, cell in enumerate(notebook["cells"]):
            cell["source"] = text(cell["source"])
            if cell["cell_type"] == "markdown":
                cell["source"] = note.sub("", self._words(cell["source"], FOLDER))
            if cell["source"].startswith("# Exercise "):
                cell["metadata"]["tags"] = ["verdict"]  # the style sheet knows it
            for number, output in enumerate(cell.get("outputs", [])):
                meta = output.get("metadata", {}).get("image/png", {})
                if "image/png" not in output.get("data", {}):
                    continue
                frames = moving.pop(0) if "interactive" in meta and moving else None
                name = f"{path.name[:2]}-{place:02d}-{number}"
                data = base64.b64decode(text(output["data"]["image/png"]))
                output["data"] = {"text/html": self._picture(name, data, meta["alt"], frames)}
                output["metadata"] = {}
        self._write(path.name, json.dumps(notebook))

    def _frames(self, path: Path) -> Path:
        return self.frames.get(path.name[:2], self.folder / "none")

    def _picture(self, name: str, data: bytes, alt: str, frames: Path | None) -> str:
        """Return the HTML of one picture, with a slider where its steps were drawn ahead."""
        pictures = self.folder / "extra" / "pictures"
        (pictures / f"{name}.png").write_bytes(data)
        width, height = (int.from_bytes(data[at : at + 4], "big") for at in (16, 20))
        size = f'width="{width}" height="{height}" loading="lazy"'
        image = f'<img src="pictures/{name}.png" alt="{html.escape(alt)}" {size}>'
        image = (
            f'<div class="wide" tabindex="0" role="group" aria-label="wide picture">{image}</div>'
            if width > 600
            else image
        )
        if frames is None:
            return f'<figure class="picture">{image}</figure>'
        listed = json.loads(frames.read_text(encoding="utf-8"))
        steps = []
        for value, file in zip(listed["values"], listed["files"]):
            shutil.copy(frames.parent / file, pictures / f"{name}-{file}")
            start = value == listed["start"]
            file = f"pictures/{name}.png" if start else f"pictures/{name}-{file}"
            steps.append({"value": f"{value:g}", "file": file, "start": start})
        label = listed["name"].replace("_", " ")
        data = f'data-name="{label}" data-frames="{html.escape(json.dumps(steps))}"'
        slider = slider_of(name, label, listed, next(k for k, s in enumerate(steps) if s["start"]))
        return f'<figure class="picture" {data}>{image}{slider}</figure>'

    def _sources(self) -> None:
        """Write a page for each source file that is linked, and for each folder a list of its files."""
        for path in sorted(self.linked):
            if path.is_dir():
                self.linked.update(path.glob("*.py"))
        for path in sorted(self.linked):
            name = path.relative_to(ROOT).as_posix()
            page = PurePosixPath(self._place(path))
            if path.is_dir():
                body = "\n".join(
                    f"- [{p.name}]({path.name}/{p.name}.md)" for p in path.glob("*.py")
                )
            else:
                code = path.read_text(encoding="utf-8").rstrip()
                fence = "`" * 8
                body = f"{fence}{LANGUAGES.get(path.suffix, 'text')}\n{code}\n{fence}"
            self._write(str(page), f"---\norphan: true\n---\n\n# `{name}`\n\n{body}\n")


def slider_of(name: str, label: str, listed: dict[str, Any], start: int) -> str:
    """Return the HTML of a slider; it is hidden until the script has bound it."""
    last = len(listed["values"]) - 1
    fixed = ", ".join(
        f"{key.replace('_', ' ')} {value:g}" for key, value in listed["fixed"].items()
    )
    note = f"<small>Here {fixed}; in the notebook that moves too.</small>" if fixed else ""
    return (
        f'<div class="steps" hidden><label for="s{name}">{label}</label>'
        f'<input type="range" id="s{name}" min="0" max="{last}" step="1" value="{start}">'
        f'<output for="s{name}">{listed["start"]:g}</output>{note}</div>'
    )


def contents_of(chapters: list[str]) -> str:
    """Return the tables of contents that Sphinx makes its menu and the order of pages from."""
    blocks = {"Chapters": chapters, "More": ["glossary", "solutions", "CONTRIBUTING"]}
    return "".join(
        "\n```{toctree}\n:hidden:\n:caption: " + caption + "\n\n" + "\n".join(names) + "\n```\n"
        for caption, names in blocks.items()
    )
