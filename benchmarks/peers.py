"""What the model is measured beside: counts of tokens, and the words of the buffer."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from foretype_training.corpus import SourceFile
from foretype_training.measure import Setting, mean
from foretype_training.tokens import tokens
from foretype_training.typist import Keystrokes, Typist

ORDER = 9
"""Tokens in the longest n-gram: eight of context and the one that follows."""

SETTINGS: tuple[Setting, ...] = ("none", "file", "project")
_WORD = re.compile(rb"(?<![\w$\x80-\xff])[A-Za-z_$\x80-\xff][\w$\x80-\xff]*")
_MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)


@dataclass
class _Counts:
    """What followed each context most often; of equals, the last."""

    best: dict[int, int] = field(default_factory=dict[int, int])
    _counts: dict[tuple[int, int], int] = field(default_factory=dict[tuple[int, int], int])

    def add(self, context: int, token: int) -> None:
        count = self._counts[context, token] = self._counts.get((context, token), 0) + 1
        if count >= self._counts.get((context, self.best.get(context, -1)), 0):
            self.best[context] = token


class _Tokens:
    """A file's tokens as numbers, and what is guessed of each."""

    def __init__(self, file: SourceFile, numbers: dict[bytes, int]) -> None:
        lexed = list(tokens(file.text))
        texts = (file.text[token.start : token.end] for token in lexed)
        self.project = file.project
        self.numbers = [numbers.setdefault(text, len(numbers)) for text in texts]
        self.is_identifier = [token.kind == "identifier" for token in lexed]
        self.guesses: dict[Setting, list[int | None]] = {
            setting: [None] * len(lexed) for setting in SETTINGS
        }

    def contexts(self, length: int) -> list[int]:
        """Hashes of the `length` tokens before each."""
        hashes: npt.NDArray[np.uint64] = np.zeros(len(self.numbers), dtype=np.uint64)
        for back in range(length, 0, -1):
            before = np.zeros(len(self.numbers), dtype=np.uint64)
            before[back:] = np.array(self.numbers, dtype=np.uint64)[:-back] + np.uint64(1)
            hashes = (hashes + before) * _MULTIPLIER
            hashes ^= hashes >> np.uint64(29)
        return hashes.tolist()


def counts(
    before: Sequence[SourceFile], files: Sequence[SourceFile], project: Sequence[SourceFile]
) -> dict[Setting, tuple[float | None, float | None]]:
    """By setting the shares of tokens and of identifiers that n-gram counts get right.

    The guess is what followed the longest context that was seen: in the file up to there, else
    in the files of its project before it, else in the files `before`. `files` are those of
    `project` that are measured; both stand project by project, in path order.
    """
    numbers: dict[bytes, int] = {}
    measured = {(file.project, file.path) for file in files}
    first = [_Tokens(file, numbers) for file in before]
    then = [(_Tokens(f, numbers), (f.project, f.path) in measured) for f in project]
    for length in reversed(range(ORDER)):
        _guess(length, first, then)
    shares: dict[Setting, tuple[float | None, float | None]] = {}
    for setting in SETTINGS:
        right = [
            (guess == number, is_identifier)
            for file, is_measured in then
            if is_measured
            for guess, number, is_identifier in zip(
                file.guesses[setting], file.numbers, file.is_identifier, strict=True
            )
        ]
        shares[setting] = mean([r for r, _ in right]), mean([r for r, named in right if named])
    return shares


def _guess(length: int, first: Sequence[_Tokens], then: Sequence[tuple[_Tokens, bool]]) -> None:
    """Guesses what no longer context has, by contexts of this length."""
    known, of_project, project = _Counts(), _Counts(), -1
    for file in first:
        _learn(known, file, length)
    for file, is_measured in then:
        if file.project != project:
            of_project, project = _Counts(), file.project
        if is_measured:
            own = _Counts()
            memories = {"none": (known,), "file": (own, known), "project": (own, of_project, known)}
            for at, context in enumerate(file.contexts(length)):
                for setting, guesses in file.guesses.items():
                    if guesses[at] is None:
                        found = (memory.best.get(context) for memory in memories[setting])
                        guesses[at] = next((token for token in found if token is not None), None)
                own.add(context, file.numbers[at])
        _learn(of_project, file, length)


def _learn(into: _Counts, file: _Tokens, length: int) -> None:
    for context, token in zip(file.contexts(length), file.numbers, strict=True):
        into.add(context, token)


def words(file: SourceFile) -> Keystrokes:
    """What a typist saves by the words of the buffer: after the first letter of a word the most
    recent one of the file that begins with what is typed."""
    buffer = _Buffer(file.text)
    typist = Typist(file.text, buffer.suggestion)
    for position in typist.write():
        buffer.advance(position)
    return typist.keystrokes


class _Buffer:
    """The words of a text up to a position."""

    def __init__(self, text: bytes) -> None:
        self._text = text
        self._words = list(_WORD.finditer(text))[::-1]  # the next last
        self._recent: dict[bytes, bytes] = {}  # of what begins it
        self._at = 0

    def advance(self, at: int) -> None:
        self._at = at
        while self._words and self._words[-1].end() < at:
            word = self._words.pop()[0]
            self._recent.update((word[:length], word) for length in range(1, len(word)))

    def suggestion(self) -> bytes:
        """The rest of a word."""
        typed = self._text[self._words[-1].start() : self._at] if self._words else b""
        return self._recent.get(typed, b"")[len(typed) :]
