"""The doctor's report: complete, without anything personal, and in one piece where parts are missing."""

import getpass
import re
import socket
import sys
import types
from pathlib import Path

import numpy as np
import pytest
from mpi import mpi_problem

import minissd
from minissd import system
from minissd.machine import Memory, Processors
from minissd.system import format_report, matmul_speed, system_report


@pytest.fixture(scope="module")
def report():
    return system_report()


def test_the_report_answers_the_first_questions(report):
    assert list(report) == ["Versions", "Machine", "Arithmetic", "Device", "Many processes"]
    assert report["Versions"]["minissd"] == minissd.__version__
    assert report["Versions"]["numpy"] == np.__version__
    assert any(name.startswith("cupy") for name in report["Versions"])
    assert {"system", "processor", "cpus", "memory", "disk"} <= set(report["Machine"])
    assert {"blas", "simd", "speed"} <= set(report["Arithmetic"])
    assert report["Device"]["--device auto"] in ("cpu", "gpu")


def test_every_line_is_one_plain_line(report):
    text = format_report(report)
    for line in text.splitlines():
        assert line == line.rstrip()
        assert line.isprintable()
        assert line == "" or line in report or re.fullmatch(r"  [\w -]+: +\S.*", line)


def test_nothing_personal_is_in_it(report):
    text = format_report(report).lower()
    words = set(re.split(r"[^a-z0-9.-]+", text))
    assert "/" not in text.replace("gflop/s", "")  # no path
    assert socket.gethostname().lower() not in words
    assert getpass.getuser().lower() not in words


def test_blas_and_threads_are_named():
    threadpoolctl = pytest.importorskip("threadpoolctl")
    pools = [pool for pool in threadpoolctl.threadpool_info() if pool["user_api"] == "blas"]
    for pool in pools:
        assert pool["internal_api"] in system.blas_description()
        assert f"{pool['num_threads']} threads" in system.blas_description()


def test_a_blas_that_threadpoolctl_does_not_see(monkeypatch):
    monkeypatch.setattr("threadpoolctl.threadpool_info", list)
    name = np.show_config(mode="dicts")["Build Dependencies"]["blas"]["name"]
    assert system.blas_description() == f"{name}, threads unknown"
    monkeypatch.setitem(sys.modules, "threadpoolctl", None)
    assert system.blas_description().startswith(name)


def test_unknown_builds_of_numpy(monkeypatch):
    monkeypatch.setattr(np, "show_config", lambda mode: {"Build Dependencies": None})
    assert system.simd_features() == "unknown"
    assert system._numpy_config("Build Dependencies", "blas", "name") == "unknown"


def test_variables_are_shown_where_set(monkeypatch):
    for name in system.VARIABLES:
        monkeypatch.delenv(name, raising=False)
    assert system.variables() == {}
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    assert system.variables() == {"OMP_NUM_THREADS": "3"}


def test_limits_are_told_apart_from_the_machine():
    assert system._describe_processors(Processors(8, 8, None)) == "8 usable of 8"
    assert system._describe_processors(Processors(8, 2, 1.5)) == (
        "2 usable of 8, bound to 2, container allows 1.5"
    )
    assert system._describe_memory(Memory(16_000_000_000, 8_000_000_000, None)) == (
        "16.0 GB in all, 8.0 GB available"
    )
    assert system._describe_memory(Memory(16e9, 1e9, 2e9)) == (
        "16.0 GB in all, container allows 2.0 GB, 1.0 GB available"
    )
    assert system._describe_memory(Memory(None, None, None)) == "unknown"


def test_a_gpu_is_described(monkeypatch):
    properties = {"name": b"Fast GPU", "totalGlobalMem": 24e9, "major": 8, "minor": 6}
    runtime = types.SimpleNamespace(
        getDeviceCount=lambda: 1,
        getDeviceProperties=lambda index: properties,
        driverGetVersion=lambda: 12080,
        runtimeGetVersion=lambda: 12040,
    )
    module = types.SimpleNamespace(cuda=types.SimpleNamespace(runtime=runtime))
    monkeypatch.setitem(sys.modules, "cupy", module)
    monkeypatch.setattr(system, "gpu_problem", lambda: None)
    assert system.gpu_description() == {
        "gpu 0": "Fast GPU, 24.0 GB, compute 8.6",
        "cuda": "driver 12.8, runtime 12.4",
    }


def test_mpi_is_described_or_missed_with_a_reason(report, monkeypatch):
    if mpi_problem() is None:
        assert report["Many processes"]["mpi"].startswith("Open MPI v")
        assert report["Many processes"]["launcher"].startswith("mpiexec")
    monkeypatch.setattr(system.importlib.util, "find_spec", lambda name: None)
    assert "mpi4py is not installed" in system.mpi_description()
    monkeypatch.undo()
    monkeypatch.setattr(system.sys, "executable", str(Path("nowhere") / "python"))
    monkeypatch.setattr(system.shutil, "which", lambda name: None)
    assert system.launcher_description() == "none: mpiexec is not installed"


@pytest.mark.skipif(mpi_problem() is not None, reason=str(mpi_problem()))
def test_an_mpi_that_cannot_be_loaded_says_why(tmp_path, monkeypatch):
    (tmp_path / "mpi4py").mkdir()
    (tmp_path / "mpi4py" / "__init__.py").write_text("raise ImportError('libmpi.so: not found')")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    assert system.mpi_description() == (
        "none: mpi4py cannot be imported: ImportError: libmpi.so: not found"
    )


def test_no_gpu_says_why(monkeypatch):
    monkeypatch.setattr(system, "gpu_problem", lambda: "no GPU is visible")
    assert system.gpu_description() == {"gpu": "none: no GPU is visible"}
    assert system.nccl_description() == "none: it is for GPUs"


def test_nccl_is_described_or_named_as_missing(monkeypatch):
    nccl = types.SimpleNamespace(available=True, get_version=lambda: 22703)
    monkeypatch.setitem(sys.modules, "cupy", types.SimpleNamespace())
    monkeypatch.setitem(sys.modules, "cupy.cuda", types.SimpleNamespace(nccl=nccl))
    monkeypatch.setattr(system, "gpu_problem", lambda: None)
    assert system.nccl_description() == "version 22703"
    nccl.available = False
    assert "nvidia-nccl" in system.nccl_description()


def test_speed_is_measured_even_in_no_time():
    assert 0.01 < matmul_speed(64, 0.0) < 1e5
