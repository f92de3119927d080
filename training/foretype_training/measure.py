"""How many bits a model needs for each character of whole files, by ONNX Runtime."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from foretype_models.alphabet import END_OF_FILE
from foretype_models.runtime import Runtime, State
from foretype_training.corpus import SourceFile, symbols
from foretype_training.windows import IGNORED, Lanes, Window

_LANES = 16  # files read side by side; more gain little on a CPU
_WINDOW = 256


@dataclass(frozen=True)
class FileBits:
    """What one file took."""

    path: str
    characters: int  # bytes of UTF-8
    bits: float  # of all of them

    @property
    def bpc(self) -> float:
        return self.bits / self.characters


def bits_per_character(measured: Sequence[FileBits]) -> float:
    """Over all characters of all files, so that a long file weighs more than a short one."""
    return sum(file.bits for file in measured) / sum(file.characters for file in measured)


def measure(
    runtime: Runtime,
    files: Sequence[SourceFile],
    progress: Callable[[int], None] = lambda characters: None,
) -> list[FileBits]:
    """Reads each file from the initial state: its path, which is given, then its text.

    -log2 of the probability of each byte of the text, summed by file, in the order of
    `files`. Control symbols are not counted. `progress` is told the bytes read so far.
    """
    by_length = sorted(range(len(files)), key=lambda i: len(files[i].text), reverse=True)
    lanes = min(_LANES, len(files))
    bits = np.zeros(len(files))
    reader = _Reader(runtime, lanes)
    done = 0
    ordered = symbols(files[i] for i in by_length)
    for window in Lanes(ordered, lanes, _WINDOW, seed=None, epochs=1):
        counted, of_file = reader.read(window)
        np.add.at(bits, of_file, counted.sum(axis=0))
        done += int((counted > 0).sum())
        progress(done)
    in_order = np.empty_like(bits)
    in_order[by_length] = bits
    return [FileBits(f.path, len(f.text), float(b)) for f, b in zip(files, in_order, strict=True)]


class _Reader:
    """Carries the state of the lanes that still have a file from window to window."""

    def __init__(self, runtime: Runtime, lanes: int) -> None:
        self._runtime = runtime
        self._live = np.arange(lanes)
        self._state = runtime.initial_state(lanes)

    def read(self, window: Window) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.int64]]:
        """The bits of the targets, 0 where one does not count: (time, lanes); their files."""
        still = np.flatnonzero(window.files[self._live] >= 0)
        self._live = self._live[still]
        state = self._restarted(self._state.take(still.tolist()), window.starts[self._live])
        log_probs, self._state = self._runtime.read(window.symbols[:, self._live], state)
        targets = window.targets[:, self._live]
        counts = (targets != IGNORED) & (targets != END_OF_FILE)
        at = np.where(counts, targets, 0)[..., None]
        bits = -np.take_along_axis(log_probs, at, axis=2)[..., 0].astype(np.float64) / np.log(2)
        return np.where(counts, bits, 0.0), window.files[self._live]

    def _restarted(self, state: State, starts: npt.NDArray[np.bool_]) -> State:
        """The initial state where a lane starts a file."""
        fresh = self._runtime.initial_state(len(starts))
        tensors = zip(fresh.tensors, state.tensors, strict=True)
        return State(
            tuple(np.where(starts[:, None], new, old) for new, old in tensors),
            np.where(starts, fresh.context, state.context),
        )
