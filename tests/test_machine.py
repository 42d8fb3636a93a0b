"""Processors and memory: limits of containers are read from made-up cgroup folders."""

import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest

from minissd import machine
from minissd.machine import Memory, Processors, memory, processors, usable_cpus

GIB = 2**30


@pytest.fixture
def fake_system(tmp_path, monkeypatch):
    """Return a function that writes files below made-up /proc and /sys/fs/cgroup folders."""
    monkeypatch.setattr(machine, "PROC", tmp_path / "proc")
    monkeypatch.setattr(machine, "CGROUP_ROOT", tmp_path / "cgroup")
    monkeypatch.setattr(os, "name", "posix")

    def write(**files: str) -> None:
        for name, text in files.items():
            path = tmp_path / name.replace("__", "/").replace("_DOT_", ".")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)

    write(proc__meminfo=f"MemTotal: {16 * GIB // 1024} kB\nMemAvailable: {8 * GIB // 1024} kB\n")
    return write


def test_here_and_now():
    found = processors()
    assert 1 <= usable_cpus() == found.usable <= found.present
    size = memory()
    assert size.total is None or size.total > 2**28
    assert size.available is None or 0 < size.available <= size.total


@pytest.mark.parametrize(
    "found, usable",
    [
        (Processors(8, None, None), 8),
        (Processors(8, 2, None), 2),
        (Processors(8, 8, 1.5), 2),
        (Processors(8, 4, 0.1), 1),
        (Processors(2, 2, 64.0), 2),
    ],
)
def test_the_tightest_limit_counts(found, usable):
    assert found.usable == usable


def test_without_cgroups(fake_system):
    assert processors().quota is None
    assert memory() == Memory(16 * GIB, 8 * GIB, None)


def test_version_2_limits(fake_system):
    fake_system(
        proc__self__cgroup="0::/job/step\n",
        cgroup__job__step__cpu_DOT_max="max 100000\n",
        cgroup__job__cpu_DOT_max="150000 100000\n",
        cgroup__cpu_DOT_max="400000 100000\n",
        cgroup__job__step__memory_DOT_max="max\n",
        cgroup__job__step__memory_DOT_current=f"{GIB}\n",
        cgroup__job__memory_DOT_max=f"{4 * GIB}\n",
        cgroup__job__memory_DOT_current=f"{3 * GIB}\n",
        cgroup__job__memory_DOT_stat=f"anon 5\ninactive_file {GIB // 2}\n",
    )
    assert processors().quota == 1.5
    assert memory() == Memory(16 * GIB, GIB + GIB // 2, 4 * GIB)


def test_version_1_limits(fake_system):
    fake_system(
        proc__self__cgroup="5:memory:/docker/abc\n4:cpu,cpuacct:/docker/abc\n1:name=systemd:/\n",
        cgroup__cpu__cpu_DOT_cfs_quota_us="-1\n",
        cgroup__cpu__docker__abc__cpu_DOT_cfs_quota_us="50000\n",
        cgroup__cpu__docker__abc__cpu_DOT_cfs_period_us="100000\n",
        cgroup__memory__memory_DOT_limit_in_bytes="9223372036854771712\n",
        cgroup__memory__memory_DOT_usage_in_bytes="12345\n",
        cgroup__memory__docker__abc__memory_DOT_limit_in_bytes=f"{2 * GIB}\n",
        cgroup__memory__docker__abc__memory_DOT_usage_in_bytes=f"{GIB}\n",
    )
    assert processors().quota == 0.5
    assert memory() == Memory(16 * GIB, GIB, 2 * GIB)


def test_a_limit_above_the_machine_is_none(fake_system):
    fake_system(
        proc__self__cgroup="0::/\n",
        cgroup__memory_DOT_max=f"{64 * GIB}\n",
        cgroup__memory_DOT_current=f"{GIB}\n",
    )
    assert memory() == Memory(16 * GIB, 8 * GIB, None)


def test_damaged_files_are_no_limit(fake_system):
    fake_system(
        proc__self__cgroup="nonsense\n0::/\n",
        cgroup__cpu_DOT_max="100000\n",
        cgroup__memory_DOT_max="lots\n",
        proc__meminfo="MemTotal: many kB\n",
    )
    assert processors().quota is None
    assert memory().limit is None


@pytest.mark.parametrize("pages", [1000, None])
def test_where_there_is_no_proc(monkeypatch, tmp_path, pages):
    def sysconf(name: str) -> int:
        if pages is None:
            raise ValueError(name)
        return {"SC_PHYS_PAGES": pages, "SC_PAGE_SIZE": 4096}[name]

    monkeypatch.setattr(machine, "PROC", tmp_path)
    monkeypatch.setattr(machine, "CGROUP_ROOT", tmp_path)
    monkeypatch.setattr(os, "sysconf", sysconf, raising=False)
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    if os.name != "nt":
        assert memory() == Memory(pages and pages * 4096, None, None)
    assert processors().affinity is None
    assert usable_cpus() == os.cpu_count()


def test_windows_asks_the_kernel(monkeypatch):
    class Kernel:
        @staticmethod
        def GlobalMemoryStatusEx(pointer):
            status = pointer._obj
            assert status.length == 64  # the size that Windows expects, and checks
            status.total, status.available = 16 * GIB, 4 * GIB
            return 1

    kernel = type("windll", (), {"kernel32": Kernel})
    monkeypatch.setattr(machine.ctypes, "windll", kernel, raising=False)
    monkeypatch.setattr(machine.ctypes, "c_ulong", machine.ctypes.c_uint32)  # as Windows has it
    assert machine._windows_memory() == (16 * GIB, 4 * GIB)
    Kernel.GlobalMemoryStatusEx = staticmethod(lambda pointer: 0)
    assert machine._windows_memory() == (None, None)


def test_the_folders_named_are_those_of_linux():
    assert Path("/sys/fs/cgroup") == machine.CGROUP_ROOT
    assert Path("/proc") == machine.PROC


def test_freed_memory_is_kept_where_the_c_library_can():
    """Called in a process of its own, since the setting stays."""
    code = (
        "from minissd.machine import keep_freed_memory; import numpy as np\n"
        "taken = keep_freed_memory()\n"
        "first = np.ones(2**25, np.uint8); address = first.ctypes.data; del first\n"
        "second = np.ones(2**25, np.uint8)\n"
        "print(taken, second.ctypes.data == address)"
    )
    answer = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    taken, same = answer.stdout.split()
    on_glibc = platform.libc_ver()[0] == "glibc"
    assert taken == str(on_glibc)
    assert not on_glibc or same == "True"
