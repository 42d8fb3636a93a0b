"""NVRTC, CUDA's compiler as a library, by ctypes: compiles a kernel file for a GPU that need not be there."""

from __future__ import annotations

import ctypes
import importlib.util
import sys
from ctypes import POINTER, byref, c_char_p, c_int, c_size_t, c_void_p
from functools import cache
from pathlib import Path

INSTALL = "pip install nvidia-cuda-nvrtc-cu12 nvidia-cuda-runtime-cu12"


def _package(name: str) -> Path | None:
    """Return the folder of one of NVIDIA's packages."""
    try:
        found = importlib.util.find_spec(f"nvidia.{name}")
    except ModuleNotFoundError:
        return None
    return Path(next(iter(found.submodule_search_locations))) if found else None


def include_folder() -> Path | None:
    """Return the folder of `cuda_fp16.h`, or None."""
    package = _package("cuda_runtime")
    return package / "include" if package and (package / "include/cuda_fp16.h").exists() else None


@cache
def library() -> ctypes.CDLL | None:
    """Return NVRTC, or None where it is not installed."""
    package = _package("cuda_nvrtc")
    if package is None:
        return None
    pattern = "bin/**/nvrtc64*.dll" if sys.platform == "win32" else "lib/libnvrtc.so.*"
    paths = [path for path in sorted(package.glob(pattern)) if ".alt." not in path.name]
    return ctypes.CDLL(str(paths[0])) if paths else None


def problem() -> str | None:
    """Say why nothing can be compiled here, or return None where it can."""
    if library() is None or include_folder() is None:
        return f"kernels are not compiled for GPUs here: {INSTALL}"
    return None


def cubin(source: str, name: str, options: tuple[str, ...]) -> bytes:
    """Return the machine code of a source.

    Raises:
        ValueError: It does not compile; the message is the compiler's.
    """
    nvrtc, program = library(), c_void_p()
    nvrtc.nvrtcDestroyProgram.argtypes = [POINTER(c_void_p)]
    texts = [option.encode() for option in (*options, f"-I{include_folder()}")]
    made = nvrtc.nvrtcCreateProgram(byref(program), source.encode(), name.encode(), 0, None, None)
    if made:
        raise ValueError(f"nvrtcCreateProgram answers {made}")
    try:
        failed = nvrtc.nvrtcCompileProgram(
            program, c_int(len(texts)), (c_char_p * len(texts))(*texts)
        )
        if failed:
            raise ValueError(_read(program, "ProgramLog").decode().rstrip("\0"))
        return _read(program, "CUBIN")
    finally:
        nvrtc.nvrtcDestroyProgram(byref(program))


def _read(program: c_void_p, what: str) -> bytes:
    size = c_size_t()
    getattr(library(), f"nvrtcGet{what}Size")(program, byref(size))
    text = ctypes.create_string_buffer(size.value)
    getattr(library(), f"nvrtcGet{what}")(program, text)
    return text.raw
