"""The beginnings of long texts that clients need not send again."""

from __future__ import annotations

import hashlib
import hmac
from collections import OrderedDict
from dataclasses import dataclass

from foretype_models.alphabet import is_continuation
from foretype_server.errors import UnknownHead

LONG = 2**16
"""Bytes: shorter prefixes are sent faster than they are named."""
MAX_BYTES = 16 * 2**20


@dataclass(frozen=True)
class Head:
    """Of a text that is to be known: how long it is, in bytes, and its SHA-256."""

    length: int
    sha256: bytes


class Heads:
    """The long prefixes that came last, one for each document, within `MAX_BYTES`.

    The event loop alone uses it.
    """

    def __init__(self) -> None:
        self._prefixes: OrderedDict[tuple[str, str], bytes] = OrderedDict()
        self._checked: dict[tuple[str, str], Head] = {}  # what the prefix there begins with

    def whole(self, workspace: str, path: str, head: Head | None, rest: bytes) -> bytes:
        """A document's prefix, of which `head` is not sent. Raises UnknownHead where the one
        that came before begins with another text."""
        key = workspace, path
        prefix = rest if head is None else b"".join((self._beginning(key, head), rest))
        self._forget(key)
        if len(prefix) >= LONG:
            self._prefixes[key] = prefix
            if head is not None:
                self._checked[key] = head
        while sum(map(len, self._prefixes.values())) > MAX_BYTES:
            self._forget(next(iter(self._prefixes)))
        return prefix

    def _beginning(self, key: tuple[str, str], head: Head) -> memoryview:
        known = self._prefixes.get(key, b"")
        if len(known) < head.length:
            raise _unknown(key, head)
        beginning = memoryview(known)[: head.length]
        if self._checked.get(key) == head:  # as long as somebody types
            return beginning
        digest = hashlib.sha256(beginning).digest()
        is_whole = len(known) == head.length or not is_continuation(known[head.length])
        if not (is_whole and hmac.compare_digest(digest, head.sha256)):
            raise _unknown(key, head)
        return beginning

    def _forget(self, key: tuple[str, str]) -> None:
        self._prefixes.pop(key, None)
        self._checked.pop(key, None)


def _unknown(key: tuple[str, str], head: Head) -> UnknownHead:
    return UnknownHead(
        f"the first {head.length} bytes of {key[1]!r} are not known here; send the whole prefix"
    )
