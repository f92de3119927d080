"""What the network reads at each step: rows of its embedding table.

Beside the last symbol it reads what followed the last n symbols in the training files,
for several lengths n: which symbol most often, how often, and how surely. Each answer is
a row of the embedding table, and the embeddings of all of them are summed. So the
recurrent layers need not learn by heart what a count already knows, and learn instead
how far to trust it. (Network and counts were joined at the output by Mikolov et al.
2011, "Strategies for training large scale neural network language models", and as an
input by the LSTM mixers of the PAQ family.)
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from numpy.lib.stride_tricks import sliding_window_view

from foretype_models import alphabet
from foretype_models.alphabet import Symbols
from foretype_models.architecture import MAX_NGRAM, Architecture

Rows = npt.NDArray[np.int64]

CLASSES = 16
"""How many classes of confidence a prediction has: see `confidence_class`."""

PREDICTIONS = alphabet.SIZE * CLASSES
"""How many a table can hold: a symbol, and its class of confidence."""
_ROWS_PER_LENGTH = PREDICTIONS + 1  # the first is for contexts never seen
_BEFORE_START = alphabet.SIZE
"""Stands in contexts for what precedes a file."""
_POWERS = np.cumprod(np.full(MAX_NGRAM, 0x9E3779B97F4A7C15, dtype=np.uint64))
_SHIFT, _FINALIZER = np.uint64(29), np.uint64(0xBF58476D1CE4E5B9)  # as in splitmix64
_HIGH_HALF = np.uint64(32)


@dataclass(frozen=True)
class Ngrams:
    """What followed each context in the training files.

    `contexts` are hashes of the last n symbols, sorted, uint32; `predictions` the symbol
    that followed most often times CLASSES, plus its class of confidence, uint16. Two
    contexts may share a hash by chance, one in some thousands: the network learns from
    the same table that it is later given, so that is noise to it and not an error.
    """

    contexts: npt.NDArray[np.uint32]
    predictions: npt.NDArray[np.uint16]

    def __post_init__(self) -> None:
        if self.contexts.shape != self.predictions.shape or self.contexts.ndim != 1:
            raise ValueError("contexts and predictions differ in length")

    @classmethod
    def empty(cls) -> Ngrams:
        return cls(np.zeros(0, np.uint32), np.zeros(0, np.uint16))

    def over(self, base: Ngrams) -> Ngrams:
        """Both tables in one; where both know a context, this one's answer counts."""
        contexts = np.concatenate((self.contexts, base.contexts))
        predictions = np.concatenate((self.predictions, base.predictions))
        unique, first = np.unique(contexts, return_index=True)
        return Ngrams(unique, predictions[first])

    def without(self, other: Ngrams) -> Ngrams:
        """What this table knows of contexts that the other does not know."""
        kept = ~np.isin(self.contexts, other.contexts, assume_unique=True)
        return Ngrams(self.contexts[kept], self.predictions[kept])

    def look_up(self, contexts: npt.NDArray[np.uint32]) -> npt.NDArray[np.int64]:
        """1 + the prediction for each context, 0 where it was never seen."""
        if not self.contexts.size:
            return np.zeros(contexts.shape, dtype=np.int64)
        at = np.minimum(np.searchsorted(self.contexts, contexts), self.contexts.size - 1)
        return np.where(self.contexts[at] == contexts, self.predictions[at].astype(np.int64) + 1, 0)


def confidence_class(
    best: npt.NDArray[np.int64], total: npt.NDArray[np.int64]
) -> npt.NDArray[np.int64]:
    """From 0 to CLASSES - 1: how often a context was seen, and the best symbol's share of it."""
    seen = np.digitize(total, (2, 4, 10))
    share = np.digitize(best / np.maximum(total, 1), (0.4, 0.8, 1.0))
    return seen * 4 + share


def rows(architecture: Architecture) -> int:
    """The height of the embedding table: the alphabet, then a part for each n-gram length."""
    return alphabet.SIZE + len(architecture.ngrams) * _ROWS_PER_LENGTH


def initial_context(architecture: Architecture, batch: int) -> Symbols:
    """The context before the first symbol of a file: int64, (longest n-gram - 1, batch)."""
    length = max(architecture.ngrams, default=1) - 1
    return np.full((length, batch), _BEFORE_START, dtype=np.int64)


def context_hashes(
    lengths: tuple[int, ...], context: Symbols, symbols: Symbols
) -> npt.NDArray[np.uint32]:
    """The hashes of the last n symbols after each of `symbols` (time, batch), which follow
    `context`, for each n: (time, batch, lengths). Reading in parts gives the same hashes."""
    longest = len(context) + 1
    keys = (np.concatenate((context, symbols)) + 1).astype(np.uint64)
    windows = sliding_window_view(keys, longest, axis=0)[..., ::-1]  # (time, batch, longest)
    # A polynomial in the multiplier, of which the first n terms are the hash of n symbols.
    sums = np.cumsum(windows * _POWERS[:longest], axis=-1)
    codes = sums[..., np.array(lengths, dtype=np.int64) - 1]
    return (((codes ^ (codes >> _SHIFT)) * _FINALIZER) >> _HIGH_HALF).astype(np.uint32)


def encode(
    architecture: Architecture, ngrams: Ngrams, context: Symbols, symbols: Symbols
) -> tuple[Rows, Symbols]:
    """The rows to embed for `symbols` (time, batch), which follow `context`.

    Returns them, int64 of shape (time, batch, 1 + n-gram lengths), and the context of the
    symbol that comes next.
    """
    lengths = architecture.ngrams
    found = ngrams.look_up(context_hashes(lengths, context, symbols))
    starts = alphabet.SIZE + _ROWS_PER_LENGTH * np.arange(len(lengths))
    new_context = np.concatenate((context, symbols))[len(symbols) :]
    return np.concatenate((symbols[..., None], found + starts), axis=-1), new_context
