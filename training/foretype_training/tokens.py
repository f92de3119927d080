"""Java as tokens, and how many of them a model had right.

Lexed by chapter 3 of the Java Language Specification; comments and white space are no tokens.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from foretype_training.measure import Predicted, mean

Kind = Literal["identifier", "keyword", "number", "string", "operator"]

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
    for match in _TOKEN.finditer(text):
        group = match.lastgroup
        if group == "comment":
            continue
        kind: Kind = "operator"
        if group == "word":
            kind = "keyword" if match[0] in _KEYWORDS else "identifier"
        elif group == "string" or group == "number":
            kind = group
        yield Token(match.start(), match.end(), kind)


def starts(text: bytes) -> list[int]:
    """Where tokens and comments begin: from there on a text is lexed as from its beginning."""
    return [match.start() for match in _TOKEN.finditer(text)]


def identifiers(text: bytes) -> list[bytes]:
    """The names in a text, in order."""
    return [text[t.start : t.end] for t in tokens(text) if t.kind == "identifier"]


@dataclass(frozen=True)
class TokenAccuracy:
    """Shares of the tokens that were right, from 0 to 1; None where there are none.

    Teacher-forced: a token is right where each of its bytes was the most probable one after
    all that stands before it (`lenient`); `strict` and `identifiers`, which is strict of the
    identifiers alone, ask it also of the byte that ends an identifier, a keyword or a number.
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
            whole = bool(file.right[token.start : token.end].all())
            ended = bool(file.right[token.end : token.end + 1].all())
            right = whole and (ended or token.kind in ("string", "operator"))
            lenient.append(whole)
            strict.append(right)
            if token.kind == "identifier":
                identifiers.append(right)
    return TokenAccuracy(mean(strict), mean(lenient), mean(identifiers))
