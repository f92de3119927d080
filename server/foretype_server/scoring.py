"""How surprised the model is by each character of a text."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from dataclasses import dataclass
from time import perf_counter

import numpy as np
import numpy.typing as npt

from foretype_models import alphabet
from foretype_models.inputs import Memories
from foretype_models.runtime import LogProbs, Piece, Read, Runtime
from foretype_server.documents import Timings
from foretype_server.recall import FileMemories, memory_orders
from foretype_server.states import BLOCK, Name, Origin

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class CharacterScore:
    """How surprised the model is by one character."""

    text: str
    bits: float
    guess: str
    guess_probability: float


def score(
    runtime: Runtime, path: str, text: bytes, timings: Timings
) -> Generator[Piece, Read, list[CharacterScore]]:
    """The bits of every character of a text, read with its own memory; yields each piece that
    the network is to read, a block at most, and is sent what came of it.

    What it does between two of them takes a few milliseconds at most, for others wait.
    """
    timings.queue = perf_counter() - timings.arrived
    files = FileMemories(memory_orders(runtime.architecture))
    origin = Origin(b"", Name("", path), text)
    before = alphabet.encode_path(path)
    known = Memories(file=files.of_path(origin))
    expected, state = yield Piece(before[:, None], runtime.initial_state(), known)
    last = expected[-1:, 0].copy()
    found = _Scores(text)
    for start in range(0, len(text), BLOCK):
        symbols = alphabet.encode(text[start : start + BLOCK])
        known = Memories(file=files.along(origin, start, start + len(symbols)))
        after, state = yield Piece(symbols[:, None], state, known)
        found.add(np.concatenate((last, after[:-1, 0])))
        last = after[-1:, 0].copy()
    timings.read = perf_counter() - timings.arrived - timings.queue
    timings.read_bytes = len(text)
    return found.characters


class _Scores:
    """Those of a text's characters, made of those of its bytes as they come to be known."""

    def __init__(self, text: bytes) -> None:
        self.characters: list[CharacterScore] = []
        self._text = text
        self._bytes = 0  # that are known
        self._at = 0  # where the next character begins
        self._bits, self._guesses, self._chances = (np.empty(len(text)) for _ in range(3))

    def add(self, log_probs: LogProbs) -> None:
        """What was expected for each of the next bytes: (bytes, alphabet)."""
        at = slice(self._bytes, self._bytes + len(log_probs))
        given = np.frombuffer(self._text[at], np.uint8)
        self._bits[at] = -log_probs[np.arange(len(given)), given] / np.log(2)
        self._guesses[at] = log_probs.argmax(axis=1)
        self._chances[at] = np.exp(log_probs.max(axis=1))
        self._bytes = at.stop
        self.characters.extend(self._complete())

    def _complete(self) -> Iterator[CharacterScore]:
        """The characters that are known to their last byte and were not told yet."""
        end = self._bytes
        while end < len(self._text) and alphabet.is_continuation(self._text[end]):
            end -= 1
        for character in self._text[self._at : end].decode():
            at, self._at = self._at, self._at + len(character.encode())
            guess = chr(int(self._guesses[at])) if self._guesses[at] < 0x80 else ""
            bits = float(self._bits[at : self._at].sum())
            yield CharacterScore(character, bits, guess, float(self._chances[at]))
