"""The words of a text that may be pointed at, and the one at its end (see `pointer.py`).

What is held of a text, a `Recent`, depends on the text before alone and never changes: it is
part of the state, and found again with it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from foretype_models import alphabet

Floats = npt.NDArray[np.float32]

WINDOW = 2048
"""Words before that may be pointed at, and some more: the oldest leave `SEALED` at a time."""
SEALED = 32
LONGEST = 32
"""Bytes of a word that are known; where one is longer, the network spells its end."""

IS_WORD = np.zeros(alphabet.SIZE, dtype=np.bool_)
"""The bytes of words; no control symbol is one."""
IS_WORD[: alphabet.BYTES] = [alphabet.is_word(byte) for byte in range(alphabet.BYTES)]
BEGINS = IS_WORD.copy()
"""Those that one may begin with: what begins with a digit is none."""
BEGINS[ord("0") : ord("9") + 1] = False
LETTER = np.cumsum(BEGINS) - 1
"""The number of a symbol among those that a word may begin with."""
LETTERS = np.flatnonzero(BEGINS)
"""The symbols of these numbers."""

_ENTRY_BYTES = 112  # that Python takes for a word, or a letter, and its number, roughly


@dataclass(frozen=True, eq=False)
class Words:
    """Some words in the order of the text, of which each has a key."""

    keys: npt.NDArray[np.float16]  # (words, width)
    letters: npt.NDArray[np.uint8]  # (words, LONGEST), zeros after the last

    def __len__(self) -> int:
        return len(self.keys)

    @property
    def nbytes(self) -> int:
        return self.keys.nbytes + self.letters.nbytes


@dataclass(frozen=True, eq=False)
class Possible:
    """Which of the words before the one that is being written can be."""

    weights: Mapping[bytes, float]  # of those that differ, up to a factor
    written: int  # bytes of it
    share: float  # the probability that it is one of them

    def narrowed(self, symbol: int, share: float) -> Possible | None:
        """Those that go on with this symbol, and their share now; none where no more is known
        of any."""
        at = self.written
        if at + 1 == LONGEST:
            return None
        known = {w: own for w, own in self.weights.items() if len(w) > at and w[at] == symbol}
        return Possible(known, at + 1, share)

    @property
    def nbytes(self) -> int:
        return _ENTRY_BYTES * len(self.weights)


@dataclass(frozen=True, eq=False)
class Pointed:
    """What is pointed at after a text."""

    shares: Mapping[int, float]  # of the pointer, by the letter that comes
    first: Floats | None = None  # where a word may begin, see `first_letters`

    @property
    def nbytes(self) -> int:
        return _ENTRY_BYTES * len(self.shares) + (0 if self.first is None else self.first.nbytes)


@dataclass(frozen=True, eq=False)
class Recent:
    """What there is to point at after a text, and the word at its end."""

    sealed: tuple[Words, ...] = ()
    words: Words | None = None  # those after them, fewer than SEALED
    hidden: Floats | None = None  # after the last symbol
    inside: bool = False  # whether that is a byte of words
    word: bytes = b""  # as far as it is written, and known: LONGEST bytes
    key: Floats | None = None  # of its beginning
    possible: Possible | None = None  # inside a word
    pointed: Pointed | None = None

    def apart(self) -> Recent:
        """The same, with a copy of the hidden state, which is a part of what was read together."""
        return self if self.hidden is None else replace(self, hidden=self.hidden.copy())

    @property
    def nbytes(self) -> int:
        """Less those of the sealed words, which texts that begin the same share."""
        parts = [self.words, self.hidden, self.key, self.possible, self.pointed]
        return 8 * len(self.sealed) + sum(part.nbytes for part in parts if part is not None)


NOTHING = Recent()
