"""What a request is about, what it allows, and what its answer took."""

from __future__ import annotations

from dataclasses import dataclass, field
from time import perf_counter

from foretype_server.boundaries import Until
from foretype_server.candidates import Options


@dataclass(frozen=True)
class Document:
    """A text with a cursor in it."""

    workspace: str
    path: str
    prefix: bytes  # valid UTF-8
    suffix: bytes


@dataclass(frozen=True)
class Limits:
    """How far a continuation goes, and on what it may rest.

    Unless the `whole_prefix` is to be read first, it rests on the prefix's end alone as long
    as the rest of a long one is still being read: `Timings.context_bytes` says on how much.
    """

    until: Until
    options: Options
    whole_prefix: bool = False


@dataclass
class Timings:
    """Where the time of one request went, in seconds, and how much was read for it."""

    arrived: float = field(default_factory=perf_counter)
    queue: float = 0.0
    read: float = 0.0
    search: float = 0.0
    search_runs: int = 0  # of the network
    read_bytes: int = 0
    context_bytes: int = 0  # before the cursor: what the answer rests on

    @property
    def total(self) -> float:
        return perf_counter() - self.arrived
