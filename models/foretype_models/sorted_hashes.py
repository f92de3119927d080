"""Many hashes of 32 bits in little room, among which one is found in two reads of memory.

A bisection of ten million goes through 24 places, of which half are in no cache of the processor;
that took longer than anything else in a step but the network. The first bits of a hash say nearly
where it stands, for hashes are spread evenly: so they are the number of its bucket, the buckets
lie one after the other, and of each hash only the other bits are kept.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Places = npt.NDArray[np.integer[Any]]

_BITS = 32
_IN_BUCKET = 4  # bits: 8 to 16 hashes to a bucket, which lie on one line of a cache or two
_WINDOW = 64  # hashes that are compared at once; only where they are not spread are there more
_PIECE = 2**13  # of what is looked for: so what is compared at once stays in a cache


class SortedHashes:
    """Distinct hashes, sorted; never changed."""

    def __init__(self, hashes: npt.NDArray[np.uint32]) -> None:
        """Raises ValueError where they do not rise."""
        if (hashes[1:] <= hashes[:-1]).any():
            raise ValueError("its hashes do not rise")
        self._number = len(hashes)
        bits = max(1, self._number.bit_length() - _IN_BUCKET)
        self._shift = np.uint32(_BITS - bits)
        firsts = np.arange(2**bits, dtype=np.uint32) << self._shift  # the least of each bucket
        starts = hashes.searchsorted(firsts)
        self._starts = starts.astype(np.int32)
        self.largest_bucket = int(np.diff(starts, append=self._number).max())
        """How many hashes have the same first bits: some 30 of many that are spread evenly."""
        width = min(max(1, self.largest_bucket), _WINDOW)
        # So that a window that begins with the last one, or behind it, is one.
        last = hashes[-1] if self._number else np.uint32(0)
        kept = np.append(hashes, np.repeat(last, self.largest_bucket + width))
        # What stands in a window, which may end in a later bucket, and what is looked for in it
        # differ by so much at most.
        reach = np.abs(kept[starts + width - 1] - firsts.astype(np.int64)).max() + 2**self._shift
        if self.largest_bucket <= _WINDOW and reach < 2**16:  # which the last 16 bits tell apart
            kept = kept.astype(np.uint16)
        self._kept = kept
        self._windows = np.lib.stride_tricks.sliding_window_view(kept, width)

    def __len__(self) -> int:
        return self._number

    @property
    def nbytes(self) -> int:
        return self._starts.nbytes + self._kept.nbytes

    @property
    def values(self) -> npt.NDArray[np.uint32]:
        """All of them, put together anew."""
        kept = self._kept[: self._number].astype(np.uint32)
        if self._kept.dtype == np.uint32:
            return kept
        firsts = np.arange(len(self._starts), dtype=np.uint32) << self._shift
        of_each = np.repeat(firsts, np.diff(self._starts, append=self._number))
        return of_each | kept & np.uint32(2**self._shift - 1)

    def find(self, wanted: npt.NDArray[np.uint32]) -> tuple[Places, npt.NDArray[np.bool_]]:
        """Where each stands, and whether it does: where it does not, the place says nothing, and
        may be behind the last one."""
        if not self._number:
            return np.zeros(wanted.shape, np.int64), np.zeros(wanted.shape, np.bool_)
        flat = wanted.ravel()
        if flat.size <= _PIECE:
            at, known = self._find(flat)
        else:
            pieces = [self._find(flat[at : at + _PIECE]) for at in range(0, flat.size, _PIECE)]
            at, known = map(np.concatenate, zip(*pieces, strict=True))
        return at.reshape(wanted.shape), known.reshape(wanted.shape)

    def _find(self, wanted: npt.NDArray[np.uint32]) -> tuple[Places, npt.NDArray[np.bool_]]:
        first: Places = self._starts.take(wanted >> self._shift)
        kept = wanted.astype(self._kept.dtype)
        at = self._seen(kept, first)
        for skipped in range(_WINDOW, self.largest_bucket, _WINDOW):
            later = self._seen(kept, first + skipped)
            at = np.where(self._kept.take(later) == kept, later, at)
        return at, self._kept.take(at) == kept

    def _seen(self, kept: npt.NDArray[Any], start: Places) -> Places:
        """Where each stands in the window from its start on, or that start."""
        return start + (self._windows[start] == kept[:, None]).argmax(axis=1)
