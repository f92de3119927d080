"""Many people at one server: keystrokes a second, and how long each waits.

Each session types into a file of its own in a workspace of its own, a keystroke as soon as it
has the suggestion for the one before, to the end of the line.

    python benchmarks/sessions.py [--json] [--model NAME_OR_PATH] [--seconds N]
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import cycle
from time import perf_counter

import numpy as np
from rich.console import Console
from rich.table import Table

from foretype.client import AsyncClient, Document
from keystroke import TYPED, text
from options import parser
from served import served

SESSIONS = (1, 4, 16, 64)
LINES = 100


@dataclass(frozen=True)
class Row:
    """What so many sessions had of a server, times in milliseconds."""

    precision: str
    sessions: int
    keystrokes_per_second: float
    over_one: float  # that throughput over that of one session
    p50: float
    p95: float
    p99: float


async def session(client: AsyncClient, number: int, until: float, times: list[float]) -> None:
    """Types line after line until then; adds the time of each keystroke."""
    before, suffix = text(LINES)
    for typed in cycle(range(1, len(TYPED) + 1)):
        document = Document(
            path=f"src/Words{number}.java",
            workspace=f"session {number}",
            prefix=before + TYPED[:typed],
            suffix=suffix,
        )
        began = perf_counter()
        if began > until:
            return
        await client.complete(document, timeout=60)
        times.append(perf_counter() - began)
        if typed == len(TYPED):
            before += TYPED + "\n"


async def measure(model: str, precision: str, seconds: float) -> list[Row]:
    rows: list[Row] = []
    async with (
        served(model, "--precision", precision) as server,
        AsyncClient(server.address) as client,
    ):
        for sessions in SESSIONS:
            await _type(client, sessions, 1.0)  # until all files have been read
            began = perf_counter()
            times = await _type(client, sessions, seconds)
            rate = len(times) / (perf_counter() - began)
            p50, p95, p99 = (float(p) * 1e3 for p in np.percentile(times, (50, 95, 99)))
            one = rows[0].keystrokes_per_second if rows else rate
            rows.append(Row(precision, sessions, rate, rate / one, p50, p95, p99))
    return rows


async def _type(client: AsyncClient, sessions: int, seconds: float) -> Sequence[float]:
    times: list[float] = []
    until = perf_counter() + seconds
    await asyncio.gather(*(session(client, n, until, times) for n in range(sessions)))
    return times


def main() -> None:
    command = parser(__doc__)
    command.add_argument("--seconds", type=float, default=10, help="for each number of sessions")
    options = command.parse_args()
    rows = [
        row
        for precision in ("int8", "fp32")
        for row in asyncio.run(measure(options.model, precision, options.seconds))
    ]
    if options.json:
        print(json.dumps([asdict(row) for row in rows], indent=2))
        return
    table = Table("precision", "sessions", "keystrokes/s", "over one", "p50 ms", "p95", "p99")
    for row in rows:
        times = (f"{time:,.1f}" for time in (row.p50, row.p95, row.p99))
        table.add_row(
            row.precision,
            str(row.sessions),
            f"{row.keystrokes_per_second:,.0f}",
            f"{row.over_one:.1f} x",
            *times,
        )
    Console().print(table)


if __name__ == "__main__":
    main()
