"""Switches: what is on unless somebody switches it off, for a `with` block or by an environment variable."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from minissd.errors import check


class Switch:
    """Something that is on where nobody says otherwise.

    Args:
        name: An environment variable, 1 or 0, that says so for the whole process.
    """

    def __init__(self, name: str):
        self.name = name
        self._chosen: ContextVar[bool | None] = ContextVar(name, default=None)

    @contextmanager
    def use(self, on: bool) -> Iterator[None]:
        """Switch on or off within a `with` block of this thread; the environment is not asked meanwhile."""
        token = self._chosen.set(on)
        try:
            yield
        finally:
            self._chosen.reset(token)

    def is_on(self) -> bool:
        """Say whether it is on: as `use` said, else as the environment variable says.

        Raises:
            ValueError: The environment variable is neither 0 nor 1.
        """
        chosen = self._chosen.get()
        if chosen is not None:
            return chosen
        text = os.environ.get(self.name, "").strip() or "1"
        check(text in ("0", "1"), f"environment variable {self.name}", "0 or 1", text)
        return text == "1"
