"""Keystrokes saved: a simulated typist writes files with the engine's suggestions.

Before each character the typist sees a suggestion to the end of the line, or none. If all of
it is what comes next, one keystroke accepts it; else, if its first word is, one keystroke
accepts that; else one character is typed, and what is left of a suggestion that agrees with
it stays. White space at the start of a line is free: editors indent.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Callable, Generator, Sequence, Set
from dataclasses import dataclass
from functools import partial

from foretype_models.runtime import Runtime
from foretype_server.candidates import Options
from foretype_training.along import LENGTH, Along
from foretype_training.corpus import SourceFile
from foretype_training.measure import Known, Setting
from foretype_training.tokens import identifiers, tokens, tokens_and_comments

_FIRST_WORD = re.compile(rb"\s*(?:\w+|[^\w\s]+|\Z)")
_BLANKS = b" \t"
_JAVA_LANG = frozenset(
    b"Appendable ArithmeticException ArrayIndexOutOfBoundsException ArrayStoreException"
    b" AssertionError AutoCloseable Boolean Byte CharSequence Character Class ClassCastException"
    b" ClassLoader ClassNotFoundException CloneNotSupportedException Cloneable Comparable"
    b" Deprecated Double Enum Error Exception ExceptionInInitializerError Float"
    b" FunctionalInterface IllegalAccessException IllegalArgumentException"
    b" IllegalMonitorStateException IllegalStateException IndexOutOfBoundsException"
    b" InheritableThreadLocal InstantiationException Integer InternalError"
    b" InterruptedException Iterable LinkageError Long Math Module NegativeArraySizeException"
    b" NoClassDefFoundError NoSuchFieldException NoSuchMethodException NullPointerException"
    b" Number NumberFormatException Object OutOfMemoryError Override Package Process"
    b" ProcessBuilder Readable Record ReflectiveOperationException Runnable Runtime"
    b" RuntimeException SafeVarargs SecurityException Short StackOverflowError"
    b" StackTraceElement StrictMath String StringBuffer StringBuilder"
    b" StringIndexOutOfBoundsException SuppressWarnings System Thread ThreadGroup ThreadLocal"
    b" Throwable UnsupportedOperationException VirtualMachineError Void".split()
)
"""The types that every Java file sees."""


@dataclass(frozen=True)
class Keystrokes:
    """What the typist did."""

    characters: int  # bytes of UTF-8 without the free ones
    pressed: int
    shown: int  # suggestions
    right: int  # of those, all or the first word accepted
    identifiers: int = 0  # in all that was shown
    undefined: int = 0  # of those, the ones that stand nowhere in the project or java.lang

    def __add__(self, other: Keystrokes) -> Keystrokes:
        return Keystrokes(
            self.characters + other.characters,
            self.pressed + other.pressed,
            self.shown + other.shown,
            self.right + other.right,
            self.identifiers + other.identifiers,
            self.undefined + other.undefined,
        )

    @property
    def saved(self) -> float:
        """Share of the keystrokes that the suggestions spared."""
        return 1 - self.pressed / self.characters if self.characters else 0.0

    @property
    def undefined_identifiers(self) -> float:
        """Share of the identifiers shown that stand nowhere in the project or java.lang."""
        return self.undefined / self.identifiers if self.identifiers else 0.0

    @property
    def accepted(self) -> float:
        """Share of the suggestions that were right."""
        return self.right / self.shown if self.shown else 0.0


def keystrokes(
    runtime: Runtime,
    files: Sequence[SourceFile],
    setting: Setting,
    project: Sequence[SourceFile] = (),
    confidence: float = 0.0,
    progress: Callable[[int], None] = lambda characters: None,
) -> list[Keystrokes]:
    """Writes each file from nothing; `setting`, `project` and the files' order as in `measure`.

    `progress` is told the bytes written so far.
    """
    known = Known(runtime, files, setting, project or files)
    defined: dict[int, set[bytes]] = defaultdict(lambda: set(_JAVA_LANG))
    for file in project or files:
        defined[file.project].update(identifiers(file.text))
    done: list[Keystrokes] = []
    written = 0
    for number, file in enumerate(files):
        along = Along(runtime, known, number)
        typist = Typist(file.text, partial(_suggestion, along, confidence), defined[file.project])
        for position in typist.write():
            along.advance(position)
            progress(written + position)
        written += len(file.text)
        done.append(typist.keystrokes)
    return done


def _suggestion(along: Along, confidence: float) -> bytes:
    found = along.suggestions("line", Options(1, LENGTH, confidence))
    return found[0].text.encode() if found else b""


class Typist:
    """Writes a text, whoever makes the suggestions."""

    def __init__(
        self, text: bytes, suggest: Callable[[], bytes], defined: Set[bytes] = frozenset()
    ) -> None:
        """`suggest` is asked for what may follow the last position that `write` gave, and gives
        nothing where it knows nothing. Names that are not `defined` count as undefined."""
        self.keystrokes = Keystrokes(0, 0, 0, 0)
        self._text = text
        self._suggest = suggest
        self._defined = defined
        self._starts = [part.start for part in tokens_and_comments(text)]

    def write(self) -> Generator[int]:
        """Yields the position after every keystroke."""
        text, at = self._text, 0
        left, is_new = b"", False  # of the suggestion; whether nothing of it was accepted yet
        while at < len(text):
            if text[at] in _BLANKS and not text[:at].rpartition(b"\n")[2].strip(_BLANKS):
                taken, pressed = 1, 0
            else:
                if not left and (left := self._suggest()):
                    is_new = True
                    named = self._named(left, at)
                    undefined = sum(name not in self._defined for name in named)
                    self.keystrokes += Keystrokes(0, 0, 1, 0, len(named), undefined)
                accepted = self._accepted(left, at)
                if accepted and is_new:
                    self.keystrokes += Keystrokes(0, 0, 0, 1)
                    is_new = False
                taken, pressed = accepted or 1, 1
            own = text[at : at + taken]
            left = left[taken:] if left.startswith(own) else b""
            at += taken
            self.keystrokes += Keystrokes(taken if pressed else 0, pressed, 0, 0)
            yield at

    def _named(self, suggestion: bytes, at: int) -> list[bytes]:
        """The identifiers that a suggestion ends or holds, whole, also where it begins inside
        of one; words in comments and strings are none."""
        first = bisect_left(self._starts, at)
        start = self._starts[first - 1] if first else 0
        written = self._text[start:at] + suggestion
        return [
            written[token.start : token.end]
            for token in tokens(written)
            if token.kind == "identifier" and token.end > at - start
        ]

    def _accepted(self, suggestion: bytes, at: int) -> int:
        """How many bytes of a suggestion one keystroke accepts: all, its first word, or none."""
        word = _FIRST_WORD.match(suggestion)
        for part in (suggestion, word[0] if word else b""):
            if part and self._text.startswith(part, at):
                return len(part)
        return 0
