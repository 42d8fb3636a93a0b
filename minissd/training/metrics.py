"""The metrics of a run: one JSON object a line, one line a step, so that any tool can read them while it trains."""

from __future__ import annotations

import json
import math
from pathlib import Path

from minissd.errors import InputError
from minissd.files import write_text


class MetricsLog:
    """`metrics.jsonl` of a run folder.

    Args:
        path: The file.
        step: Keep the rows up to this step; later ones belong to steps that will be done again.

    Attributes:
        rows: All rows so far, as dicts with at least `step` and `epoch`.
    """

    def __init__(self, path: Path, step: int = 0):
        self.path = path
        self.rows = [row for row in read_metrics(path) if row.get("step", 0) <= step]
        write_text(path, "".join(json.dumps(row) + "\n" for row in self.rows))

    def append(self, **row: float | int | None) -> None:
        """Add one row and write it at once; what is not finite becomes null, since JSON has no nan.

        Raises:
            InputError: It cannot be written.
        """
        row = {k: v if v is None or math.isfinite(v) else None for k, v in row.items()}
        if self.rows and self.rows[-1] == row:
            return  # a finished run that is only evaluated again
        self.rows.append(row)
        try:
            with self.path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(row) + "\n")
        except OSError as error:
            raise InputError(f"cannot write {self.path}: {error.strerror or error}") from error


def read_metrics(path: str | Path) -> list[dict]:
    """Read the rows of a metrics file; a last line cut short by a crash is left out, a missing file has none."""
    path = Path(path)
    if not path.exists():
        return []
    rows = []
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        try:
            row = json.loads(line)
        except ValueError:
            break
        if not isinstance(row, dict):
            break
        rows.append(row)
    return rows
