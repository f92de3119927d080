"""What a search is asked and what it finds."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from foretype_server.boundaries import Progress
from foretype_server.states import Snapshot

AT_ONCE = 16
"""Bytes that a search has read in one run at most, guessed or given."""

Stop = Literal["boundary", "length", "confidence", "end of file", "suffix", "repetition"]


@dataclass(frozen=True)
class Options:
    """Bounds on a search, checked at the edge."""

    candidates: int
    length: int  # bytes
    confidence: float  # below this product of probabilities a continuation is cut


@dataclass(frozen=True)
class Candidate:
    """A finished continuation."""

    text: str
    log_prob: float  # of the text, and of its end where that is a boundary
    confidences: Sequence[float]  # one for each character
    stop: Stop

    @property
    def probability(self) -> float:
        """Of the text, however it ends."""
        return math.exp(log_prob(self.confidences))

    def cut(self, length: int, stop: Stop) -> Candidate:
        """Its first characters, so many."""
        confidences = self.confidences[:length]
        return Candidate(self.text[:length], log_prob(confidences), confidences, stop)


def log_prob(confidences: Sequence[float]) -> float:
    """Of characters of these probabilities, each given those before it."""
    return math.fsum(math.log(c) if c else -math.inf for c in confidences)


class Draft(Protocol):
    """Guesses what a search will write (see `drafts.py`)."""

    def after(self, written: bytes, unread: int) -> bytes:
        """What may come after this, of which the network is still to read so many bytes; nothing
        where there is no telling."""
        ...

    def keep(self, written: bytes) -> None:
        """Is told at the end what was written, before it was cut."""
        ...


class Names(Protocol):
    """Those that are known at the cursor (see `names.py`)."""

    @property
    def begun(self) -> bytes:
        """What of a word stands right before the cursor."""
        ...

    def __contains__(self, name: bytes) -> bool: ...


@dataclass(frozen=True)
class Cursor:
    """Where a search begins, and what is known there."""

    snapshot: Snapshot
    progress: Progress
    names: Names | None = None  # all, if None
    draft: Draft | None = None  # of the single candidate: makes it faster and changes nothing
