"""What a server holds on to: memory with many files open, under long load, after many streams
that were given up; and the processor while nobody asks.

    python benchmarks/soak.py [--json] [--model NAME_OR_PATH] [--minutes N] [--sessions N]
        [--streams N]

    open      resident memory with ten files of 5,000 lines open, all of them read
    idle      share of a core that the server then uses while nobody asks
    load      growth of resident memory while sessions type, jump and edit for so long, after a
              fifth of that time as warm-up; and every answer that was none, by its code
    streams   the same growth over so many streams that were given up after a character
    bare      and of a server that has no engine (`bare.py`): what grpcio itself loses, which does
              not free what it had made ready for a message that it cannot send any more
              (grpc/grpc#43360)
"""

from __future__ import annotations

import asyncio
import json
import random
from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path
from time import perf_counter
from typing import Any, cast

import grpc
from rich.console import Console
from rich.progress import track

from foretype.client import AsyncClient, Document, Limits
from keystroke import TYPED, text
from options import parser
from served import Served, served, started

BARE = Path(__file__).parent / "bare.py"
OPEN, LINES = 10, 5000
IDLE_SECONDS = 10.0
AT_ONCE = 32  # streams
WARM_UP = 0.2


@dataclass(frozen=True)
class Found:
    """Memory in megabytes."""

    started: float
    open: float
    idle: float  # of a core, from 0 to 1
    keystrokes: int
    errors: dict[str, int]
    load_growth: float
    streams: int
    streams_growth: float
    bare_growth: float
    finally_: float


async def open_files(client: AsyncClient) -> None:
    prefix, suffix = text(LINES)
    for number in range(OPEN):
        document = Document(
            path=f"src/Open{number}.java", workspace="open", prefix=prefix + TYPED, suffix=suffix
        )
        await client.complete(document, Limits(whole_prefix=True), timeout=120)


async def idle(server: Served) -> float:
    began, used = perf_counter(), server.seconds
    await asyncio.sleep(IDLE_SECONDS)
    return (server.seconds - used) / (perf_counter() - began)


async def session(client: AsyncClient, number: int, until: float, seen: Counter[str]) -> None:
    """Types, jumps and edits in a file of its own, with pauses as people make them."""
    rng = random.Random(number)
    whole = "".join(text(200))
    at = rng.randrange(len(whole))
    while perf_counter() < until:
        if rng.random() < 0.05:
            at = rng.randrange(len(whole))
        whole = whole[:at] + rng.choice("abcdefgh(); ") + whole[at:]
        at += 1
        document = Document(
            path=f"src/Words{number}.java",
            workspace=f"session {number % 8}",
            prefix=whole[:at],
            suffix=whole[at:],
        )
        seen[await _answer(client, document)] += 1
        await asyncio.sleep(rng.expovariate(5))


async def _answer(client: AsyncClient, document: Document) -> str:
    try:
        await client.complete(document, Limits(confidence=0.3), timeout=30)
    except Exception as error:
        cause = cast(Any, error.__cause__)
        return cause.code().name if isinstance(cause, grpc.RpcError) else type(error).__name__
    return "OK"


async def load(
    server: Served, client: AsyncClient, sessions: int, minutes: float
) -> tuple[Counter[str], float]:
    """Answers by code, and how much the memory grew after the warm-up."""
    seen: Counter[str] = Counter()
    began = perf_counter()
    until = began + 60 * minutes
    typing = [asyncio.create_task(session(client, n, until, seen)) for n in range(sessions)]
    await asyncio.sleep(60 * minutes * WARM_UP)
    warm = server.megabytes
    await asyncio.gather(*typing)
    return seen, server.megabytes - warm


async def give_up(client: AsyncClient) -> None:
    document = Document(path="Words.java", workspace="streams", prefix="class Words {\n" * 3)
    stream = cast(Any, client.stream(document, Limits(length=2000), timeout=60))
    async for _ in stream:
        break
    await stream.aclose()


async def streams(server: Served, client: AsyncClient, total: int) -> float:
    """How much the memory grew after the warm-up."""
    warm_up = int(total * WARM_UP)
    warm = server.megabytes
    for first in track(range(0, total, AT_ONCE), "streams", console=Console(stderr=True)):
        await asyncio.gather(*(give_up(client) for _ in range(AT_ONCE)))
        if first <= warm_up:
            warm = server.megabytes
    return server.megabytes - warm


async def run(model: str, minutes: float, sessions: int, total: int) -> Found:
    async with served(model) as server, AsyncClient(server.address) as client:
        at_start = server.megabytes
        await open_files(client)
        with_files = server.megabytes
        idling = await idle(server)
        seen, load_growth = await load(server, client, sessions, minutes)
        streams_growth = await streams(server, client, total)
        in_the_end = server.megabytes
    async with started(str(BARE)) as server, AsyncClient(server.address) as client:
        bare_growth = await streams(server, client, total)
    return Found(
        started=at_start,
        open=with_files,
        idle=idling,
        keystrokes=seen.pop("OK", 0),
        errors=dict(seen),
        load_growth=load_growth,
        streams=total,
        streams_growth=streams_growth,
        bare_growth=bare_growth,
        finally_=in_the_end,
    )


def main() -> None:
    command = parser(__doc__)
    command.add_argument("--minutes", type=float, default=10, help="of load")
    command.add_argument("--sessions", type=int, default=64)
    command.add_argument("--streams", type=int, default=1_000_000)
    options = command.parse_args()
    found = asyncio.run(run(options.model, options.minutes, options.sessions, options.streams))
    if options.json:
        print(json.dumps(asdict(found), indent=2))
        return
    errors = ", ".join(f"{count} {code}" for code, count in found.errors.items()) or "none"
    print(
        f"started {found.started:.0f} MB, {OPEN} files of {LINES:,} lines open"
        f" {found.open:.0f} MB, idle {found.idle:.1%} of a core\n"
        f"{options.sessions} sessions, {options.minutes:g} minutes: {found.keystrokes:,}"
        f" keystrokes, errors: {errors}, memory {found.load_growth:+.1f} MB after warm-up\n"
        f"{found.streams:,} streams given up: memory {found.streams_growth:+.1f} MB after"
        f" warm-up; {found.finally_:.0f} MB in the end; of a server without an engine"
        f" {found.bare_growth:+.1f} MB"
    )


if __name__ == "__main__":
    main()
