"""What the engine suggests at places of a file, beside what stands there."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from foretype_models.runtime import Runtime
from foretype_server.boundaries import Progress
from foretype_server.search import Options
from foretype_training.along import LENGTH, Along
from foretype_training.corpus import SourceFile
from foretype_training.measure import Known, Setting
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
        return self._mean([rank == 1 for rank in self.ranks])

    @property
    def top5(self) -> float | None:
        """Share of the places where one of the first five was right."""
        return self._mean([1 <= rank <= 5 for rank in self.ranks])

    @property
    def mrr(self) -> float | None:
        """Mean reciprocal rank of the right one, which is 0 where none was."""
        return self._mean([1 / rank if rank else 0.0 for rank in self.ranks])

    def _mean(self, values: Sequence[float]) -> float | None:
        return sum(values) / len(values) if values else None


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
