"""Guesses of what a search will write, so that the network reads many bytes in one run.

A run over sixteen bytes takes a few times as long as a run over one. So a search whose next
bytes are guessed has the network read all of them at once, and goes on from the first one
that was guessed wrong: what it finds is the same to the last bit. (Leviathan et al. 2023,
"Fast inference from transformers via speculative decoding"; here no second network guesses,
but the last suggestion, along which people type, and what stands in the file already.)
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass

from foretype_server.documents import Document

MAX_TEXTS = 64  # whose last suggestions are at hand; the oldest leave
WITHIN = 2**16
"""Bytes before the cursor in which the same context is sought."""
RUNS = {12: 8, 6: 4, 4: 2}
"""By the bytes of a context: the longest that stands in the text is taken, and so much of what
followed it is guessed that a run reads so many bytes, or twice or four times as many. Most runs
are thus as long as those of other sessions, with which they can be read together."""
_SAME = 32  # bytes before a suggestion that tell whether it was one for this place


@dataclass(frozen=True)
class _Written:
    """What a search wrote last in a text."""

    first: int  # where `before` begins
    before: bytes  # the last bytes before it
    text: bytes


class Drafts:
    """What was last written into each text. Not safe for threads, as `states.Snapshots`."""

    def __init__(self, is_exact: bool) -> None:
        """Whether the network answers the same in whatever pieces it reads (`Runtime.is_exact`):
        for one that does not, nothing is guessed."""
        self.is_exact = is_exact
        self._last: OrderedDict[tuple[str, str], _Written] = OrderedDict()  # newest last

    def of(self, document: Document) -> Draft:
        """A draft of what is written at the cursor of a document."""
        return Draft(self, document)

    def keep(self, document: Document, written: bytes) -> None:
        """What a search has written at the cursor of a document."""
        key, prefix = (document.workspace, document.path), document.prefix
        self._last.pop(key, None)
        self._last[key] = _Written(max(0, len(prefix) - _SAME), prefix[-_SAME:], written)
        if len(self._last) > MAX_TEXTS:
            self._last.popitem(last=False)

    def last(self, document: Document) -> bytes:
        """What of the last is still to come at the cursor of a document: where it has been
        typed along since, or back to its beginning, the rest."""
        written = self._last.get((document.workspace, document.path))
        if written is None or len(document.prefix) < written.first:
            return b""
        typed = document.prefix[written.first :]
        known = written.before + written.text
        return known[len(typed) :] if known.startswith(typed) else b""


class Draft:
    """What may be written at the cursor of a document."""

    def __init__(self, drafts: Drafts, document: Document) -> None:
        self._drafts = drafts
        self._document = document
        self._last = drafts.last(document)

    def after(self, written: bytes, unread: int) -> bytes:
        """What may come after this, of which the network is still to read so many bytes; nothing
        where there is no telling."""
        if not self._drafts.is_exact:
            return b""
        if len(written) < len(self._last) and self._last.startswith(written):
            return self._last[len(written) :]
        return self._seen(written, unread)

    def keep(self, written: bytes) -> None:
        self._drafts.keep(self._document, written)

    def _seen(self, written: bytes, unread: int) -> bytes:
        """What followed the same bytes in the text, the last time."""
        text, longest = self._document.prefix, max(RUNS)
        context = (text[-longest:] + written)[-longest:]
        first = max(0, len(text) - WITHIN)
        for length, run in RUNS.items():
            at = text.rfind(context[-length:], first, len(text) - 1)
            if at >= 0:
                while run <= unread:
                    run *= 2
                at += length
                return text[at : at + run - unread]
        return b""
