"""Archives for tests: good ones, and such as an attacker would make; and a server on this machine that has them."""

from __future__ import annotations

import io
import stat
import tarfile
import threading
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path


def tar_bytes(members: Mapping[str, bytes | tarfile.TarInfo]) -> bytes:
    """Return a tar file; a `TarInfo` in place of bytes is put in as it is, under its own name."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name, content in members.items():
            if isinstance(content, tarfile.TarInfo):
                tar.addfile(content)
                continue
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


def special(name: str, kind: bytes, target: str = "") -> tarfile.TarInfo:
    """Return a link, a device or the like."""
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info


def zip_bytes(members: Mapping[str, bytes], links: Mapping[str, str] | None = None) -> bytes:
    """Return a zip file; `links` are symbolic links as Unix zips hold them."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
        for name, target in (links or {}).items():
            info = zipfile.ZipInfo(name)
            info.external_attr = (stat.S_IFLNK | 0o777) << 16
            archive.writestr(info, target)
    return buffer.getvalue()


def voc_tar(year: str, lists: Mapping[str, list[str]]) -> bytes:
    """Return an archive as those of the VOC years: VOCdevkit/VOC.../..., with a folder as a member of its own."""
    inner = f"VOCdevkit/{year}"
    members: dict[str, bytes | tarfile.TarInfo] = {inner: special(inner, tarfile.DIRTYPE)}
    for split, names in lists.items():
        members[f"{inner}/ImageSets/Main/{split}.txt"] = "\n".join([*names, ""]).encode()
        for name in names:
            members[f"{inner}/JPEGImages/{name}.jpg"] = b"picture " + name.encode()
            members[f"{inner}/Annotations/{name}.xml"] = b"<annotation/>"
    return tar_bytes(members)


class Site:
    """What a server answers.

    Attributes:
        files: Content by path.
        claimed: Sizes to claim instead of the true ones, by path.
        asked: Paths that were asked for.
    """

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.claimed: dict[str, int] = {}
        self.asked: list[str] = []
        self.url = ""


@contextmanager
def serving() -> Iterator[Site]:
    """Serve files on this machine."""
    site = Site()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            site.asked.append(self.path)
            content = site.files.get(self.path)
            if content is None:
                self.send_error(404)
                return
            self.send_response(200)
            self.send_header("Content-Length", str(site.claimed.get(self.path, len(content))))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *words: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    site.url = f"http://127.0.0.1:{server.server_port}"
    try:
        yield site
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def everything_in(folder: Path) -> list[str]:
    """Return all that lies in a folder, hidden things too."""
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*"))
