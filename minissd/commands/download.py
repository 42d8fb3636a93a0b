"""Fetch data sets and weights from their official addresses.

Without a name, says what there is. Sizes and places are shown first, and you are asked. What arrives
is checked (size, checksum, number of pictures), archives are unpacked safely, and a data set appears
in its place only when it is whole.

  python -m minissd download
  python -m minissd download voc2007 voc2012
  python -m minissd download ssd300-coco --yes
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from minissd.datasets.sources import Source
from minissd.errors import InputError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What, where, consent."""
    parser.add_argument("names", nargs="*", metavar="NAME", help="what to fetch")
    parser.add_argument("--to", default="data", help="folder under which it is put")
    parser.add_argument("--yes", action="store_true", help="fetch without asking")


def run(args: argparse.Namespace) -> int:
    """Fetch one after the other; 1 if something is left for the user to do."""
    from minissd.datasets import download
    from minissd.datasets.archives import check_space
    from minissd.datasets.sources import BY_HAND, SOURCES

    names = list(dict.fromkeys(args.names))
    if not names:
        print(overview(SOURCES, BY_HAND))
        return 0
    unknown = [name for name in names if name not in SOURCES | BY_HAND]
    if unknown:
        known = ", ".join([*SOURCES, *BY_HAND])
        raise InputError(f"nothing is known of {', '.join(unknown)}; there are: {known}")
    by_hand = [name for name in names if name in BY_HAND]
    for name in by_hand:
        what, how = BY_HAND[name]
        print(f"{name}: {what}; not fetched by this program.\n  {how}")
    root = Path(args.to)
    wanted = {name: SOURCES[name] for name in names if name in SOURCES}
    todo = {name: source for name, source in wanted.items() if download.check_place(source, root)}
    for name in wanted.keys() - todo.keys():
        print(f"{name}: {download.place_of(wanted[name], root)} is there already, checksum right")
    if todo:
        print("\n".join(download.describe(name, source, root) for name, source in todo.items()))
        check_space(root, sum(source.disk_bytes for source in todo.values()), "all of it")
        if not args.yes and not confirmed():
            print("nothing was fetched")
            return 1
    for name, source in todo.items():
        place = download.fetch(source, root, progress=sys.stderr.isatty())
        print(f"{name}: {place}")
        print(f"next: {next_step(name, source, place)}")
    return 1 if by_hand else 0


def confirmed() -> bool:
    """Ask whether to go on.

    Raises:
        InputError: There is nobody to ask.
    """
    if not sys.stdin.isatty():
        raise InputError("nobody can be asked here whether to fetch this; add --yes to say so")
    try:
        return input("fetch it? [y/N] ").strip().lower() in ("y", "yes")
    except EOFError:  # Ctrl-D
        return False


def overview(sources: dict[str, Source], by_hand: dict[str, tuple[str, str]]) -> str:
    """Return what can be fetched, and what is for the user to fetch, as text."""
    from minissd.datasets.archives import megabytes

    width = max(map(len, [*sources, *by_hand]))
    lines = [f"{n:<{width}}  {megabytes(s.n_bytes):>8}  {s.what}" for n, s in sources.items()]
    lines += ["", "behind a page that asks for consent; named here, for you to fetch:"]
    lines += [f"{name:<{width}}            {what}" for name, (what, _) in by_hand.items()]
    return "\n".join([*lines, "", "python -m minissd download NAME fetches one, or says how"])


def next_step(name: str, source: Source, place: Path) -> str:
    """Return the command that goes on from what was fetched."""
    if source.is_archive:
        return f"python -m minissd check-dataset {place}"
    words = ["python -m minissd convert", str(place), source.convert, f"--out {name}.safetensors"]
    return " ".join(filter(None, words))
