"""Chapter 14: solutions. Try for yourself first; the checks' hints take you further than reading does."""

from __future__ import annotations

from collections.abc import Sequence


def place_of(i: int, height: int, width: int, channels: int) -> tuple[int, int, int, int]:
    """From the innermost axis outwards: remainder, then what is left."""
    pixel, channel = divmod(i, channels)
    line, column = divmod(pixel, width)
    image, row = divmod(line, height)
    return image, row, column, channel


def lines_touched(addresses: Sequence[int], size: int) -> int:
    """Lines of first and last byte, and those between, each counted once."""
    lines = set()
    for address in addresses:
        lines.update(range(address // 128, (address + size - 1) // 128 + 1))
    return len(lines)


def windows_that_see(row: int, window: int, step: int, n_windows: int) -> tuple[int, int]:
    """Those with r * step <= row < r * step + window, of the windows that there are."""
    first = max(0, -(-(row - window + 1) // step))
    return first, min(n_windows - 1, row // step)


def bytes_sent(n_processes: int, n_numbers: int) -> float:
    """Once round to add, once round to spread, each time all pieces but one."""
    piece = 4 * n_numbers / n_processes
    return 2 * (n_processes - 1) * piece


def join(
    counts: Sequence[int], means: Sequence[float], variances: Sequence[float]
) -> tuple[float, float]:
    """Each part's variance is around its own mean, which may be far from the mean of all."""
    count = sum(counts)
    mean = sum(n * m for n, m in zip(counts, means)) / count
    squares = sum(n * (v + (m - mean) ** 2) for n, m, v in zip(counts, means, variances))
    return mean, squares / count
