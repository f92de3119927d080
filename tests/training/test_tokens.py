"""Java as tokens, and the share of them that was right."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from foretype_training.corpus import SourceFile
from foretype_training.measure import Predicted
from foretype_training.tokens import TokenAccuracy, token_accuracy, tokens


def _lexed(text: str) -> list[tuple[str, str]]:
    data = text.encode()
    return [(token.kind, data[token.start : token.end].decode()) for token in tokens(data)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("int größe = 0x1F;", "keyword int|identifier größe|operator =|number 0x1F|operator ;"),
        ("a // no\n/* nor\n this */ b", "identifier a|identifier b"),
        ("\"a\\\"b // c\" + '\\''", "string \"a\\\"b // c\"|operator +|string '\\''"),
        ('"""\n a "b" \\""" c\n"""', 'string """\n a "b" \\""" c\n"""'),
        ("x >>>= 1.5e-3f->y::z...", None),
        ("a.b(1.0, .5)", None),
        ("true ? null : this", "keyword true|operator ?|keyword null|operator :|keyword this"),
        ('"open', 'string "open'),
        ("/* open", ""),
    ],
)
def test_java_is_lexed(text: str, expected: str | None) -> None:
    found = _lexed(text)
    if expected is None:
        assert "".join(part for _, part in found) == text.replace(" ", "")
    else:
        assert [f"{kind} {part}" for kind, part in found] == [e for e in expected.split("|") if e]


def test_operators_are_as_long_as_they_can_be() -> None:
    assert [part for _, part in _lexed("x>>>=1.5e-3f->y::z...++")] == [
        *("x", ">>>=", "1.5e-3f", "->", "y", "::", "z", "...", "++"),
    ]


@given(st.text(alphabet="ab\"'/*\\\n 1.é", max_size=30))
def test_any_text_can_be_lexed_and_tokens_never_overlap(text: str) -> None:
    end = 0
    for token in tokens(text.encode()):
        assert end <= token.start < token.end
        end = token.end


def _accuracy(text: bytes, wrong: set[int]) -> TokenAccuracy:
    right = np.array([at not in wrong for at in range(len(text))])
    bits = np.zeros(len(text), dtype=np.float32)
    return token_accuracy([Predicted(SourceFile("A.java", text), bits, right)])


def test_a_token_is_right_where_all_its_characters_are() -> None:
    text = b"int a1 = 2; // 3"
    assert _accuracy(text, set()) == TokenAccuracy(1.0, 1.0, 1.0)
    assert _accuracy(text, {15}) == TokenAccuracy(1.0, 1.0, 1.0)  # a comment
    assert _accuracy(text, {5}) == TokenAccuracy(4 / 5, 4 / 5, 0.0)
    # The blank after the identifier: it did not end where it should.
    assert _accuracy(text, {6}) == TokenAccuracy(4 / 5, 1.0, 0.0)
    assert _accuracy(text, {8}) == TokenAccuracy(1.0, 1.0, 1.0)  # after an operator
    assert _accuracy(text, {10}) == TokenAccuracy(3 / 5, 4 / 5, 1.0)  # ";", and the end of "2"


def test_a_text_without_tokens_has_no_accuracy() -> None:
    assert _accuracy(b"// nothing", set()) == TokenAccuracy(None, None, None)
