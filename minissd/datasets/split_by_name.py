"""Dividing pictures that come without lists into train and val: by their names, so that it is the same every time."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from minissd.datasets.picture_set import Entry
from minissd.errors import InputError, check

NAMES = ("train", "val", "trainval")
VAL_SHARE = 0.2


def split_by_name(
    names: Sequence[str], share: float = VAL_SHARE, seed: int = 0
) -> tuple[list[str], list[str]]:
    """Divide names into two parts.

    Each name gets a number that depends on it and the seed alone (the SHA-256 of both); those with the lowest numbers
    are the second part. So the parts do not depend on the order, and hardly on which other names there are.

    Args:
        names: What to divide; each once.
        share: Of the second part, above 0 and below 1; it gets at least one name, and leaves at least one.
        seed: Another one gives another division.

    Returns:
        The first and the second part, each in the given order.
    """
    check(0 < share < 1, "share", "a number between 0 and 1", share)
    ranked = sorted(names, key=lambda name: hashlib.sha256(f"{seed}/{name}".encode()).digest())
    count = min(max(round(share * len(ranked)), 1), len(ranked) - 1)
    second = set(ranked[:count])
    return [n for n in names if n not in second], [n for n in names if n in second]


def choose(entries: Sequence[Entry], split: str | None, where: str) -> tuple[Entry, ...]:
    """Return the pictures of split train (80 %), val (20 %) or trainval (or None: both).

    Raises:
        InputError: There is no such split, or too few pictures to divide.
    """
    if split in (None, "trainval"):
        return tuple(entries)
    if split not in NAMES:
        raise InputError(
            f"{where}: has no lists of pictures, so it is split by name into train ({1 - VAL_SHARE:.0%}) and"
            f" val ({VAL_SHARE:.0%}); trainval is both; there is no {split}"
        )
    if len(entries) < 2:
        raise InputError(f"{where}: one picture alone cannot be split into train and val")
    train, val = split_by_name([entry.image_id for entry in entries])
    chosen = set(train if split == "train" else val)
    return tuple(entry for entry in entries if entry.image_id in chosen)
