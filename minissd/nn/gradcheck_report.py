"""Reports of gradient checks: what was compared, how far apart it was, and where.

A report of a wrong gradient names layer, tensor, index and both numbers, so that the search can begin there.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class TensorRow:
    """How one input or parameter came out.

    Attributes:
        tensor: Its name: "x", "weight", ...
        n_checked: Numbers checked, of `n_total`.
        n_total: Numbers in the tensor.
        error: Largest relative error (see the module); inf where a gradient is not finite.
        index: Where that was.
        analytic: What `backward` says there.
        numeric: What the central difference says.
        passed: Whether the error is within the tolerance.
    """

    tensor: str
    n_checked: int
    n_total: int
    error: float
    index: tuple[int, ...]
    analytic: float
    numeric: float
    passed: bool

    def __str__(self) -> str:
        return (
            f"{self.tensor}{list(self.index)}: analytic {self.analytic:.9g}, "
            f"numeric {self.numeric:.9g}, relative error {self.error:.1e}"
        )


@dataclass(frozen=True)
class GradientReport:
    """How one layer or function came out in one case.

    Attributes:
        layer: Name of the layer or function.
        case: What is special about the shapes.
        rows: One for each input and parameter.
        faults: Broken promises: an input changed, two passes that disagree, a gradient overwritten, ...
    """

    layer: str
    case: str
    rows: tuple[TensorRow, ...]
    faults: tuple[str, ...] = ()

    @property
    def passed(self) -> bool:
        """Whether all gradients are right and no promise is broken."""
        return not self.faults and all(row.passed for row in self.rows)

    @property
    def verdict(self) -> str:
        """Return "ok" or "WRONG"."""
        return "ok" if self.passed else "WRONG"

    @property
    def worst(self) -> TensorRow | None:
        """The row with the largest error; None where nothing could be compared."""
        return max(self.rows, key=lambda row: row.error, default=None)

    @property
    def error(self) -> float:
        """The largest relative error; inf where nothing could be compared."""
        return self.worst.error if self.worst else float("inf")

    def describe(self) -> str:
        """Return the verdict and, line by line, what is wrong: tensor, index and both numbers."""
        wrong = [str(row) for row in self.rows if not row.passed] + list(self.faults)
        return "\n  ".join([f"{self.layer} ({self.case}): {self.verdict}", *wrong])


def format_table(reports: Sequence[GradientReport]) -> str:
    """Lay out reports as a table: layer, case, numbers checked, largest error, verdict; then what is wrong."""
    lines = [("layer", "case", "checked", "error", "verdict")]
    for report in reports:
        checked = sum(row.n_checked for row in report.rows)
        total = sum(row.n_total for row in report.rows)
        share = f"all {total}" if checked == total else f"{checked} of {total}"
        lines.append((report.layer, report.case, share, f"{report.error:.1e}", report.verdict))
    widths = [max(len(line[i]) for line in lines) for i in range(5)]
    table = ["  ".join(cell.ljust(w) for cell, w in zip(line, widths)).rstrip() for line in lines]
    table.insert(1, "-" * (sum(widths) + 8))
    wrong = [report.describe() for report in reports if not report.passed]
    right = f"{len(reports) - len(wrong)} of {len(reports)} cases ok"
    return "\n".join([*table, *wrong, right])
