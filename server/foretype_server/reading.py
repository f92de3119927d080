"""Reads texts into the network: no more of each than is new, and long ones in the background."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Generator
from dataclasses import dataclass, replace
from time import perf_counter
from typing import TypeVar

from foretype_models import alphabet
from foretype_models.inputs import Memories, Memory
from foretype_models.runtime import Piece, Read, Runtime
from foretype_server.documents import Document, Timings
from foretype_server.recall import FileMemories, memory_orders
from foretype_server.states import BLOCK, Name, Origin, Snapshot, Snapshots
from foretype_server.workspaces import Project, Workspaces

T = TypeVar("T")

NEAR = 2048
"""Bytes: where more than twice as many are new, an answer need not wait for them all."""
AHEAD = 256
"""Bytes: so much is read ahead of what is accepted, and appended to the file's memory; more than
a suggestion has unless that was asked for."""
MAX_OPENED = 2**18
"""Bytes of texts that were opened and wait to be read, and of any of these; the oldest leave.
What is read takes some 80 times as much, and is not to drive out what is in use."""
MAX_WAITING = 16  # texts to be read in the background, and as many ahead; the oldest leave
MAX_HELD = 4
"""Generations of projects' memories that texts may rest on while they are read with a newer one."""


@dataclass
class _Reading:
    """A text, how far it is read, and with which memory of its project."""

    origin: Origin
    project: Project | None
    position: int
    snapshot: Snapshot | None
    is_opened: bool = False  # nobody has asked for it yet

    @property
    def memory(self) -> Memory | None:
        return self.project.memory if self.project else None

    @property
    def left(self) -> int:
        return len(self.origin.text) - self.position

    @property
    def done(self) -> bool:
        return self.snapshot is not None and not self.left


class Reader:
    """The snapshot after any text, from the deepest one that is known on.

    Not safe for threads: who computes has it alone (see `compute.py`), for the jobs and for the
    background alike, but may leave it to others between a piece and what came of it.
    """

    def __init__(
        self,
        runtime: Runtime,
        workspaces: Workspaces,
        snapshot_bytes: int,
    ) -> None:
        self.runtime = runtime
        self._workspaces = workspaces
        self._snapshots = Snapshots(snapshot_bytes)
        self._files = FileMemories(memory_orders(runtime.architecture))
        self._waiting: OrderedDict[tuple[str, str], _Reading] = OrderedDict()  # newest last
        self._expected: OrderedDict[tuple[str, str], Document] = OrderedDict()
        # The memory that a file was last read with, and the one it is being read with.
        self._used: OrderedDict[tuple[str, str], Project | None] = OrderedDict()
        self._next: OrderedDict[tuple[str, str], Project | None] = OrderedDict()
        self._changes = 0  # of the memories, when those that are held were last looked through

    def read(
        self, document: Document, whole: bool, timings: Timings
    ) -> Generator[Piece, Read, Snapshot]:
        """The snapshot after a document's prefix; yields each piece that is to be read for it,
        a block at most, and is sent what came of that.

        Where much of the prefix is new, and it need not be the `whole`, that is left to the
        background. If the text is known as read with an earlier memory of its project, the
        snapshot is the one after that; else the one after the prefix's end alone: what a
        file would give that begins there.
        """
        began = perf_counter()
        timings.queue = began - timings.arrived
        reading = self._begin(document, whole)
        length = timings.context_bytes = len(reading.origin.text)
        timings.read_bytes = length - reading.position
        while not reading.done:
            yield from self._step(reading)
        if not reading.origin.name.is_end:
            _put(self._used, (document.workspace, document.path), reading.project)
        memories = Memories(reading.memory, self._files.after(reading.origin))
        timings.read = perf_counter() - began
        assert reading.snapshot is not None
        return replace(reading.snapshot, memories=memories)

    def read_later(self, document: Document) -> Generator[Piece, Read, int]:
        """Leaves it to the background to read the prefix of a document that was opened; how
        many bytes of it are left. What somebody has asked for of the document stays, and what is
        longer than `MAX_OPENED` is not read. Work as `read` is, though nothing is read for it at
        once."""
        yield from ()
        key = document.workspace, document.path
        newest, waiting = self._workspaces.project(*key), self._waiting.get(key)
        if waiting is not None and not _is_outdated(waiting.project, newest):
            if waiting.origin.text == document.prefix:
                return waiting.left
            if not waiting.is_opened:
                return self._known(document, newest).left
        reading = self._known(document, newest)
        if not reading.done and len(document.prefix) <= MAX_OPENED:
            reading.is_opened = True
            self._leave_to_background(key, reading)
            opened = [key for key, reading in self._waiting.items() if reading.is_opened]
            while sum(self._waiting[key].left for key in opened) > MAX_OPENED:
                del self._waiting[opened.pop(0)]
        return reading.left

    @property
    def snapshot_bytes(self) -> int:
        return self._snapshots.nbytes

    def expect(self, document: Document, suggested: bytes) -> None:
        """Leaves it to the background to read on to a suggestion's end, unless that is far:
        when it is accepted, nothing is left to read. Where the document itself waits to be
        read, that comes first."""
        accepted = replace(document, prefix=document.prefix + suggested)
        _put(self._expected, (document.workspace, document.path), accepted)

    def background(self) -> Generator[Piece, Read, None] | None:
        """The work of reading a block of what waits: what is expected before what is long, the
        newest text first; none where nothing waits.

        A text that cannot be read leaves, and holds up no other.
        """
        while self._expected:
            key, accepted = self._expected.popitem()
            reading = self._known(accepted, self._workspaces.project(*key))
            if key not in self._waiting and reading.left <= AHEAD and not reading.done:
                self._expected[key] = accepted
                return self._read_block(self._expected, key, reading)
        if self._waiting:
            key, reading = next(reversed(self._waiting.items()))
            return self._read_block(self._waiting, key, reading)
        return None

    def _read_block(
        self, waiting: OrderedDict[tuple[str, str], T], key: tuple[str, str], reading: _Reading
    ) -> Generator[Piece, Read, None]:
        """Reads on what waits there, which leaves when it is done, unless it is another by then."""
        own, done = waiting[key], True
        try:
            if not reading.done:
                yield from self._step(reading)
                done = reading.done
        finally:
            if done and waiting.get(key) is own:
                del waiting[key]

    def _begin(self, document: Document, whole: bool) -> _Reading:
        """Where reading a document's prefix begins, or an end of it.

        A memory that is being read with in the background is read to the end, however often
        there is a newer one meanwhile.
        """
        self.let_go()
        key = document.workspace, document.path
        self._waiting.pop(key, None)
        self._expected.pop(key, None)
        newest = self._workspaces.project(*key)
        begun = self._next.pop(key, newest)
        reading = self._known(document, newest if whole or _is_outdated(begun, newest) else begun)
        used = self._used.get(key, newest)
        if not whole and reading.left > BLOCK and not _is_outdated(used, newest):
            earlier = self._known(document, used)
            if earlier.left < min(reading.left, 2 * NEAR):
                self._leave_to_background(key, reading)
                return earlier
        if not whole and reading.left > 2 * NEAR:
            self._leave_to_background(key, reading)
            end = document.prefix[_near(document.prefix) :]
            return self._known(replace(document, prefix=end), newest, is_end=True)
        return reading

    def let_go(self) -> None:
        """Of memories that know what was forgotten since, and of those that texts rested on
        longest ago: each may take tens of megabytes."""
        if self._changes == self._workspaces.changes:
            return
        self._changes = self._workspaces.changes
        newest_first = {
            project.generation: None
            for held in (self._next, self._used)
            for project in reversed(held.values())
            if project is not None
        }
        kept = list(newest_first)[:MAX_HELD]
        for held in (self._used, self._next):
            for key, project in list(held.items()):
                if project is None:
                    continue
                newest = self._workspaces.project(*key)
                if project.generation not in kept or _is_outdated(project, newest):
                    del held[key]

    def _known(self, document: Document, project: Project | None, is_end: bool = False) -> _Reading:
        """How far a document's prefix is known."""
        generation = project.generation if project else 0
        name = Name(document.workspace, document.path, generation, is_end)
        origin = self._snapshots.origin(name, document.prefix)
        return _Reading(origin, project, *(self._snapshots.deepest(origin) or (0, None)))

    def _leave_to_background(self, key: tuple[str, str], reading: _Reading) -> None:
        _put(self._waiting, key, reading)
        _put(self._next, key, reading.project)

    def _step(self, reading: _Reading) -> Generator[Piece, Read, None]:
        """Reads the path where nothing is known, else on to the end of a block."""
        origin, position = reading.origin, reading.position
        if reading.snapshot is None:
            symbols = alphabet.encode_path(origin.name.path)
            state = self.runtime.initial_state()
            own = self._files.of_path(origin)
        else:
            end = min(len(origin.text), (position // BLOCK + 1) * BLOCK)
            symbols, state = alphabet.encode(origin.text[position:end]), reading.snapshot.state
            own = self._files.along(origin, position, end)
            position = end
        memories = Memories(reading.memory, own)
        log_probs, after = yield Piece(symbols[:, None], state, memories, only_last=True)
        snapshot = Snapshot(after.apart(), log_probs[-1, 0].copy())
        self._snapshots.put(origin, position, snapshot)
        reading.position, reading.snapshot = position, snapshot


def _is_outdated(project: Project | None, newest: Project | None) -> bool:
    """Whether it knows what was forgotten since."""
    return project is not None and (newest is None or project.generation < newest.since)


def _put(into: OrderedDict[tuple[str, str], T], key: tuple[str, str], value: T) -> None:
    """The newest are last; the oldest leave."""
    into.pop(key, None)
    into[key] = value
    if len(into) > MAX_WAITING:
        into.popitem(last=False)


def _near(prefix: bytes) -> int:
    """Where the end of a long text begins that is read in place of it.

    It stays where it is while a few thousand characters are typed, so that they are read
    once, and lies at a line's start where one is not far.
    """
    start = (len(prefix) // NEAR - 1) * NEAR
    line = prefix.find(b"\n", start, start + NEAR // 2) + 1
    while not line and alphabet.is_continuation(prefix[start]):
        start += 1
    return line or start
