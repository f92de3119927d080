"""What the network reads at each step: rows of its embedding table.

Beside the last symbol it reads what followed the last n symbols in the training files, for
several n, and the last words: which symbol most often, how often, and how surely. Each answer is
a row of the embedding table, and the embeddings of all of them are summed. So the
recurrent layers need not learn by heart what a count already knows, and learn instead
how far to trust it. (Network and counts were joined at the output by Mikolov et al.
2011, "Strategies for training large scale neural network language models", and as an
input by the LSTM mixers of the PAQ family.)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from foretype_models import alphabet, contexts
from foretype_models.alphabet import Symbols
from foretype_models.architecture import Architecture
from foretype_models.contexts import Contexts
from foretype_models.sorted_hashes import Places, SortedHashes

Rows = npt.NDArray[np.int64]
Found = npt.NDArray[np.integer[Any]]
"""For each of such contexts 1 + its prediction, or 0; it may be unsigned."""

CLASSES = 16
"""How many classes of confidence a prediction has: see `confidence_class`."""

PREDICTIONS = alphabet.SIZE * CLASSES
"""How many a table can hold: a symbol, and its class of confidence."""
_ROWS_PER_ORDER = PREDICTIONS + 1  # the first is for contexts never seen


SOURCES = 3
"""Where an answer comes from: the model's table (or nowhere), the project, the file."""


class Memory(Protocol):
    """Knows what followed contexts: in the training files (`Ngrams`), or in texts that no
    training saw (see `memory.py`)."""

    def look_up(self, contexts: Contexts) -> Found: ...


@dataclass(frozen=True)
class Memories:
    """The memories that are read with a text."""

    project: Memory | None = None
    file: Memory | None = None


NO_MEMORIES = Memories()


@dataclass(frozen=True)
class _SideBySide:
    """A memory for each of some texts that are read together, and how many lanes it has."""

    memories: Sequence[Memory | None]
    lanes: Sequence[int]

    def look_up(self, contexts: Contexts) -> Found:
        found = np.zeros(contexts.shape, dtype=np.int64)
        last = 0
        for memory, lanes in zip(self.memories, self.lanes, strict=True):
            first, last = last, last + lanes
            if memory is not None:
                found[:, first:last] = memory.look_up(contexts[:, first:last])
        return found


def side_by_side(memories: Sequence[Memories], lanes: Sequence[int]) -> Memories:
    """Those of texts that are read together, of which each has so many lanes of the batch."""
    projects = [of_text.project for of_text in memories]
    files = [of_text.file for of_text in memories]
    project, file = (
        _SideBySide(parts, lanes) if any(part is not None for part in parts) else None
        for parts in (projects, files)
    )
    return Memories(project, file)


class Ngrams:
    """What followed each context in the training files.

    `contexts` are their hashes (see `contexts.py`), sorted, uint32; `predictions` the symbol
    that followed most often times CLASSES, plus its class of confidence, uint16. Two
    contexts may share a hash by chance, one in some thousands: the network learns from
    the same table that it is later given, so that is noise to it and not an error.
    """

    def __init__(
        self, contexts: npt.NDArray[np.uint32], predictions: npt.NDArray[np.uint16]
    ) -> None:
        """Raises ValueError where they differ in length, or the contexts do not rise."""
        if contexts.shape != predictions.shape or contexts.ndim != 1:
            raise ValueError("contexts and predictions differ in length")
        self._hashes = SortedHashes(contexts)
        self.predictions = predictions

    def __len__(self) -> int:
        return len(self._hashes)

    @property
    def largest_bucket(self) -> int:
        """See `SortedHashes`."""
        return self._hashes.largest_bucket

    @property
    def contexts(self) -> npt.NDArray[np.uint32]:
        """Put together anew: what is done with many of them takes them once."""
        return self._hashes.values

    @classmethod
    def empty(cls) -> Ngrams:
        return cls(np.zeros(0, np.uint32), np.zeros(0, np.uint16))

    def over(self, *others: Ngrams) -> Ngrams:
        """All in one; where several know a context, the answer of the first of them counts."""
        contexts = np.concatenate((self.contexts, *(other.contexts for other in others)))
        predictions = np.concatenate((self.predictions, *(other.predictions for other in others)))
        unique, first = np.unique(contexts, return_index=True)
        return Ngrams(unique, predictions[first])

    def without(self, other: Ngrams) -> Ngrams:
        """What this table knows of contexts that the other does not know."""
        contexts = self.contexts
        kept = ~np.isin(contexts, other.contexts, assume_unique=True)
        return Ngrams(contexts[kept], self.predictions[kept])

    def within(self, other: Ngrams) -> Ngrams:
        """What this table knows of contexts that the other knows too."""
        contexts = self.contexts
        kept = np.isin(contexts, other.contexts, assume_unique=True)
        return Ngrams(contexts[kept], self.predictions[kept])

    def most_seen(self, limit: int) -> Ngrams:
        """At most `limit` contexts, the `most_seen` ones."""
        if len(self) <= limit:
            return self
        kept = most_seen(self.predictions, limit)
        return Ngrams(self.contexts[kept], self.predictions[kept])

    def look_up(self, contexts: Contexts) -> Found:
        """1 + the prediction for each context, 0 where it was never seen."""
        if not len(self):
            return np.zeros(contexts.shape, dtype=np.uint16)
        at, known = self.find(contexts)
        return (self.predictions.take(at, mode="clip") + 1) * known

    def find(self, contexts: Contexts) -> tuple[Places, npt.NDArray[np.bool_]]:
        """Where each context stands, and whether it does: as `SortedHashes.find`."""
        return self._hashes.find(contexts)


def most_seen(predictions: npt.NDArray[np.uint16], limit: int) -> npt.NDArray[np.int64]:
    """Where those of at most `limit` contexts stand: of the ones that were seen most often, and
    of these of the least sure. What always follows a context as a rule longer and shorter ones
    say too; what may follow one that is less sure nothing else says."""
    seen, sure = np.divmod((predictions % CLASSES).astype(np.int8), 4)
    return np.sort(np.argsort(sure - 4 * seen, kind="stable")[:limit])


def confidence_class(
    best: npt.NDArray[np.integer[Any]], total: npt.NDArray[np.integer[Any]]
) -> npt.NDArray[np.uint8]:
    """From 0 to CLASSES - 1: how often a context was seen, and the best symbol's share of it.

    In whole numbers, five times which they must be able to hold: a file's memory is built
    while somebody waits.
    """
    one = np.maximum(total, 1)
    seen = _ones(total >= 2) + _ones(total >= 4) + _ones(total >= 10)
    # A share of two fifths, of four, of all.
    sure = _ones(5 * best >= 2 * one) + _ones(5 * best >= 4 * one) + _ones(best >= one)
    return seen * np.uint8(4) + sure


def _ones(where: npt.NDArray[np.bool_]) -> npt.NDArray[np.uint8]:
    return where.astype(np.uint8)


def rows(architecture: Architecture) -> int:
    """The height of the embedding table: the alphabet, then a part for each order of
    contexts, then, where memories are read, what tells their answers apart for each."""
    per_order = _ROWS_PER_ORDER + (SOURCES if architecture.memory else 0)
    return alphabet.SIZE + len(architecture.orders) * per_order


def features(architecture: Architecture) -> int:
    """How many rows are summed for a symbol: itself, an answer for each order, and where
    memories are read also where that answer comes from."""
    return 1 + len(architecture.orders) * (2 if architecture.memory else 1)


def prediction_rows(order: int, confidence: npt.NDArray[np.uint8]) -> Rows:
    """The rows for all symbols with this class of confidence, for the order of this number:
    (alphabet,)."""
    first = alphabet.SIZE + order * _ROWS_PER_ORDER + 1
    return first + np.arange(alphabet.SIZE) * CLASSES + confidence


def rows_of_order(architecture: Architecture, number: int) -> Rows:
    """All rows for the order of this number: of its answers and, where memories are
    read, of their sources."""
    first_answers, first_sources = _firsts(architecture)
    answers = np.arange(_ROWS_PER_ORDER) + first_answers[number]
    if not architecture.memory:
        return answers
    return np.concatenate((answers, np.arange(SOURCES) + first_sources[number]))


def initial_context(architecture: Architecture, batch: int) -> Symbols:
    """The context before the first symbol of a file: int64, (reach - 1, batch)."""
    return contexts.before_start(architecture.orders, batch)


def encode(
    architecture: Architecture,
    table: Memory,
    context: Symbols,
    symbols: Symbols,
    memories: Memories = NO_MEMORIES,
) -> tuple[Rows, Symbols]:
    """The rows to embed for `symbols` (time, batch), which follow `context`.

    Returns them, int64 of shape (time, batch, `features`), and the context of the symbol
    that comes next. A network that reads no memory passes over `memories`.
    """
    hashes = contexts.hashes(architecture.orders, context, symbols)
    found = table.look_up(hashes)
    parts = [symbols[..., None], found]
    if architecture.memory:
        sources = np.zeros(hashes.shape, dtype=np.int64)
        for source, memory in enumerate((memories.project, memories.file), 1):
            if memory is not None:
                answers = memory.look_up(hashes)
                knows = answers > 0
                found, sources = np.where(knows, answers, found), np.where(knows, source, sources)
        parts = [symbols[..., None], found, sources]
    rows: Rows = np.concatenate(parts, axis=-1, dtype=np.int64)
    rows += _first_rows(architecture)
    return rows, np.concatenate((context, symbols))[len(symbols) :]


@cache
def _first_rows(architecture: Architecture) -> Rows:
    """The first of the rows of symbols, of each order's answers, and of their sources."""
    answers, sources = _firsts(architecture)
    parts = [np.zeros(1, dtype=np.int64), answers]
    if architecture.memory:
        parts.append(sources)
    return np.concatenate(parts)


def _firsts(architecture: Architecture) -> tuple[Rows, Rows]:
    """The first row of each order's answers, and of their sources."""
    numbers = np.arange(len(architecture.orders))
    answers = alphabet.SIZE + _ROWS_PER_ORDER * numbers
    return answers, alphabet.SIZE + _ROWS_PER_ORDER * len(numbers) + SOURCES * numbers
