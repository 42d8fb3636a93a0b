"""A strict stand-in for a device array: NumPy inside, CuPy's manners outside.

`strict` is a module in the place of `cupy`, `StrictArray` stands for `cupy.ndarray`. Code that mixes host and device,
converts silently, or calls what CuPy lacks fails here, on a machine without a GPU. Where CuPy is lenient but slow or
undefined (iterating, `float(x)`, writing two values to one place), the stand-in is stricter and refuses.

`transfers` counts what a GPU would have waited for: copies to the host, copies to the device, and operations whose
output shape depends on the data (boolean masks, nonzero), which synchronise.
"""

from __future__ import annotations

import operator
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np
from strict_names import (
    AT_DTYPES,
    DATA,
    FUNCTIONS,
    HOST_ANSWERS,
    METHODS,
    PROPERTIES,
    SAME_AS_NUMPY,
    SEQUENCES,
    SYNCHRONISING,
    UFUNCS,
    parse,
)


class DeviceSlipError(TypeError):
    """Host and device were mixed, or device data would have been converted silently."""


class Transfers:
    """How often data crossed between host and device, and how often the host had to wait for a shape."""

    def __init__(self):
        self.reset()

    def reset(self) -> None:
        self.to_host = self.to_device = self.syncs = 0

    def __repr__(self) -> str:
        return f"Transfers(to_host={self.to_host}, to_device={self.to_device}, syncs={self.syncs})"


transfers = Transfers()


def _refuse(what: str) -> None:
    raise DeviceSlipError(f"{what}: host and device do not mix; use to_device or to_cpu")


def _unwrap(value: Any, label: str) -> Any:
    """Return what NumPy needs for a device argument; refuse host arrays and lists."""
    if isinstance(value, StrictArray):
        return value._data
    if isinstance(value, np.ndarray):
        _refuse(f"{label} got a NumPy array {value.shape}")
    if value is None or isinstance(value, (bool, int, float, complex, np.generic)):
        return value  # scalars travel as arguments of the kernel
    raise DeviceSlipError(f"{label} got a {type(value).__name__}, which CuPy does not take")


def _unwrap_argument(name: str, value: Any, label: str) -> Any:
    if name in SEQUENCES and isinstance(value, (list, tuple)):
        return type(value)(_unwrap(item, label) for item in value)
    if name in SEQUENCES and isinstance(value, (str, type, np.dtype)):
        return value  # einsum's subscripts, result_type's dtypes
    if name in DATA or name in SEQUENCES:
        return _unwrap(value, label)
    if isinstance(value, np.ndarray):
        _refuse(f"{label}({name}=...) got a NumPy array {value.shape}")
    return value  # a StrictArray among host values is refused by its own __index__ or __array__


def _wrap(result: Any) -> Any:
    if isinstance(result, (np.ndarray, np.generic, bool, int, float)):
        return StrictArray(np.asarray(result))
    if isinstance(result, (tuple, list)):
        wrapped = [_wrap(item) for item in result]
        return type(result)(*wrapped) if hasattr(result, "_fields") else type(result)(wrapped)
    return result


def _bind(names: list[str], args: tuple, kwargs: dict, label: str) -> tuple[list, dict, Any]:
    """Check the call against CuPy's arguments; return them for NumPy, and the `out` array."""
    star = bool(names) and names[0].startswith("*")
    known = [name.lstrip("*") for name in names]
    unknown = [name for name in kwargs if name not in known]
    if unknown or (len(args) > len(known) and not star):
        excess = unknown or "so many arguments"
        raise TypeError(f"cupy.{label} does not take {excess} ({', '.join(names)})")
    pairs = list(zip([known[0]] * len(args) if star else known, args))
    positional = [_unwrap_argument(name, value, label) for name, value in pairs]
    keywords = {name: _unwrap_argument(name, value, label) for name, value in kwargs.items()}
    return positional, keywords, {**dict(pairs), **kwargs}.get("out")


def _run(function: Any, name: str, names: list[str], label: str, args: tuple, kwargs: dict) -> Any:
    positional, keywords, out = _bind(names, args, kwargs, label)
    if name in ("sort", "argsort"):
        place = len(names) - (names[-1] == "kind")  # CuPy 13's methods have no such argument
        if [*positional[place:], keywords.get("kind")][0] not in (None, "stable"):
            raise ValueError(f"cupy.{label} knows kind=None and 'stable' only")
        positional, keywords["kind"] = positional[:place], "stable"
    if name in SYNCHRONISING or (name == "where" and len(args) + len(kwargs) == 1):
        transfers.syncs += 1
    with np.errstate(all="ignore"):  # a GPU does not warn
        result = function(*positional, **keywords)
    if out is not None:
        return out
    return result if name in HOST_ANSWERS else _wrap(result)


class Memory(NamedTuple):
    """Where an array begins, as CuPy's `MemoryPointer` says it."""

    ptr: int


class StrictArray:
    """NumPy data behind the interface of a CuPy array; `get` and `item` are the ways to the host."""

    __slots__ = ("_data",)
    __hash__ = None
    # With None, NumPy's ufuncs refuse, and `numpy_array * strict` asks __rmul__, which refuses.
    __array_ufunc__ = None

    def __init__(self, data: np.ndarray):
        if data.dtype.char not in "?bBhHiIlLqQefdFD":
            raise TypeError(f"Unsupported dtype {data.dtype}")
        self._data = data

    def __array_namespace__(self, *, api_version: str | None = None) -> ModuleType:
        return strict

    @property
    def data(self) -> Memory:
        return Memory(self._data.ctypes.data)

    def get(self) -> np.ndarray:
        transfers.to_host += 1
        return self._data.copy()

    def item(self) -> bool | int | float:
        transfers.to_host += 1
        return self._data.item()

    def set(self, arr: np.ndarray, stream: Any = None) -> None:
        transfers.to_device += 1
        if arr.shape != self.shape or arr.dtype != self.dtype:
            raise ValueError(
                f"set: expected {self.dtype} {self.shape}, got {arr.dtype} {arr.shape}"
            )
        self._data[...] = arr  # at once, whatever the stream

    def __getitem__(self, index: Any) -> StrictArray:
        return StrictArray(np.asarray(self._data[_index(index)[0]]))

    def __setitem__(self, index: Any, value: Any) -> None:
        index, by_integers = _index(index)
        value = _unwrap(value, "assignment")
        with np.errstate(all="ignore"):
            self._data[index] = value
            if by_integers:
                _check_single_writer(self._data[index], value)

    def __len__(self) -> int:
        return len(self._data)

    def __repr__(self) -> str:
        return f"StrictArray(shape={self.shape}, dtype={self.dtype})"

    def __copy__(self) -> StrictArray:
        return StrictArray(self._data.copy())

    def __deepcopy__(self, memo: dict) -> StrictArray:
        return StrictArray(self._data.copy())


def _check_single_writer(stored: np.ndarray, value: Any) -> None:
    """Refuse an assignment through repeated indices whose values differ: what was read back tells."""
    wanted = np.broadcast_to(np.asarray(value).astype(stored.dtype), stored.shape)
    if not np.array_equal(stored, wanted, equal_nan=True):
        raise DeviceSlipError("one place was given several values; on a GPU any of them may stay")


def _index(index: Any) -> tuple[Any, bool]:
    """Return NumPy's form of an index, and whether integer arrays are in it."""
    parts = index if isinstance(index, tuple) else (index,)
    found, by_integers = [], False
    for part in parts:
        if isinstance(part, StrictArray):
            transfers.syncs += part.dtype == bool
            by_integers |= part.dtype != bool
            part = part._data
        elif isinstance(part, (list, np.ndarray)):
            _refuse(f"indexing with a {type(part).__name__}")
        found.append(part)
    return (tuple(found) if isinstance(index, tuple) else found[0]), by_integers


def _refusal(name: str) -> Any:
    def refuse(self: StrictArray, *args: Any, **kwargs: Any) -> None:
        raise DeviceSlipError(f"{name}: device data never moves silently; use to_cpu or item()")

    return refuse


def _binary(name: str, function: Any, reflected: bool = False) -> Any:
    def operate(self: StrictArray, other: Any) -> StrictArray:
        if other is None:
            raise TypeError(f"{name}: device array and None")
        other = _unwrap(other, name)
        with np.errstate(all="ignore"):
            return _wrap(function(other, self._data) if reflected else function(self._data, other))

    return operate


def _in_place(name: str, function: Any) -> Any:
    def operate(self: StrictArray, other: Any) -> StrictArray:
        with np.errstate(all="ignore"):
            function(self._data, _unwrap(other, name))
        return self

    return operate


def _method(name: str, names: list[str]) -> Any:
    def call(self: StrictArray, *args: Any, **kwargs: Any) -> Any:
        return _run(getattr(self._data, name), name, names, f"ndarray.{name}", args, kwargs)

    return call


def _complete_class() -> None:
    for name in parse(
        "array | bool | int | float | complex | index | iter | contains | array_function"
    ):
        setattr(StrictArray, f"__{name}__", _refusal(f"__{name}__"))
    StrictArray.tolist = _refusal("tolist")
    for name in parse(
        "add | sub | mul | truediv | floordiv | mod | pow | matmul | and | or | xor | lshift | rshift"
    ):
        function = getattr(operator, f"__{name}__")
        setattr(StrictArray, f"__{name}__", _binary(f"__{name}__", function))
        setattr(StrictArray, f"__r{name}__", _binary(f"__r{name}__", function, reflected=True))
        if name != "matmul":  # CuPy has no in-place matrix product
            function = getattr(operator, f"__i{name}__")
            setattr(StrictArray, f"__i{name}__", _in_place(f"__i{name}__", function))
    for name in parse("lt | le | eq | ne | gt | ge"):
        setattr(StrictArray, f"__{name}__", _binary(f"__{name}__", getattr(operator, name)))
    for name in parse("neg | pos | abs | invert"):
        function = getattr(operator, name)
        setattr(StrictArray, f"__{name}__", lambda self, f=function: _wrap(f(self._data)))
    for name in PROPERTIES:
        setattr(StrictArray, name, property(lambda self, name=name: getattr(self._data, name)))
    StrictArray.T = property(lambda self: StrictArray(self._data.T))
    for name, names in METHODS.items():
        setattr(StrictArray, name, _method(name, names))


class StrictFunction:
    """One function of the namespace, called with CuPy's arguments."""

    def __init__(self, name: str, names: list[str], function: Any):
        self.name, self.names, self.function = name, names, function

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return _run(self.function, self.name, self.names, self.name, args, kwargs)


class StrictUfunc(StrictFunction):
    """A universal function: no `where=`, and `at` for the few that have atomic operations."""

    def __init__(self, name: str):
        function = getattr(np, name)
        super().__init__(name, [*("x", "y")[: function.nin], "out", "dtype", "casting"], function)
        if name in AT_DTYPES:
            self.at = self._at

    def _at(self, a: StrictArray, indices: Any, b: Any) -> None:
        if not isinstance(a, StrictArray):
            _refuse(f"{self.name}.at")
        if str(a.dtype) not in AT_DTYPES[self.name]:
            raise TypeError(f"cupy.{self.name}.at does not support {a.dtype}")
        self.function.at(a._data, _index(indices)[0], _unwrap(b, f"{self.name}.at"))

    def outer(self, a: StrictArray, b: StrictArray) -> StrictArray:
        label = f"{self.name}.outer"
        return _wrap(self.function.outer(_unwrap(a, label), _unwrap(b, label)))


class StrictModule(ModuleType):
    """The stand-in for the module cupy."""

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(
            f"CuPy has no {self.__name__}.{name}, or tests/strict_array.py does not list it yet"
        )


def asarray(a: Any, dtype: Any = None, order: str | None = None) -> StrictArray:
    """Return device data as it is; copy host data to the device, which is counted."""
    if isinstance(a, StrictArray):
        return a if dtype in (None, a.dtype) else a.astype(dtype)
    transfers.to_device += 1
    return StrictArray(np.array(a, dtype, order=order or "K"))


def array(obj: Any, dtype: Any = None, copy: bool = True) -> StrictArray:
    """Return a copy on the device, counted where it comes from the host."""
    if isinstance(obj, StrictArray):
        return StrictArray(np.array(obj._data, dtype)) if copy else asarray(obj, dtype)
    return asarray(obj, dtype)


def asnumpy(a: Any) -> np.ndarray:
    """Return the data on the host, counted where it comes from the device."""
    return a.get() if isinstance(a, StrictArray) else np.asarray(a)


def _build_module() -> StrictModule:
    module = StrictModule("strict", "Stand-in for cupy.")
    module.ndarray, module.asarray = StrictArray, asarray
    module.array, module.asnumpy = array, asnumpy
    for name in SAME_AS_NUMPY:
        setattr(module, name, getattr(np, name))
    for name in UFUNCS:
        setattr(module, name, StrictUfunc(name))
    module.linalg = StrictModule("strict.linalg")
    module.lib = StrictModule("strict.lib")
    module.lib.stride_tricks = StrictModule("strict.lib.stride_tricks")
    for path, names in FUNCTIONS.items():
        *parents, name = path.split(".")
        place, function = module, np
        for parent in parents:
            place, function = getattr(place, parent), getattr(function, parent)
        setattr(place, name, StrictFunction(path, names, getattr(function, name)))
    return module


_complete_class()
strict = _build_module()
