"""Snapshots of what the network holds after a text, found again by the text alone.

A text is cut into blocks, and each block's digest covers all blocks before it, so one
digest names everything up to a block's end. A snapshot lies at a digest and a tail, the
part of the next block that was read beyond it. Digests are keyed anew in every process:
nobody can make two texts meet on purpose.
"""

from __future__ import annotations

import hashlib
import secrets
from collections import Counter, OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from foretype_models.inputs import NO_MEMORIES, Memories
from foretype_models.runtime import State
from foretype_models.words import Words

BLOCK = 256  # bytes
_RECENT = 8  # texts whose digests are at hand for the next request


@dataclass(frozen=True)
class Snapshot:
    """The state of one text (a batch of 1), and what is expected to follow it."""

    state: State
    log_probs: npt.NDArray[np.float32]  # (alphabet,), natural logarithms
    memories: Memories = NO_MEMORIES  # to go on with; they are not kept

    @property
    def nbytes(self) -> int:
        """Less the words that the state shares with others."""
        return self.state.nbytes + self.log_probs.nbytes


@dataclass(frozen=True)
class Name:
    """Of a text: nothing that was read for one name is used for another."""

    workspace: str
    path: str
    generation: int = 0  # of the project's memory that it is read with
    is_end: bool = False  # of a longer text, which goes by the same name but for this

    def digest(self) -> bytes:
        """`is_end` apart: such a text lies where any other of its path would."""
        parts = (self.workspace, self.path, str(self.generation))
        return b"\0".join(hashlib.sha256(part.encode()).digest() for part in parts)


class Origin:
    """A text and the digests at the ends of its blocks."""

    def __init__(self, key: bytes, name: Name, text: bytes, earlier: Origin | None = None) -> None:
        """`earlier` is one of the same name, whose digests are taken over as far as the texts
        are the same: after a keystroke only the last block is new."""
        self.name = name
        self.text = text
        if earlier is not None:
            same = _common_length(earlier.text, text) // BLOCK
            self.digests = earlier.digests[: same + 1]
        else:
            self.digests = [hashlib.blake2b(name.digest(), key=key, digest_size=16).digest()]
        for start in range((len(self.digests) - 1) * BLOCK, len(text) - BLOCK + 1, BLOCK):
            block = self.digests[-1] + text[start : start + BLOCK]
            self.digests.append(hashlib.blake2b(block, key=key, digest_size=16).digest())

    def address(self, length: int) -> tuple[bytes, bytes]:
        """Where the snapshot after the first `length` bytes lies: digest and tail."""
        block = length // BLOCK
        return self.digests[block], self.text[block * BLOCK : length]


def _common_length(one: bytes, other: bytes) -> int:
    """How many bytes both begin with."""
    length = min(len(one), len(other))
    if one.startswith(other) or other.startswith(one):
        return length
    pair = (np.frombuffer(text, np.uint8, length) for text in (one, other))
    return int(np.argmax(np.not_equal(*pair)))


class Snapshots:
    """A store of snapshots, bounded in bytes: the least recently used leave first.

    Not safe for threads: who computes has it alone (see `compute.py`).
    """

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity  # bytes
        self._key = secrets.token_bytes(32)
        self._snapshots: OrderedDict[tuple[bytes, bytes], Snapshot] = OrderedDict()
        self._tails: dict[bytes, set[bytes]] = {}  # of the snapshots at each digest
        self._recent: OrderedDict[Name, Origin] = OrderedDict()
        self._sharing: Counter[Words] = Counter()  # how many snapshots have these words
        self.nbytes = 0

    def origin(self, name: Name, text: bytes) -> Origin:
        """The addresses of a text; its path is read before it."""
        origin = Origin(self._key, name, text, self._recent.pop(name, None))
        self._recent[name] = origin
        if len(self._recent) > _RECENT:
            self._recent.popitem(last=False)
        return origin

    def deepest(self, origin: Origin) -> tuple[int, Snapshot] | None:
        """The longest beginning of the text that has a snapshot: its length and that."""
        for address, length in self._candidates(origin):
            snapshot = self._snapshots[address]
            self._snapshots.move_to_end(address)
            return length, snapshot
        return None

    def _candidates(self, origin: Origin) -> Iterator[tuple[tuple[bytes, bytes], int]]:
        """Addresses of snapshots of beginnings of the text, longest first."""
        for block in reversed(range(len(origin.digests))):
            digest, start = origin.digests[block], block * BLOCK
            rest = origin.text[start : start + BLOCK]
            fitting = [t for t in self._tails.get(digest, ()) if rest.startswith(t)]
            for tail in sorted(fitting, key=len, reverse=True):
                yield (digest, tail), start + len(tail)

    def put(self, origin: Origin, length: int, snapshot: Snapshot) -> None:
        """Keeps the snapshot after the first `length` bytes of the text."""
        address = origin.address(length)
        if address in self._snapshots:
            self._no_longer_counts(self._snapshots.pop(address))
        self._snapshots[address] = snapshot
        self._tails.setdefault(address[0], set()).add(address[1])
        self._counts(snapshot)
        while self.nbytes > self._capacity and len(self._snapshots) > 1:
            self._drop_oldest()

    def _counts(self, snapshot: Snapshot) -> None:
        self.nbytes += snapshot.nbytes
        for words in snapshot.state.words:
            self._sharing[words] += 1
            if self._sharing[words] == 1:
                self.nbytes += words.nbytes

    def _no_longer_counts(self, snapshot: Snapshot) -> None:
        self.nbytes -= snapshot.nbytes
        for words in snapshot.state.words:
            self._sharing[words] -= 1
            if not self._sharing[words]:
                del self._sharing[words]
                self.nbytes -= words.nbytes

    def _drop_oldest(self) -> None:
        (digest, tail), snapshot = self._snapshots.popitem(last=False)
        self._no_longer_counts(snapshot)
        self._tails[digest].discard(tail)
        if not self._tails[digest]:
            del self._tails[digest]
