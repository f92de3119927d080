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

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import chain
from typing import Self

import numpy as np
import numpy.typing as npt
import torch

from foretype_models import contexts
from foretype_models.alphabet import Symbols
from foretype_models.architecture import Architecture, Order
from foretype_models.contexts import Contexts
from foretype_models.inputs import CLASSES, Found, Memory, Ngrams, confidence_class
from foretype_models.memory import run_starts

FOLDS = 8
MIN_COUNT = 2
"""Contexts seen less often are left out: they are most of a table and the least of its use."""
MAX_CONTEXTS = 12_500_000
"""A table's limit: some 4 bytes of memory each, and 3 on disk."""

Counts = npt.NDArray[np.int32]
_SYMBOL_BITS = np.uint64(9)
_SYMBOL_MASK = np.uint64((1 << 9) - 1)
_FOLD_BITS = np.uint64(FOLDS.bit_length() - 1)  # FOLDS is a power of two
_KEY_BITS = np.uint64(32) + _SYMBOL_BITS + _FOLD_BITS
_PARTS = 8
"""A power of two: so many parts of all contexts are counted apart, as many at once as there are
cores, for what that takes is several times what is counted."""


@dataclass(frozen=True)
class Changed:
    """A table of which some answers are others: that without a fold is the table of all but for
    what the fold's own files say, an eighth of it, and there are FOLDS of them."""

    table: Ngrams
    changes: Ngrams  # whose predictions are those of `look_up`: 0 where nothing is known

    @classmethod
    def between(cls, table: Ngrams, other: Ngrams) -> Self:
        """What makes the table answer as the other, all of whose contexts it knows."""
        answers = np.zeros_like(table.predictions)
        answers[table.find(other.contexts)[0]] = other.predictions + 1
        differs = answers != table.predictions + 1
        return cls(table, Ngrams(table.contexts[differs], answers[differs]))

    def look_up(self, contexts: Contexts) -> Found:
        """As that of `Ngrams`."""
        changed = self.changes.look_up(contexts)  # one more than the answer, or 0
        return np.where(changed > 0, changed - 1, self.table.look_up(contexts))


@dataclass(frozen=True)
class CrossFitted:
    """The table of all files, and for each file the one that was counted without it."""

    table: Ngrams
    folds: Sequence[Memory]
    fold_of: Sequence[int]  # of each file

    def of(self, file: int) -> Memory:
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
    """Counts the files' contexts; `base` answers for contexts that they do not know.

    `fold_of` tells for each file which part it belongs to, from 0 to FOLDS - 1. Contexts
    seen less than `min_count` times are left out, and where there are more than MAX_CONTEXTS,
    first of the base's those that were seen least, then of the files' own.

    While the network trains, not even for those that only the file itself knows, and which
    it is therefore read without: where `base` was counted on these files too, its answers
    are what cross-fitting has to keep from the network.

    With a single file there are no others to count on, so `base` alone is read, then too
    when the training is over: the network has learned nothing of any other answer.
    """
    parts: list[list[Ngrams]] = []
    for done, order in enumerate(architecture.orders):
        progress(done, len(architecture.orders))
        parts.append(_count_order(order, files, fold_of, min_count))
    whole = _join(part[FOLDS] for part in parts)
    unseen = base.without(whole)
    if len(files) == 1:
        return CrossFitted(base, [unseen], [0])
    own = whole.most_seen(MAX_CONTEXTS)
    table = own.over(unseen.most_seen(MAX_CONTEXTS - len(own)))

    def fold(number: int) -> Changed:
        without = _join(part[number] for part in parts).over(unseen)
        return Changed.between(table, without.within(table))

    with _threads() as threads:
        return CrossFitted(table, list(threads.map(fold, range(FOLDS))), fold_of)


def _join(tables: Iterable[Ngrams]) -> Ngrams:
    """All in one; where several know a context, the last one's answer counts."""
    return Ngrams.empty().over(*reversed(list(tables)))


def _threads() -> ThreadPoolExecutor:
    """One for each core that training may use: numpy's sorts let go of Python's lock."""
    return ThreadPoolExecutor(torch.get_num_threads())


def _count_order(
    order: Order, files: Sequence[Symbols], fold_of: Sequence[int], min_count: int
) -> list[Ngrams]:
    """For each fold the table without its files, then the table of all, for one order."""
    keys = np.empty(sum(len(file) - 1 for file in files), dtype=np.uint64)
    end = 0
    for fold, file in zip(fold_of, files, strict=True):
        hashes = contexts.of_text((order,), file[:-1])[:, 0].astype(np.uint64)
        pairs = (hashes << _SYMBOL_BITS) | file[1:].astype(np.uint64)
        start, end = end, end + len(pairs)
        keys[start:end] = (pairs << _FOLD_BITS) | np.uint64(fold)
    parts = _KEY_BITS - np.uint64(_PARTS.bit_length() - 1)

    def tables(part: int) -> list[Ngrams]:
        return _tables(keys[keys >> parts == part], min_count)

    with _threads() as threads:
        counted = list(threads.map(tables, range(_PARTS)))
    return [_in_order([part[k] for part in counted]) for k in range(FOLDS + 1)]


def _tables(keys: npt.NDArray[np.uint64], min_count: int) -> list[Ngrams]:
    """The tables of _count_order, of some contexts: (context, what followed, fold) in 44 bits."""
    pairs, counts = _counts_by_fold(keys)
    contexts = pairs >> _SYMBOL_BITS
    symbols = (pairs & _SYMBOL_MASK).astype(np.int64)
    total = counts.sum(axis=1, dtype=counts.dtype)
    without = (total - counts[:, k] for k in range(FOLDS))  # one at a time: they are large
    return [_most_frequent(contexts, symbols, c, min_count) for c in chain(without, (total,))]


def _in_order(tables: Sequence[Ngrams]) -> Ngrams:
    """Tables in one, of which each has larger contexts than the one before."""
    contexts = np.concatenate([table.contexts for table in tables])
    return Ngrams(contexts, np.concatenate([table.predictions for table in tables]))


def _counts_by_fold(keys: npt.NDArray[np.uint64]) -> tuple[npt.NDArray[np.uint64], Counts]:
    """The distinct pairs, sorted, and how often each stands in each fold: (pairs, FOLDS)."""
    keys.sort()
    first = np.flatnonzero(run_starts(keys))
    times = np.diff(np.append(first, len(keys)))
    distinct = keys[first]
    sorted_pairs = distinct >> _FOLD_BITS
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
