"""The engine: documents in, continuations out. It knows nothing of transport."""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator, Generator
from functools import partial
from time import perf_counter
from typing import TypeVar

from foretype_models.bundle import Description, Precision
from foretype_models.runtime import Piece, Read, Runtime
from foretype_server import search
from foretype_server.boundaries import Progress, Until
from foretype_server.candidates import Candidate, Cursor, Stop
from foretype_server.compute import Compute
from foretype_server.documents import Document, Limits, Timings
from foretype_server.drafts import Drafts
from foretype_server.names import Names
from foretype_server.observer import NO_OBSERVER, Observer
from foretype_server.reading import Reader
from foretype_server.recall import memory_orders
from foretype_server.scoring import CharacterScore, score
from foretype_server.search import Character
from foretype_server.states import Snapshot
from foretype_server.workspaces import Workspaces

T = TypeVar("T")
Y = TypeVar("Y")

SNAPSHOT_BYTES = 50 * 2**20
CAPACITY = 64  # requests under way

_SCORING = "scoring"
"""The session of all who ask for scores: nobody waits for these while typing."""

_HOUSEKEEPING = "housekeeping"

_LINE = re.compile(rb"[^\r\n]+")


class Engine:
    """Answers from one model. Its methods are called from one event loop.

    All of them raise Overloaded when too much is under way, and give their work up within
    one run of the network when the task that awaits them is cancelled.
    """

    def __init__(
        self,
        runtime: Runtime,
        snapshot_bytes: int = SNAPSHOT_BYTES,
        capacity: int = CAPACITY,
        observer: Observer = NO_OBSERVER,
        workspaces: Workspaces | None = None,
    ) -> None:
        self.runtime = runtime
        self._observer = observer
        self._bounds = snapshot_bytes, capacity
        self.workspaces = workspaces or Workspaces(memory_orders(runtime.architecture))
        self._reader = Reader(runtime, self.workspaces, snapshot_bytes)
        self._drafts = Drafts(runtime.is_exact)
        self._compute = Compute(runtime, capacity, self._reader.background, observer)

    @property
    def model(self) -> Description:
        return self.runtime.description

    @property
    def precision(self) -> Precision:
        return self.runtime.precision

    @property
    def snapshot_bytes(self) -> int:
        """What the snapshots take."""
        return self._reader.snapshot_bytes

    @property
    def under_way(self) -> int:
        """Requests that are being answered or wait for it."""
        return self._compute.under_way

    def successor(self, runtime: Runtime) -> Engine:
        """One with another model, which remembers the same files of workspaces.

        Where that model reads contexts of other orders they are counted anew, at some
        seconds for a large workspace.
        """
        workspaces = self.workspaces.counted_for(memory_orders(runtime.architecture))
        return Engine(runtime, *self._bounds, self._observer, workspaces)

    def close(self) -> None:
        """Gives up what is under way."""
        self._compute.close()

    async def read(self, document: Document) -> int:
        """Has a document's prefix read in the background; how many bytes of it are left."""
        return await self._compute.run(self._reader.read_later(document), _session(document))

    async def let_go(self) -> None:
        """Of what is held of memories that know what was forgotten since."""

        def work() -> Generator[Piece, Read, None]:
            yield from ()
            self._reader.let_go()

        await self._compute.run(work(), _HOUSEKEEPING)

    async def complete(
        self, document: Document, limits: Limits, timings: Timings
    ) -> list[Candidate]:
        """The most probable continuations at the cursor, best first."""

        def work() -> Generator[Piece, Read, list[Candidate]]:
            start = yield from self._reader.read(document, limits.whole_prefix, timings)
            cursor = self._cursor(start, document, limits.until)
            work = search.search(cursor, limits.options)
            found = yield from _timed(timings, work)
            self._observer.has_answered(timings)
            if found:
                self._reader.expect(document, found[0].text.encode())
            return found

        return await self._compute.run(work(), _session(document))

    def stream(
        self, document: Document, limits: Limits, timings: Timings
    ) -> AsyncGenerator[Character | Stop]:
        """The best continuation, character by character; the last item says why it ended."""

        def work() -> Generator[Piece | list[Character | Stop], Read, list[Character | Stop]]:
            start = yield from self._reader.read(document, limits.whole_prefix, timings)
            cursor = self._cursor(start, document, limits.until)
            work = search.stream(cursor, limits.options)
            told: list[Character | Stop] = []
            found = yield from _timed(timings, _noted(work, told))
            self._observer.has_answered(timings)
            streamed = "".join(item.text for item in told if isinstance(item, Character))
            if streamed:
                self._reader.expect(document, streamed.encode())
            return found

        return self._compute.stream(work(), _session(document))

    def _cursor(self, start: Snapshot, document: Document, until: Until) -> Cursor:
        names = Names(
            document.prefix,
            document.suffix,
            partial(self.workspaces.knows_name, document.workspace),
        )
        return Cursor(start, progress(document, until), names, self._drafts.of(document))

    async def predict(
        self, document: Document, count: int, timings: Timings
    ) -> list[tuple[str, float]]:
        """The most probable next characters with their probabilities; "" ends the file."""

        def work() -> Generator[Piece, Read, list[tuple[str, float]]]:
            start = yield from self._reader.read(document, True, timings)
            found = yield from _timed(timings, search.predict(start, count))
            self._observer.has_answered(timings)
            return found

        return await self._compute.run(work(), _session(document))

    async def score(self, path: str, text: str, timings: Timings) -> list[CharacterScore]:
        """The bits of every character of a text, read with its own memory."""
        work = score(self.runtime, path, text.encode(), timings)
        return await self._compute.run(work, _SCORING)


def _session(document: Document) -> tuple[str, str]:
    """Whose work it is, for its turn: an editor's or, where no workspace is named, a text's."""
    return (document.workspace, "") if document.workspace else ("", document.path)


def progress(document: Document, until: Until) -> Progress:
    """What the text around the cursor says about where a continuation ends."""
    line = _LINE.match(document.suffix)
    last = document.prefix[-1:] or b"\n"
    return Progress(until=until, after_cursor=line[0] if line else b"", last=last[0])


def _noted(
    stream: Generator[Piece | list[Y], Read, list[Y]], told: list[Y]
) -> Generator[Piece | list[Y], Read, list[Y]]:
    """The same stream; `told` gets all items that it tells."""
    event = next(stream)
    try:
        while True:
            if not isinstance(event, Piece):
                told += event
            event = stream.send((yield event))
    except StopIteration as end:
        told += end.value
        return end.value


def _timed(timings: Timings, search: Generator[Y, Read, T]) -> Generator[Y, Read, T]:
    """The same search; notes its runs of the network and how long it took, with others' runs
    between."""
    began = perf_counter()
    try:
        event = next(search)
        while True:
            timings.search_runs += isinstance(event, Piece)
            event = search.send((yield event))
    except StopIteration as end:
        return end.value
    finally:
        timings.search = perf_counter() - began
