"""Columns: counted in code units on the wire, in code points everywhere else."""

from __future__ import annotations

from collections.abc import Callable

from lsprotocol.types import PositionEncodingKind

Encoding = PositionEncodingKind


def _utf8_units(character: str) -> int:
    code_point = ord(character)
    return 1 + (code_point >= 0x80) + (code_point >= 0x800) + (code_point >= 0x10000)


def _utf16_units(character: str) -> int:
    return 2 if ord(character) >= 0x10000 else 1


_UNITS: dict[Encoding, Callable[[str], int]] = {
    Encoding.Utf8: _utf8_units,
    Encoding.Utf16: _utf16_units,
}


def to_code_points(line: str, column: int, encoding: Encoding) -> int:
    """How many whole code points of the line lie before a column in code units.

    A column beyond the line stands for its end, one inside a code point for its start.
    """
    if encoding == Encoding.Utf32 or line.isascii():
        return min(column, len(line))
    units, end = _UNITS[encoding], 0
    for index, character in enumerate(line):
        end += units(character)
        if end > column:
            return index
    return len(line)


def to_code_units(text: str, encoding: Encoding) -> int:
    """The length of a text in code units."""
    if encoding == Encoding.Utf32 or text.isascii():
        return len(text)
    return sum(map(_UNITS[encoding], text))
