"""What a network reads beside its own table: a memory of the text before, and of the project.

A memory answers the question that the model's n-gram table answers (`inputs.py`), of a text
that no training saw: what followed the last n symbols there, and how surely? The nearest
one that knows a context answers for it: first the file itself up to this very symbol, then
the project's other files, then the table. The network is told which it was, and weighs the
answer as it has learned to. So a name that was typed a moment ago is known at once, and no
part of the network is ever trained on anybody's code for it.

(A cache beside a network: Grave et al. 2017, "Improving neural language models with a
continuous cache". Followed matches as an input: the match models of the PAQ family.)
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from foretype_models import inputs
from foretype_models.alphabet import Symbols
from foretype_models.inputs import CLASSES, Contexts, Found, Memory, confidence_class

Counts = npt.NDArray[np.integer[Any]]

_POSITION_BITS = np.uint64(29)
_POSITIONS = np.uint64(2**29 - 1)
_MAX_COUNT = 2**16 - 1
MAX_TAIL = 128
"""Symbols at a text's end that are compared one by one; beyond, they are sorted in."""
MAX_NEW = 128
"""Symbols that are appended one by one; where more are new, all are sorted anew."""


@dataclass(frozen=True)
class Answers:
    """Given in advance for every symbol of a text: (time, batch, lengths)."""

    found: Found

    def look_up(self, contexts: Contexts) -> Found:
        return self.found


@dataclass(frozen=True)
class _Record:
    """What is known after an occurrence of a context and the symbol that followed it: that
    symbol, for how many occurrences in a row it has been the same, and how many there were."""

    symbol: Counts
    run: Counts
    total: Counts

    def then(self, follower: Counts) -> _Record:
        """After another occurrence. Where there was none yet, `total` is 0."""
        same = (self.symbol == follower) & (self.total > 0)
        run = np.minimum(np.where(same, self.run + 1, 1), _MAX_COUNT)
        return _Record(
            np.broadcast_to(follower, run.shape), run, np.minimum(self.total + 1, _MAX_COUNT)
        )

    def found(self) -> Found:
        classes = confidence_class(self.run, self.total)
        predictions = 1 + self.symbol.astype(np.int64) * CLASSES + classes
        return np.where(self.total > 0, predictions, 0)


class TextMemory:
    """What followed each context earlier in a text, exact to the last symbol.

    It follows a text from edit to edit, and answers for any position of the text from what
    stands before that position alone. The answer is the symbol that followed last, and how
    surely: how often in a row, of how many occurrences.

    All occurrences of all contexts lie in one sorted array, so that the last one before a
    position is found by bisection; the newest lie in a short tail until they are sorted in.
    A symbol takes 14 bytes for each length.
    """

    def __init__(self, lengths: tuple[int, ...], symbols: Symbols) -> None:
        """`symbols` is int64 of shape (n,)."""
        self._lengths = lengths
        self._prefixes = np.arange(len(lengths), dtype=np.uint64) << np.uint64(61)
        self._sort(symbols)

    @property
    def nbytes(self) -> int:
        return 14 * len(self._keys) + self.symbols.nbytes

    def follow(self, symbols: Symbols) -> None:
        """Goes over to another text, at little cost where the beginning is the same."""
        common = _common_length(self.symbols, symbols)
        known = max(0, min(self._known, common - 1))
        if len(symbols) - 1 - known > MAX_NEW:
            self._sort(symbols)
            return
        self._valid = min(self._valid, known)
        self.symbols = symbols
        kept = known - self._valid
        self._tail = self._tail[:kept]
        self._tail_records = _part(self._tail_records, slice(kept))
        if known < len(symbols) - 1:
            self._append(known)
        if len(self._tail) > MAX_TAIL:
            self._merge()

    def at(self, length: int) -> Memory:
        """What is known after the first `length` symbols: for any continuations of them."""
        return _View(self, np.array(length))

    def along(self, start: int, stop: int) -> Memory:
        """What is known after each symbol from `start` on: for reading up to `stop`, row by
        row."""
        return _View(self, np.arange(start + 1, stop + 1)[:, None, None])

    def look_up(self, contexts: Contexts, lengths: Counts) -> Found:
        """As `Memory.look_up`, where so many symbols stand before each."""
        return self._last(contexts, lengths - 1).found()

    def answers(self) -> Found:
        """What was known after each symbol but the last when it was read: (n - 1, lengths)."""
        self._merge()
        hashes = self._keys >> _POSITION_BITS
        before = np.where(_starts(hashes), 0, np.roll(self._records.found(), 1))
        found = np.zeros((self._valid, len(self._lengths)), dtype=np.int64)
        positions, length = self._keys & _POSITIONS, self._keys >> np.uint64(61)
        found[positions.astype(np.int64), length.astype(np.int64)] = before
        return found

    @property
    def _known(self) -> int:
        """How many occurrences are recorded: of all symbols but the last, which nothing follows."""
        return self._valid + len(self._tail)

    def _last(self, contexts: Contexts, before: Counts) -> _Record:
        """The record of the last occurrence of each context before these positions."""
        before = np.broadcast_to(before, contexts.shape)
        record = self._last_sorted(contexts, before)
        if not len(self._tail):
            return record
        numbers = np.arange(self._valid, self._known)[:, None]
        same = self._tail == contexts[:, :, None]  # (time, batch, tail, lengths)
        same &= numbers < before[:, :, None]
        newest = len(self._tail) - 1 - same[:, :, ::-1].argmax(axis=2)
        return _where(
            same.any(axis=2),
            _part(self._tail_records, (newest, np.arange(len(self._lengths)))),
            record,
        )

    def _last_sorted(self, contexts: Contexts, before: Counts) -> _Record:
        if not self._valid:
            zero = np.zeros(contexts.shape, dtype=np.int64)
            return _Record(zero, zero, zero)
        wanted = self._keys_of(contexts, np.minimum(before, self._valid))
        at = np.searchsorted(self._keys, wanted) - 1
        hit = (at >= 0) & ((self._keys[at] ^ wanted) >> _POSITION_BITS == 0)
        record = _part(self._records, at)
        return _Record(
            record.symbol.astype(np.int64),
            record.run.astype(np.int64),
            np.where(hit, record.total, 0).astype(np.int64),
        )

    def _append(self, known: int) -> None:
        """Records the occurrences from `known` on, one by one."""
        longest = max(self._lengths, default=1)
        reach = np.full(longest - 1, inputs.BEFORE_START, dtype=np.int64)
        context = np.concatenate((reach, self.symbols))[known : known + longest - 1, None]
        hashes = inputs.context_hashes(self._lengths, context, self.symbols[known:-1, None])
        for position, own in enumerate(hashes, known):
            record = self._last(own[None], np.array(position)).then(self.symbols[position + 1])
            self._tail = np.concatenate((self._tail, own))
            self._tail_records = _joined(self._tail_records, _part(record, 0))

    def _merge(self) -> None:
        """Sorts the tail in."""
        numbers = np.arange(self._valid, self._known)[:, None]
        keys = self._keys_of(self._tail, numbers).ravel()
        order = np.argsort(keys)
        kept = self._keys & _POSITIONS < self._valid
        old, new = _part(self._records, kept), self._tail_records
        at = np.searchsorted(self._keys[kept], keys[order])
        self._keys = np.insert(self._keys[kept], at, keys[order])
        self._records = _Record(
            np.insert(old.symbol, at, new.symbol.ravel()[order]),
            np.insert(old.run, at, new.run.ravel()[order]),
            np.insert(old.total, at, new.total.ravel()[order]),
        )
        self._valid = self._known
        self._clear_tail()

    def _clear_tail(self) -> None:
        empty = np.zeros((0, len(self._lengths)), dtype=np.int64)
        self._tail = empty.astype(np.uint32)
        self._tail_records = _Record(empty, empty, empty)

    def _sort(self, symbols: Symbols) -> None:
        """Records all occurrences at once."""
        self.symbols = symbols
        self._valid = max(0, len(symbols) - 1)
        self._clear_tail()
        keys = self._keys_of(_hashes(self._lengths, symbols[:-1]), np.arange(self._valid)[:, None])
        self._keys = np.sort(keys, axis=None)
        followers = symbols[1:][(self._keys & _POSITIONS).astype(np.int64)]
        starts = _starts(self._keys >> _POSITION_BITS)
        changes = starts | _starts(followers)
        self._records = _Record(
            followers.astype(np.int16),
            _since(changes).astype(np.uint16),
            _since(starts).astype(np.uint16),
        )

    def _keys_of(self, hashes: Contexts, positions: Counts) -> npt.NDArray[np.uint64]:
        """By length, then context, then position."""
        hashed = hashes.astype(np.uint64) << _POSITION_BITS
        return self._prefixes | hashed | positions.astype(np.uint64)


@dataclass(frozen=True)
class _View:
    """A text's memory as of one length, or of one for each row."""

    memory: TextMemory
    lengths: Counts

    def look_up(self, contexts: Contexts) -> Found:
        return self.memory.look_up(contexts, self.lengths)


def answers(lengths: tuple[int, ...], symbols: Symbols) -> Found:
    """What a text's own memory answers after each of its symbols (n,): (n, lengths)."""
    return TextMemory(lengths, np.append(symbols, 0)).answers()


def _hashes(lengths: tuple[int, ...], symbols: Symbols) -> Contexts:
    """Of the contexts that end at each symbol of a text (n,), from its beginning: (n, lengths)."""
    longest = max(lengths, default=1)
    context = np.full((longest - 1, 1), inputs.BEFORE_START, dtype=np.int64)
    if not len(symbols):
        return np.zeros((0, len(lengths)), dtype=np.uint32)
    return inputs.context_hashes(lengths, context, symbols[:, None])[:, 0]


def _common_length(one: Symbols, other: Symbols) -> int:
    """How many symbols both begin with."""
    length = min(len(one), len(other))
    differ = one[:length] != other[:length]
    return int(differ.argmax()) if differ.any() else length


def _starts(values: npt.NDArray[np.integer]) -> npt.NDArray[np.bool_]:
    """Where a value differs from the one before it."""
    starts = np.ones(len(values), dtype=np.bool_)
    starts[1:] = values[1:] != values[:-1]
    return starts


def _since(starts: npt.NDArray[np.bool_]) -> Counts:
    """How many there were since the last start, counting that: 1, 2, 3, 1, 2, ..."""
    numbers = np.arange(len(starts))
    last = np.maximum.accumulate(np.where(starts, numbers, 0))
    return np.minimum(numbers - last + 1, _MAX_COUNT)


def _part(record: _Record, which: Any) -> _Record:
    return _Record(record.symbol[which], record.run[which], record.total[which])


def _where(condition: npt.NDArray[np.bool_], one: _Record, other: _Record) -> _Record:
    return _Record(
        np.where(condition, one.symbol, other.symbol),
        np.where(condition, one.run, other.run),
        np.where(condition, one.total, other.total),
    )


def _joined(one: _Record, other: _Record) -> _Record:
    return _Record(
        np.concatenate((one.symbol, other.symbol)),
        np.concatenate((one.run, other.run)),
        np.concatenate((one.total, other.total)),
    )
