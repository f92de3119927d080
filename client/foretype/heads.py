"""Leaves out of a request what the server had with the last one for the same document.

A keystroke at the end of a file of 20,000 lines would carry half a megabyte, which takes
gRPC longer than the server needs to answer it.
"""

from __future__ import annotations

import hashlib
import threading
from collections import OrderedDict
from typing import Any, cast

import grpc
from google.rpc.status_pb2 import Status
from grpc_status import rpc_status

from foretype.v1.completion_pb2 import Document, Head, UnknownHead

LONG = 2**16
"""Characters: the server keeps no shorter prefix."""
STEP = 2**14
"""Characters: a head ends at a multiple, so that its digest holds for many keystrokes."""
MAX_SUFFIX = 2**17
"""Characters of the text after the cursor: the server looks for names no further."""
MAX_DOCUMENTS = 8


class Heads:
    """What the server was sent last of long documents. May be used from several threads."""

    def __init__(self) -> None:
        self._sent: OrderedDict[tuple[str, str], str] = OrderedDict()  # prefixes
        self._digests: dict[tuple[str, str], tuple[str, Head]] = {}  # of the last head
        self._lock = threading.Lock()

    def without(self, document: Document) -> Document:
        """The document less the beginning that the server has, and less what is far after the
        cursor; itself where it is short."""
        if document.HasField("head"):
            return document
        prefix, suffix = document.prefix, document.suffix
        key = document.workspace, document.path
        with self._lock:
            known = _common(self._sent.get(key, ""), prefix)
            head = self._head(key, prefix, known) if known else None
        if head is None and len(suffix) <= MAX_SUFFIX:
            return document
        return Document(
            path=document.path,
            language=document.language,
            workspace=document.workspace,
            head=head,
            prefix=prefix[known:],
            suffix=suffix[:MAX_SUFFIX],
        )

    def _head(self, key: tuple[str, str], prefix: str, length: int) -> Head:
        """Of so many characters of the prefix, which is not copied for it as long as somebody
        types on."""
        known = self._digests.get(key)
        if known is None or len(known[0]) != length or not prefix.startswith(known[0]):
            text = prefix[:length]
            data = text.encode()
            known = text, Head(length=len(data), sha256=hashlib.sha256(data).digest())
            self._digests[key] = known
        return known[1]

    def note(self, document: Document) -> None:
        """That the server has the prefix now."""
        key, prefix = (document.workspace, document.path), document.prefix
        if document.HasField("head") or len(prefix) < LONG:
            return
        with self._lock:
            self._sent[key] = prefix
            self._sent.move_to_end(key)
            if len(self._sent) > MAX_DOCUMENTS:
                oldest, _ = self._sent.popitem(last=False)
                self._digests.pop(oldest, None)


def _common(sent: str, prefix: str) -> int:
    """How many steps of characters both begin with; what a head is to be worth the while."""
    length = min(len(sent), len(prefix)) // STEP * STEP
    if not prefix.startswith(sent) and sent[:length] != prefix[:length]:
        starts = range(0, length, STEP)
        length = next(s for s in starts if sent[s : s + STEP] != prefix[s : s + STEP])
    return length


def is_unknown_head(error: grpc.RpcError) -> bool:
    """Whether a call failed because the server does not have what was left out."""
    status = cast(Status | None, rpc_status.from_call(cast(Any, error)))
    return status is not None and any(d.Is(UnknownHead.DESCRIPTOR) for d in status.details)
