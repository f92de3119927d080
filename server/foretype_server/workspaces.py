"""The memory of a project: what followed which context in the files of a workspace."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from foretype.project import LARGE_SHARE, MAX_BYTES
from foretype_models import alphabet, contexts
from foretype_models.architecture import Order, Orders
from foretype_models.contexts import Contexts
from foretype_models.inputs import (
    CLASSES,
    Found,
    Memory,
    Ngrams,
    confidence_class,
    most_seen,
)
from foretype_models.memory import run_starts
from foretype_server import names
from foretype_server.names import Hashes

MAX_CONTEXTS = 8_000_000
"""In a table; some 6 bytes each."""
MAX_WORKSPACES = 4
_FRESH_SHARE = 8
"""Changed files are counted on their own until they are this part of all; then all are."""
_MANY = 2**16 - 1
"""Stands for more than one file where a context's file is noted."""
_SYMBOL_BITS, _FILE_BITS = np.uint64(9), np.uint64(16)
_KEY_BITS = 32 + 9 + 16  # context, symbol, file
_PARTS = 16


@dataclass(frozen=True)
class Table:
    """What followed each context in some files, and which file it is where it is in one alone."""

    ngrams: Ngrams
    owners: npt.NDArray[np.uint16]  # of each context: the number of a file, or _MANY
    files: Mapping[str, int]  # numbers by path
    names: Hashes  # that stand in the files

    def without(self, path: str) -> Memory:
        """What it knows from other files than this one."""
        return _Others(self, self.files.get(path, -1))


@dataclass(frozen=True)
class _Others:
    """A table, but for what one file alone knows. What several know it knows from all."""

    table: Table
    file: int

    def look_up(self, contexts: Contexts) -> Found:
        table = self.table.ngrams
        if not len(table):
            return np.zeros(contexts.shape, dtype=np.uint16)
        at, known = table.find(contexts)
        known &= self.table.owners.take(at, mode="clip") != self.file
        return (table.predictions.take(at, mode="clip") + 1) * known


@dataclass(frozen=True)
class _Nearest:
    """The answers of the first memory that has one."""

    memories: tuple[Memory, ...]

    def look_up(self, contexts: Contexts) -> Found:
        found = self.memories[0].look_up(contexts)
        for memory in self.memories[1:]:
            found = np.where(found, found, memory.look_up(contexts))
        return found


def count(orders: Orders, texts: Mapping[str, bytes]) -> Table:
    """The table of some files by path, at least one: of each context the symbol that followed
    most often (of equals the first in the alphabet), and how surely."""
    files = {path: number for number, path in enumerate(texts)}
    parts = [_count_order(order, texts) for order in orders]
    contexts = np.concatenate([np.zeros(0, np.uint32), *(part[0] for part in parts)])
    places = np.argsort(contexts, kind="stable")
    first = places[run_starts(contexts[places])]  # orders may share a hash by chance
    predictions = np.concatenate([np.zeros(0, np.uint16), *(part[1] for part in parts)])
    owners = np.concatenate([np.zeros(0, np.uint16), *(part[2] for part in parts)])
    if len(first) > MAX_CONTEXTS:
        first = first[most_seen(predictions[first], MAX_CONTEXTS)]
    counted = Ngrams(contexts[first], predictions[first])
    return Table(counted, owners[first], files, names.hashes(texts.values()))


def _count_order(
    order: Order, texts: Mapping[str, bytes]
) -> tuple[npt.NDArray[np.uint32], npt.NDArray[np.uint16], npt.NDArray[np.uint16]]:
    """Contexts, predictions and owners for one order."""
    # Every symbol of a file but its last: its path between two control symbols, its text.
    keys = np.empty(sum(len(p.encode()) + 2 + len(t) for p, t in texts.items()), dtype=np.uint64)
    at = 0
    for number, (path, text) in enumerate(texts.items()):
        of_file = _keys(order, number, alphabet.encode_file(path, text))
        keys[at : at + len(of_file)] = of_file
        at += len(of_file)
    keys.sort()
    # In parts, of which each holds all of its contexts: what it takes meanwhile is large.
    bounds = np.arange(1, _PARTS, dtype=np.uint64) << np.uint64(_KEY_BITS - 4)
    parts = [_summed(part) for part in np.split(keys, np.searchsorted(keys, bounds)) if len(part)]
    contexts, predictions, owners = (np.concatenate(column) for column in zip(*parts, strict=True))
    return contexts, predictions, owners


def _summed(
    keys: npt.NDArray[np.uint64],
) -> tuple[npt.NDArray[np.uint32], npt.NDArray[np.uint16], npt.NDArray[np.uint16]]:
    """Contexts, predictions and owners of sorted keys."""
    pairs = keys >> _FILE_BITS
    pair_at = np.flatnonzero(run_starts(pairs))
    counts = np.diff(np.append(pair_at, len(keys)))
    symbols = (pairs[pair_at] & np.uint64(2**9 - 1)).astype(np.int64)
    contexts = pairs[pair_at] >> _SYMBOL_BITS
    context_at = np.flatnonzero(run_starts(contexts))
    total = np.add.reduceat(counts, context_at)
    best = np.maximum.reduceat(counts, context_at)
    sizes = np.diff(np.append(context_at, len(contexts)))
    is_best = counts == np.repeat(best, sizes)
    positions = np.where(is_best, np.arange(len(contexts)), len(contexts))
    symbol = symbols[np.minimum.reduceat(positions, context_at)]
    predictions = symbol * CLASSES + confidence_class(best, total)
    numbers = (keys & np.uint64(_MANY)).astype(np.uint16)
    at = pair_at[context_at]
    least, greatest = np.minimum.reduceat(numbers, at), np.maximum.reduceat(numbers, at)
    owners = np.where(least == greatest, least, _MANY)
    return (
        contexts[context_at].astype(np.uint32),
        predictions.astype(np.uint16),
        owners.astype(np.uint16),
    )


def _keys(order: Order, number: int, file: alphabet.Symbols) -> npt.NDArray[np.uint64]:
    """Context, follower and file of every symbol, to be sorted in that order."""
    hashes = contexts.of_text((order,), file[:-1])[:, 0].astype(np.uint64)
    pairs = hashes << _SYMBOL_BITS | file[1:].astype(np.uint64)
    return pairs << _FILE_BITS | np.uint64(number)


@dataclass(frozen=True)
class Project:
    """A workspace's memory as it was at one moment, for reading one of its files."""

    generation: int  # another one has another number
    memory: Memory
    since: int = 0  # the first generation that knows nothing that was forgotten


@dataclass(frozen=True)
class Status:
    """How large a workspace's memory is."""

    files: int
    bytes: int
    left_out: int  # files that were given and did not fit
    contexts: int


_NOTHING = Status(0, 0, 0, 0)


class Workspace:
    """The files of one workspace, counted; what is changed is counted anew at little cost."""

    def __init__(self, orders: Orders, max_bytes: int = MAX_BYTES) -> None:
        self._orders = orders
        self._max_bytes = max_bytes
        self._texts: OrderedDict[str, bytes] = OrderedDict()  # the newest last
        self._fresh: dict[str, bytes] = {}  # changed since all were counted
        self._left_out: dict[str, None] = {}  # the newest last
        self._tables: tuple[Table, ...] = ()  # the newest first

    def remember(self, documents: Mapping[str, bytes]) -> bool:
        """Puts files in, in place of earlier versions of them; whether anything changed. Of
        more than fit, the largest and those given first are left out."""
        new = {p: text for p, text in documents.items() if self._texts.get(p) != text}
        for path, text in new.items():
            self._texts.pop(path, None)
            self._texts[path] = self._fresh[path] = text
            self._left_out.pop(path, None)
        if new:
            self._count(anew=self._make_room())
        return bool(new)

    def forget(self, paths: Iterable[str]) -> bool:
        """Takes files out; whether any was in."""
        gone = False
        for path in paths:
            self._left_out.pop(path, None)
            gone |= self._texts.pop(path, None) is not None
        if gone:
            self._count(anew=True)
        return gone

    def counted_for(self, orders: Orders) -> Workspace:
        """One with the same files, for a network that reads other contexts."""
        other = Workspace(orders, self._max_bytes)
        other._texts, other._left_out = self._texts.copy(), self._left_out.copy()
        other._count(anew=True)
        return other

    @property
    def tables(self) -> tuple[Table, ...]:
        """What was counted, the newest first; never changed once it is there."""
        return self._tables

    @property
    def status(self) -> Status:
        return Status(
            len(self._texts),
            self._bytes,
            len(self._left_out),
            sum(len(table.ngrams) for table in self._tables),
        )

    @property
    def _bytes(self) -> int:
        return sum(len(path) + len(text) for path, text in self._texts.items())

    def _make_room(self) -> bool:
        """Lets files go until the rest fits; whether any had to."""
        size, before = self._bytes, len(self._texts)
        by_size = sorted(self._texts, key=lambda path: len(self._texts[path]), reverse=True)
        large = [p for p in by_size if len(self._texts[p]) > self._max_bytes // LARGE_SHARE]
        for path in [*large, *list(self._texts)]:
            if size <= self._max_bytes and len(self._texts) < _MANY:
                break
            if path in self._texts:
                size -= len(path) + len(self._texts.pop(path))
                self._left_out[path] = None
        while len(self._left_out) > _MANY:
            del self._left_out[next(iter(self._left_out))]
        return len(self._texts) < before

    def _count(self, anew: bool = False) -> None:
        if (
            anew
            or not self._tables
            or sum(map(len, self._fresh.values())) * _FRESH_SHARE > self._bytes
        ):
            self._tables = (count(self._orders, self._texts),) if self._texts else ()
            self._fresh = {}
        elif self._fresh:
            self._tables = (count(self._orders, self._fresh), self._tables[-1])


def others(tables: tuple[Table, ...], path: str) -> Memory | None:
    """What is known from other files than this one."""
    return _Nearest(tuple(table.without(path) for table in tables)) if tables else None


def stands_in(tables: tuple[Table, ...], name: bytes) -> bool:
    """Whether a name stands in one of the files that were counted."""
    return any(names.among(table.names, name) for table in tables)


@dataclass
class _Entry:
    workspace: Workspace
    generation: int = 0
    since: int = 0
    tables: tuple[Table, ...] = ()
    status: Status = _NOTHING


class Workspaces:
    """The memories of all workspaces; the least recently used leave. Safe for threads."""

    def __init__(self, orders: Orders, max_workspaces: int = MAX_WORKSPACES) -> None:
        self._orders = orders
        self._max = max_workspaces
        self._counting = threading.Lock()  # one at a time: it takes memory and a core
        self._lock = threading.Lock()  # of what follows, and never held for long
        self._entries: OrderedDict[str, _Entry] = OrderedDict()
        self._generations = 0

    def remember(self, name: str, documents: Mapping[str, bytes]) -> Status:
        """Returns once the files are in the memory. What is read meanwhile is read with the
        memory before."""
        with self._counting:
            entry = self._entry(name, make=bool(documents))
            if entry is None:
                return _NOTHING
            if entry.workspace.remember(documents):
                self._renew(name, entry)
            return entry.status

    def forget(self, name: str, paths: Iterable[str] | None) -> Status:
        """Takes files out, or all of them."""
        with self._counting:
            entry = self._entry(name)
            if entry is None:
                return _NOTHING
            if paths is not None and entry.workspace.forget(paths):
                self._renew(name, entry, forgotten=True)
            if paths is None or not entry.status.files:
                with self._lock:
                    self._generations += 1
                    del self._entries[name]
                return _NOTHING
            return entry.status

    def counted_for(self, orders: Orders) -> Workspaces:
        """Those with the same files for a network that reads contexts of these orders: these
        themselves where it reads the same."""
        if orders == self._orders:
            return self
        others = Workspaces(orders, self._max)
        with self._counting:
            with self._lock:
                entries = list(self._entries.items())
            for name, entry in entries:
                others._renew(name, _Entry(entry.workspace.counted_for(orders)))
        return others

    @property
    def changes(self) -> int:
        """Grows with every change of any memory."""
        return self._generations

    def status(self, name: str) -> Status:
        with self._lock:
            entry = self._entries.get(name)
            return entry.status if entry else _NOTHING

    def project(self, name: str, path: str) -> Project | None:
        """What a file of a workspace is read with."""
        with self._lock:
            entry = self._entries.get(name)
            if entry is None:
                return None
            self._entries.move_to_end(name)
            memory = others(entry.tables, path)
            return Project(entry.generation, memory, entry.since) if memory else None

    def knows_name(self, workspace: str, name: bytes) -> bool:
        """Whether a name stands in one of its files."""
        with self._lock:
            entry = self._entries.get(workspace)
            tables = entry.tables if entry else ()
        return stands_in(tables, name)

    def _entry(self, name: str, make: bool = False) -> _Entry | None:
        with self._lock:
            entry = self._entries.get(name)
            if entry is None and make:
                entry = self._entries[name] = _Entry(Workspace(self._orders))
            return entry

    def _renew(self, name: str, entry: _Entry, forgotten: bool = False) -> None:
        with self._lock:
            self._generations += 1
            entry.generation = self._generations
            entry.tables, entry.status = entry.workspace.tables, entry.workspace.status
            if forgotten:
                entry.since = self._generations
            self._entries[name] = entry
            self._entries.move_to_end(name)
            if len(self._entries) > self._max:
                self._entries.popitem(last=False)
