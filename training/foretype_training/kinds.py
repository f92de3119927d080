"""What a model errs on: its bits and its wrong tokens by what stands there."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from foretype_training.corpus import SourceFile
from foretype_training.measure import Predicted
from foretype_training.tokens import Token, identifiers, strictly_right, tokens_and_comments

KINDS = (
    "white space",
    "operator",
    "keyword",
    "known identifier",
    "new identifier",
    "literal",
    "comment",
)
"""An identifier is known where it stands before in the file, or in a file of the project that
comes before in path order, whatever is remembered. Brackets and punctuation are operators."""

_NUMBERS = {kind: number for number, kind in enumerate(KINDS)}
_OF_TOKENS = {"string": "literal", "number": "literal"}  # the others have their own names


@dataclass(frozen=True)
class Share:
    """What falls to one kind. White space and comments hold no tokens."""

    characters: int  # in bytes of UTF-8
    bits: float
    wrong_characters: int
    tokens: int
    wrong_tokens: int  # strictly


def by_kind(predicted: Sequence[Predicted], project: Sequence[SourceFile] = ()) -> dict[str, Share]:
    """Of each of KINDS its share. `predicted` and `project`, which holds all files of their
    projects, stand project by project, in path order."""
    columns = np.zeros((5, len(KINDS)))
    for file, known in _with_names_before(predicted, project):
        kinds = np.zeros(file.characters, dtype=np.int64)
        tokens = np.zeros((2, len(KINDS)))
        for token in tokens_and_comments(file.file.text):
            number = _number(token, file.file.text, known)
            kinds[token.start : token.end] = number
            if token.kind != "comment":
                tokens[:, number] += (1, not strictly_right(token, file.right))
        of_bytes = (None, file.bits, ~file.right)
        columns[:3] += [np.bincount(kinds, weights, len(KINDS)) for weights in of_bytes]
        columns[3:] += tokens
    return {
        kind: Share(int(characters), float(bits), int(wrong), int(tokens), int(wrong_tokens))
        for kind, (characters, bits, wrong, tokens, wrong_tokens) in zip(
            KINDS, columns.T, strict=True
        )
    }


def _with_names_before(
    predicted: Sequence[Predicted], project: Sequence[SourceFile]
) -> Iterator[tuple[Predicted, set[bytes]]]:
    """Each file with the names that stand in its project before it."""
    measured = {(file.file.project, file.file.path): file for file in predicted}
    names, of = set[bytes](), -1
    for file in project or [file.file for file in predicted]:
        if file.project != of:
            names, of = set[bytes](), file.project
        if (file.project, file.path) in measured:
            yield measured[file.project, file.path], names
        names.update(identifiers(file.text))


def _number(token: Token, text: bytes, known: set[bytes]) -> int:
    """That of its kind. What is an identifier is known from here on."""
    if token.kind != "identifier":
        return _NUMBERS[_OF_TOKENS.get(token.kind, token.kind)]
    name = text[token.start : token.end]
    is_known = name in known
    known.add(name)
    return _NUMBERS["known identifier" if is_known else "new identifier"]
