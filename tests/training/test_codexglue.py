"""The stream of tokens of a published benchmark, and what of it counts."""

from __future__ import annotations

import numpy as np
import pytest

from foretype_training.codexglue import StreamAccuracy, normalised, stream_accuracy
from foretype_training.corpus import SourceFile
from foretype_training.measure import Predicted


def _stream(text: str) -> str:
    return normalised(SourceFile("A.java", text.encode())).text.decode()


@pytest.mark.parametrize(
    ("source", "stream"),
    [
        ("", "<s> </s>"),
        ("int  größe=a/* no */[i];// no", "<s> int größe = a [ i ] ; </s>"),
        ('s = "a \\" b" + "";', '<s> s = "<STR_LIT>" + "<STR_LIT>" ; </s>'),
        ("'a' '\\n'", "<s> '<CHAR_LIT>' '<CHAR_LIT>' </s>"),
        ("0 + 1L - 0x7F", "<s> <NUM_LIT:0> + <NUM_LIT:1L> - <NUM_LIT> </s>"),
    ],
)
def test_a_file_becomes_a_line_of_tokens(source: str, stream: str) -> None:
    assert _stream(source) == stream


def _accuracy(wrong: set[int]) -> StreamAccuracy:
    file = normalised(SourceFile("A.java", b'return a("b");'))
    assert file.text == b'<s> return a ( "<STR_LIT>" ) ; </s>'
    right = np.array([at not in wrong for at in range(len(file.text))])
    return stream_accuracy([Predicted(file, np.zeros(len(right), np.float32), right)])


def test_a_token_is_right_where_all_its_characters_are() -> None:
    assert _accuracy(set()) == StreamAccuracy(1.0, 1.0, 6)
    assert _accuracy({11}) == StreamAccuracy(5 / 6, 0.0, 6)  # a
    assert _accuracy({20, 21}) == StreamAccuracy(5 / 6, 1.0, 6)  # in the string


def test_neither_spaces_nor_the_ends_of_the_stream_count() -> None:
    assert _accuracy({0, 1, 3, 10, 12, 32, 33}) == StreamAccuracy(1.0, 1.0, 6)


def test_a_stream_without_tokens_has_no_accuracy() -> None:
    file = normalised(SourceFile("A.java", b"// nothing"))
    predicted = Predicted(file, np.zeros(8, np.float32), np.ones(8, np.bool_))
    assert stream_accuracy([predicted]) == StreamAccuracy(None, None, 0)
