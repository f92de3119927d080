"""What a network reads beside its own table: a memory of the text before, and of the project.

A memory answers the question that the model's table answers (`inputs.py`), of a text that no
training saw: what followed a context there, and how surely? The nearest
one that knows a context answers for it: first the file itself up to this very symbol, then
the project's other files, then the table. The network is told which it was, and weighs the
answer as it has learned to. So a name that was typed a moment ago is known at once, and no
part of the network is ever trained on anybody's code for it.

(A cache beside a network: Grave et al. 2017, "Improving neural language models with a
continuous cache". Followed matches as an input: the match models of the PAQ family.)
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any, NamedTuple, Self

import numpy as np
import numpy.typing as npt

from foretype_models import contexts
from foretype_models.alphabet import Symbols
from foretype_models.architecture import MAX_MEMORY_ORDERS, Orders
from foretype_models.contexts import Contexts
from foretype_models.inputs import CLASSES, Found, Memory, confidence_class

Counts = npt.NDArray[np.integer[Any]]
Keys = npt.NDArray[np.uint64]
"""Occurrences of contexts, sorted: from the highest bits on the context's order and hash, the
position, and what is known after it, an answer as in `inputs.Found`. Before them all stands one
that answers nothing: what is found where there is none."""

_HASH_BITS, _POSITION_BITS, _ANSWER_BITS = 26, 21, 13  # and the rest of 64 for the order
MAX_SYMBOLS = 2**_POSITION_BITS
_POSITION_AT = np.uint64(_ANSWER_BITS)
_CONTEXT_AT = np.uint64(_ANSWER_BITS + _POSITION_BITS)
_ORDER_AT = np.uint64(_ANSWER_BITS + _POSITION_BITS + _HASH_BITS)
_ANSWERS = np.uint64(2**_ANSWER_BITS - 1)
_POSITIONS = np.uint64(MAX_SYMBOLS - 1)
_OTHER_CONTEXT = np.uint64(1) << _CONTEXT_AT  # two keys of one context differ by less
_UNUSED = np.uint32(32 - _HASH_BITS)  # bits of a hash
_ORDERS = np.arange(MAX_MEMORY_ORDERS, dtype=np.uint64) << _ORDER_AT
MAX_NEWEST = 128
"""Symbols at a text's end that are kept apart; once they are more, they join the others."""
_NEWEST_BYTES = 200  # that Python takes for one of these, roughly
MAX_NEW = 256
"""Symbols that are added one by one; where more are new, all are sorted anew."""
_FEW, _SORTED = 16, 100
"""A few always are; beside these one for so many symbols, which are sorted in the same time."""


@dataclass(frozen=True)
class Answers:
    """Given in advance for every symbol of a text: (time, batch, orders)."""

    found: Found

    def look_up(self, contexts: Contexts) -> Found:
        return self.found


class _Newest(NamedTuple):
    """An occurrence of a context at the end of a text, and the one of it before that there."""

    position: int
    answer: int
    run: int  # in how many in a row up to here the follower was the same,
    total: int  # and how many there were
    before: _Newest | None

    def until(self, position: int) -> _Newest | None:
        """The last one before this position."""
        last: _Newest | None = self
        while last is not None and last.position >= position:
            last = last.before
        return last


@dataclass(frozen=True)
class _Occurrences:
    """The occurrences of all contexts in a text, but for the last symbol's, which nothing
    follows yet: those of the first `valid` positions and, apart, the newest.

    Of the first ones those at later positions belong to an earlier version of the text. Of the
    newest, by keys without a position, a chain leads back; more may be added to it, at positions
    from `known` on.
    """

    first: Keys
    valid: int
    known: int  # positions in all
    newest: dict[int, _Newest] = field(default_factory=dict[int, _Newest])

    def until(self, position: int) -> _Occurrences:
        """Without those from this position on."""
        if position >= self.known:
            return self
        newest = self.newest.copy()
        for key, last in self.newest.items():
            if last.position >= position:
                if (kept := last.until(position)) is None:
                    del newest[key]
                else:
                    newest[key] = kept
        return _Occurrences(self.first, min(self.valid, position), position, newest)

    def as_sorted(self, position: int) -> _Occurrences:
        """Those before this position in the text for which the first ones were sorted."""
        return _Occurrences(self.first, position, position)

    def extended(self, contexts: Contexts, followers: Symbols) -> _Occurrences:
        """With more of them, (n, orders), in the text's order. It is done once with each: they
        join the same chains."""
        # A symbol or a few, as they are typed: a few numbers, for which Python is faster than
        # numpy.
        keys = _keys(contexts)
        older = _last_of(self.first, keys | _at(self.valid))
        symbols = zip(keys.tolist(), older.tolist(), followers.tolist(), strict=True)
        for position, (of_symbol, older_ones, follower) in enumerate(symbols, self.known):
            for key, at in zip(of_symbol, older_ones, strict=True):
                before = self.newest.get(key)
                self.newest[key] = self._next(key, before, at, position, follower)
        return replace(self, known=self.known + len(contexts))

    def _next(
        self, key: int, before: _Newest | None, at: int, position: int, follower: int
    ) -> _Newest:
        """One more occurrence of a context, of which the last of the first ones stands there, or
        none does."""
        answer, run, total = 0, 0, 0
        if before is not None:
            _, answer, run, total, _ = before
        elif at:
            begins = int(self.first[1:].searchsorted(np.uint64(key))) + 1
            of_context = self.first[begins : at + 1]
            answer, total = int(self.first[at] & _ANSWERS), len(of_context)
            run = _last_run(of_context)
        run = run + 1 if answer and (answer - 1) // CLASSES == follower else 1
        answer = 1 + follower * CLASSES + _class(run, total + 1)
        return _Newest(position, answer, run, total + 1, before)

    def merged(self) -> _Occurrences:
        """With the newest sorted in."""
        newest: list[int] = []
        for key, last in self.newest.items():
            one: _Newest | None = last
            while one is not None:
                newest.append(key | one.position << _ANSWER_BITS | one.answer)
                one = one.before
        first = self.first[_before(self.first, self.valid)]
        more = np.sort(np.array(newest, dtype=np.uint64))
        at = first[1:].searchsorted(more) + 1
        return _Occurrences(np.insert(first, at, more), self.known, self.known)


@lru_cache(maxsize=4096)
def _class(run: int, total: int) -> int:
    return int(confidence_class(np.array(run), np.array(total)))


def _keys(contexts: Contexts) -> Keys:
    """Of the occurrences of contexts, less their positions and answers."""
    hashes = (contexts >> _UNUSED).astype(np.uint64)
    return hashes << _CONTEXT_AT | _ORDERS[: contexts.shape[-1]]


def _at(positions: npt.ArrayLike) -> Keys:
    """The part that positions have in keys; what is found below it stands before them."""
    return np.asarray(positions, dtype=np.uint64) << _POSITION_AT


def _answering(keys: Keys, symbol: Counts, run: Counts, total: Counts) -> Keys:
    """These occurrences, with what is known after each."""
    answers = 1 + symbol * CLASSES + confidence_class(run, total)
    return keys | answers.astype(np.uint64)


def _answers(keys: Keys) -> Counts:
    return (keys & _ANSWERS).astype(np.int64)


def symbols_of(found: Found) -> Found:
    """The symbols that answers name; of those that know nothing one that is none."""
    return (found - 1) // CLASSES


def _last_of(among: Keys, wanted: Keys) -> Counts:
    """Where the last occurrence of each context before a position stands."""
    at = among[1:].searchsorted(wanted)
    return at * _is_of(among[at], wanted)


def _is_of(keys: Keys, wanted: Keys) -> npt.NDArray[np.bool_]:
    """Whether they are of the contexts that are wanted."""
    return (keys ^ wanted) < _OTHER_CONTEXT


def _found(among: Keys, wanted: Keys) -> Keys:
    """The answers after the last occurrence of each context before a position."""
    last = among.take(among[1:].searchsorted(wanted))
    return (last & _ANSWERS) * _is_of(last, wanted)


def _before(keys: Keys, position: int) -> npt.NDArray[np.bool_]:
    """Which of them stand before this position, and the one before them all."""
    before = keys >> _POSITION_AT & _POSITIONS < position
    before[0] = True
    return before


def _last_run(keys: Keys) -> int:
    """Of one context's occurrences, up to the last one how many in a row have its follower."""
    # As a rule it has changed lately: a few numbers, for which Python is faster than numpy.
    symbol, *others = ((answer - 1) // CLASSES for answer in (keys[:-9:-1] & _ANSWERS).tolist())
    for run, other in enumerate(others, 1):
        if other != symbol:
            return run
    changes = np.flatnonzero(symbols_of(_answers(keys)) != symbol)
    return len(keys) - 1 - int(changes[-1]) if len(changes) else len(keys)


def _counted(starts: npt.NDArray[np.bool_], followers: Counts) -> tuple[Counts, Counts]:
    """After each of some occurrences, which are sorted by context and position: in how many in
    a row up to there the follower was the same, and how many there were. `starts` says where
    a context begins."""
    return _since(starts | run_starts(followers)), _since(starts)


def _occurrences(orders: Orders, symbols: Symbols) -> _Occurrences:
    """Those in a text, sorted. Raises ValueError where it is too long."""
    if len(symbols) > MAX_SYMBOLS:
        raise ValueError(f"a text of {len(symbols)} symbols, more than {MAX_SYMBOLS}")
    valid = max(0, len(symbols) - 1)
    first = np.zeros(1 + len(orders) * valid, dtype=np.uint64)
    positions = _at(np.arange(valid))
    followers = symbols[1:].astype(np.int32)
    unplaced = _keys(contexts.of_text(orders, symbols[:-1]))
    # One order after the other: what is worked on stays in the processor's cache.
    for number in range(len(orders)):
        keys = unplaced[:, number] | positions
        keys.sort()
        following = followers[(keys >> _POSITION_AT & _POSITIONS).astype(np.int64)]
        counts = _counted(run_starts(keys >> _CONTEXT_AT), following)
        first[1 + number * valid :][:valid] = _answering(keys, following, *counts)
    return _Occurrences(first, valid, valid)


class TextMemory:
    """What followed each context earlier in a text, exact to the last symbol.

    It follows a text from edit to edit, and answers for any position of the text from what
    stands before that position alone. The answer is the symbol that followed last, and how
    surely: how often in a row, of how many occurrences.

    All occurrences of all contexts lie in one sorted array, so that the last one before a
    position is found by bisection; the newest are found by their contexts for a while.
    A symbol takes 8 bytes for each order. `MAX_SYMBOLS` bounds a text.
    """

    def __init__(self, orders: Orders, symbols: Symbols) -> None:
        """`symbols` is int64 of shape (n,)."""
        # The text that it follows, and the one for which the first occurrences were sorted.
        self._symbols = self._sorted = symbols.astype(np.uint16)
        self._orders = orders
        self._occurrences = _occurrences(orders, symbols)

    @property
    def nbytes(self) -> int:
        newest = self._occurrences.known - self._occurrences.valid
        arrays = (self._occurrences.first, self._symbols, self._sorted)
        return sum(a.nbytes for a in arrays) + newest * len(self._orders) * _NEWEST_BYTES

    def follow(self, symbols: Symbols) -> None:
        """Goes over to another text, at little cost where the beginning is the same. What
        was handed out for the text before goes on to answer for that."""
        compact = symbols.astype(np.uint16)
        same, again = (_common_length(text, compact) for text in (self._symbols, self._sorted))
        if again > same:  # an edit was taken back
            occurrences = self._occurrences.as_sorted(max(0, again - 1))
        else:
            occurrences = self._occurrences.until(max(0, same - 1))
        self._symbols = compact
        new = range(occurrences.known, len(symbols) - 1)
        if len(new) > min(MAX_NEW, _FEW + len(symbols) // _SORTED):
            occurrences = _occurrences(self._orders, symbols)
        elif new:
            occurrences = occurrences.extended(
                _contexts(self._orders, symbols, new), symbols[new.start + 1 :]
            )
        if occurrences.known - occurrences.valid > MAX_NEWEST:
            occurrences = occurrences.merged()
        if occurrences.first is not self._occurrences.first:
            self._sorted = compact
        self._occurrences = occurrences

    def at(self, length: int) -> Memory:
        """What is known after the first `length` symbols: for any continuations of them."""
        return _View.of(self._occurrences, np.array(max(0, length - 1)))

    def along(self, start: int, stop: int) -> Memory:
        """What is known after each symbol from `start` on: for reading up to `stop`, row by
        row."""
        return _View.of(self._occurrences, np.arange(start, stop)[:, None, None])


@dataclass(frozen=True)
class _View:
    """What a text's memory answers where occurrences before a position count, the same for
    all rows or one for each."""

    first: Keys
    before: Keys  # the positions' part of the keys that are looked for
    newest: dict[int, _Newest]
    positions: Counts

    @classmethod
    def of(cls, occurrences: _Occurrences, positions: Counts) -> Self:
        before = _at(np.minimum(positions, occurrences.valid))
        return cls(occurrences.first, before, occurrences.newest, positions)

    def look_up(self, contexts: Contexts) -> Found:
        keys = _keys(contexts)
        found = _found(self.first, keys | self.before)
        if not self.newest:
            return found
        newer = np.array(self._newer(keys), dtype=np.uint64).reshape(keys.shape)
        return np.where(newer, newer, found)

    def _newer(self, keys: Keys) -> list[int]:
        """What the newest answer, or 0."""
        rows = keys.reshape(self.positions.size, -1).tolist()
        newer: list[int] = []
        for position, row in zip(self.positions.ravel().tolist(), rows, strict=True):
            for key in row:
                last = self.newest.get(key)
                if last is not None and last.position >= position:
                    last = last.until(position)
                newer.append(0 if last is None else last.answer)
        return newer


def answers(orders: Orders, symbols: Symbols) -> Found:
    """What a text's own memory answers after each of its symbols (n,): (n, orders)."""
    occurrences = _occurrences(orders, np.append(symbols, 0)).first
    keys = occurrences[1:]
    before = np.where(run_starts(keys >> _CONTEXT_AT), 0, _answers(occurrences[:-1]))
    found = np.zeros((len(symbols), len(orders)), dtype=np.int64)
    positions, order = keys >> _POSITION_AT & _POSITIONS, keys >> _ORDER_AT
    found[positions.astype(np.int64), order.astype(np.int64)] = before
    return found


def _contexts(orders: Orders, symbols: Symbols, positions: range) -> Contexts:
    """Those that end at the symbols of these positions: (positions, orders)."""
    before = contexts.before_start(orders, 1)
    known = symbols[max(0, positions.start - len(before)) : positions.start, None]
    context = np.concatenate((before, known))[len(known) :]
    return contexts.hashes(orders, context, symbols[positions.start : positions.stop, None])[:, 0]


def _common_length(one: npt.NDArray[np.uint16], other: npt.NDArray[np.uint16]) -> int:
    """How many symbols both begin with."""
    length = min(len(one), len(other))
    differ = one[:length] != other[:length]
    return int(differ.argmax()) if differ.any() else length


def run_starts(values: npt.NDArray[np.integer[Any]]) -> npt.NDArray[np.bool_]:
    """Where a value differs from the one before it."""
    starts = np.ones(len(values), dtype=np.bool_)
    starts[1:] = values[1:] != values[:-1]
    return starts


def _since(starts: npt.NDArray[np.bool_]) -> npt.NDArray[np.int32]:
    """How many there were since the last start, counting that: 1, 2, 3, 1, 2, ..."""
    first = np.flatnonzero(starts).astype(np.int32)
    numbers = np.arange(1, len(starts) + 1, dtype=np.int32)
    return numbers - np.repeat(first, np.diff(first, append=np.int32(len(starts))))
