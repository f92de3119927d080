"""The memories of the files that are being read."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np

from foretype_models import alphabet
from foretype_models.alphabet import Symbols
from foretype_models.architecture import Architecture, Orders
from foretype_models.contexts import Contexts
from foretype_models.inputs import Found, Memory
from foretype_models.memory import TextMemory, symbols_of
from foretype_server.states import Name, Origin

SPAN = 2**16
"""Bytes: of a longer text the span that holds a position and the one before it are remembered.
Where they begin depends on that position alone, so reading in parts gives the same; and who
jumps about in a long text finds the spans as they were left."""
CAPACITY = 48 * 2**20  # bytes: of a file of half a megabyte all spans, eight orders in each


def memory_orders(architecture: Architecture) -> Orders:
    """Of the contexts that a memory has to know for a network."""
    return architecture.orders if architecture.memory else ()


class FileMemories:
    """For any position of a text, what its own text before that knows.

    Bounded in bytes; what has left is built anew from the text. Not safe for threads: who
    computes has it alone (see `compute.py`).
    """

    def __init__(self, orders: Orders, capacity: int = CAPACITY) -> None:
        self._orders = orders
        self._capacity = capacity
        self._texts: OrderedDict[tuple[Name, int], tuple[bytes, TextMemory]] = OrderedDict()

    def of_path(self, origin: Origin) -> Memory:
        """For reading the path."""
        return self._span(origin, 0).along(0, _path_length(origin.name.path))

    def along(self, origin: Origin, start: int, stop: int) -> Memory:
        """For reading the text from `start` up to `stop`, which lie in one block."""
        first = _first(start)
        shift = _shift(origin, first)
        own = self._span(origin, first).along(start - shift, stop - shift)
        return self._after_span_before(origin, first, own)

    def after(self, origin: Origin) -> Memory:
        """For all that may follow the text."""
        length = len(origin.text)
        first = _first(length)
        own = self._span(origin, first).at(length - _shift(origin, first))
        return self._after_span_before(origin, first, own)

    def _after_span_before(self, origin: Origin, first: int, own: Memory) -> Memory:
        """What the span before the one from `first` on knows, and this one's own."""
        if not first:
            return own
        before = first - SPAN
        earlier = self._span(origin, before).at(first - _shift(origin, before))
        return _Spans(earlier, own)

    def _span(self, origin: Origin, first: int) -> TextMemory:
        """That of the span from `first` on, as far as any position needs it."""
        key = (replace(origin.name, generation=0), first)
        text = origin.text[first : first + SPAN]
        known = self._texts.pop(key, None)
        if known is None:
            memory = TextMemory(self._orders, _symbols(origin, first, text))
        else:
            followed, memory = known
            if followed.startswith(text):
                text = followed  # what it knows beyond counts for no position in the text
            else:
                memory.follow(_symbols(origin, first, text))
        self._texts[key] = text, memory
        while len(self._texts) > 1 and self._nbytes > self._capacity:
            self._texts.popitem(last=False)
        return memory

    @property
    def _nbytes(self) -> int:
        return sum(len(text) + memory.nbytes for text, memory in self._texts.values())


@dataclass(frozen=True)
class _Spans:
    """Two memories of one text, of which the later one's answers count. Each has counted its own
    span; where both say that the same symbol follows, the one that has seen more is right."""

    earlier: Memory
    later: Memory

    def look_up(self, contexts: Contexts) -> Found:
        earlier, later = self.earlier.look_up(contexts), self.later.look_up(contexts)
        same = symbols_of(earlier) == symbols_of(later)
        return np.where(same | (later == 0), np.maximum(earlier, later), later)


def _symbols(origin: Origin, first: int, text: bytes) -> Symbols:
    """Of the text from `first` on, after the path where that is its beginning."""
    symbols = alphabet.encode(text)
    return symbols if first else np.concatenate((alphabet.encode_path(origin.name.path), symbols))


def _first(position: int) -> int:
    """Where the span begins that holds this position."""
    return position // SPAN * SPAN


def _shift(origin: Origin, first: int) -> int:
    """How far positions in the text are from those in what is remembered from `first` on."""
    return first or -_path_length(origin.name.path)


@lru_cache(maxsize=64)
def _path_length(path: str) -> int:
    return len(alphabet.encode_path(path))
