"""Which names are known at a place: those that stand in its text or in its workspace.

A network without a memory invents names; one with a memory invents some all the same. What
comes of not suggesting those that are less likely than not stands in docs/memory.md.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable

import numpy as np
import numpy.typing as npt

Hashes = npt.NDArray[np.int64]

_PART = rb"[\w$\x80-\xff]"  # as `alphabet.is_word`
_NAME = re.compile(rb"(?<!%b)[A-Za-z_$\x80-\xff]%b*" % (_PART, _PART))
_BEGUN = re.compile(rb"%b+\Z" % _PART)
_LONGEST = 256  # bytes; before the cursor no more of a word is looked at
WITHIN = 2**17
"""Bytes on each side of the cursor in which names are sought."""


def hashes(texts: Iterable[bytes]) -> Hashes:
    """Of all names in some texts, sorted; of use in this process alone."""
    found: set[int] = set()
    for text in texts:
        # One by one: whoever computes meanwhile is not to wait for a whole file.
        found.update(hash(name[0]) for name in _NAME.finditer(text))
    return np.sort(np.fromiter(found, np.int64, len(found)))


def among(sorted_hashes: Hashes, name: bytes) -> bool:
    """Whether it is one of those of `hashes`."""
    at = int(np.searchsorted(sorted_hashes, hash(name)))
    return at < len(sorted_hashes) and int(sorted_hashes[at]) == hash(name)


class Names:
    """Those known at a cursor."""

    def __init__(
        self, prefix: bytes, suffix: bytes = b"", elsewhere: Callable[[bytes], bool] | None = None
    ) -> None:
        """`elsewhere` says whether a name stands in other files."""
        begun = _BEGUN.search(prefix[-_LONGEST:])
        self.begun = begun[0] if begun else b""
        self._prefix, self._suffix = prefix, suffix
        self._elsewhere = elsewhere
        self._known: dict[bytes, bool] = {}  # what was asked for before

    def __contains__(self, name: bytes) -> bool:
        if name not in self._known:
            self._known[name] = self._stands(name)
        return self._known[name]

    def _stands(self, name: bytes) -> bool:
        if self._elsewhere is not None and self._elsewhere(name):
            return True
        pattern = re.escape(name)  # first in what is sought, for what begins with it is found fast
        word = re.compile(rb"%b(?!%b)(?<!%b%b)" % (pattern, _PART, _PART, pattern))
        # What is begun at the cursor is none that stands there.
        before = self._prefix[-WITHIN:].removesuffix(self.begun)
        texts = before, self._suffix[:WITHIN]
        return any(name in text and word.search(text) for text in texts)
