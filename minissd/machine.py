"""Processors and memory that this process may use, which in a container is less than the machine has.

Limits set through cgroups (Docker, Kubernetes, batch systems) are read from `/sys/fs/cgroup`; where there is no such
thing (macOS, Windows) the operating system's own figures count.
"""

from __future__ import annotations

import ctypes
import math
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

CGROUP_ROOT = Path("/sys/fs/cgroup")
PROC = Path("/proc")


class Processors(NamedTuple):
    """How many processors there are, and what limits their use (None: no such limit, or not known here)."""

    present: int
    affinity: int | None
    quota: float | None

    @property
    def usable(self) -> int:
        """The number of threads worth starting: the tightest limit, rounded up, at least 1."""
        limits = [self.present, self.affinity or self.present]
        if self.quota is not None:
            limits.append(math.ceil(self.quota))
        return max(1, min(limits))


class Memory(NamedTuple):
    """Main memory in bytes (None: not known here); `limit` is the container's."""

    total: int | None
    available: int | None
    limit: int | None


def processors() -> Processors:
    """Return the processors present, and what affinity and the container leave of them."""
    affinity = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else None
    return Processors(os.cpu_count() or 1, affinity, _cpu_quota())


def usable_cpus() -> int:
    """Return the number of threads worth starting."""
    return processors().usable


def memory() -> Memory:
    """Return total and available memory and the container's limit, in bytes."""
    total, available = _system_memory()
    limit, free = _memory_limit()
    if limit is None or (total is not None and limit >= total):
        return Memory(total, available, None)
    return Memory(total, free if available is None else min(available, free), limit)


def _cgroup_folders(controller: str) -> Iterator[Path]:
    """Yield the folders that may hold limits of this process, from its own group upwards."""
    for line in _read(PROC / "self" / "cgroup").splitlines():
        _, _, rest = line.partition(":")
        names, _, path = rest.partition(":")
        if names and controller not in names.split(","):
            continue
        base = CGROUP_ROOT / names.split(",")[0] if names else CGROUP_ROOT
        if controller in names and (CGROUP_ROOT / controller).is_dir():
            base = CGROUP_ROOT / controller
        folder = base / path.lstrip("/")
        while True:
            yield folder
            if folder == base or base not in folder.parents:
                break
            folder = folder.parent


def _cpu_quota() -> float | None:
    """Return the number of processors' worth of time that the container grants; None if it sets no limit."""
    quotas = []
    for folder in _cgroup_folders("cpu"):
        words = _read(folder / "cpu.max").split()  # version 2: "quota period", or "max period"
        if not words:  # version 1: two files, and -1 for no limit
            quota, period = _read(folder / "cpu.cfs_quota_us"), _read(folder / "cpu.cfs_period_us")
            words = [quota.strip(), period.strip()]
        if len(words) == 2 and all(word.isdigit() for word in words) and int(words[1]) > 0:
            quotas.append(int(words[0]) / int(words[1]))
    return min(quotas, default=None)


def _memory_limit() -> tuple[int | None, int]:
    """Return the container's tightest memory limit and what is left of it (bytes); (None, 0) without one."""
    tightest: tuple[int | None, int] = (None, 0)
    for folder in _cgroup_folders("memory"):
        for limit_file, usage_file, cache_key in (
            ("memory.max", "memory.current", "inactive_file"),
            ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
        ):
            limit, usage = _number(folder / limit_file), _number(folder / usage_file)
            if (
                limit is None or usage is None or limit >= 2**60
            ):  # version 1 writes a huge number for "none"
                continue
            cache = _fields(folder / "memory.stat").get(cache_key, 0)  # given back when needed
            if tightest[0] is None or limit < tightest[0]:
                tightest = (limit, max(0, limit - usage + cache))
    return tightest


def _system_memory() -> tuple[int | None, int | None]:
    if os.name == "nt":
        return _windows_memory()
    kibibytes = _fields(PROC / "meminfo")
    if "MemTotal" in kibibytes:
        available = kibibytes.get("MemAvailable")
        return kibibytes["MemTotal"] * 1024, None if available is None else available * 1024
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"), None
    except (AttributeError, ValueError, OSError):
        return None, None


def _windows_memory() -> tuple[int | None, int | None]:
    class Status(ctypes.Structure):
        _fields_ = (
            ("length", ctypes.c_ulong),
            ("load", ctypes.c_ulong),
            *((name, ctypes.c_ulonglong) for name in ("total", "available", *"abcde")),
        )

    status = Status(length=ctypes.sizeof(Status))
    if not ctypes.windll.kernel32.GlobalMemoryStatusEx(ctypes.byref(status)):
        return None, None
    return status.total, status.available


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def _number(path: Path) -> int | None:
    text = _read(path).strip()
    return int(text) if text.isdigit() else None


def _fields(path: Path) -> dict[str, int]:
    """Read lines such as "MemTotal:  123 kB" or "inactive_file 123" into numbers by name."""
    fields = {}
    for line in _read(path).splitlines():
        words = line.replace(":", " ").split()
        if len(words) >= 2 and words[1].isdigit():
            fields[words[0]] = int(words[1])
    return fields


def keep_freed_memory() -> bool:
    """Let the C library keep large blocks that are freed, for the next array, instead of giving them back at once.

    A training step allocates the same arrays in every step. Memory that the system hands out anew comes as pages that
    it must first clear, and for arrays of 100 MB that takes longer than the computation. The setting is the whole
    process's, so it is for programs (the training command) and not for libraries. It exists in glibc, which Linux
    usually has; elsewhere nothing happens.

    Returns:
        Whether the C library took it.
    """
    if not sys.platform.startswith("linux"):
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        return False
    trim_threshold, mmap_max = -1, -4  # M_TRIM_THRESHOLD and M_MMAP_MAX of <malloc.h>
    return bool(mallopt(mmap_max, 0) and mallopt(trim_threshold, 2**31 - 1))
