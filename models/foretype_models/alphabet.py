"""The alphabet: what one symbol of the network's input and output is.

A symbol is a byte of UTF-8, or one of three control symbols. Every text can be
written with them, so there is no unknown character; for ASCII sources a symbol is
a character. A file is read as its path and then its text, because the path tells
the network the name of the class before the first line does:

    START_OF_FILE  src/main/java/App.java  END_OF_PATH  package ...  END_OF_FILE
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Symbols = npt.NDArray[np.int64]

BYTES = 256
START_OF_FILE = 256
END_OF_PATH = 257
END_OF_FILE = 258
SIZE = 259

NAME = "utf8+sof+eop+eof"
"""Names this alphabet in a bundle, so that another one is recognised as such."""


def encode(data: bytes) -> Symbols:
    """The symbols of a stretch of text: int64, shape (len(data),)."""
    return np.frombuffer(data, dtype=np.uint8).astype(np.int64)


def encode_path(path: str) -> Symbols:
    """The symbols that come before a file's text: its path between two control symbols."""
    return np.concatenate(([START_OF_FILE], encode(path.encode()), [END_OF_PATH]))


def encode_file(path: str, text: bytes) -> Symbols:
    """A whole file as the network reads it: path, text, end of file; int64, shape (n,)."""
    return np.concatenate((encode_path(path), encode(text), [END_OF_FILE]))


def is_word(byte: int) -> bool:
    """Whether a byte is part of identifiers, keywords and numbers."""
    return byte >= 0x80 or chr(byte).isalnum() or byte in b"_$"


def is_continuation(symbol: int) -> bool:
    """Whether this byte lies inside a code point, after its first byte (RFC 3629)."""
    return 0x80 <= symbol < 0xC0


def code_point_length(first: int) -> int:
    """How many bytes the code point has that starts with this byte; 1 for control symbols."""
    if first < 0xC0 or first >= BYTES:
        return 1
    return 2 if first < 0xE0 else 3 if first < 0xF0 else 4
