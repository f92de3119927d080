"""A pointer at the words of the text before, its path's too: which of them comes next?

The network spells a word letter by letter, and what it has not learned to spell costs it most
at the first. But which of the names before it is that stands at such a place, its state knows
well. So where a word may begin, a query made of the hidden state is compared with the keys of
the words before, each made of the state before that word and of the one after it; the words
whose keys suit it, and whose first letter the network expects, have their shares of a second
distribution, beside the network's own. How much of each is right a gate says at first, and then
each letter, by Bayes' rule.

(Vinyals et al. 2015, "Pointer networks"; Merity et al. 2017, "Pointer sentinel mixture
models"; of code Li et al. 2018, "Code completion with neural attention and pointer networks".
Here the mixture is of characters, and the network need not be trained for it.)
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from foretype_models.alphabet import Symbols
from foretype_models.words import (
    BEGINS,
    IS_WORD,
    LETTER,
    LETTERS,
    LONGEST,
    SEALED,
    WINDOW,
    Floats,
    Pointed,
    Possible,
    Recent,
    Words,
)

Probabilities = npt.NDArray[np.floating[Any]]

LEAST = 0.02
"""Where a word is less probable than that, it is not asked which."""
DISTANCES = 12
"""Classes of distances, by powers of two: how much a near word suits depends on the query too."""

_IS_WORD, _BEGINS = IS_WORD.tolist(), BEGINS.tolist()
# 1 for what a word may begin with and for what is in none, else 0: a product with it is a sum.
_BEGINNING: Floats = BEGINS.astype(np.float32)
_OTHERS: Floats = (~IS_WORD).astype(np.float32)
_CLASSES = np.log2(np.arange(WINDOW + SEALED, 0, -1)).astype(np.int64).clip(max=DISTANCES - 1)
_LEAST_SHARE = 1e-3  # of the pointer, below which it is given up within a word
_MOST = 1 - 1e-6  # so that the network is never left out
_SURE = 30.0  # of the gate's output: what is less is no less
SCALED = 0.2  # what the gate is told, by this
TOLD = 5
"""Numbers that the gate is told beside the hidden state: of the scores the entropy of the weights,
the logarithm of their sum and the largest; of the first letter the entropy and the largest."""
UNLIKELY = -12.0
"""Of a first letter; what is less likely is no less."""
_TINY = 1e-30


def shapes(hidden: int, width: int, gate: int) -> dict[str, tuple[int, ...]]:
    """Of what a pointer learns, by name."""
    return {
        "query": (hidden, width),
        "before": (hidden, width),
        "after": (hidden, width),
        "query_bias": (width,),
        "near": (DISTANCES,),
        "near_query": (DISTANCES, width),
        "first": (1,),
        "gate": (hidden, gate),
        "gate_told": (TOLD, gate),
        "gate_bias": (gate,),
        "gate_output": (gate + TOLD,),
        "gate_output_bias": (1,),
    }


@dataclass(frozen=True, eq=False)
class Pointer:
    """What is learned, by name as in a bundle's file."""

    query: Floats  # of the hidden state: (hidden, width)
    before: Floats  # the key's part of the state before a word
    after: Floats  # and of the one after it
    query_bias: Floats
    near: Floats  # the bias of each class of distances,
    near_query: Floats  # and a part of the keys of all words in it
    first: Floats  # how much a word's score owes to its first letter
    gate: Floats  # (hidden, gate)
    gate_told: Floats  # and of what it is told beside the state
    gate_bias: Floats
    gate_output: Floats  # of these, and once more of what it is told
    gate_output_bias: Floats

    @cached_property
    def _asking(self) -> Floats:
        return np.ascontiguousarray(np.concatenate((self.query, self.gate), axis=1).T)

    @cached_property
    def _before(self) -> Floats:
        return np.ascontiguousarray(self.before.T)

    @cached_property
    def _after(self) -> Floats:
        return np.ascontiguousarray(self.after.T)

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, npt.NDArray[Any]], hidden: int) -> Self:
        """For a network with so many units in its last layer. Raises ValueError where these are
        not what such a pointer learns."""
        if arrays.keys() != shapes(hidden, 0, 0).keys():
            raise ValueError(f"it holds {', '.join(sorted(arrays)) or 'nothing'}")
        sizes = arrays["query_bias"].shape, arrays["gate_bias"].shape
        if any(len(size) != 1 for size in sizes):
            raise ValueError("query_bias and gate_bias must be vectors")
        for name, shape in shapes(hidden, *sizes[0], *sizes[1]).items():
            array = arrays[name]
            if array.shape != shape or array.dtype != np.float32 or not np.isfinite(array).all():
                raise ValueError(f"{name} must be finite float32 of shape {shape}")
        return cls(**arrays)

    def arrays(self) -> dict[str, Floats]:
        """By name."""
        return {name: getattr(self, name) for name in shapes(0, 0, 0)}

    @property
    def width(self) -> int:
        return self.query.shape[1]

    def follow(
        self,
        symbols: Symbols,
        log_probs: Floats,
        hidden: Floats,
        recent: Recent,
        only_last: bool = False,
    ) -> tuple[Floats, Recent]:
        """What is expected after each symbol (time,) of a text, given what the network expects
        (time, alphabet) and its hidden states (time, hidden); if `only_last`, after the last
        one alone, (1, alphabet). And what there is to point at then."""
        following = _Following(self, recent)
        first = _last_run(symbols) if only_last else 0
        mixed: list[Floats] = []
        for at, symbol in enumerate(symbols.tolist()):
            following.read(symbol, hidden[at])
            if at >= first:
                mixed.append(following.expected(log_probs[at]))
        if only_last or len(mixed) == 1:
            return mixed[-1][None], following.recent()
        return np.stack(mixed), following.recent()

    # One product for each state: that of many at once may differ in the last bit.

    def asked(self, hidden: Floats) -> tuple[Floats, Floats]:
        """The query of one state, and the gate's first numbers."""
        asked = self._asking @ hidden
        return asked[: self.width] + self.query_bias, asked[self.width :] + self.gate_bias

    def key_before(self, hidden: Floats) -> Floats:
        """What the state before a word has in its key."""
        return self._before @ hidden

    def key_after(self, hidden: Floats) -> Floats:
        """And the one after it."""
        return self._after @ hidden


class _Following:
    """A text that is followed symbol by symbol."""

    def __init__(self, pointer: Pointer, recent: Recent) -> None:
        self._pointer = pointer
        self._sealed, self._words = recent.sealed, recent.words
        self._hidden = recent.hidden
        self._inside, self._word, self._key = recent.inside, recent.word, recent.key
        self._possible, self._pointed = recent.possible, recent.pointed
        self._new: list[tuple[Floats, bytes]] = []

    def recent(self) -> Recent:
        self._append()
        return Recent(
            self._sealed,
            self._words,
            self._hidden,
            self._inside,
            self._word,
            self._key,
            self._possible,
            self._pointed,
        )

    def read(self, symbol: int, hidden: Floats) -> None:
        """`hidden` is the state after the symbol."""
        if not _IS_WORD[symbol]:
            self._end_word()
            self._inside, self._possible = False, None
        elif not self._inside:
            self._begin_word(symbol)
            self._inside = True
        elif self._word:
            if len(self._word) < LONGEST:
                self._word += bytes((symbol,))
            self._narrow(symbol)
        self._hidden, self._pointed = hidden, None

    def _begin_word(self, symbol: int) -> None:
        if _BEGINS[symbol] and self._hidden is not None:
            self._word = bytes((symbol,))
            self._key = self._pointer.key_before(self._hidden)
            if self._pointed is not None and self._pointed.first is not None:
                share = self._pointed.shares.get(symbol, 0.0)
                if share >= _LEAST_SHARE:
                    weights = self._choice(self._pointed.first).begun(symbol)
                    self._possible = Possible(weights, 1, share)

    def _narrow(self, symbol: int) -> None:
        possible, self._possible = self._possible, None
        if possible is not None and self._pointed is not None:
            share = self._pointed.shares.get(symbol, 0.0)
            if share >= _LEAST_SHARE:
                self._possible = possible.narrowed(symbol, share)

    def _end_word(self) -> None:
        if self._word and self._hidden is not None and self._key is not None:
            self._new.append((self._key + self._pointer.key_after(self._hidden), self._word))
        self._word, self._key = b"", None

    def _append(self) -> None:
        """The new words to those before."""
        for start in range(0, len(self._new), SEALED):
            self._append_some(self._new[start : start + SEALED])
        self._new = []

    def _append_some(self, new: Sequence[tuple[Floats, bytes]]) -> None:
        keys = np.array([key for key, _ in new], dtype=np.float16)
        spelled = b"".join(word.ljust(LONGEST, b"\0") for _, word in new)
        letters = np.frombuffer(spelled, np.uint8).reshape(-1, LONGEST)
        if self._words is not None:
            keys = np.concatenate((self._words.keys, keys))
            letters = np.concatenate((self._words.letters, letters))
        if len(keys) >= SEALED:
            sealed = Words(keys[:SEALED].copy(), letters[:SEALED].copy())
            self._sealed = (*self._sealed, sealed)[-(WINDOW // SEALED) :]
            keys, letters = keys[SEALED:].copy(), letters[SEALED:].copy()
        self._words = Words(keys, letters) if len(keys) else None

    def expected(self, log_probs: Floats) -> Floats:
        """What is expected after the last symbol that was read, given what the network does."""
        if not self._inside:
            return self._word_may_begin(log_probs)
        if self._possible is None:
            return log_probs
        return self._word_goes_on(log_probs, self._possible)

    def _word_may_begin(self, log_probs: Floats) -> Floats:
        self._append()
        word = float(np.exp(log_probs) @ _BEGINNING)
        if word < LEAST or not (self._sealed or self._words):
            return log_probs
        first = first_letters(log_probs, word)
        choice = self._choice(first)
        expected = log_probs.copy()
        expected += _BEGINNING * np.float32(math.log(1 - choice.share))
        initials = choice.initials()
        pointed = initials.nonzero()[0]
        letters, likely = LETTERS[pointed], choice.share * word * initials[pointed]
        mixed = np.exp(expected[letters]) + likely
        expected[letters] = np.log(mixed)
        shares = np.minimum(likely / mixed, _MOST)
        self._pointed = Pointed(dict(zip(letters.tolist(), shares.tolist(), strict=True)), first)
        return expected

    def _word_goes_on(self, log_probs: Floats, possible: Possible) -> Floats:
        # A few numbers, for which Python is faster than numpy.
        share, written = possible.share, possible.written
        expected = log_probs + np.float32(math.log(1 - share))
        following: dict[int, float] = {}
        ends = 0.0  # before what the network says
        for word, weight in possible.weights.items():
            if len(word) > written:
                letter = word[written]
                following[letter] = following.get(letter, 0.0) + weight
            else:
                ends += weight
        each = share / sum(possible.weights.values())
        if ends:
            others = float(np.exp(log_probs) @ _OTHERS)
            more = math.log1p(ends * each / max((1 - share) * others, _TINY))
            expected += _OTHERS * np.float32(more)
        shares: dict[int, float] = {}
        for letter, weight in following.items():
            likely = weight * each
            mixed = math.exp(expected[letter]) + likely
            expected[letter] = math.log(mixed)
            shares[letter] = min(likely / mixed, _MOST)
        self._pointed = Pointed(shares)
        return expected

    def _choice(self, first: Floats) -> _Choice:
        assert self._hidden is not None
        state, letters = self._hidden.tobytes(), first.tobytes()
        return _choice(self._pointer, self._sealed, self._words, state, letters)


def first_letters(log_probs: Floats, word: float) -> Floats:
    """How probable each letter is that a word may begin with, given that one does, which is as
    probable as `word`: the logarithms, in the order of BEGINS."""
    return np.maximum(log_probs[LETTERS] - np.float32(math.log(word)), np.float32(UNLIKELY))


def _last_run(symbols: Symbols) -> int:
    """Where the last symbol stands that is no byte of words, or the beginning: what is expected
    from there on decides what is expected at the end."""
    others = np.flatnonzero(~IS_WORD[symbols])
    return int(others[-1]) if len(others) else 0


@dataclass(frozen=True, eq=False)
class _Spelled:
    """Some words as they are asked for again and again."""

    keys: Floats
    letters: npt.NDArray[np.uint8]
    first: npt.NDArray[np.intp]  # the number of each one's first letter

    @classmethod
    def of(cls, words: Sequence[Words]) -> Self:
        keys = np.concatenate([part.keys for part in words]).astype(np.float32)
        letters = np.concatenate([part.letters for part in words])
        return cls(keys, letters, LETTER[letters[:, 0]])


_spelled = lru_cache(maxsize=20)(_Spelled.of)  # for sixteen texts at once
_newest_spelled = lru_cache(maxsize=64)(_Spelled.of)


@dataclass(frozen=True, eq=False)
class _Choice:
    """Which of the words before it may be, where one may begin."""

    parts: tuple[_Spelled, ...]
    first: npt.NDArray[np.intp]  # letter's number of each word of all parts,
    weights: Floats  # and weight; they sum to 1
    share: float  # the probability that it is one of them

    def initials(self) -> Probabilities:
        """How probable each first letter is, in the order of LETTERS."""
        initials: Any = np.bincount(self.first, self.weights, len(LETTERS))
        return initials

    def begun(self, symbol: int) -> dict[bytes, float]:
        """Those that begin with this letter, and their weights."""
        weights: dict[bytes, float] = {}
        among = self.first == LETTER[symbol]
        end = 0
        for part in self.parts:
            start, end = end, end + len(part.first)
            here = among[start:end].nonzero()[0]
            spelled = part.letters[here].view(f"S{LONGEST}").ravel().tolist()
            for word, weight in zip(spelled, self.weights[start:end][here].tolist(), strict=True):
                weights[word] = weights.get(word, 0.0) + weight
        return weights


@lru_cache(maxsize=32)
def _choice(
    pointer: Pointer,
    sealed: tuple[Words, ...],
    words: Words | None,
    state: bytes,
    first_letters: bytes,
) -> _Choice:
    """Before a word; asked for again when it begins."""
    parts = [_spelled(sealed)] if sealed else []
    if words is not None:
        parts.append(_newest_spelled((words,)))
    query, gate = pointer.asked(np.frombuffer(state, np.float32))
    likely = np.frombuffer(first_letters, np.float32)
    first = np.concatenate([part.first for part in parts])
    scores = np.concatenate([part.keys @ query for part in parts])
    scores += (pointer.first * likely)[first]
    scores += (pointer.near + pointer.near_query @ query)[_CLASSES[-len(scores) :]]
    largest = float(scores.max())
    weights = np.exp(scores - largest)
    total = float(weights.sum())
    weights /= total
    log_total = largest + math.log(total)
    spread = log_total - float(weights @ scores)  # the entropy of the weights
    unsure = -float(np.exp(likely) @ likely)
    told = np.array((spread, log_total, largest, unsure, likely.max()), np.float32)
    told *= np.float32(SCALED)
    seen = np.tanh(gate + told @ pointer.gate_told)
    output = pointer.gate_output @ np.concatenate((seen, told)) + pointer.gate_output_bias[0]
    share = min(1 / (1 + math.exp(-max(float(output), -_SURE))), _MOST)
    return _Choice(tuple(parts), first, weights, share)
