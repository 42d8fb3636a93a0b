"""Protocol buffers' wire format: just enough of it to walk through a message without its description.

A message is a list of fields, each a key (number and wire type) and a value: a varint, 4 or 8 bytes, or a length and so
many bytes, which may be a message again.
"""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from typing import NamedTuple

VARINT, EIGHT_BYTES, LENGTH, FOUR_BYTES = 0, 1, 2, 5
MOST_VARINT_BYTES = 10


class Field(NamedTuple):
    """One field of a message.

    Attributes:
        number: Which field.
        wire: Its wire type.
        start, end: Bytes of the value in the file; of a varint as well.
        value: Of a varint; 0 otherwise.
    """

    number: int
    wire: int
    start: int
    end: int
    value: int


def fields(buffer: mmap.mmap, start: int, end: int) -> Iterator[Field]:
    """Walk through the fields of a message.

    Args:
        buffer: The file.
        start: First byte of the message.
        end: Byte behind its last.

    Raises:
        ValueError: A value would reach beyond the message, or the bytes are no message.
    """
    at = start
    while at < end:
        key, at = varint(buffer, at, end)
        number, wire = key >> 3, key & 7
        value = 0
        first = at
        if wire == VARINT:
            value, at = varint(buffer, at, end)
        elif wire == LENGTH:
            length, first = varint(buffer, at, end)
            at = first + length
        elif wire in (EIGHT_BYTES, FOUR_BYTES):
            at += 8 if wire == EIGHT_BYTES else 4
        else:
            raise ValueError(f"truncated or damaged: byte {at:,} is not the start of a field")
        if at > end or number == 0:
            raise ValueError(
                f"truncated or damaged: a field at byte {first:,} ends behind its message"
            )
        yield Field(number, wire, first, at, value)


def varint(buffer: mmap.mmap, at: int, end: int) -> tuple[int, int]:
    """Read a whole number of 1 to 10 bytes of 7 bits each; return it and the byte behind it."""
    value = 0
    for count in range(MOST_VARINT_BYTES):
        if at + count >= end:
            break
        byte = buffer[at + count]
        value |= (byte & 0x7F) << (7 * count)
        if byte < 0x80:
            return value, at + count + 1
    raise ValueError(f"truncated or damaged: no whole number at byte {at:,}")
