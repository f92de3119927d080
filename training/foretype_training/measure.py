"""How well a model predicts whole files, character by character, by ONNX Runtime."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from foretype_models import alphabet, memory
from foretype_models.inputs import NO_MEMORIES, Found, Memories, Memory, side_by_side
from foretype_models.memory import Answers
from foretype_models.runtime import Piece, Runtime, State
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
    beside = SideBySide(runtime, known)
    bits = [np.zeros(len(file.text), dtype=np.float32) for file in files]
    right = [np.zeros(len(file.text), dtype=np.bool_) for file in files]
    done = 0
    for window in beside.windows():
        lanes, piece = beside.piece(window)
        [(log_probs_of_all, beside.state)] = runtime.read_together([piece])
        for place, lane in enumerate(lanes):
            log_probs, file = log_probs_of_all[:, place], int(window.files[lane])
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
        self._orders = runtime.architecture.orders
        self._workspace = Workspace(self._orders)
        self._remembered = 0  # of all files those before this one were put into it

    def of(self, number: int) -> tuple[Found | None, Memory | None]:
        """The answers of the own memory of the file of this number, and its project's memory.
        Files are asked for in order."""
        if self._setting == "none":
            return None, None
        own = memory.answers(self._orders, self.symbols[number])
        return own, self._project(number) if self._setting == "project" else None

    @property
    def tables(self) -> tuple[Table, ...]:
        """What was counted for the file that was asked for last, if its project's memory was."""
        return self._workspace.tables

    def _project(self, number: int) -> Memory | None:
        file = self.files[number]
        if number and self.files[number - 1].project != file.project:
            self._workspace = Workspace(self._orders)
        before: dict[str, bytes] = {}
        while (earlier := self._all[self._remembered]) != file:
            if earlier.project == file.project:
                before[earlier.path] = earlier.text
            self._remembered += 1
        if before:
            self._workspace.remember(before)
        return others(self._workspace.tables, file.path)


class SideBySide:
    """Files that are read side by side, window by window, each with what it is read with.

    Who reads a window's piece leaves the state after it in `state`.
    """

    def __init__(self, runtime: Runtime, known: Known) -> None:
        self._runtime = runtime
        self._known = known
        lanes = min(_LANES, len(known.files))
        self._live = np.arange(lanes)
        self._memories: dict[int, tuple[Found | None, Memory | None]] = {}  # by lane
        self.state = runtime.initial_state(lanes)

    def windows(self) -> Iterator[Window]:
        """Those of all files, in their order."""
        return iter(Lanes(self._known.symbols, len(self._live), _WINDOW, seed=None, epochs=1))

    def piece(self, window: Window) -> tuple[list[int], Piece]:
        """The lanes that still have a file, and what is to be read of these."""
        still = np.flatnonzero(window.files[self._live] >= 0)
        self._live = self._live[still]
        live: list[int] = self._live.tolist()
        for lane in live:
            if window.starts[lane]:
                self._memories[lane] = self._known.of(int(window.files[lane]))
        state = self._restarted(self.state.take(still.tolist()), window.starts[self._live])
        return live, Piece(window.symbols[:, self._live], state, self._around(window, live))

    def _around(self, window: Window, live: list[int]) -> Memories:
        orders = len(self._runtime.architecture.orders)
        memories: list[Memories] = []
        for lane in live:
            own, project = self._memories[lane]
            if own is None:
                memories.append(NO_MEMORIES)
                continue
            answers = np.zeros((_WINDOW, 1, orders), np.int64)
            part = own[window.offsets[lane] :][:_WINDOW]
            answers[: len(part), 0] = part
            memories.append(Memories(project, Answers(answers)))
        return side_by_side(memories, [1] * len(live))

    def _restarted(self, state: State, starts: npt.NDArray[np.bool_]) -> State:
        """The initial state where a lane starts a file."""
        fresh, places = self._runtime.initial_state(), np.arange(len(starts))
        both = State.joined((fresh, state))
        return both.take(np.where(starts, 0, places + 1).tolist())
