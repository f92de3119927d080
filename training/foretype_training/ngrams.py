"""Counts what follows each context in the training files.

The network must not read, beside a character, a count that this very character went
into: it would learn to trust the table blindly. So while it trains, each file is read
with a table that was counted on other files alone (cross-fitting, as in the stacking
of Wolpert 1992): FOLDS tables, each without one part of the files. What it trusts then
is what a table deserves on files it has not seen. Where there are projects enough, a part
is made of whole ones: a table knows the files beside a file far better than it will ever
know a stranger's project, which is what a network of many projects is for.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import chain

import numpy as np
import numpy.typing as npt

from foretype_models import inputs
from foretype_models.alphabet import Symbols
from foretype_models.architecture import Architecture
from foretype_models.inputs import CLASSES, Ngrams, confidence_class
from foretype_models.memory import run_starts

FOLDS = 8
MIN_COUNT = 2
"""Contexts seen less often are left out: they are most of a table and the least of its use."""
MAX_CONTEXTS = 8_000_000
"""A table's limit: 6 bytes of memory each, some 3 on disk."""

Counts = npt.NDArray[np.int32]
_SYMBOL_BITS = np.uint64(9)
_SYMBOL_MASK = np.uint64((1 << 9) - 1)


@dataclass(frozen=True)
class CrossFitted:
    """The table of all files, and for each file the one that was counted without it."""

    table: Ngrams
    folds: list[Ngrams]
    fold_of: Sequence[int]  # of each file

    def of(self, file: int) -> Ngrams:
        """The table to read the training file of this number with."""
        return self.folds[self.fold_of[file]]


def by_file(files: Sequence[Symbols]) -> list[int]:
    """A fold for each file, whatever its project."""
    return [number % FOLDS for number in range(len(files))]


def by_project(files: Sequence[Symbols], projects: Sequence[int]) -> dict[int, int]:
    """A fold for each project: runs of them in their order, of about equal size, so that
    kindred projects that were named one after the other are left out together. Empty where
    they are fewer than the folds."""
    sizes = np.bincount(projects, [len(file) for file in files])
    if np.count_nonzero(sizes) < FOLDS:
        return {}
    middles = np.cumsum(sizes) - sizes / 2
    folds = (middles * FOLDS / sizes.sum()).astype(np.int64)
    return {project: int(folds[project]) for project in set(projects)}


def count(
    architecture: Architecture,
    files: Sequence[Symbols],
    base: Ngrams,
    fold_of: Sequence[int],
    min_count: int = MIN_COUNT,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> CrossFitted:
    """Counts the files' n-grams; `base` answers for contexts that they do not know.

    `fold_of` tells for each file which part it belongs to, from 0 to FOLDS - 1. Contexts
    seen less than `min_count` times are left out.

    While the network trains, not even for those that only the file itself knows, and which
    it is therefore read without: where `base` was counted on these files too, its answers
    are what cross-fitting has to keep from the network.

    With a single file there are no others to count on, so `base` alone is read, then too
    when the training is over: the network has learned nothing of any other answer.
    """
    parts: list[list[Ngrams]] = []
    for done, length in enumerate(architecture.ngrams):
        progress(done, len(architecture.ngrams))
        parts.append(_count_length(length, files, fold_of, min_count))
    *folds, whole = (_join([part[k] for part in parts]) for k in range(FOLDS + 1))
    unseen = base.without(whole)
    if len(files) == 1:
        return CrossFitted(base, [unseen], [0])
    table = whole.over(base).most_seen(MAX_CONTEXTS)
    return CrossFitted(table, [fold.over(unseen).within(table) for fold in folds], fold_of)


def _join(tables: Sequence[Ngrams]) -> Ngrams:
    joined = Ngrams.empty()
    for table in tables:
        joined = table.over(joined)
    return joined


def _count_length(
    length: int, files: Sequence[Symbols], fold_of: Sequence[int], min_count: int
) -> list[Ngrams]:
    """For each fold the table without its files, then the table of all, for one n."""
    shape = Architecture(ngrams=(length,))
    pairs: list[npt.NDArray[np.uint64]] = []  # context and what followed it
    folds: list[npt.NDArray[np.uint8]] = []
    for fold, file in zip(fold_of, files, strict=True):
        lane = file[:, None]
        hashes = inputs.context_hashes((length,), inputs.initial_context(shape, 1), lane[:-1])
        followers = file[1:].astype(np.uint64)
        pairs.append((hashes.ravel().astype(np.uint64) << _SYMBOL_BITS) | followers)
        folds.append(np.full(len(followers), fold, dtype=np.uint8))
    unique, counts = _counts_by_fold(np.concatenate(pairs), np.concatenate(folds))
    contexts = unique >> _SYMBOL_BITS
    symbols = (unique & _SYMBOL_MASK).astype(np.int64)
    total = counts.sum(axis=1, dtype=counts.dtype)
    without = (total - counts[:, k] for k in range(FOLDS))  # one at a time: they are large
    return [_most_frequent(contexts, symbols, c, min_count) for c in chain(without, (total,))]


def _counts_by_fold(
    pairs: npt.NDArray[np.uint64], folds: npt.NDArray[np.uint8]
) -> tuple[npt.NDArray[np.uint64], Counts]:
    """The distinct pairs, sorted, and how often each stands in each fold: (pairs, FOLDS)."""
    keys = pairs * np.uint64(FOLDS) + folds
    keys.sort()
    first = np.flatnonzero(run_starts(keys))
    times = np.diff(np.append(first, len(keys)))
    distinct = keys[first]
    sorted_pairs = distinct // np.uint64(FOLDS)
    starts = np.flatnonzero(run_starts(sorted_pairs))
    rows = np.repeat(np.arange(len(starts)), np.diff(np.append(starts, len(distinct))))
    counts = np.zeros((len(starts), FOLDS), dtype=np.int32)
    counts[rows, (distinct % np.uint64(FOLDS)).astype(np.int64)] = times
    return sorted_pairs[starts], counts


def _most_frequent(
    contexts: npt.NDArray[np.uint64],
    symbols: npt.NDArray[np.int64],
    counts: Counts,
    min_count: int,
) -> Ngrams:
    """The table of contexts that were seen `min_count` times; of equals the first symbol wins."""
    if not len(contexts):
        return Ngrams.empty()
    starts = np.flatnonzero(run_starts(contexts))
    total = np.add.reduceat(counts, starts)
    best = np.maximum.reduceat(counts, starts)
    sizes = np.diff(np.append(starts, len(contexts)))
    is_best = counts == np.repeat(best, sizes)
    positions = np.where(is_best, np.arange(len(contexts)), len(contexts))
    symbol = symbols[np.minimum.reduceat(positions, starts)]
    kept = total >= min_count
    predictions = symbol * CLASSES + confidence_class(best, total)
    return Ngrams(contexts[starts][kept].astype(np.uint32), predictions[kept].astype(np.uint16))
