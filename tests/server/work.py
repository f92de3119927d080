"""Runs what the compute thread would run, here and at once."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any, TypeVar

from foretype_models.runtime import Piece, Read, Runtime

T = TypeVar("T")
Y = TypeVar("Y")


def events_and_result(runtime: Runtime, work: Generator[Piece | Y, Any, T]) -> tuple[list[Y], T]:
    """What it yields beside the pieces that it wants read, and what it returns."""
    yielded: list[Y] = []
    read: Read | None = None
    while True:
        try:
            event = work.send(read)
        except StopIteration as end:
            return yielded, end.value
        read = None
        if isinstance(event, Piece):
            read = runtime.read(event.symbols, event.state, event.memories)
        else:
            yielded.append(event)
