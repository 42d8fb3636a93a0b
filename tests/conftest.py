"""Fixtures for all tests: array modules, seeded randomness, photographs; and what the report says around the run."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import cuda_on_cpu
import numpy as np
import peer_report
import pytest
from strict_array import Transfers, strict, transfers

import minissd
from minissd.backend import gpu_problem
from minissd.datasets.shapes import write_shapes
from minissd.system import blas_description

REPOSITORY = Path(__file__).resolve().parent.parent
SLOW_SECONDS = 20.0
GPU_PROBLEM = gpu_problem()


def _array_modules() -> list[ModuleType]:
    modules = [np, strict]
    if GPU_PROBLEM is None:
        import cupy

        modules.append(cupy)
    return modules


@pytest.fixture(params=_array_modules(), ids=lambda module: module.__name__)
def xp(request: pytest.FixtureRequest) -> ModuleType:
    """Return an array module: NumPy, the strict stand-in for a device, and CuPy where a GPU is present."""
    return request.param


DEVICES = _array_modules()[1:]


@pytest.fixture(params=DEVICES, ids=lambda module: f"{module.__name__}-kernels")
def device(request: pytest.FixtureRequest) -> Iterator[ModuleType]:
    """Return a device module whose layers launch kernels: the strict stand-in, where CUDA runs on the CPU, and CuPy.

    The fixture `xp` gives the stand-in without kernels, where layers run their array code: one test with kernels costs
    as much as many without, so each kernel has its own, on shapes of a few pixels.
    """
    if request.param is not strict:
        yield request.param
        return
    problem = cuda_on_cpu.compiler_problem()
    if problem:
        pytest.skip(problem)
    with cuda_on_cpu.kernels_on(strict):
        yield strict


@pytest.fixture
def counted() -> Transfers:
    """Return the stand-in's counters of transfers and synchronisations, set to zero."""
    transfers.reset()
    return transfers


@pytest.fixture
def rng() -> np.random.Generator:
    """Return a generator with a fixed seed, fresh for every test."""
    return np.random.default_rng(20161008)


def _photos() -> Path:
    return Path(os.environ.get("MINISSD_VOC") or REPOSITORY / "data" / "VOC2007")


def find_photos() -> Path:
    """Return the folder of photographs; skip the running test where there is none, fail it where one was asked for."""
    root = _photos()
    if (root / "Annotations").is_dir():
        return root
    if os.environ.get("MINISSD_VOC"):
        pytest.fail(f"MINISSD_VOC={root}: there is no folder Annotations in it", pytrace=False)
    pytest.skip(
        "not tested on real photographs: data/VOC2007 is missing and MINISSD_VOC is not set"
    )


@pytest.fixture(scope="session")
def tiny_shapes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a shapes data set of 24 + 8 small pictures; to be read, never written."""
    folder = tmp_path_factory.mktemp("data") / "shapes"
    return write_shapes(folder, n_trainval=24, n_test=8, seed=3, longest_side=96).root


@pytest.fixture(scope="session")
def voc_root() -> Path:
    """Return the folder of real photographs in VOC layout (JPEGImages, Annotations, ImageSets)."""
    return find_photos()


def pytest_configure(config: pytest.Config) -> None:
    """Let the comparisons with other frameworks print their table."""
    config.pluginmanager.register(peer_report)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark whatever asks for photographs, so that `-m photos` finds it."""
    for item in items:
        if "voc_root" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.photos)


def pytest_report_header() -> list[str]:
    """Say what is tested with, and what is not tested here."""
    found = (_photos() / "Annotations").is_dir()
    photos = "found" if found else "not tested here (set MINISSD_VOC to a folder in VOC layout)"
    gpu = "tested on the GPU" if GPU_PROBLEM is None else f"not tested here ({GPU_PROBLEM})"
    return [
        f"minissd {minissd.__version__}, numpy {np.__version__}, blas {blas_description()}",
        f"kernels: {cuda_on_cpu.compiler_problem() or 'run on the CPU, on the strict stand-in'}",
        f"CuPy: {gpu}; the strict stand-in takes its place everywhere",
        f"photographs: {photos}",
    ]


def slow_tests(reports: list[pytest.TestReport]) -> list[tuple[float, str, bool]]:
    """Add up the phases of each test; return (seconds, test, marked) of the slow ones, slowest first."""
    seconds: dict[str, float] = defaultdict(float)
    marked: dict[str, bool] = {}
    for report in reports:
        seconds[report.nodeid] += report.duration
        marked[report.nodeid] = "slow" in report.keywords
    slow = [(time, test, marked[test]) for test, time in seconds.items() if time > SLOW_SECONDS]
    return sorted(slow, reverse=True)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """List the tests above 20 seconds, and name those that lack the mark `slow`."""
    groups = terminalreporter.stats.values()
    reports = [entry for group in groups for entry in group if isinstance(entry, pytest.TestReport)]
    slow = slow_tests(reports)
    if not slow:
        return
    terminalreporter.section(f"tests above {SLOW_SECONDS:.0f} s")
    for time, test, is_marked in slow:
        note = "" if is_marked else "  (not marked: add @pytest.mark.slow)"
        terminalreporter.write_line(f"{time:7.1f} s  {test}{note}")
