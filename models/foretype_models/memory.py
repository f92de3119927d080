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

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from foretype_models import inputs
from foretype_models.alphabet import Symbols
from foretype_models.architecture import MAX_MEMORY_NGRAMS
from foretype_models.inputs import CLASSES, Contexts, Found, Memory, confidence_class

Counts = npt.NDArray[np.integer[Any]]

_POSITION_BITS = np.uint64(29)
_POSITIONS = np.uint64(2**29 - 1)
_LENGTH_AT = np.uint64(29 + 32)  # after position and hash
_LENGTHS = np.arange(MAX_MEMORY_NGRAMS, dtype=np.uint64) << _LENGTH_AT
_MAX_COUNT = 2**16 - 1
MAX_TAIL = 128
"""Symbols at a text's end that are compared one by one; of more, all are sorted in."""
MAX_NEW = 128
"""Symbols that are appended one by one; where more are new, all are sorted anew."""
MAX_SYMBOLS = 2**29


@dataclass(frozen=True)
class Answers:
    """Given in advance for every symbol of a text: (time, batch, lengths)."""

    found: Found

    def look_up(self, contexts: Contexts) -> Found:
        return self.found


@dataclass(frozen=True)
class _Record:
    """What is known after an occurrence of a context and the symbol that followed it: the
    answer, for how many occurrences in a row that symbol has been the same, and how many
    there were."""

    found: Counts  # as a memory answers; 0 where there was none yet
    run: Counts
    total: Counts

    @classmethod
    def none(cls, shape: tuple[int, ...]) -> _Record:
        zero = np.zeros(shape, dtype=np.uint16)
        return cls(zero, zero, zero)

    @classmethod
    def of(cls, symbol: Counts, run: Counts, total: Counts) -> _Record:
        run, total = (np.minimum(count, _MAX_COUNT) for count in (run, total))
        found = 1 + symbol * CLASSES + confidence_class(run, total)
        return cls(*(values.astype(np.uint16) for values in (found, run, total)))

    def then(self, follower: Counts) -> _Record:
        """After another occurrence."""
        same = (self.total > 0) & ((self.found - 1) // CLASSES == follower)
        run, total = (count.astype(np.int64) + 1 for count in (self.run, self.total))
        return _Record.of(np.broadcast_to(follower, run.shape), np.where(same, run, 1), total)

    def part(self, which: Any) -> _Record:
        return _Record(self.found[which], self.run[which], self.total[which])

    def joined(self, other: _Record) -> _Record:
        return _Record(
            np.concatenate((self.found, other.found)),
            np.concatenate((self.run, other.run)),
            np.concatenate((self.total, other.total)),
        )

    def replaced(self, where: npt.NDArray[np.bool_], by: _Record) -> _Record:
        return _Record(
            np.where(where, by.found, self.found),
            np.where(where, by.run, self.run),
            np.where(where, by.total, self.total),
        )


@dataclass(frozen=True)
class _Occurrences:
    """The occurrences of all contexts in a text, but for the last symbol's, which nothing
    follows yet: `valid` sorted ones, and after them a short tail in the text's order.

    Of the sorted ones those at later positions belong to an earlier version of the text.
    """

    keys: npt.NDArray[np.uint64]  # sorted by length, context, position
    records: _Record  # of each key
    valid: int
    tail: Contexts  # (tail, lengths)
    tail_records: _Record  # of each of these

    @property
    def known(self) -> int:
        return self.valid + len(self.tail)

    def found(self, contexts: Contexts, before: Counts) -> Found:
        """The answer after the last occurrence of each context before these positions. A
        step of every search asks for it, so of the records it fetches no more than that."""
        found = np.zeros(contexts.shape, dtype=np.uint16)
        if self.valid:
            at, hit = self._in_sorted(contexts, before)
            found = np.where(hit, self.records.found[at], 0)
        if len(self.tail):
            at, hit = self._in_tail(contexts, before)
            found = np.where(hit, self.tail_records.found[at, np.arange(at.shape[-1])], found)
        return found.astype(np.int64)

    def last(self, contexts: Contexts, before: Counts) -> _Record:
        """All that is known after it."""
        record = _Record.none(contexts.shape)
        if self.valid:
            at, hit = self._in_sorted(contexts, before)
            record = record.replaced(hit, self.records.part(at))
        if len(self.tail):
            at, hit = self._in_tail(contexts, before)
            record = record.replaced(hit, self.tail_records.part((at, np.arange(at.shape[-1]))))
        return record

    def _in_sorted(
        self, contexts: Contexts, before: Counts
    ) -> tuple[Counts, npt.NDArray[np.bool_]]:
        """Where the last occurrence lies among the sorted ones, and whether there is one."""
        wanted = _keys(contexts, np.minimum(before, self.valid))
        at = np.searchsorted(self.keys, wanted) - 1
        return at, (at >= 0) & ((self.keys[at] ^ wanted) >> _POSITION_BITS == 0)

    def _in_tail(self, contexts: Contexts, before: Counts) -> tuple[Counts, npt.NDArray[np.bool_]]:
        """The same for the tail."""
        numbers = np.arange(self.valid, self.known)[:, None]
        same = self.tail == contexts[:, :, None]  # (time, batch, tail, lengths)
        same &= numbers < np.broadcast_to(before, contexts.shape)[:, :, None]
        return len(self.tail) - 1 - same[:, :, ::-1].argmax(axis=2), same.any(axis=2)

    def until(self, position: int) -> _Occurrences:
        """Without those from this position on."""
        tail = slice(max(0, position - self.valid))
        return replace(
            self,
            valid=min(self.valid, position),
            tail=self.tail[tail],
            tail_records=self.tail_records.part(tail),
        )

    def appended(self, context: Contexts, follower: Counts) -> _Occurrences:
        """With one more, (lengths,)."""
        record = self.last(context[None, None], np.array(self.known)).then(follower)
        return replace(
            self,
            tail=np.concatenate((self.tail, context[None])),
            tail_records=self.tail_records.joined(record.part(0)),
        )

    def merged(self) -> _Occurrences:
        """With the tail sorted in."""
        numbers = np.arange(self.valid, self.known)[:, None]
        new_keys = _keys(self.tail, numbers).ravel()
        order = np.argsort(new_keys)
        kept = self.keys & _POSITIONS < self.valid
        old, new = self.records.part(kept), self.tail_records
        at = np.searchsorted(self.keys[kept], new_keys[order])
        records = _Record(
            np.insert(old.found, at, new.found.ravel()[order]),
            np.insert(old.run, at, new.run.ravel()[order]),
            np.insert(old.total, at, new.total.ravel()[order]),
        )
        keys = np.insert(self.keys[kept], at, new_keys[order])
        return _sorted(keys, records, self.known, self.tail.shape[1])


def _sorted(
    keys: npt.NDArray[np.uint64], records: _Record, valid: int, lengths: int
) -> _Occurrences:
    tail = np.zeros((0, lengths), dtype=np.uint32)
    return _Occurrences(keys, records, valid, tail, _Record.none(tail.shape))


def _occurrences(lengths: tuple[int, ...], symbols: Symbols) -> _Occurrences:
    """Those in a text, sorted."""
    valid = max(0, len(symbols) - 1)
    keys = _sorted_keys(_hashes(lengths, symbols[:-1]))
    followers = symbols[1:][(keys & _POSITIONS).astype(np.int64)]
    starts = run_starts(keys >> _POSITION_BITS)
    records = _Record.of(followers, _since(starts | run_starts(followers)), _since(starts))
    return _sorted(keys, records, valid, len(lengths))


def _sorted_keys(contexts: Contexts) -> npt.NDArray[np.uint64]:
    """The keys of contexts (n, lengths) at positions from 0 on.

    Sorted by halves of the hash, for which numpy has a radix sort that keeps the order of
    positions: several times faster than sorting the keys.
    """
    parts: list[npt.NDArray[np.uint64]] = []
    for length, column in zip(_LENGTHS[: contexts.shape[1]], contexts.T, strict=True):
        order = np.argsort(column.astype(np.uint16), kind="stable")
        high = (column >> np.uint32(16)).astype(np.uint16)
        order = order[np.argsort(high[order], kind="stable")]
        hashed = column[order].astype(np.uint64) << _POSITION_BITS
        parts.append(length | hashed | order.astype(np.uint64))
    return np.concatenate(parts or [np.zeros(0, np.uint64)])


def _keys(contexts: Contexts, positions: Counts) -> npt.NDArray[np.uint64]:
    """Sorted by length, context and position: of the shape of `contexts`."""
    hashed = contexts.astype(np.uint64) << _POSITION_BITS
    return _LENGTHS[: contexts.shape[-1]] | hashed | positions.astype(np.uint64)


class TextMemory:
    """What followed each context earlier in a text, exact to the last symbol.

    It follows a text from edit to edit, and answers for any position of the text from what
    stands before that position alone. The answer is the symbol that followed last, and how
    surely: how often in a row, of how many occurrences.

    All occurrences of all contexts lie in one sorted array, so that the last one before a
    position is found by bisection; the newest lie in a short tail until they are sorted in.
    A symbol takes 14 bytes for each length. `MAX_SYMBOLS` bounds a text, and there may be
    eight lengths.
    """

    def __init__(self, lengths: tuple[int, ...], symbols: Symbols) -> None:
        """`symbols` is int64 of shape (n,)."""
        self.symbols = symbols
        self._lengths = lengths
        self._occurrences = _occurrences(lengths, symbols)

    @property
    def nbytes(self) -> int:
        return 14 * len(self._occurrences.keys) + self.symbols.nbytes

    def follow(self, symbols: Symbols) -> None:
        """Goes over to another text, at little cost where the beginning is the same. What
        was handed out for the text before goes on to answer for that."""
        same = _common_length(self.symbols, symbols)
        occurrences = self._occurrences.until(max(0, same - 1))
        self.symbols = symbols
        new = range(occurrences.known, len(symbols) - 1)
        if len(new) > MAX_NEW:
            self._occurrences = _occurrences(self._lengths, symbols)
            return
        for position, context in zip(new, self._contexts(new), strict=True):
            occurrences = occurrences.appended(context, symbols[position + 1])
        full = len(occurrences.tail) > MAX_TAIL
        self._occurrences = occurrences.merged() if full else occurrences

    def at(self, length: int) -> Memory:
        """What is known after the first `length` symbols: for any continuations of them."""
        return _View(self._occurrences, np.array(length - 1))

    def along(self, start: int, stop: int) -> Memory:
        """What is known after each symbol from `start` on: for reading up to `stop`, row by
        row."""
        return _View(self._occurrences, np.arange(start, stop)[:, None, None])

    def _contexts(self, positions: range) -> Contexts:
        """Those that end at the symbols of these positions: (positions, lengths)."""
        if not positions:
            return np.zeros((0, len(self._lengths)), dtype=np.uint32)
        longest = max(self._lengths, default=1)
        padded = np.concatenate((_before_start(longest), self.symbols))
        context = padded[positions.start : positions.start + longest - 1, None]
        read = self.symbols[positions.start : positions.stop, None]
        return inputs.context_hashes(self._lengths, context, read)[:, 0]


@dataclass(frozen=True)
class _View:
    """What a text's memory answers where occurrences before a position count, the same for
    all rows or one for each."""

    occurrences: _Occurrences
    before: Counts

    def look_up(self, contexts: Contexts) -> Found:
        return self.occurrences.found(contexts, self.before)


def answers(lengths: tuple[int, ...], symbols: Symbols) -> Found:
    """What a text's own memory answers after each of its symbols (n,): (n, lengths)."""
    occurrences = _occurrences(lengths, np.append(symbols, 0))
    keys = occurrences.keys
    first = run_starts(keys >> _POSITION_BITS)
    before = np.where(first, 0, np.roll(occurrences.records.found, 1))
    found = np.zeros((len(symbols), len(lengths)), dtype=np.int64)
    positions, length = keys & _POSITIONS, keys >> _LENGTH_AT
    found[positions.astype(np.int64), length.astype(np.int64)] = before
    return found


def _hashes(lengths: tuple[int, ...], symbols: Symbols) -> Contexts:
    """Of the contexts that end at each symbol of a text (n,), from its beginning: (n, lengths)."""
    if not len(symbols):
        return np.zeros((0, len(lengths)), dtype=np.uint32)
    context = _before_start(max(lengths, default=1))[:, None]
    return inputs.context_hashes(lengths, context, symbols[:, None])[:, 0]


def _before_start(longest: int) -> Symbols:
    return np.full(longest - 1, inputs.BEFORE_START, dtype=np.int64)


def _common_length(one: Symbols, other: Symbols) -> int:
    """How many symbols both begin with."""
    length = min(len(one), len(other))
    differ = one[:length] != other[:length]
    return int(differ.argmax()) if differ.any() else length


def run_starts(values: npt.NDArray[np.integer[Any]]) -> npt.NDArray[np.bool_]:
    """Where a value differs from the one before it."""
    starts = np.ones(len(values), dtype=np.bool_)
    starts[1:] = values[1:] != values[:-1]
    return starts


def _since(starts: npt.NDArray[np.bool_]) -> npt.NDArray[np.int64]:
    """How many there were since the last start, counting that: 1, 2, 3, 1, 2, ..."""
    numbers = np.arange(len(starts))
    last = np.maximum.accumulate(np.where(starts, numbers, 0))
    return numbers - last + 1
