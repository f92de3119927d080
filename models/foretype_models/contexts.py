"""Contexts: what stands before, after which a memory has seen what comes next.

A context is known by a hash of 32 bits, and is of one of these kinds:

    ngrams   the last n symbols
    words    the last n words, the one that is being typed among them, and what was typed since
             the last of them, whatever stands between them: after `foo(in` that of one word is
             `in`, and that of two `foo`, `in`, as it is after `foo = in`
    parts    the same of parts of words, be they written large or small: after `myIndex = maxIn`
             that of one is `in`, and `dex` followed that
    heads    as of words, and with the first word of the line
    calls    as of words, and with the word before the bracket that is still open, and the number
             of commas since

So what was seen is known again where something else stands before or between. (Contexts of words
and of what stands elsewhere in the text: the PAQ family of compressors.) A context depends on the
last `reach` symbols alone, so reading in parts gives the same.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache, cached_property, lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from foretype_models import alphabet
from foretype_models.alphabet import Symbols
from foretype_models.architecture import MAX_NGRAM, Kind, Order, Orders
from foretype_models.words import IS_WORD

Contexts = npt.NDArray[np.uint32]
"""Hashes of the contexts of some orders: (time, batch, orders)."""

BEFORE_START = alphabet.SIZE
"""Stands in contexts for what precedes a file."""
WINDOW = 160
"""Symbols within which all but n-grams are looked for: of what is longer, the end."""

_Codes = npt.NDArray[np.uint64]
_Places = npt.NDArray[np.int64]
_BASE = 0x9E3779B97F4A7C15
_INVERSE, _ALL = pow(_BASE, -1, 2**64), 2**64 - 1
_POWERS = np.cumprod(np.full(MAX_NGRAM, _BASE, dtype=np.uint64))
_FINALIZER = 0xBF58476D1CE4E5B9  # as in splitmix64
_FEW = 256  # symbols whose contexts are hashed all at once, and not length by length
_SINGLE = 12  # symbols of a text whose contexts of words are hashed one by one
_FIRST = 2**9  # tells the first letter of a word from the same within one
_SINCE, _BESIDE, _ARGUMENT = 0x94D049BB133111EB, 0xD6E8FEB86659FD93, 0xCA5A826395121157
_KINDS: Mapping[Kind, int] = {
    kind: pow(_BASE, number, 2**64)
    for number, kind in enumerate(("words", "parts", "heads", "calls"), 2)
}
"""Tell apart what the same letters say in contexts of several orders."""


def reach(orders: Orders) -> int:
    """How many symbols, the last one among them, these contexts may depend on."""
    # Whether a word begins with the first symbol of the window the one before it says.
    return max((o.length if o.kind == "ngrams" else WINDOW + 1 for o in orders), default=1)


def before_start(orders: Orders, batch: int) -> Symbols:
    """What precedes the first symbol of a file: int64, (reach - 1, batch)."""
    return np.full((reach(orders) - 1, batch), BEFORE_START, dtype=np.int64)


def hashes(orders: Orders, context: Symbols, symbols: Symbols) -> Contexts:
    """Of the contexts of these orders, n-grams first, after each of `symbols` (time,
    batch), which follow `context`, of reach - 1 symbols: (time, batch, orders)."""
    lengths, others = _by_kind(orders)
    if not others:
        return _of_symbols(lengths, context, symbols)
    texts = np.concatenate((context[len(context) - WINDOW :], symbols)).T
    if len(symbols) <= _SINGLE:
        lanes: list[Any] = _one_by_one(others, texts)
    else:
        lanes = [_at_once(others, text) for text in texts]
    of_others = np.array(lanes, dtype=np.uint32).reshape(*symbols.shape[::-1], len(others))
    found = _of_symbols(lengths, context, symbols), of_others.swapaxes(0, 1)
    return np.concatenate(found, axis=-1)


def of_text(orders: Orders, symbols: Symbols) -> Contexts:
    """Of the contexts that end at each symbol of a text (n,), from its beginning: (n, orders)."""
    return hashes(orders, before_start(orders, 1), symbols[:, None])[:, 0]


@cache
def _by_kind(orders: Orders) -> tuple[tuple[int, ...], Orders]:
    """The lengths of n-grams, and the others."""
    others = tuple(order for order in orders if order.kind != "ngrams")
    return tuple(order.length for order in orders if order.kind == "ngrams"), others


def _of_symbols(lengths: tuple[int, ...], context: Symbols, symbols: Symbols) -> Contexts:
    longest = max(lengths, default=1)
    keys = (np.concatenate((context[len(context) - longest + 1 :], symbols)) + 1).astype(np.uint64)
    if symbols.size <= _FEW:  # as in a search: in as few calls as possible
        last = keys[_windows(longest)[: len(symbols)]]
        return _hashed(last.swapaxes(1, 2) @ _terms(lengths, longest))
    # One length after the other: what is worked on stays in the processor's cache.
    found = np.empty((len(lengths), *symbols.shape), dtype=np.uint32)
    code = np.zeros(symbols.shape, dtype=np.uint64)
    for n in range(1, longest + 1):
        code += keys[longest - n :][: len(symbols)] * _POWERS[n - 1]
        if n in lengths:
            found[lengths.index(n)] = _hashed(code)
    return np.moveaxis(found, 0, -1)


def _one_by_one(orders: Orders, texts: Symbols) -> list[int]:
    """Of all contexts in texts (batch, n) but for those of the first WINDOW symbols, one after
    the other: (batch, time, orders). For a few, of which each is made of a few words, for which
    Python is faster than numpy."""
    length = texts.shape[1]
    characters = texts.astype("<u4").tobytes().decode("utf-32-le")
    letters = _IS_LETTER[texts].tobytes()
    found: list[int] = []
    for start in range(0, len(characters), length):
        for end in range(start + WINDOW + 1, start + length + 1):
            window = slice(end - WINDOW - 1, end)
            seen = _End(characters[window], letters[window])
            for order in orders:
                code = _code(seen, order) & _ALL
                found.append(((code ^ code >> 29) * _FINALIZER & _ALL) >> 32)
    return found


def _at_once(orders: Orders, text: Symbols) -> Contexts:
    """The same for many."""
    seen = _Ends(text)
    return np.stack([_hashed(_code(seen, order)) for order in orders], axis=1)


def _code(seen: _End | _Ends, order: Order) -> Any:
    """Of one context, or of those at many places, before it is mixed and cut to 32 bits."""
    own = order.length * _KINDS[order.kind] & _ALL
    code = (seen.parts if order.kind == "parts" else seen.words)(order.length) + own
    if order.kind == "heads":
        return code + seen.head() * _BESIDE
    return code + seen.call() * _BESIDE if order.kind == "calls" else code


def _letters() -> tuple[Symbols, Symbols]:
    """What stands in a context for each letter of a word, and of a part, by its symbol; 0 for
    what is none."""
    symbols = np.arange(alphabet.SIZE + 1)
    is_word = np.append(IS_WORD, False)  # what precedes a file is none
    small = np.where((symbols >= ord("A")) & (symbols <= ord("Z")), symbols + 32, symbols)
    return (symbols + 1) * is_word, (small + 1) * is_word


_OF_WORDS, _OF_PARTS = _letters()
_IS_LETTER = _OF_WORDS > 0


def _first_of_parts() -> npt.NDArray[np.bool_]:
    """Whether a part begins with a symbol after another one: (other, symbol)."""
    large = _IS_LETTER & (_OF_WORDS != _OF_PARTS)
    after_underscore = (np.arange(len(_IS_LETTER)) == ord("_"))[:, None]
    return _IS_LETTER & (~_IS_LETTER[:, None] | after_underscore | (~large[:, None] & large))


_FIRST_OF_PARTS = _first_of_parts()
_LETTER, _NO_LETTER = b"\x01", b"\x00"  # as bytes of it
_SMALL = {large: large + 32 for large in range(ord("A"), ord("Z") + 1)}
_PART = re.compile("[A-Z]*[^A-Z_]*_|[A-Z]+[^A-Z_]*|[^A-Z_]+")
_OPENING, _CLOSING = "([{", ")]}"
_MARKS = re.compile(r"[](){}[,]")
_IS_MARK = np.array([chr(symbol) in _OPENING + _CLOSING + "," for symbol in range(len(_OF_WORDS))])


class _End:
    """What stands before one place: the last WINDOW symbols, and one more, which only says
    whether a word or part begins with the first of them; and which of all are letters."""

    def __init__(self, characters: str, letters: bytes) -> None:
        self._text, self._letters = characters, letters
        self._cut = letters.startswith(_LETTER * 2)
        self._cut_part = self._cut and not _FIRST_OF_PARTS[ord(characters[0]), ord(characters[1])]
        self._found: list[tuple[str, int]] = []  # words, the last one first, and where they begin
        # Where the last word ends that was not looked for yet.
        self._stop = letters.rfind(_LETTER, 1) + 1 or 1
        self._since = _hashed_others(characters[self._stop :]) * _SINCE
        self._of_words: dict[int, int] = {}  # they are a part of heads and calls too

    def words(self, number: int) -> int:
        if number not in self._of_words:
            words, start = self._last_words(number)
            self._of_words[number] = self._since + _joined(words, self._cut and start == 1)
        return self._of_words[number]

    def parts(self, number: int) -> int:
        words, start = self._last_words(number)
        parts = [part for word in words for part in _small_parts(word)]
        cut = self._cut_part and start == 1 and len(parts) <= number
        return self._since + _joined(parts[:number], cut)

    def head(self) -> int:
        """The first word of the line."""
        line = self._text.rfind("\n", 1) + 1
        if not line and self._cut:  # it is not known where the word there begins
            line = self._letters.find(_NO_LETTER, 1)
            if line < 0:
                return 0
        start = self._letters.find(_LETTER, line or 1)
        if start < 0:
            return 0
        stop = self._letters.find(_NO_LETTER, start)
        return _hashed_word(self._text[start : stop if stop > 0 else None], False)[0]

    def call(self) -> int:
        """The word before the bracket that is still open, and the number of commas since."""
        closed = commas = 0
        at = len(self._text)
        for mark in reversed(_MARKS.findall(self._text, 1)):
            at = self._text.rfind(mark, 1, at)
            if mark in _CLOSING:
                closed += 1
            elif mark in _OPENING:
                if not closed:
                    return self._word_before(at) + (commas + 1) * _ARGUMENT
                closed -= 1
            elif not closed:
                commas += 1
        return 0

    def _last_words(self, number: int) -> tuple[list[str], int]:
        """So many, from the last one backwards, and where the first of them begins."""
        while self._stop > 1 and len(self._found) < number:
            start = self._start_of(self._stop)
            self._found.append((self._text[start : self._stop], start))
            self._stop = self._letters.rfind(_LETTER, 1, start) + 1 or 1
        found = self._found[:number]
        return [word for word, _ in found], found[-1][1] if found else len(self._text)

    def _word_before(self, place: int) -> int:
        stop = self._letters.rfind(_LETTER, 1, place) + 1
        if not stop:
            return 0
        start = self._start_of(stop)
        return _hashed_word(self._text[start:stop], self._cut and start == 1)[0]

    def _start_of(self, stop: int) -> int:
        """Where the word begins that ends there."""
        return self._letters.rfind(_NO_LETTER, 1, stop) + 1 or 1


def _joined(words: list[str], cut: bool) -> int:
    """The words in one, from the last one backwards; the beginning of the first may be cut off."""
    code, power = 0, 1
    for number, word in enumerate(words, 1):
        own, shift = _hashed_word(word, cut and number == len(words))
        code += own * power
        power = power * shift & _ALL
    return code


@lru_cache(maxsize=2**14)
def _small_parts(word: str) -> list[str]:
    """Written small, from the last one backwards."""
    found: list[str] = _PART.findall(word)
    return [part.translate(_SMALL) for part in reversed(found)]


@lru_cache(maxsize=2**14)
def _hashed_word(word: str, cut: bool) -> tuple[int, int]:
    """A polynomial of the letters, from the last one backwards, and the power after that."""
    code, power = 0, 1
    for place in range(len(word) - 1, -1, -1):
        code += (ord(word[place]) + 1 + _FIRST * (not place and not cut)) * power
        power = power * _INVERSE & _ALL
    return code & _ALL, power


@lru_cache(maxsize=2**14)
def _hashed_others(characters: str) -> int:
    """The same of any characters. As a rule all but the last are known from the step before."""
    if not characters:
        return 0
    return (_hashed_others(characters[:-1]) * _INVERSE + ord(characters[-1]) + 1) & _ALL


class _Ends:
    """The same of all places in a text but the first WINDOW ones, each as a number for all.

    In what is called `begun`, `lettered` and so on, 0 stands for what is too far away.
    """

    def __init__(self, text: Symbols) -> None:
        self._text = text
        self._places = np.arange(len(text))
        self._end = self._places[WINDOW:]
        self._first = self._end - (WINDOW - 1)  # of each window
        self._in_word = _IS_LETTER[text]
        self._begins = np.zeros_like(self._in_word)
        self._begins[1:] = self._in_word[1:] & ~self._in_word[:-1]
        self._lettered = self._last_of(self._in_word)
        self._begun = self._last_of(self._begins)
        self._words = _Sums(_OF_WORDS[text] + _FIRST * self._begins, self._in_word)

    def words(self, number: int) -> _Codes:
        return self._since + self._last(self._words, self._begun, number)

    def parts(self, number: int) -> _Codes:
        begins = np.zeros_like(self._begins)
        begins[1:] = _FIRST_OF_PARTS[self._text[:-1], self._text[1:]]
        letters = _Sums(_OF_PARTS[self._text] + _FIRST * begins, self._in_word)
        return self._since + self._last(letters, self._last_of(begins), number)

    def head(self) -> _Codes:
        line = self._last_of(self._text == ord("\n"))[WINDOW:] + 1
        begin = self._next_of(self._begins)[np.maximum(line, self._first)]
        there = begin <= self._end
        begin = np.minimum(begin, self._end)
        last = np.minimum(self._next_of(~self._in_word)[begin] - 1, self._end)
        return self._words.of(begin, np.maximum(last, begin)) * there

    def call(self) -> _Codes:
        # Python, but for brackets and commas alone.
        marks = np.flatnonzero(_IS_MARK[self._text])
        opened: list[tuple[int, int]] = []
        after = [(0, 0)]
        for place, symbol in zip(marks.tolist(), self._text[marks].tolist(), strict=True):
            mark = chr(symbol)
            if mark in _OPENING:
                opened.append((place, 0))
            elif opened:
                bracket, commas = opened.pop()
                if mark == ",":
                    opened.append((bracket, commas + 1))
            after.append(opened[-1] if opened else (0, 0))
        so_many = np.searchsorted(marks, self._end, side="right")
        bracket, commas = np.array(after, dtype=np.int64)[so_many].T
        last = self._lettered[np.maximum(bracket - 1, 0)]
        word = self._words.of(np.maximum(self._begun[last], self._first), last)
        arguments = (commas + 1).astype(np.uint64) * np.uint64(_ARGUMENT)
        return (word * (last >= self._first) + arguments) * (bracket >= self._first)

    @cached_property
    def _since(self) -> _Codes:
        start = np.maximum(self._lettered[WINDOW:] + 1, self._first)
        others = _Sums(self._text + 1, ~self._in_word)
        return others.of(start, self._end) * np.uint64(_SINCE)

    def _last(self, letters: _Sums, begun: _Places, number: int) -> _Codes:
        begin = begun[WINDOW:]
        for _ in range(number - 1):
            begin = begun[np.maximum(begin - 1, 0)]
        return letters.of(np.maximum(begin, self._first), self._end)

    def _last_of(self, which: npt.NDArray[np.bool_]) -> _Places:
        """The last of these places up to each."""
        return np.maximum.accumulate(self._places * which)

    def _next_of(self, which: npt.NDArray[np.bool_]) -> _Places:
        """The first of these places from each on, and from the end on the end."""
        places = np.append(np.where(which, self._places, len(which)), len(which))
        return np.minimum.accumulate(places[::-1])[::-1]


class _Sums:
    """Of the keys that are to count, so that a polynomial of those in any part is a difference.

    Their powers rise from the first to the last of a text, and what they rose by up to the end
    of a part is taken from it again: so the part's place in the text does not matter.
    """

    def __init__(self, keys: Symbols, count: npt.NDArray[np.bool_]) -> None:
        ranks = count.cumsum()
        terms = (keys * count).astype(np.uint64) * _powers(_BASE, len(keys))[ranks]
        self._sums = np.zeros(len(keys) + 1, dtype=np.uint64)
        np.cumsum(terms, out=self._sums[1:])
        self._back = _powers(_INVERSE, len(keys))[ranks]

    def of(self, first: _Places, last: _Places) -> _Codes:
        """Of the parts between these places, which may be empty where `first` is one more."""
        return (self._sums[last + 1] - self._sums[first]) * self._back[last]


def _powers(base: int, most: int) -> _Codes:
    """Of an odd number, from the zeroth to this one at least."""
    return _so_many_powers(base, 1 << most.bit_length())


@cache
def _so_many_powers(base: int, number: int) -> _Codes:
    powers = np.full(number, base, dtype=np.uint64)
    powers[0] = 1
    return np.cumprod(powers)


def _hashed(codes: _Codes) -> Contexts:
    mixed = (codes ^ (codes >> np.uint64(29))) * np.uint64(_FINALIZER)
    return (mixed >> np.uint64(32)).astype(np.uint32)


@cache
def _windows(longest: int) -> npt.NDArray[np.int64]:
    """Where each of a few symbols and those before it stand, from it backwards: (symbols,
    longest)."""
    return np.arange(longest - 1, longest - 1 + _FEW)[:, None] - np.arange(longest)


@cache
def _terms(lengths: tuple[int, ...], longest: int) -> _Codes:
    """A polynomial in the multiplier, of which the first n terms are the hash of n symbols:
    (longest, lengths)."""
    terms = np.arange(longest)[:, None] < np.array(lengths, dtype=np.int64)
    return np.where(terms, _POWERS[:longest, None], np.uint64(0))
