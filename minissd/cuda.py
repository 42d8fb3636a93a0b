"""Kernels for a GPU: CUDA C++ files beside the Python modules that launch them, compiled when first needed.

    KERNELS = Kernels(__file__, "pool.cu")          # beside nn/pool.py

    kernels = KERNELS.of(x)                         # None for a NumPy array, or where kernels are switched off
    if kernels is None: ...                         # array code: the kernel's specification and its twin
    else: kernels.launch("max_pool_forward", y.size, 256, (x, y, n, height, width))

A kernel and its array code give the same answer, and tests hold them equal. Sources begin with `kernels.h`, which
defines the types that the compile options choose: `real` (how numbers are stored), `number` (what they are computed
in) and `pack` (WIDTH neighbouring numbers, read and written at once). Arguments are checked against the kernel's own
parameter list, read from the source: an array of another dtype, a strided one, or a count that does not fit its
integer is an error here, not a wrong answer there.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from minissd.backend import Array, array_module
from minissd.errors import check
from minissd.switches import Switch

ENVIRONMENT = "MINISSD_KERNELS"
BLOCK = 256  # threads of a block where nothing speaks for another number
MOST_BLOCKS = 2**31 - 1  # of a grid along its first axis
PACKED = 4  # numbers of a pack where channels and addresses allow: 16 bytes of float32
# Numbers of an array: twice as many fit an int, which leaves room for the last stride.
NARROW_SIZE = 2**30
OPTIONS = {
    "float32": ("-DREAL=float", "-DNUMBER=float"),
    "float64": ("-DREAL=double", "-DNUMBER=double"),
    "float16": ("-DREAL=__half", "-DNUMBER=float", "-DHALF=1"),
}
C_TYPES = {
    "int": "int32",
    "uint32": "uint32",
    "int64": "int64",
    "uint64": "uint64",
    "uint8": "uint8",
    "bool": "bool",
    "float": "float32",
    "double": "float64",
}

# Whether layers launch kernels on a device, or run their array code there.
_SWITCH = Switch(ENVIRONMENT)
use_kernels, kernels_are_on = _SWITCH.use, _SWITCH.is_on


class Slot(NamedTuple):
    """One parameter of a kernel."""

    name: str
    dtype: str  # of a number, or of the array that a pointer points to
    is_array: bool
    is_const: bool


class Kernels:
    """One `.cu` file, compiled once for each device module, dtype and set of options.

    Args:
        beside: `__file__` of the Python module that launches the kernels.
        name: Of the `.cu` file in the same folder.
        half: Whether the kernels also take float16 (stored as such, computed in float32).
        header: A file in the same folder with what several `.cu` files use; it is put before this one.
    """

    def __init__(self, beside: str, name: str, half: bool = False, header: str | None = None):
        self.path = Path(beside).with_name(name)
        headers = [Path(__file__).with_name("kernels.h")]
        self.files = [*headers, *([self.path.with_name(header)] if header else []), self.path]
        self.dtypes = tuple(OPTIONS) if half else ("float32", "float64")
        # Asked in every call, and a dtype's own name takes long.
        self._names = {np.dtype(name): name for name in self.dtypes}
        self._compiled: dict[tuple, Compiled] = {}

    def offered(self, x: Array) -> bool:
        """Say whether `of` would return kernels for an array, without compiling any."""
        if isinstance(x, np.ndarray) or not kernels_are_on():
            return False
        return _compiler(array_module(x)) is not None and x.dtype in self._names

    def of(self, x: Array, **options: int) -> Compiled | None:
        """Return the kernels for the device and the dtype of an array, or None where its array code is to be run.

        Args:
            x: Any array; its dtype is the kernels' `real`.
            options: Whole numbers that the source takes at compile time, such as WIDTH.
        """
        if not self.offered(x):
            return None
        xp, dtype = array_module(x), self._names[x.dtype]
        key = (xp, dtype, *sorted(options.items()))
        if key not in self._compiled:
            flags = OPTIONS[dtype] + tuple(f"-D{name}={value}" for name, value in options.items())
            module = _compiler(xp)(self.source(), flags)
            self._compiled[key] = Compiled(module, self.signatures(), dtype, options)
        return self._compiled[key]

    def source(self) -> str:
        """Return the text that is compiled: `kernels.h`, then the file, whose lines keep their numbers in messages."""
        parts = [
            f'#line 1 "{path.name}"\n{path.read_text(encoding="utf-8")}' for path in self.files
        ]
        return "\n".join(parts)

    @cache  # noqa: B019  one of these lives as long as its module
    def signatures(self) -> dict[str, list[Slot]]:
        """Return the parameters of each kernel of the file, read from its text."""
        return signatures(self.path.read_text(encoding="utf-8"))


def _compiler(xp: Any) -> Any:
    """Return what compiles (source, options) for an array module, or None: CuPy, or a stand-in that offers it."""
    if xp.__name__ == "cupy":
        return lambda source, options: xp.RawModule(code=source, options=options)
    return getattr(xp, "compile_kernels", None)


_KERNEL = re.compile(
    r"__global__\s+void\s+(?:__launch_bounds__\([^)]*\)\s+)?(\w+)\s*\(([^)]*)\)\s*\{"
)


def signatures(source: str) -> dict[str, list[Slot]]:
    """Return the parameters of each kernel of a CUDA source, in which `real` and `number` stand as they are."""
    text = re.sub(r"//[^\n]*|/\*.*?\*/", " ", source, flags=re.DOTALL)
    return {
        name: [_slot(part, name) for part in parameters.split(",") if part.strip()]
        for name, parameters in _KERNEL.findall(text)
    }


def _slot(text: str, kernel: str) -> Slot:
    words = re.sub(r"\*|\bconst\b|\b__restrict__", " ", text).split()
    known = [*C_TYPES, "real", "number"]
    fits = len(words) == 2 and words[0] in known
    check(fits, f"parameter of {kernel}", f"a type ({' | '.join(known)}) and a name", text.strip())
    dtype = C_TYPES.get(words[0], words[0])
    return Slot(words[1], dtype, "*" in text, bool(re.search(r"\bconst\b", text)))


class Compiled:
    """The kernels of one file, compiled for a device and a dtype.

    Attributes:
        width: The option WIDTH, 1 where it was not given.
    """

    def __init__(
        self,
        module: Any,
        parameters: dict[str, list[Slot]],
        dtype: str,
        options: dict[str, int],
    ):
        self.width = options.get("WIDTH", 1)
        self._module = module
        self._parameters = parameters
        self._types = {"real": dtype, "number": "float32" if dtype == "float16" else dtype}
        self._functions: dict[str, Any] = {}
        self._slots: dict[str, list[tuple[Slot, np.dtype]]] = {}

    def launch(
        self,
        name: str,
        size: int | tuple[int, ...],
        block: int | tuple[int, ...],
        args: Sequence[Any],
        shared: int = 0,
    ) -> None:
        """Queue a kernel on the current stream; nothing waits for it.

        Args:
            name: Of the kernel.
            size: How many threads are needed (as many blocks as hold them are launched: the kernel checks its
                index, or walks in strides of the grid); or the grid itself, a tuple of blocks along each axis.
            block: Threads of a block, or a tuple of them along each axis.
            args: Contiguous device arrays and plain numbers, in the order of the kernel's parameters.
            shared: Bytes of dynamic shared memory for each block.

        Raises:
            ValueError: An argument does not fit the kernel's parameter.
        """
        block = block if isinstance(block, tuple) else (block,)
        grid = size if isinstance(size, tuple) else (min(-(-size // block[0]), MOST_BLOCKS),)
        values = self._fit(name, args)
        if 0 in grid:
            return  # nothing to do, which CUDA calls an error
        if name not in self._functions:
            self._functions[name] = self._module.get_function(name)
        self._functions[name](grid, block, values, shared_mem=shared)

    def _fit(self, name: str, args: Sequence[Any]) -> tuple:
        """Return the arguments in the types of the kernel's parameters; refuse those that do not fit."""
        if name not in self._slots:
            slots = self._parameters[name]
            types = [np.dtype(self._types.get(slot.dtype, slot.dtype)) for slot in slots]
            self._slots[name] = list(zip(slots, types))
        slots = self._slots[name]
        check(len(args) == len(slots), f"arguments of {name}", f"{len(slots)} of them", len(args))
        return tuple(
            [_fitted(name, slot, dtype, value) for (slot, dtype), value in zip(slots, args)]
        )


def _fitted(name: str, slot: Slot, dtype: np.dtype, value: Any) -> Any:
    """Return an argument in the type of its parameter; written so that what fits is quick: it is asked every time."""
    if slot.is_array:
        got = getattr(value, "dtype", None)
        if got is not None and got == dtype and value.flags.c_contiguous:
            return value
        label = f"{name}({slot.name})"
        check(
            got is not None and got == dtype,
            label,
            f"a device array of {dtype}",
            got or type(value).__name__,
        )
        check(False, label, "a contiguous array", value.strides)
    if not isinstance(value, (int, float, np.generic)):
        check(False, f"{name}({slot.name})", "a number", type(value).__name__)
    number = dtype.type(value)  # NumPy refuses an int that does not fit
    if number != value and dtype.kind != "f":
        check(False, f"{name}({slot.name})", f"a whole number that fits {dtype}", value)
    return number


def pack_width(channels: int, *arrays: Array) -> int:
    """Return how many neighbouring channels a thread may move at once: PACKED, or 1.

    More than one need a number of channels that they divide, and arrays that begin at a multiple of 16 bytes (those
    of CuPy's pool do; a view into one may not).
    """
    if channels % PACKED:
        return 1
    on_device = not any(isinstance(array, np.ndarray) for array in arrays)
    return PACKED if on_device and all(array.data.ptr % 16 == 0 for array in arrays) else 1


def narrow(*arrays: Array) -> int:
    """Return 1 where places in all of these arrays fit 32 bits, else 0: for the option NARROW, see `kernels.h`."""
    return int(all(array.size < NARROW_SIZE for array in arrays))
