"""What was done with a file of weights, for people to read."""

from __future__ import annotations

from dataclasses import dataclass, field

from minissd.models.weights.stored import WeightFile


@dataclass
class LoadReport:
    """What was done with a file.

    Attributes:
        file: The file.
        naming: The family of its names.
        filled: Names of the network's arrays that were filled.
        left: Names of those that were not.
        ignored: Names in the file that were not needed, and what they are.
        changes: What was changed on the way beyond the layout, in words.
    """

    file: WeightFile
    naming: str
    filled: list[str]
    left: list[str] = field(default_factory=list)
    ignored: dict[str, str] = field(default_factory=dict)
    changes: list[str] = field(default_factory=list)

    def text(self) -> str:
        """Return the report as a few lines."""
        tensors = self.file.tensors
        numbers = sum(tensor.size for tensor in tensors.values())
        lines = [
            f"{self.file.path}: {self.file.format}",
            f"  names     {self.naming}",
            f"  tensors   {len(tensors)}, with {numbers:,} numbers",
            f"  filled    {len(self.filled)} arrays of the network",
        ]
        if self.left:
            lines.append(f"  left      {len(self.left)} as they were: {_stems(self.left)}")
        for why in dict.fromkeys(self.ignored.values()):
            names = [name for name, each in self.ignored.items() if each == why]
            lines.append(f"  ignored   {len(names)}: {why} ({_stems(names)})")
        if self.file.skipped:
            lines.append(f"  skipped   what is no tensor of it: {_short(self.file.skipped)}")
        return "\n".join(lines + [f"  changed   {change}" for change in self.changes])


def _stems(names: list[str]) -> str:
    """Name the layers of some tensors, each once."""
    return _short(list(dict.fromkeys(name.rpartition(".")[0] or name for name in names)))


def _short(words: list[str], most: int = 8) -> str:
    """Join words for a line; beyond `most` of them, say how many more there are."""
    more = [f"and {len(words) - most} more"] if len(words) > most else []
    return ", ".join(words[:most] + more)
