"""Java as tokens, and how many of them a model had right.

Lexed by chapter 3 of the Java Language Specification; comments and white space are no tokens.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from foretype_training.measure import Predicted, mean

Kind = Literal["identifier", "keyword", "number", "string", "operator", "comment"]

_KEYWORDS = frozenset(
    b"abstract assert boolean break byte case catch char class const continue default do double"
    b" else enum extends final finally float for goto if implements import instanceof int interface"
    b" long native new package private protected public return short static strictfp super switch"
    b" synchronized this throw throws transient try void volatile while true false null".split()
)
_TOKEN = re.compile(
    rb"""
    (?P<comment> //[^\n]* | /\*.*?(?:\*/|\Z) )
  | (?P<string> \"\"\"(?:\\.|.)*?(?:\"\"\"|\Z) | "(?:\\.|[^"\\\n])*"? | '(?:\\.|[^'\\\n])*'? )
  | (?P<number> \.?[0-9](?:[eEpP][+-]|[0-9a-zA-Z_.])* )
  | (?P<word> [A-Za-z_$\x80-\xff][A-Za-z0-9_$\x80-\xff]* )
  | (?P<operator> >>>=|<<=|>>=|>>>|\.\.\.|->|::|\+\+|--|&&|\|\||==|!=|<=|>=|<<|>>|[-+*/&|^%]=
        |[^\s] )
    """,
    re.VERBOSE | re.DOTALL,
)


@dataclass(frozen=True)
class Token:
    """Where a token stands, in bytes, and what it is."""

    start: int
    end: int
    kind: Kind


def tokens(text: bytes) -> Iterator[Token]:
    """Those of a file, in order. Any text can be lexed."""
    return (token for token in tokens_and_comments(text) if token.kind != "comment")


def tokens_and_comments(text: bytes) -> Iterator[Token]:
    """All that a file holds but white space, in order. From the start of each on a text is
    lexed as from its beginning."""
    for match in _TOKEN.finditer(text):
        group = match.lastgroup
        kind: Kind = "operator"
        if group == "word":
            kind = "keyword" if match[0] in _KEYWORDS else "identifier"
        elif group == "string" or group == "number" or group == "comment":
            kind = group
        yield Token(match.start(), match.end(), kind)


def identifiers(text: bytes) -> list[bytes]:
    """The names in a text, in order."""
    return [text[t.start : t.end] for t in tokens(text) if t.kind == "identifier"]


def strictly_right(token: Token, right: npt.NDArray[np.bool_]) -> bool:
    """Whether all bytes of a token were right, given which of its text were; where it might
    have gone on, being an identifier, a keyword or a number, also the byte that ends it."""
    end = token.end if token.kind in ("string", "operator") else token.end + 1
    return bool(right[token.start : end].all())


@dataclass(frozen=True)
class TokenAccuracy:
    """Shares of the tokens that were right, from 0 to 1; None where there are none.

    Teacher-forced: a token is right where each of its bytes was the most probable one after
    all that stands before it (`lenient`); `strict` and `identifiers`, which is strict of the
    identifiers alone, ask for more: see `strictly_right`.
    """

    strict: float | None
    lenient: float | None
    identifiers: float | None


def token_accuracy(predicted: Sequence[Predicted]) -> TokenAccuracy:
    """Over all tokens of all files."""
    lenient: list[bool] = []
    strict: list[bool] = []
    identifiers: list[bool] = []
    for file in predicted:
        for token in tokens(file.file.text):
            lenient.append(bool(file.right[token.start : token.end].all()))
            strict.append(strictly_right(token, file.right))
            if token.kind == "identifier":
                identifiers.append(strict[-1])
    return TokenAccuracy(mean(strict), mean(lenient), mean(identifiers))
