"""What the engine suggests at places of a file, beside what stands there."""

from __future__ import annotations

import random
from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from foretype_models.alphabet import is_continuation
from foretype_models.runtime import Runtime
from foretype_server.boundaries import Progress
from foretype_server.candidates import Options
from foretype_training.along import LENGTH, Along
from foretype_training.corpus import SourceFile
from foretype_training.measure import Known, Setting, mean
from foretype_training.tokens import tokens

CANDIDATES = 10
"""For the next token."""


@dataclass(frozen=True)
class NextToken:
    """Which of the candidates was right, at each place that was asked at: from 1, 0 for none."""

    ranks: Sequence[int]

    @property
    def top1(self) -> float | None:
        """Share of the places where the first candidate was right; None without a place."""
        return mean([rank == 1 for rank in self.ranks])

    @property
    def top5(self) -> float | None:
        """Share of the places where one of the first five was right."""
        return mean([1 <= rank <= 5 for rank in self.ranks])

    @property
    def mrr(self) -> float | None:
        """Mean reciprocal rank of the right one, which is 0 where none was."""
        return mean([1 / rank if rank else 0.0 for rank in self.ranks])


@dataclass(frozen=True)
class NextTokens:
    """At the starts of all tokens, and of the identifiers among them."""

    all: NextToken
    identifiers: NextToken


def next_tokens(
    runtime: Runtime,
    files: Sequence[SourceFile],
    setting: Setting,
    project: Sequence[SourceFile] = (),
    progress: Callable[[int], None] = lambda characters: None,
) -> NextTokens:
    """Asks for ten candidates for the next token at the start of each token of each file;
    comments and white space are none. `setting`, `project` and the files' order as in `measure`.

    A candidate is right where it is what the engine itself would take for the token that
    stands there: a word, or one other character.
    `progress` is told the bytes gone through so far.
    """
    known = Known(runtime, files, setting, project or files)
    options = Options(candidates=CANDIDATES, length=LENGTH, confidence=0.0)
    ranks: list[int] = []
    of_identifiers: list[int] = []
    through = 0
    for number, file in enumerate(files):
        along = Along(runtime, known, number)
        for token in tokens(file.text):
            along.advance(token.start)
            found = [c.text.encode() for c in along.suggestions("token", options)]
            right = _engines_token(file.text, token.start)
            ranks.append(found.index(right) + 1 if right in found else 0)
            if token.kind == "identifier":
                of_identifiers.append(ranks[-1])
            progress(through + token.end)
        through += len(file.text)
    return NextTokens(NextToken(ranks), NextToken(of_identifiers))


def _engines_token(text: bytes, start: int) -> bytes:
    """What a search up to the end of a token that knew the text would find there."""
    progress, end = Progress("token", after_cursor=b""), start
    while end < len(text) and not progress.ends_before(text[end]):
        progress, end = progress.then(text[end]), end + 1
    return text[start:end]


@dataclass(frozen=True)
class RestOfLine:
    """What stands after a place in a line, and what was suggested there."""

    wanted: str
    suggested: str

    @property
    def exact(self) -> bool:
        return self.wanted == self.suggested

    @property
    def similarity(self) -> float:
        """From 0 to 1: 1 - edits / the length of both, where an edit puts in or takes out a
        character. It is the Levenshtein ratio that the CodeXGLUE benchmark reports, in
        hundredths, as edit similarity."""
        both = len(self.wanted) + len(self.suggested)
        return 2 * _common(self.wanted, self.suggested) / both if both else 1.0


def rest_of_lines(
    runtime: Runtime,
    files: Sequence[SourceFile],
    setting: Setting,
    project: Sequence[SourceFile] = (),
    progress: Callable[[int], None] = lambda characters: None,
) -> list[RestOfLine]:
    """Asks for the rest of each line in which a token begins, at one place of it.

    The place is drawn between the line's first character and its last, blanks around them
    left out; by the file's path, so that it is the same every time. White space at the end
    of a line does not count. `setting`, `project`, the files' order and `progress` as in
    `next_tokens`.
    """
    known = Known(runtime, files, setting, project or files)
    options = Options(candidates=1, length=LENGTH, confidence=0.0)
    lines: list[RestOfLine] = []
    through = 0
    for number, file in enumerate(files):
        along = Along(runtime, known, number)
        for start, end in _places(file):
            along.advance(start)
            found = along.suggestions("line", options)
            suggested = found[0].text.rstrip() if found else ""
            lines.append(RestOfLine(file.text[start:end].decode(), suggested))
            progress(through + end)
        through += len(file.text)
    return lines


def _places(file: SourceFile) -> Iterator[tuple[int, int]]:
    """One in each line of code, and the end of what stands in that line."""
    rng = random.Random(file.path)
    tokens_at = [token.start for token in tokens(file.text)]
    at = 0
    for line in file.text.split(b"\n"):
        next_token = bisect_left(tokens_at, at)
        if next_token < len(tokens_at) and tokens_at[next_token] < at + len(line):
            end = at + len(line.rstrip())
            place = rng.randrange(at + len(line) - len(line.lstrip()), end)
            while is_continuation(file.text[place]):
                place -= 1
            yield place, end
        at += len(line) + 1


def _common(one: str, other: str) -> int:
    """The length of the longest text that is left of both when characters are taken out."""
    row = [0] * (len(other) + 1)  # for each beginning of `other`
    for a in one:
        before = row
        row = [0]
        for at, b in enumerate(other):
            row.append(before[at] + 1 if a == b else max(before[at + 1], row[at]))
    return row[-1]
