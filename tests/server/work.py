"""Runs what the compute thread would run, here and at once."""

from __future__ import annotations

from collections.abc import Generator
from typing import TypeVar

T = TypeVar("T")
Y = TypeVar("Y")


def result(work: Generator[object, None, T]) -> T:
    """What it returns."""
    return events_and_result(work)[1]


def events_and_result(work: Generator[Y, None, T]) -> tuple[list[Y], T]:
    """What it yields, and what it returns."""
    yielded: list[Y] = []
    while True:
        try:
            yielded.append(next(work))
        except StopIteration as end:
            return yielded, end.value
