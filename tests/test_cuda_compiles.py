"""Every kernel file compiles for GPUs of three generations, without a GPU; skipped where NVRTC is not installed."""

import gc
import importlib
import pkgutil
from pathlib import Path

import nvrtc
import pytest

import minissd
from minissd.cuda import OPTIONS, Kernels

PACKAGE = Path(minissd.__file__).parent
ARCHITECTURES = ("sm_75", "sm_80", "sm_90")  # Turing, Ampere, Hopper


def all_kernels():
    """Return what owns each kernel file, found in the modules themselves."""
    for module in pkgutil.walk_packages([str(PACKAGE)], "minissd."):
        if module.name.partition("minissd.")[2].split(".")[0] in ("nn", "boxes", "models"):
            importlib.import_module(module.name)
    return {item.path: item for item in gc.get_objects() if isinstance(item, Kernels)}


KERNELS = {path: item for path, item in sorted(all_kernels().items()) if PACKAGE in path.parents}


def test_every_kernel_file_has_a_module_that_launches_it():
    assert sorted(PACKAGE.rglob("*.cu")) == list(KERNELS)
    for owner in KERNELS.values():
        assert owner.signatures(), owner.path


@pytest.mark.parametrize("path", KERNELS, ids=lambda path: path.name)
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_every_kernel_file_compiles_for_every_generation(path, architecture):
    if nvrtc.problem():
        pytest.skip(nvrtc.problem())
    owner = KERNELS[path]
    builds = (("-DWIDTH=1",), ("-DWIDTH=4", "-DNARROW=1"))
    for dtype in owner.dtypes:
        for build in builds:
            options = (*OPTIONS[dtype], *build, f"-arch={architecture}")
            code = nvrtc.cubin(owner.source(), path.name, options)
            assert code[:4] == b"\x7fELF"
            for kernel in owner.signatures():
                assert kernel.encode() in code


def test_a_fault_in_a_kernel_file_is_named_by_its_line():
    if nvrtc.problem():
        pytest.skip(nvrtc.problem())
    path = next(iter(KERNELS))
    faulty = Kernels(str(path), path.name).source() + "\n__global__ void f() { int x = y; }"
    with pytest.raises(ValueError, match=r'identifier "y" is undefined') as error:
        nvrtc.cubin(faulty, path.name, OPTIONS["float32"])
    assert path.name in str(error.value)
