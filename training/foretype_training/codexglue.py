"""Token accuracy by the protocol of the CodeXGLUE benchmark, whose figures are published.

A file becomes a line of tokens with one space between, from <s> to </s>: comments are gone,
a string is "<STR_LIT>", a character '<CHAR_LIT>', a number <NUM_LIT>, but for those numbers
that are most common in the benchmark's own training files. What is measured is that line.

It differs in this: the benchmark lexes with the package javalang, here `tokens` does, and it
keeps the most common strings and characters apart too, which makes it a little harder.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from foretype_training.corpus import SourceFile
from foretype_training.measure import Predicted, mean
from foretype_training.tokens import Token, tokens

_COMMON_NUMBERS = frozenset(
    b"0 1 2 3 4 5 10 8 6 7 16 100 9 1000 12 1L 20 0F 11 0.0 32 0.0f 15 255 0x00 1.0 30 31 24"
    b" 1.0f".split()
)


@dataclass(frozen=True)
class StreamAccuracy:
    """Shares of the tokens between <s> and </s> that were right, from 0 to 1; None where there
    are none.

    A token is right where each of its bytes was the most probable one; neither the space
    before it nor the one that ends it is asked for.
    """

    accuracy: float | None
    identifiers: float | None  # of these alone
    tokens: int


def normalised(file: SourceFile) -> SourceFile:
    """The same file as a line of tokens."""
    words = (_normalised(file.text[token.start : token.end], token) for token in tokens(file.text))
    return replace(file, text=b" ".join([b"<s>", *words, b"</s>"]))


def stream_accuracy(predicted: Sequence[Predicted]) -> StreamAccuracy:
    """Over all tokens of files that are `normalised`."""
    right: list[bool] = []
    identifiers: list[bool] = []
    for file in predicted:
        _, *words, _ = re.finditer(rb"\S+", file.file.text)
        for word in words:
            right.append(bool(file.right[word.start() : word.end()].all()))
            if next(tokens(word[0])).kind == "identifier":
                identifiers.append(right[-1])
    return StreamAccuracy(mean(right), mean(identifiers), len(right))


def _normalised(text: bytes, token: Token) -> bytes:
    if token.kind == "string":
        return b"'<CHAR_LIT>'" if text.startswith(b"'") else b'"<STR_LIT>"'
    if token.kind == "number":
        return b"<NUM_LIT:%b>" % text if text in _COMMON_NUMBERS else b"<NUM_LIT>"
    return text
