"""Training on several processes of Open MPI: the same steps as one process, and one end for all."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import distributed_cases as cases
import numpy as np
import pytest
from mpi import REPOSITORY, finish, mpi_problem, needs_mpi, run, start

from minissd.training.checkpoint import load_checkpoint
from minissd.training.metrics import read_metrics

pytestmark = needs_mpi
MOST_SECONDS = 30  # from the loss of one process to the end of all
SETTINGS = ["--image-size", "96", "--width", "2", "--batch-size", "6", "--warmup", "2"]
SETTINGS += ["--device", "cpu", "--workers", "1"]


def command(data, folder, *options):
    return ["-m", "minissd", "train", data, "--out", folder, *SETTINGS, *options]


def patched(code, *arguments):
    """Return a program that first runs some lines and then the command line."""
    lines = ["import sys", "from minissd.cli import main", code, "sys.exit(main(sys.argv[1:]))"]
    return ["-c", "\n".join(lines), *arguments]


def states(folder, n, *names):
    run(n, REPOSITORY / "tests" / "distributed_cases.py", folder, *names)
    return {name: dict(np.load(folder / f"{name}.npz")) for name in names}


@pytest.mark.parametrize("n", [2, 4])
def test_n_processes_equal_one(n, tmp_path):
    for case, several in states(tmp_path, n, *cases.CASES).items():
        assert several.pop("size") == n
        one = cases.train(case)
        assert several.keys() == one.keys()
        for name, value in one.items():
            error = np.abs(several[name] - value).max() / max(1.0, np.abs(value).max())
            assert error < 1e-10, (case, name)


def test_runs_repeat_bit_for_bit(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    first = states(tmp_path / "a", 3, "clipped", "norm")
    again = states(tmp_path / "b", 3, "clipped", "norm")
    for case, state in first.items():
        for name, value in state.items():
            np.testing.assert_array_equal(value, again[case][name], err_msg=f"{case} {name}")


@pytest.fixture(scope="module")
def one_process(tiny_shapes, tmp_path_factory):
    folder = tmp_path_factory.mktemp("alone") / "run"
    words = command(tiny_shapes, folder, "--epochs", "2", "--eval-every", "1")
    subprocess.run([sys.executable, *map(str, words)], cwd=REPOSITORY, check=True)
    return folder


def test_the_command_trains_on_all_processes(one_process, tiny_shapes, tmp_path):
    folder = tmp_path / "run"
    out, errors = run(4, *command(tiny_shapes, folder, "--epochs", "2", "--eval-every", "1"))
    assert {p.name for p in folder.iterdir()} == {p.name for p in one_process.iterdir()}
    assert out.count("mean of") == out.count("the run is in") == 1
    assert errors.count("4 processes; if one is lost, go on from the newest checkpoint with") == 1
    rows, expected = (
        read_metrics(folder / "metrics.jsonl"),
        read_metrics(one_process / "metrics.jsonl"),
    )
    assert [row["step"] for row in rows] == [row["step"] for row in expected]
    losses, wanted = ([row["loss"] for row in each if "loss" in row] for each in (rows, expected))
    np.testing.assert_allclose(losses[:4], wanted[:4], rtol=1e-3)
    counts, wanted = ([r["n_positives"] for r in each if "loss" in r] for each in (rows, expected))
    assert counts == wanted  # the same pictures, varied in the same way


def test_more_processes_than_pictures_of_a_batch_are_refused_once(tiny_shapes, tmp_path):
    code, _, errors, _ = finish(
        start(4, *command(tiny_shapes, tmp_path / "run", "--batch-size", "3"))
    )
    assert code == 2
    assert errors.count("error: n_parts: expected at most the 3 samples of a batch, got 4") == 1


def test_a_fault_that_all_processes_meet_is_told_once(tmp_path):
    code, out, errors, seconds = finish(start(3, *command(tmp_path / "nothing", tmp_path / "run")))
    assert (code, out) == (2, "")
    assert errors.count("minissd train: error:") == 1
    assert seconds < MOST_SECONDS


RAISE = """
from minissd.training.trainer import Trainer
step = Trainer.step
def failing(self, batch):
    if self.communicator.rank == {rank} and self.step_number == 5:
        raise {error}
    return step(self, batch)
Trainer.step = failing
"""


@pytest.mark.parametrize("rank", [0, 1])
@pytest.mark.parametrize(
    "error, words",
    [
        (
            "OSError(28, 'No space left on device')",
            "minissd train: error: [Errno 28] No space left",
        ),
        ("KeyError('a fault in the program')", "KeyError: 'a fault in the program'"),
    ],
    ids=["user", "program"],
)
def test_an_error_of_one_process_ends_all(rank, error, words, tiny_shapes, tmp_path):
    code = RAISE.format(rank=rank, error=error)
    process = start(2, *patched(code, *command(tiny_shapes, tmp_path / "run")[2:]))
    code, _, errors, seconds = finish(process)
    assert code == 2
    assert errors.count(words) == 1
    assert f"(process {rank} of 2)" in errors
    assert seconds < MOST_SECONDS
    assert load_checkpoint(tmp_path / "run").step == 4


TELL = """
import os, pathlib, time
from minissd.training.trainer import Trainer
step = Trainer.step
def slow(self, batch):
    if self.step_number == 5:
        pathlib.Path(os.environ["TOLD"], f"rank{self.communicator.rank}").write_text(str(os.getpid()))
    if self.step_number >= 5:
        time.sleep(0.1)
    return step(self, batch)
Trainer.step = slow
"""


def start_and_wait(n, data, folder, place, monkeypatch):
    """Start a long training; return it and its processes' numbers when it is in its second epoch."""
    place.mkdir()
    monkeypatch.setenv("TOLD", str(place))
    options = ["--epochs", "200", "--eval-split", "none"]
    process = start(n, *patched(TELL, *command(data, folder, *options)[2:]))
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and process.poll() is None:
        rows = read_metrics(folder / "metrics.jsonl")
        if rows and rows[-1]["step"] >= 9:
            return process, [int((place / f"rank{rank}").read_text()) for rank in range(n)]
        time.sleep(0.05)
    process.kill()
    return pytest.fail(f"never in its third epoch: {process.communicate()}")


def resumed(n, folder):
    """Go on for a moment with a run on `n` processes, and return the step it has come to."""
    code = """
from minissd.training.run import TrainingRun
resume = TrainingRun.resume.__func__
def shorter(*arguments):
    run = resume(*arguments)
    run.trainer.total_steps = run.trainer.step_number + 3
    return run
TrainingRun.resume = classmethod(shorter)
"""
    run(n, *patched(code, "train", "--resume", folder, "--device", "cpu"))
    return load_checkpoint(folder).step


def is_running(number):
    """Say whether there is a process of this number that is more than an entry waiting for its parent."""
    try:
        os.kill(number, 0)
        return Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (ProcessLookupError, FileNotFoundError):
        return not Path("/proc").is_dir()


@pytest.mark.parametrize("rank", [0, 1])
def test_a_process_lost_to_kill_9_ends_the_run(rank, tiny_shapes, tmp_path, monkeypatch):
    folder = tmp_path / "run"
    process, numbers = start_and_wait(3, tiny_shapes, folder, tmp_path / "told", monkeypatch)
    os.kill(numbers[rank], signal.SIGKILL)
    code, _, errors, seconds = finish(process, 60)
    assert code != 0
    assert seconds < MOST_SECONDS
    assert "exited on" in errors  # the launcher says which process was lost
    assert "signal 9" in errors
    assert (
        f"train --resume {folder}" in errors
    )  # said at the start, and where time allows at the end
    deadline = time.monotonic() + MOST_SECONDS
    while any(map(is_running, numbers)):
        assert time.monotonic() < deadline, "some processes were left behind"
        time.sleep(0.1)
    step = load_checkpoint(folder).step
    assert step >= 8
    assert step % 4 == 0  # the end of an epoch
    assert resumed(2 if rank else 1, folder) == step + 3  # on another number of processes


def test_ctrl_c_ends_the_run_and_the_checkpoint_can_be_used(tiny_shapes, tmp_path, monkeypatch):
    folder = tmp_path / "run"
    process, _ = start_and_wait(2, tiny_shapes, folder, tmp_path / "told", monkeypatch)
    process.send_signal(signal.SIGINT)
    code, _, _, seconds = finish(process, 60)
    assert code != 0
    assert seconds < MOST_SECONDS
    step = load_checkpoint(folder).step
    assert step >= 8
    assert resumed(1, folder) == step + 3


def test_a_stop_that_is_asked_for_loses_nothing(tiny_shapes, tmp_path, monkeypatch):
    """SIGUSR1, which mpiexec passes on: all stop after the same step, and its checkpoint is written."""
    folder = tmp_path / "run"
    process, _ = start_and_wait(2, tiny_shapes, folder, tmp_path / "told", monkeypatch)
    process.send_signal(signal.SIGUSR1)
    code, _, errors, _ = finish(process, 60)
    assert code == 130
    step = read_metrics(folder / "metrics.jsonl")[-1]["step"]
    assert load_checkpoint(folder).step == step
    assert errors.count(f"stopped after step {step} of 800") == 1
    assert resumed(3, folder) == step + 3


def test_without_mpi4py_one_process_says_so(tiny_shapes, tmp_path):
    code = "sys.modules['mpi4py'] = None"
    words = command(tiny_shapes, tmp_path / "run")[2:]
    code, _, errors, seconds = finish(start(3, *patched(code, *words)))
    assert code == 2
    assert errors.count("started as one of 3 processes, but mpi4py cannot be used") == 1
    assert "pip install 'minissd[distributed]'" in errors
    assert seconds < MOST_SECONDS
    assert not (tmp_path / "run").exists()


def test_a_launcher_of_another_mpi_is_recognised(tiny_shapes, tmp_path):
    environment = os.environ | {"PMI_SIZE": "4", "PMI_RANK": "0"}
    words = [sys.executable, *map(str, command(tiny_shapes, tmp_path / "run"))]
    result = subprocess.run(words, env=environment, cwd=REPOSITORY, capture_output=True, text=True)
    assert result.returncode == 2
    assert "started as one of 4 processes, but mpi4py sees 1" in result.stderr
    assert mpi_problem() is None


def test_sending_during_the_way_back_gives_the_same_gradients():
    """The trainer of the benchmark, which is kept beside the simple one."""
    code = """
import numpy as np
import distributed_cases as cases
from benchmarks.distributed import OverlappedTrainer
from minissd.training.distributed import all_or_none, connect
communicator = connect("cpu")
with all_or_none(communicator):
    simple = cases.train("norm", communicator)
    cases.Trainer = OverlappedTrainer
    overlapped = cases.train("norm", communicator)
    for name, value in simple.items():
        np.testing.assert_allclose(overlapped[name], value, rtol=1e-10, atol=1e-12)
    if communicator.leads:
        print("the same")
"""
    assert run(3, "-c", code)[0] == "the same\n"
