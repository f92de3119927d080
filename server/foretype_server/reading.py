"""Reads texts into the network: no more of each than is new, and long ones in the background."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Generator
from dataclasses import dataclass, replace
from time import perf_counter

from foretype_models import alphabet
from foretype_models.runtime import Runtime
from foretype_server.documents import Document, Timings
from foretype_server.states import BLOCK, Origin, Snapshot, Snapshots

NEAR = 2048
"""Bytes: where more than twice as many are new, an answer need not wait for them all."""
MAX_WAITING = 16  # texts to be read in the background; the oldest leave


@dataclass
class _Unfinished:
    """A text that is being read in the background, and how far that is."""

    origin: Origin
    position: int
    snapshot: Snapshot | None

    @property
    def done(self) -> bool:
        return self.snapshot is not None and self.position == len(self.origin.text)


class Reader:
    """The snapshot after any text, from the deepest one that is known on.

    The compute thread alone uses it, for the jobs and for the background alike.
    """

    def __init__(self, runtime: Runtime, snapshot_bytes: int) -> None:
        self._runtime = runtime
        self._snapshots = Snapshots(snapshot_bytes)
        self._waiting: OrderedDict[tuple[str, str], _Unfinished] = OrderedDict()  # newest last

    def read(
        self, document: Document, whole: bool, timings: Timings
    ) -> Generator[None, None, Snapshot]:
        """The snapshot after a document's prefix; yields after every block.

        Where much of the prefix is new, and it need not be the `whole`, that is left to the
        background, and the snapshot is the one after the prefix's end alone: what a file
        would give that begins there.
        """
        began = perf_counter()
        timings.queue = began - timings.arrived
        origin, position, snapshot = self._known(document)
        self._waiting.pop((document.workspace, document.path), None)
        if not whole and len(document.prefix) - position > 2 * NEAR:
            self._leave_to_background(document, _Unfinished(origin, position, snapshot))
            end = document.prefix[_near(document.prefix) :]
            origin, position, snapshot = self._known(replace(document, prefix=end), is_end=True)
        length = timings.context_bytes = len(origin.text)
        timings.read_bytes = length - position
        while snapshot is None or position < length:
            if snapshot is not None:
                timings.read += perf_counter() - began
                yield
                began = perf_counter()
            position, snapshot = self._step(origin, position, snapshot)
        timings.read += perf_counter() - began
        return snapshot

    def read_in_background(self) -> bool:
        """Reads one block of what waits, the newest text first; whether anything waited.

        A text that cannot be read leaves, and holds up no other.
        """
        if not self._waiting:
            return False
        key, text = self._waiting.popitem()
        text.position, text.snapshot = self._step(text.origin, text.position, text.snapshot)
        if not text.done:
            self._waiting[key] = text
        return True

    def _known(
        self, document: Document, is_end: bool = False
    ) -> tuple[Origin, int, Snapshot | None]:
        """Of a document's prefix: where it lies, how much of it is known, and the snapshot
        after that."""
        origin = self._snapshots.origin(document.workspace, document.path, document.prefix, is_end)
        position, snapshot = self._snapshots.deepest(origin) or (0, None)
        return origin, position, snapshot

    def _leave_to_background(self, document: Document, text: _Unfinished) -> None:
        self._waiting[document.workspace, document.path] = text
        if len(self._waiting) > MAX_WAITING:
            self._waiting.popitem(last=False)

    def _step(
        self, origin: Origin, position: int, snapshot: Snapshot | None
    ) -> tuple[int, Snapshot]:
        """Reads the path where nothing is known, else on to the end of a block."""
        if snapshot is None:
            symbols, state = alphabet.encode_path(origin.path), self._runtime.initial_state()
        else:
            end = min(len(origin.text), (position // BLOCK + 1) * BLOCK)
            symbols, state = alphabet.encode(origin.text[position:end]), snapshot.state
            position = end
        log_probs, after = self._runtime.read(symbols[:, None], state)
        snapshot = Snapshot(after, log_probs[-1, 0].copy())
        self._snapshots.put(origin, position, snapshot)
        return position, snapshot


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
