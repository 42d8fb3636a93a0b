"""How far apart two frameworks were: tests of the group `peer` write it down, and the run ends with a table of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import pytest

EXACT = 1e-8  # float64, of the largest element: what every comparison promises


@dataclass(frozen=True)
class Difference:
    """One comparison.

    Attributes:
        group: Comparisons that the table takes together.
        what: The array compared.
        found: Largest difference, relative to the largest element of the other framework's array.
        allowed: The promise.
    """

    group: str
    what: str
    found: float
    allowed: float


FOUND: list[Difference] = []


def agree(
    group: str, what: str, ours: np.ndarray, theirs: np.ndarray, allowed: float = EXACT
) -> None:
    """Hold an array against another framework's, and remember how far apart they were.

    Args:
        group: Line of the table at the end of the run.
        what: Name of the array.
        ours: Any shape.
        theirs: Same shape; not zero all over, since zeros would agree whatever was computed.
        allowed: Largest difference, relative to the largest element of `theirs`.

    Raises:
        AssertionError: Another shape, dtype or number, or nothing to compare.
    """
    ours, theirs = np.asarray(ours), np.asarray(theirs)
    assert ours.shape == theirs.shape, f"{group}: {what}: shape {ours.shape}, not {theirs.shape}"
    assert ours.dtype == theirs.dtype, f"{group}: {what}: {ours.dtype}, not {theirs.dtype}"
    largest = float(np.abs(theirs).max(initial=0.0))
    assert 0 < largest < np.inf, f"{group}: {what}: nothing to compare, largest element {largest}"
    found = float(np.abs(ours - theirs).max()) / largest
    FOUND.append(Difference(group, what, found, allowed))
    assert found <= allowed, f"{group}: {what}: differs by {found:.1e}, more than {allowed:.0e}"


def agree_all(
    group: str,
    ours: Mapping[str, np.ndarray],
    theirs: Mapping[str, np.ndarray],
    allowed: float = EXACT,
) -> None:
    """Hold named arrays against another framework's; the names must be the same, and all faults are told."""
    assert set(ours) == set(theirs), f"{group}: only on one side: {sorted(set(ours) ^ set(theirs))}"
    faults = []
    for name in ours:
        try:
            agree(group, name, ours[name], theirs[name], allowed)
        except AssertionError as error:
            faults.append(str(error))
    assert not faults, "\n".join(faults)


def table(found: list[Difference]) -> Iterator[str]:
    """Yield one line a group: its largest difference, what was allowed, how many arrays were compared."""
    for group in dict.fromkeys(each.group for each in found):
        members = [each for each in found if each.group == group]
        worst = max(members, key=lambda each: each.found / each.allowed)
        numbers = f"{worst.found:9.1e}  allowed {worst.allowed:.0e}  {len(members):5d} arrays"
        yield f"{numbers}  {group} (most: {worst.what})"


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print the table."""
    if FOUND:
        terminalreporter.section("largest differences, relative to the largest element")
        for line in table(FOUND):
            terminalreporter.write_line(line)
