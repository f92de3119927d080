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
_OTHER_CONTEXT = np.uint64(2**29)  # what two keys differ by is less only where it is the same
_LENGTH_AT = np.uint64(29 + 32)  # after position and hash
_LENGTHS = np.arange(MAX_MEMORY_NGRAMS, dtype=np.uint64) << _LENGTH_AT
MAX_NEWEST = 128
"""Symbols at a text's end that are kept apart; once they are more, they join the others."""
MAX_NEW = 256
"""Symbols that are added to these at a time; where more are new, all are sorted anew."""
MAX_SYMBOLS = 2**29


@dataclass(frozen=True)
class Answers:
    """Given in advance for every symbol of a text: (time, batch, lengths)."""

    found: Found

    def look_up(self, contexts: Contexts) -> Found:
        return self.found


Records = npt.NDArray[np.integer[Any]]
"""What is known after an occurrence of a context and the symbol that followed it, three numbers
in the first axis: the answer, for how many occurrences in a row that symbol has been the same,
and how many there were; zeros where there was none."""


@dataclass(frozen=True)
class _Sorted:
    """Occurrences of contexts, sorted by length, context and position. Before them all stands
    one that answers nothing: what is found where there is none.

    Of each it has what is known after it: the whole record, or to save memory the answer alone.
    """

    keys: npt.NDArray[np.uint64]
    records: Records

    @property
    def answers(self) -> npt.NDArray[np.integer[Any]]:
        return self.records[0]

    def last(self, wanted: npt.NDArray[np.uint64]) -> Counts:
        """Where the last occurrence of each context before a position stands."""
        at = self.keys[1:].searchsorted(wanted)
        return at * ((self.keys[at] ^ wanted) < _OTHER_CONTEXT)

    def until(self, position: int) -> _Sorted:
        """Without those from this position on."""
        kept = self.keys & _POSITIONS < position
        kept[0] = True
        if kept.all():
            return self
        # Row by row, here and below: numpy is several times slower along the second axis.
        return _Sorted(self.keys[kept], np.stack([row[kept] for row in self.records]))

    def joined(self, keys: npt.NDArray[np.uint64], records: Records) -> _Sorted:
        """With more of them, sorted, of which at least as much is known."""
        at = self.keys[1:].searchsorted(keys) + 1
        rows = zip(self.records, records, strict=False)
        return _Sorted(
            np.insert(self.keys, at, keys), np.stack([np.insert(row, at, new) for row, new in rows])
        )


_NONE = _Sorted(np.zeros(1, np.uint64), np.zeros((3, 1), np.int64))


@dataclass(frozen=True)
class _Occurrences:
    """The occurrences of all contexts in a text, but for the last symbol's, which nothing
    follows yet: those of the first `valid` positions and, apart, the newest.

    Of the first ones those at later positions belong to an earlier version of the text.
    """

    first: _Sorted
    valid: int
    known: int  # positions in all
    newest: _Sorted = _NONE

    def found(self, contexts: Contexts, before: npt.NDArray[np.uint64]) -> Found:
        """The answer after the last occurrence of each context before these positions."""
        keys = _keys(contexts)
        found = self.first.answers[self.first.last(keys | np.minimum(before, self.valid))]
        if self.known == self.valid:
            return found
        newer = self.newest.answers[self.newest.last(keys | before)]
        return np.where(newer, newer, found)

    def _last(self, contexts: Contexts) -> Records:
        """What is known after the last occurrence of each context (n, lengths)."""
        keys = _keys(contexts)
        at = self.newest.last(keys | np.uint64(self.known))
        older = self.first.last(keys | np.uint64(self.valid)) * (at == 0)
        return np.where(at, self.newest.records[:, at], self._recounted(keys, older))

    def _recounted(self, keys: npt.NDArray[np.uint64], at: Counts) -> Records:
        """What is known after these of the first ones: those before them tell how many, and
        how many in a row, which is asked for too seldom to be kept."""
        answers, hit = self.first.answers, at > 0
        begins = np.where(hit, self.first.keys[1:].searchsorted(keys) + 1, 0)
        run = np.zeros(at.shape, dtype=np.int64)
        run[hit] = [
            _last_run(answers[start : end + 1])
            for start, end in zip(begins[hit].tolist(), at[hit].tolist(), strict=True)
        ]
        return np.stack((answers[at].astype(np.int64), run, np.where(hit, at - begins + 1, 0)))

    def until(self, position: int) -> _Occurrences:
        """Without those from this position on."""
        if position >= self.known:
            return self
        newest = self.newest.until(position)
        return _Occurrences(self.first, min(self.valid, position), position, newest)

    def extended(self, contexts: Contexts, followers: Symbols) -> _Occurrences:
        """With more of them, (n, lengths), in the text's order."""
        positions = np.arange(self.known, self.known + len(contexts), dtype=np.uint64)
        keys = (_keys(contexts) | positions[:, None]).ravel()
        order = np.argsort(keys)
        keys = keys[order]
        before = self._last(contexts).reshape(3, -1)[:, order]
        following = np.broadcast_to(followers[:, None], contexts.shape).ravel()[order]
        run, total = _counted(run_starts(keys >> _POSITION_BITS), following, before)
        records = np.stack((_answer(following, run, total), run, total))
        newest = self.newest.joined(keys, records)
        return replace(self, newest=newest, known=self.known + len(contexts))

    def merged(self) -> _Occurrences:
        """With the newest sorted in."""
        newest = self.newest
        first = self.first.until(self.valid).joined(newest.keys[1:], newest.records[:, 1:])
        return _Occurrences(first, self.known, self.known)


def _answer(symbol: Counts, run: Counts, total: Counts) -> Counts:
    return 1 + symbol * CLASSES + confidence_class(run, total)


def _symbols(found: Counts) -> Counts:
    """That answers speak of."""
    return (found - 1) // CLASSES


def _last_run(answers: Counts) -> int:
    """For how many answers up to the last one the symbol is the same."""
    for part in (answers[-16:], answers):  # as a rule it has changed lately
        symbols = _symbols(part)
        others = np.flatnonzero(symbols != symbols[-1])
        if len(others):
            return len(part) - 1 - int(others[-1])
    return len(answers)


def _counted(
    starts: npt.NDArray[np.bool_], followers: Counts, known: Records | None = None
) -> tuple[Counts, Counts]:
    """After each of some occurrences, which are sorted by context and position: in how many in
    a row up to there the follower was the same, and how many there were. `starts` says where
    a context begins, and `known` what there is to each one's before all of these."""
    changes = starts | run_starts(followers)
    run, total = _since(changes), _since(starts)
    if known is not None:
        found, known_run, known_total = known
        total = total + known_total
        goes_on = starts & (known_total > 0) & (_symbols(found) == followers)
        numbers = np.arange(len(changes))
        run = run + np.where(goes_on, known_run, 0)[numbers - run + 1]
    return run, total


def _occurrences(lengths: tuple[int, ...], symbols: Symbols) -> _Occurrences:
    """Those in a text, sorted."""
    valid = max(0, len(symbols) - 1)
    keys = np.zeros(1 + len(lengths) * valid, dtype=np.uint64)
    answers = np.zeros((1, len(keys)), dtype=np.uint16)
    positions = np.arange(valid, dtype=np.uint64)
    followers = symbols[1:].astype(np.int32)
    contexts = _hashes(lengths, symbols[:-1])
    # One length after the other: what is worked on stays in the processor's cache.
    for number in range(len(lengths)):
        at = slice(1 + number * valid, 1 + (number + 1) * valid)
        own = keys[at]
        hashed = contexts[:, number].astype(np.uint64) << _POSITION_BITS
        np.bitwise_or(_LENGTHS[number] | hashed, positions, out=own)
        own.sort()
        following = followers[(own & _POSITIONS).astype(np.int64)]
        run, total = _counted(run_starts(own >> _POSITION_BITS), following)
        answers[0, at] = _answer(following, run, total)
    return _Occurrences(_Sorted(keys, answers), valid, valid)


def _keys(contexts: Contexts) -> npt.NDArray[np.uint64]:
    """Of the occurrences of contexts, less their positions."""
    return contexts.astype(np.uint64) << _POSITION_BITS | _LENGTHS[: contexts.shape[-1]]


class TextMemory:
    """What followed each context earlier in a text, exact to the last symbol.

    It follows a text from edit to edit, and answers for any position of the text from what
    stands before that position alone. The answer is the symbol that followed last, and how
    surely: how often in a row, of how many occurrences.

    All occurrences of all contexts lie in one sorted array, so that the last one before a
    position is found by bisection; the newest lie in a short one of their own for a while.
    A symbol takes 10 bytes for each length. `MAX_SYMBOLS` bounds a text, and there may be
    eight lengths.
    """

    def __init__(self, lengths: tuple[int, ...], symbols: Symbols) -> None:
        """`symbols` is int64 of shape (n,)."""
        self._symbols = symbols.astype(np.uint16)
        self._lengths = lengths
        self._occurrences = _occurrences(lengths, symbols)

    @property
    def nbytes(self) -> int:
        return 10 * len(self._occurrences.first.keys) + self._symbols.nbytes

    def follow(self, symbols: Symbols) -> None:
        """Goes over to another text, at little cost where the beginning is the same. What
        was handed out for the text before goes on to answer for that."""
        compact = symbols.astype(np.uint16)
        occurrences = self._occurrences.until(max(0, _common_length(self._symbols, compact) - 1))
        self._symbols = compact
        new = range(occurrences.known, len(symbols) - 1)
        if len(new) > MAX_NEW:
            self._occurrences = _occurrences(self._lengths, symbols)
            return
        if new:
            occurrences = occurrences.extended(
                _contexts(self._lengths, symbols, new), symbols[new.start + 1 :]
            )
        full = occurrences.known - occurrences.valid > MAX_NEWEST
        self._occurrences = occurrences.merged() if full else occurrences

    def at(self, length: int) -> Memory:
        """What is known after the first `length` symbols: for any continuations of them."""
        return _View(self._occurrences, np.array(max(0, length - 1), dtype=np.uint64))

    def along(self, start: int, stop: int) -> Memory:
        """What is known after each symbol from `start` on: for reading up to `stop`, row by
        row."""
        before = np.arange(start, stop, dtype=np.uint64)
        return _View(self._occurrences, before[:, None, None])


@dataclass(frozen=True)
class _View:
    """What a text's memory answers where occurrences before a position count, the same for
    all rows or one for each."""

    occurrences: _Occurrences
    before: npt.NDArray[np.uint64]

    def look_up(self, contexts: Contexts) -> Found:
        return self.occurrences.found(contexts, self.before)


def answers(lengths: tuple[int, ...], symbols: Symbols) -> Found:
    """What a text's own memory answers after each of its symbols (n,): (n, lengths)."""
    occurrences = _occurrences(lengths, np.append(symbols, 0)).first
    keys = occurrences.keys[1:]
    first = run_starts(keys >> _POSITION_BITS)
    before = np.where(first, 0, occurrences.answers[:-1])
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


def _contexts(lengths: tuple[int, ...], symbols: Symbols, positions: range) -> Contexts:
    """Those that end at the symbols of these positions: (positions, lengths)."""
    longest = max(lengths, default=1)
    first = max(0, positions.start - longest + 1)
    before = np.concatenate((_before_start(longest), symbols[first : positions.start]))
    context = before[len(before) - longest + 1 :, None]
    return inputs.context_hashes(lengths, context, symbols[positions.start : positions.stop, None])[
        :, 0
    ]


def _before_start(longest: int) -> Symbols:
    return np.full(longest - 1, inputs.BEFORE_START, dtype=np.int64)


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
