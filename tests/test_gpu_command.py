"""`make test-gpu` says in one line what it lacks, and otherwise runs CuPy's tests and the sanitizer."""

import shutil
import subprocess
import sys

import gpu
import pytest
from conftest import GPU_PROBLEM, REPOSITORY


@pytest.mark.skipif(GPU_PROBLEM is None, reason="there is a GPU, so the command works")
def test_without_a_gpu_it_fails_with_one_line():
    run = subprocess.run(
        [sys.executable, "tests/gpu.py"], cwd=REPOSITORY, capture_output=True, text=True
    )
    assert run.returncode == 1
    assert run.stdout == ""
    assert run.stderr.startswith("make test-gpu: no GPU is tested: ")
    assert run.stderr.count("\n") == 1


def test_it_names_every_package_that_is_missing(monkeypatch):
    monkeypatch.setattr(gpu, "_installed", lambda module: module not in ("cupy", "PIL"))
    assert "lacks cupy-cuda12x, pillow" in gpu.problem()


@pytest.fixture
def ran(monkeypatch):
    """Return the commands that would be run; those that name a word in `failing` fail."""
    commands, failing = [], []

    def run(command, **_):
        commands.append(command)
        code = int(any(word in command for word in failing))
        return subprocess.CompletedProcess(command, code)

    monkeypatch.setattr(gpu.subprocess, "run", run)
    monkeypatch.setattr(gpu, "problem", lambda: None)
    return commands, failing


def test_it_runs_the_tests_and_says_that_there_is_no_sanitizer(ran, monkeypatch, capsys):
    monkeypatch.setattr(shutil, "which", lambda name: None)
    commands, failing = ran
    assert gpu.main(["-x"]) == 0
    assert commands == [[sys.executable, "-m", "pytest", "-k", "cupy", "-x"]]
    assert "compute-sanitizer is not installed" in capsys.readouterr().out
    failing.append("pytest")
    assert gpu.main([]) == 1


def test_the_sanitizer_sees_the_tests_of_the_kernels(ran, monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda name: "compute-sanitizer")
    commands, failing = ran
    assert gpu.main([]) == 0
    tools = [command[2] for command in commands if command[0] == "compute-sanitizer"]
    assert tools == ["memcheck", "racecheck"]
    assert all("tests/test_nms_kernels.py" in command for command in commands[1:])
    failing.append("racecheck")
    assert gpu.main([]) == 1
