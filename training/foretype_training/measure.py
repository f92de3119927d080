"""How well a model predicts whole files, character by character, by ONNX Runtime."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from foretype_models import alphabet, memory
from foretype_models.alphabet import Symbols
from foretype_models.inputs import Found, Memories, Memory, side_by_side
from foretype_models.memory import Answers
from foretype_models.runtime import Runtime, State
from foretype_server.workspaces import Table, Workspace, others
from foretype_training.corpus import SourceFile, symbols
from foretype_training.windows import Lanes, Window

Setting = Literal["none", "file", "project"]
"""What is remembered: nothing, the file's own text before each position, or also the files of
its project that come before it in path order."""

_LANES = 16  # files read side by side; more gain little on a CPU
_WINDOW = 256


@dataclass(frozen=True)
class Predicted:
    """What was predicted of one file, byte by byte of its text."""

    file: SourceFile
    bits: npt.NDArray[np.float32]  # -log2 of the probability that each byte was given
    right: npt.NDArray[np.bool_]  # whether it was the most probable one

    @property
    def characters(self) -> int:
        """In bytes of UTF-8."""
        return len(self.file.text)

    @property
    def bpc(self) -> float:
        """Bits per character."""
        return float(self.bits.sum(dtype=np.float64)) / self.characters


def bits_per_character(predicted: Sequence[Predicted]) -> float:
    """Over all characters of all files, so that a long file weighs more than a short one."""
    bits = sum(float(file.bits.sum(dtype=np.float64)) for file in predicted)
    return bits / sum(file.characters for file in predicted)


def mean(values: Sequence[float]) -> float | None:
    """None where there are none."""
    return sum(values) / len(values) if values else None


def measure(
    runtime: Runtime,
    files: Sequence[SourceFile],
    setting: Setting = "none",
    project: Sequence[SourceFile] = (),
    progress: Callable[[int], None] = lambda characters: None,
) -> list[Predicted]:
    """Reads each file from the initial state: its path, which is given, then its text.

    Control symbols are not counted. For `project`, `files` and all files of their projects
    stand project by project, in path order.
    `progress` is told the bytes read so far.
    """
    known = Known(runtime, files, setting, project or files)
    reader = _Reader(runtime, min(_LANES, len(files)), known)
    bits = [np.zeros(len(file.text), dtype=np.float32) for file in files]
    right = [np.zeros(len(file.text), dtype=np.bool_) for file in files]
    done = 0
    for window in Lanes(known.symbols, reader.lanes, _WINDOW, seed=None, epochs=1):
        for lane, log_probs in reader.read(window):
            file = int(window.files[lane])
            # Where in the text the window's targets begin; before it stands the path.
            first = int(window.offsets[lane]) + 1 - known.text_at[file]
            at = slice(max(0, first), max(0, first + _WINDOW))
            targets = np.frombuffer(files[file].text, np.uint8)[at]
            own = log_probs[max(0, -first) :][: len(targets)]
            bits[file][at] = -own[np.arange(len(targets)), targets] / np.log(2)
            right[file][at] = own.argmax(axis=1) == targets
            done += len(targets)
        progress(done)
    return [Predicted(*of_file) for of_file in zip(files, bits, right, strict=True)]


class Known:
    """What each file is read with."""

    def __init__(
        self,
        runtime: Runtime,
        files: Sequence[SourceFile],
        setting: Setting,
        project: Sequence[SourceFile],
    ) -> None:
        self.symbols = symbols(files)
        self.text_at = [len(alphabet.encode_path(file.path)) for file in files]
        self.files = files
        self._setting = setting
        self._all = project
        self._lengths = runtime.architecture.ngrams
        self._workspace = Workspace(self._lengths)
        self._remembered = 0  # of all files those before this one were put into it

    def of(self, number: int) -> tuple[Found | None, Memory | None]:
        """The answers of the own memory of the file of this number, and its project's memory.
        Files are asked for in order."""
        if self._setting == "none":
            return None, None
        own = memory.answers(self._lengths, self.symbols[number])
        return own, self._project(number) if self._setting == "project" else None

    @property
    def tables(self) -> tuple[Table, ...]:
        """What was counted for the file that was asked for last, if its project's memory was."""
        return self._workspace.tables

    def _project(self, number: int) -> Memory | None:
        file = self.files[number]
        if number and self.files[number - 1].project != file.project:
            self._workspace = Workspace(self._lengths)
        before: dict[str, bytes] = {}
        while (earlier := self._all[self._remembered]) != file:
            if earlier.project == file.project:
                before[earlier.path] = earlier.text
            self._remembered += 1
        if before:
            self._workspace.remember(before)
        return others(self._workspace.tables, file.path)


class _Reader:
    """Carries the state of the lanes that still have a file from window to window."""

    def __init__(self, runtime: Runtime, lanes: int, known: Known) -> None:
        self.lanes = lanes
        self._runtime = runtime
        self._known = known
        self._live = np.arange(lanes)
        self._state = runtime.initial_state(lanes)
        self._memories: dict[int, tuple[Found | None, Memory | None]] = {}  # by lane

    def read(self, window: Window) -> list[tuple[int, npt.NDArray[np.float32]]]:
        """Of each lane with a file its number, and the log-probabilities after its symbols."""
        still = np.flatnonzero(window.files[self._live] >= 0)
        self._live = self._live[still]
        live: list[int] = self._live.tolist()
        for lane in live:
            if window.starts[lane]:
                self._memories[lane] = self._known.of(int(window.files[lane]))
        state = self._restarted(self._state.take(still.tolist()), window.starts[self._live])
        read: Symbols = window.symbols[:, self._live]
        log_probs, self._state = self._runtime.read(read, state, self._around(window, live))
        return [(lane, log_probs[:, place]) for place, lane in enumerate(live)]

    def _around(self, window: Window, live: list[int]) -> Memories:
        lengths = len(self._runtime.architecture.ngrams)
        memories: list[Memories] = []
        for lane in live:
            own, project = self._memories[lane]
            answers = np.zeros((_WINDOW, 1, lengths), np.int64)
            if own is not None:
                part = own[window.offsets[lane] :][:_WINDOW]
                answers[: len(part), 0] = part
            memories.append(Memories(project, Answers(answers)))
        return side_by_side(memories, [1] * len(live))

    def _restarted(self, state: State, starts: npt.NDArray[np.bool_]) -> State:
        """The initial state where a lane starts a file."""
        fresh = self._runtime.initial_state(len(starts))
        tensors = zip(fresh.tensors, state.tensors, strict=True)
        return State(
            tuple(np.where(starts[:, None], new, old) for new, old in tensors),
            np.where(starts, fresh.context, state.context),
        )
