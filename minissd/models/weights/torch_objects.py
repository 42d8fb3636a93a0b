"""What the pickle of a PyTorch file may name: storages, tensors, and ordered dictionaries.

PyTorch writes a state as a pickle of names and shapes; the numbers stand outside of it, in storages. A tensor is a
window on a storage: an offset, a shape and strides, all counted in numbers. Several tensors may share a storage.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from minissd.models.weights.pickle_machine import Global, PickleError
from minissd.models.weights.stored import check_layout, is_count

STORAGES = {
    "DoubleStorage": "float64",
    "FloatStorage": "float32",
    "HalfStorage": "float16",
    "BFloat16Storage": "bfloat16",
    "LongStorage": "int64",
    "IntStorage": "int32",
    "ShortStorage": "int16",
    "CharStorage": "int8",
    "ByteStorage": "uint8",
    "BoolStorage": "bool",
    "UntypedStorage": "uint8",  # counted in bytes
}
STORAGE_KINDS = {
    Global(module, name): kind
    for name, kind in STORAGES.items()
    for module in ("torch", "torch.cuda", "torch.storage")
}
DTYPES = {Global("torch", kind): kind for kind in set(STORAGES.values())}


@dataclass
class Storage:
    """A block of numbers in the file.

    Attributes:
        key: Its name in the file.
        kind: What the numbers are.
        count: How many the pickle says there are.
        start: Byte of the first one; None until the place is known.
    """

    key: str
    kind: str
    count: int
    start: int | None = None


@dataclass(frozen=True)
class Window:
    """A tensor as the pickle describes it; offset, shape and strides are counted in numbers of `kind`."""

    storage: Storage
    kind: str
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


class TorchObjects:
    """Knows the names of PyTorch's files, and nothing else.

    Attributes:
        storages: Every storage that the pickle has named, by its key.
    """

    def __init__(self) -> None:
        self.storages: dict[str, Storage] = {}

    def allows(self, name: Global) -> bool:
        """Say whether the name is one that a state of PyTorch needs."""
        return name in _CALLS or name in STORAGE_KINDS or name in DTYPES

    def call(self, name: Global, arguments: tuple) -> object:
        """Return what PyTorch's function of that name would describe: a dictionary, a size, a `Window`."""
        call = _CALLS.get(name)
        if call is None:
            raise PickleError(f"its pickle calls {name}, which is not a function")
        try:
            return call(*arguments)
        except PickleError:
            raise
        except (TypeError, ValueError) as error:
            raise PickleError(f"damaged: {name} does not go with what it is given") from error

    def persistent(self, identity: object) -> object:
        """Return the storage that is meant by ("storage", type, key, device, count[, view])."""
        if not isinstance(identity, tuple) or len(identity) not in (5, 6):
            raise PickleError("damaged: the pickle names something outside of it that is not known")
        tag, type_name, key, _, count = identity[:5]
        if tag == "module":
            raise PickleError("holds a whole model object; save model.state_dict() instead")
        if tag != "storage" or not isinstance(key, (str, int)) or not is_count(count):
            raise PickleError("damaged: a storage is described wrongly")
        if not isinstance(type_name, Global) or type_name not in STORAGE_KINDS:
            raise PickleError(f"the storage {key!s:.40} has no known type")
        kind = STORAGE_KINDS[type_name]
        storage = self.storages.setdefault(str(key), Storage(str(key), kind, count))
        if (storage.kind, storage.count) != (kind, count):
            raise PickleError(f"the storage {key!s:.40} is described in two ways")
        view = identity[5] if len(identity) == 6 else None
        return storage if view is None else _part(storage, view)


@dataclass(frozen=True)
class _Part:
    """A part of a storage, as files of 2017 have it: the first number and how many."""

    storage: Storage
    first: int
    count: int


def _part(storage: Storage, view: object) -> _Part:
    if not isinstance(view, tuple) or len(view) != 3 or not all(map(is_count, view[1:])):
        raise PickleError(f"damaged: a view of storage {storage.key:.40} is described wrongly")
    _, first, count = view
    if first + count > storage.count:
        raise PickleError(f"a view of storage {storage.key:.40} reaches beyond it")
    return _Part(storage, first, count)


def _window(
    storage: object, offset: int, shape: tuple, strides: tuple, *rest: object, kind: str = ""
) -> Window:
    """Describe a tensor; what else PyTorch notes of it (gradients, hooks) does not matter here."""
    if not isinstance(storage, (Storage, _Part)) or not is_count(offset):
        raise PickleError("damaged: a tensor stands on something that is not a storage")
    if not isinstance(shape, tuple) or not isinstance(strides, tuple):
        raise PickleError("damaged: a tensor's shape is not a tuple")
    try:
        check_layout(shape, strides)
    except ValueError as error:
        raise PickleError(f"a tensor is described wrongly: {error}") from error
    first = storage.first if isinstance(storage, _Part) else 0
    block = storage.storage if isinstance(storage, _Part) else storage
    kind = kind or block.kind
    if kind == block.kind and all(shape):
        last = offset + sum((n - 1) * step for n, step in zip(shape, strides))
        if last >= storage.count:
            raise PickleError(
                f"a tensor of shape {shape} with strides {strides} reaches {last + 1:,} numbers far, beyond its "
                f"storage {block.key:.40} of {storage.count:,}"
            )
    return Window(block, kind, first + offset, shape, strides)


def _window_of_dtype(
    storage: object,
    offset: int,
    shape: tuple,
    strides: tuple,
    grad: Any,
    hooks: Any,
    dtype: Any,
    *rest: Any,
) -> Window:
    if not isinstance(dtype, Global) or dtype not in DTYPES:
        raise PickleError("a tensor has no known dtype")
    return _window(storage, offset, shape, strides, kind=DTYPES[dtype])


def _parameter(data: object, *rest: object) -> object:
    return data


def _ordered(pairs: list | tuple = ()) -> dict:
    if not all(isinstance(key, (str, int, float)) for key, _ in pairs):
        raise PickleError("a dictionary's key is not a name")
    return dict(pairs)


def _size(lengths: tuple | list = ()) -> tuple:
    return tuple(lengths)


_CALLS: dict[Global, Callable[..., object]] = {
    Global("collections", "OrderedDict"): _ordered,
    Global("torch._utils", "_rebuild_tensor"): _window,
    Global("torch._utils", "_rebuild_tensor_v2"): _window,
    Global("torch._utils", "_rebuild_tensor_v3"): _window_of_dtype,
    Global("torch._utils", "_rebuild_parameter"): _parameter,
    Global("torch._utils", "_rebuild_parameter_with_state"): _parameter,
    Global("torch", "Size"): _size,
}
