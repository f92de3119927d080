"""Reads along a file as an editor would, and asks the engine at its positions."""

from __future__ import annotations

from functools import partial

from foretype_models.inputs import Memories
from foretype_models.memory import Answers, TextMemory
from foretype_models.runtime import Piece, Runtime, State
from foretype_server import search
from foretype_server.boundaries import Until
from foretype_server.candidates import Candidate, Cursor, Options
from foretype_server.compute import alone
from foretype_server.documents import Document
from foretype_server.drafts import Drafts
from foretype_server.engine import progress
from foretype_server.names import Names
from foretype_server.states import Snapshot
from foretype_server.workspaces import stands_in
from foretype_training.measure import Known

LENGTH = 200
"""Bytes of a suggestion, as the server's default."""


class Along:
    """A file that is read up to a position, which only moves on. What stands after that
    position is known where it is told, and never else."""

    def __init__(self, runtime: Runtime, known: Known, number: int) -> None:
        """The file of this number; files are asked for in order."""
        self.at = 0  # in bytes of the text
        self._path, self._text = known.files[number].path, known.files[number].text
        self._runtime = runtime
        self._drafts = Drafts(runtime.is_exact)
        self._symbols = known.symbols[number]
        self._text_at = known.text_at[number]
        self._own, self._project = known.of(number)
        self._stands_in_project = partial(stands_in, known.tables)
        orders = runtime.architecture.orders
        # Whatever stands after a position it does not tell of that position.
        self._memory = None if self._own is None else TextMemory(orders, self._symbols)
        self._snapshot = self._read(0, self._text_at, runtime.initial_state())

    def advance(self, at: int) -> None:
        """Reads on up to this position."""
        if at > self.at:
            start, stop = self._text_at + self.at, self._text_at + at
            self._snapshot = self._read(start, stop, self._snapshot.state)
            self.at = at

    def suggestions(
        self, until: Until, options: Options, after_cursor: bytes = b""
    ) -> list[Candidate]:
        """What the engine suggests here where this stands after the cursor in its line, best
        first."""
        before = self._text[: self.at]
        document = Document("", self._path, before, after_cursor)
        draft = self._drafts.of(document)
        # A network without a memory is measured alone: no rule keeps it from inventing names.
        names = None if self._memory is None else Names(before, elsewhere=self._stands_in_project)
        cursor = Cursor(self._snapshot, progress(document, until), names, draft)
        work = search.search(cursor, options)
        return alone(self._runtime, work)

    def _read(self, start: int, stop: int, state: State) -> Snapshot:
        """Reads symbols of the file; the memories are those for what may follow."""
        own = None if self._own is None else Answers(self._own[start:stop, None])
        memories = Memories(self._project, own)
        read = self._symbols[start:stop, None]
        [(log_probs, after)] = self._runtime.read_together(
            [Piece(read, state, memories, only_last=True)]
        )
        file = None if self._memory is None else self._memory.at(stop)
        return Snapshot(after, log_probs[-1, 0], Memories(self._project, file))
