"""What the network reads at each step: rows of its embedding table.

Beside the last symbol it reads the n-grams that end there, each hashed into a table of
its own. The embeddings of all of them are summed. Hashed n-gram features beside a
recurrent network go back to Mikolov et al. 2011 ("Strategies for training large scale
neural network language models"); here they stand at the input, as in fastText
(Bojanowski et al. 2017).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from foretype_models import alphabet
from foretype_models.alphabet import Symbols
from foretype_models.architecture import Architecture

Rows = npt.NDArray[np.int64]

_BEFORE_START = alphabet.SIZE
"""Stands in n-grams for what precedes a file."""
_MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)
_FINALIZER = np.uint64(0xBF58476D1CE4E5B9)  # of splitmix64 (Steele et al. 2014)


def rows(architecture: Architecture) -> int:
    """The height of the embedding table: the alphabet, then a part for each n-gram length."""
    return alphabet.SIZE + len(architecture.ngrams) * architecture.ngram_rows


def initial_context(architecture: Architecture, batch: int) -> Symbols:
    """The context before the first symbol of a file: int64, (longest n-gram - 1, batch)."""
    length = max(architecture.ngrams, default=1) - 1
    return np.full((length, batch), _BEFORE_START, dtype=np.int64)


def encode(architecture: Architecture, context: Symbols, symbols: Symbols) -> tuple[Rows, Symbols]:
    """The rows to embed for `symbols` (time, batch), which follow `context`.

    Returns them, int64 of shape (time, batch, 1 + n-gram lengths), and the context of the
    symbol that comes next. Reading in parts gives the same rows as reading at once.
    """
    time = len(symbols)
    window = np.concatenate((context, symbols))
    keys = (window + 1).astype(np.uint64)
    columns = [symbols]
    start = alphabet.SIZE
    for n in architecture.ngrams:
        code = np.zeros(symbols.shape, dtype=np.uint64)
        for back in range(n):
            offset = len(context) - back
            code = code * _MULTIPLIER + keys[offset : offset + time]
        code ^= code >> np.uint64(29)
        code *= _FINALIZER
        code ^= code >> np.uint64(32)
        columns.append((code % np.uint64(architecture.ngram_rows)).astype(np.int64) + start)
        start += architecture.ngram_rows
    return np.stack(columns, axis=-1), window[time:]
