"""Who is told what the engine does."""

from __future__ import annotations

from foretype_server.documents import Timings


class Observer:
    """Is told, on a compute thread, and takes no notice: a subclass may."""

    def has_read(self, texts: int, symbols: int) -> None:
        """The network has read so many symbols of each of so many texts, in one run."""

    def has_answered(self, timings: Timings) -> None:
        """A request for completions, a stream or predictions was answered."""


NO_OBSERVER = Observer()
