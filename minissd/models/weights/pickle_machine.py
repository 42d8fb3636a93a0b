"""A pickle machine that can build containers and nothing else.

A pickle is a small program for a stack machine, and Python's own machine runs whatever function the program names:
opening an unknown file with it means running unknown code. This one knows the few instructions that dictionaries,
lists, tuples, numbers and text need. A global name is never looked up in Python: it stays a name, which the owner of
the machine may or may not know what to do with. (`pickletools.genops` only splits the bytes into instructions.)
"""

from __future__ import annotations

import pickletools
from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

MOST_INSTRUCTIONS = 2_000_000  # a state of 10,000 tensors takes about 400,000
MOST_BITS = 128  # of a whole number; the longest that PyTorch writes has 80


class Global(NamedTuple):
    """A name of a module's content, as a pickle has it; only a name."""

    module: str
    name: str

    def __str__(self) -> str:
        return f"{self.module}.{self.name}"


class PickleError(ValueError):
    """The program is broken, or does what is not allowed; the message says which."""


class Owner(Protocol):
    """Who decides what names and foreign objects mean."""

    def allows(self, name: Global) -> bool:
        """Say whether the name may occur at all."""

    def call(self, name: Global, arguments: tuple) -> object:
        """Return what calling the name gives."""

    def persistent(self, identity: object) -> object:
        """Return the object that stands outside of the pickle under this identity."""


_MARK = object()


class PickleMachine:
    """Runs one pickle.

    Args:
        stream: File-like; read from its position to the end of the pickle and no further.
        owner: Decides about names.
    """

    def __init__(self, stream: object, owner: Owner):
        self._stream = stream
        self._owner = owner
        self._stack: list[Any] = []
        self._memo: dict[int, Any] = {}

    def run(self) -> object:
        """Return the object that the pickle builds.

        Raises:
            PickleError: The bytes are not a pickle, or it asks for something that is not allowed.
        """
        try:
            for count, (opcode, argument, _) in enumerate(pickletools.genops(self._stream)):
                if opcode.name == "STOP":
                    return self._pop()
                if count > MOST_INSTRUCTIONS:
                    raise PickleError("the pickle goes on for too long")
                act = _ACTIONS.get(opcode.name)
                if act is None:
                    raise PickleError(f"the pickle instruction {opcode.name} is not allowed")
                act(self, argument)
        except PickleError:
            raise
        except (
            ValueError,
            TypeError,
            IndexError,
            KeyError,
            OverflowError,
            AttributeError,
        ) as error:
            raise PickleError("truncated or damaged: its pickle cannot be followed") from error
        raise PickleError("truncated: its pickle has no end")

    def _pop(self) -> object:
        value = self._stack.pop()
        if value is _MARK:
            raise PickleError("damaged: its pickle's stack does not add up")
        return value

    def _pop_to_mark(self) -> list:
        items = []
        while (value := self._stack.pop()) is not _MARK:
            items.append(value)
        return items[::-1]

    def _push(self, value: object) -> None:
        self._stack.append(value)

    def _push_number(self, value: object) -> None:
        if isinstance(value, int) and value.bit_length() > MOST_BITS:
            raise PickleError(f"its pickle holds a whole number of {value.bit_length():,} bits")
        self._push(value)

    def _remember(self, key: int | None) -> None:
        self._memo[len(self._memo) if key is None else key] = self._stack[-1]

    def _name(self, module: str, name: str) -> None:
        if not (isinstance(module, str) and isinstance(name, str)):
            raise PickleError("its pickle asks for something that is not a name")
        found = Global(module, name)
        if not self._owner.allows(found):
            raise PickleError(
                f"its pickle asks for {found!s:.200}, which is not allowed (a file of weights needs names of tensors "
                "only: save model.state_dict(), not the model)"
            )
        self._push(found)

    def _name_from_text(self, text: str) -> None:
        self._name(*text.split(" ", 1))

    def _name_from_stack(self, _: None) -> None:
        name, module = self._pop(), self._pop()
        self._name(module, name)

    def _call(self, _: None) -> None:
        arguments, function = self._pop(), self._pop()
        if not (isinstance(function, Global) and isinstance(arguments, tuple)):
            raise PickleError("its pickle calls something that is not a name")
        self._push(self._owner.call(function, arguments))

    def _fill_attributes(self, _: None) -> None:
        """Leave attributes aside: a state has one, `_metadata`, and nothing here needs it."""
        self._pop()
        if not isinstance(self._stack[-1], dict):
            raise PickleError("its pickle sets attributes of something that is not a dictionary")

    def _set_items(self, items: list) -> None:
        target = self._stack[-1]
        if not isinstance(target, dict) or len(items) % 2:
            raise PickleError("its pickle fills something that is not a dictionary")
        for key, value in zip(items[::2], items[1::2]):
            if not isinstance(key, (str, int, float, bytes, type(None))):
                raise PickleError(f"a dictionary's key is a {type(key).__name__}, not a name")
            target[key] = value

    def _append(self, items: list) -> None:
        if not isinstance(self._stack[-1], list):
            raise PickleError("its pickle appends to something that is not a list")
        self._stack[-1].extend(items)

    def _tuple(self, count: int) -> None:
        self._push(tuple([self._pop() for _ in range(count)][::-1]))

    def _dictionary(self, items: list) -> None:
        self._push({})
        self._set_items(items)


def _pushes(value: Callable[[], object]) -> Callable[[PickleMachine, object], None]:
    return lambda machine, _: machine._push(value())


def _actions() -> dict[str, Callable[[PickleMachine, Any], None]]:
    """Return what each allowed instruction does, by the names of `pickletools`."""
    m = PickleMachine
    table: dict[str, Callable[[PickleMachine, Any], None]] = {
        "PROTO": lambda machine, _: None,
        "FRAME": lambda machine, _: None,
        "MARK": _pushes(lambda: _MARK),
        "POP": lambda machine, _: machine._stack.pop(),
        "POP_MARK": lambda machine, _: machine._pop_to_mark(),
        "NONE": _pushes(lambda: None),
        "NEWTRUE": _pushes(lambda: True),
        "NEWFALSE": _pushes(lambda: False),
        "EMPTY_DICT": _pushes(dict),
        "EMPTY_LIST": _pushes(list),
        "EMPTY_TUPLE": _pushes(tuple),
        "TUPLE": lambda machine, _: machine._push(tuple(machine._pop_to_mark())),
        "TUPLE1": lambda machine, _: machine._tuple(1),
        "TUPLE2": lambda machine, _: machine._tuple(2),
        "TUPLE3": lambda machine, _: machine._tuple(3),
        "LIST": lambda machine, _: machine._push(machine._pop_to_mark()),
        "DICT": lambda machine, _: machine._dictionary(machine._pop_to_mark()),
        "APPEND": lambda machine, _: machine._append([machine._pop()]),
        "APPENDS": lambda machine, _: machine._append(machine._pop_to_mark()),
        "SETITEM": lambda machine, _: machine._set_items([machine._pop(), machine._pop()][::-1]),
        "SETITEMS": lambda machine, _: machine._set_items(machine._pop_to_mark()),
        "MEMOIZE": m._remember,
        "GLOBAL": m._name_from_text,
        "STACK_GLOBAL": m._name_from_stack,
        "REDUCE": m._call,
        "BUILD": m._fill_attributes,
        "BINPERSID": lambda machine, _: machine._push(machine._owner.persistent(machine._pop())),
    }
    table |= dict.fromkeys(("PUT", "BINPUT", "LONG_BINPUT"), m._remember)
    gets = ("GET", "BINGET", "LONG_BINGET")
    table |= dict.fromkeys(gets, lambda machine, key: machine._push(machine._memo[key]))
    numbers = "INT BININT BININT1 BININT2 LONG LONG1 LONG4 FLOAT BINFLOAT"
    table |= dict.fromkeys(numbers.split(), m._push_number)
    texts = "STRING BINSTRING SHORT_BINSTRING BINUNICODE SHORT_BINUNICODE BINUNICODE8 UNICODE"
    data = "BINBYTES SHORT_BINBYTES BINBYTES8"
    return table | dict.fromkeys([*texts.split(), *data.split()], m._push)


_ACTIONS = _actions()
