"""Files as a stream of windows for truncated back-propagation through time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from foretype_models.alphabet import END_OF_FILE, END_OF_PATH, Symbols

IGNORED = -100
"""Target of a position that does not count; torch's cross entropy knows this number."""


@dataclass(frozen=True)
class Window:
    """`length` symbols of each lane and the symbols that follow them: (time, lanes).

    Where `starts` is true the lane begins a new file, from the initial state: exactly
    what the engine does, so the network never has to forget the file before.
    """

    symbols: Symbols
    targets: Symbols
    starts: npt.NDArray[np.bool_]
    files: npt.NDArray[np.int64]  # which file each lane reads, -1 for none
    offsets: npt.NDArray[np.int64]  # and where in it the window begins

    def of(self, lanes: npt.NDArray[np.int64] | slice) -> Window:
        """The same of these lanes alone."""
        symbols, targets = self.symbols[:, lanes], self.targets[:, lanes]
        return Window(symbols, targets, self.starts[lanes], self.files[lanes], self.offsets[lanes])


class Lanes:
    """Reads files (`alphabet.encode_file`) side by side, one in each lane.

    A lane that is through takes the next file, at the start of a window; what is left of the
    window before counts for nothing. A file's path is read but is no target: it is always
    given. With a `seed` each epoch has an order of its own, without one files are read as
    they stand. The stream is endless unless `epochs` bounds it. `position` and `seek` make
    it resumable.
    """

    def __init__(
        self, files: Sequence[Symbols], lanes: int, length: int, seed: int | None, epochs: int = 0
    ) -> None:
        self._files = files
        # The path's last symbol, whose target is the first of the text.
        self._paths_end = [int(np.argmax(file == END_OF_PATH)) for file in files]
        self._length = length
        self._seed = seed  # None reads in the given order
        self._epochs = epochs
        self._taken = 0  # files given to lanes so far, over all epochs
        self._order: npt.NDArray[np.int64] = np.arange(0)
        self._lanes: list[tuple[int, int]] = [(-1, 0)] * lanes  # file, offset of the next symbol

    @property
    def position(self) -> dict[str, object]:
        """Where the stream stands, for JSON."""
        return {"taken": self._taken, "lanes": self._lanes}

    def seek(self, taken: int, lanes: Sequence[tuple[int, int]]) -> None:
        """Goes on where another stream over the same files stood."""
        self._taken = taken
        self._lanes = [(file, offset) for file, offset in lanes]
        if taken % len(self._files):
            self._order = self._shuffled(taken // len(self._files))

    def __iter__(self) -> Iterator[Window]:
        while (window := self._next()) is not None:
            yield window

    def _next(self) -> Window | None:
        shape = (self._length, len(self._lanes))
        symbols = np.full(shape, END_OF_FILE, dtype=np.int64)
        targets = np.full(shape, IGNORED, dtype=np.int64)
        starts = np.zeros(len(self._lanes), dtype=np.bool_)
        offsets = np.zeros(len(self._lanes), dtype=np.int64)
        for lane, (file, offset) in enumerate(self._lanes):
            if file < 0 or offset + 1 >= len(self._files[file]):
                file, offset = self._take(), 0
                starts[lane] = True
            if file >= 0:
                offsets[lane] = offset
                piece = self._files[file][offset : offset + self._length + 1]
                symbols[: len(piece) - 1, lane] = piece[:-1]
                targets[: len(piece) - 1, lane] = piece[1:]
                targets[: max(0, self._paths_end[file] - offset), lane] = IGNORED
                offset += len(piece) - 1
            self._lanes[lane] = (file, offset)
        files = np.array([file for file, _ in self._lanes])
        return Window(symbols, targets, starts, files, offsets) if (files >= 0).any() else None

    def _take(self) -> int:
        """The next file, or -1 after the last."""
        epoch, index = divmod(self._taken, len(self._files))
        if self._epochs and epoch >= self._epochs:
            return -1
        if index == 0:
            self._order = self._shuffled(epoch)
        self._taken += 1
        return int(self._order[index])

    def _shuffled(self, epoch: int) -> npt.NDArray[np.int64]:
        count = len(self._files)
        if self._seed is None:
            return np.arange(count)
        return np.random.default_rng([self._seed, epoch]).permutation(count)
