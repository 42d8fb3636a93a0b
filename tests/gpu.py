"""`make test-gpu`: the tests that use a device, on a GPU, with the Python at hand; installs nothing.

    python tests/gpu.py [arguments for pytest]

First the tests in which CuPy takes part: CPU = GPU for every layer, loss and box function, gradient checks, and the
edge cases of each. Then the kernels' own tests once more under NVIDIA's `compute-sanitizer`, where that program is
found: reads and writes beyond arrays, and races, which no other test can see. There CuPy's memory pool is switched
off, since within a pool every address is somebody's.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent
NEEDED = {  # module: package
    "numpy": "numpy",
    "cupy": "cupy-cuda12x",
    "pytest": "pytest",
    "hypothesis": "hypothesis",
    "PIL": "pillow",
    "matplotlib": "matplotlib",
    "tqdm": "tqdm",
    "safetensors": "safetensors",
    "threadpoolctl": "threadpoolctl",
    "defusedxml": "defusedxml",
}
WITHOUT_POOL = (
    "import sys, cupy, pytest; cupy.cuda.set_allocator(None); sys.exit(pytest.main(sys.argv[1:]))"
)
TOOLS = ("memcheck", "racecheck")
FOUND_FAULTS = 9  # the sanitizer's exit code then


def problem() -> str | None:
    """Say in one line why nothing can be tested here, or return None."""
    missing = [package for module, package in NEEDED.items() if not _installed(module)]
    if missing:
        return f"{sys.executable} lacks {', '.join(missing)} (nothing was installed)"
    sys.path.insert(0, str(REPOSITORY))
    from minissd.backend import gpu_problem

    return gpu_problem()


def _installed(module: str) -> bool:
    return importlib.util.find_spec(module) is not None


def on_the_gpu(arguments: list[str]) -> list[str]:
    """Return the command that runs what the fixtures `xp` and `device` give to CuPy."""
    return [sys.executable, "-m", "pytest", "-k", "cupy", *arguments]


def sanitized(program: str, tool: str) -> list[str]:
    """Return the command that runs the kernels' tests, in one precision and without random search, under a tool."""
    files = sorted(
        str(p.relative_to(REPOSITORY)) for p in REPOSITORY.glob("tests/test_*_kernels.py")
    )
    chosen = ["-q", "-k", "cupy and not float64 and not everywhere", *files]
    options = ["--tool", tool, "--error-exitcode", str(FOUND_FAULTS)]
    return [program, *options, sys.executable, "-c", WITHOUT_POOL, *chosen]


def main(arguments: list[str]) -> int:
    """Test; return 0 if all is well."""
    why_not = problem()
    if why_not:
        print(f"make test-gpu: no GPU is tested: {why_not}", file=sys.stderr)
        return 1
    failed = _run(on_the_gpu(arguments))
    program = shutil.which("compute-sanitizer")
    if program is None:
        print("compute-sanitizer is not installed: memory and races were not looked at")
        return failed
    for tool in TOOLS:
        failed |= _run(sanitized(program, tool))
    return failed


def _run(command: list[str]) -> int:
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    print("+", *command[:8], "...", flush=True)
    return int(
        subprocess.run(command, cwd=REPOSITORY, env=environment, check=False).returncode != 0
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
