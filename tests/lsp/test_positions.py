from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from foretype_lsp.positions import Encoding, to_code_points, to_code_units

ENCODERS = {Encoding.Utf8: ("utf-8", 1), Encoding.Utf16: ("utf-16-le", 2), Encoding.Utf32: None}
encodings = st.sampled_from(list(Encoding))
lines = st.text(st.sampled_from("ab\té€𐐷😀\x0c\u2028"))


def _length(text: str, encoding: Encoding) -> int:
    encoder = ENCODERS[encoding]
    return len(text) if encoder is None else len(text.encode(encoder[0])) // encoder[1]


@given(lines, encodings)
def test_units_are_those_of_the_encoding(line: str, encoding: Encoding) -> None:
    assert to_code_units(line, encoding) == _length(line, encoding)


@given(st.data(), lines, encodings)
def test_a_column_comes_back_as_it_went(data: st.DataObject, line: str, encoding: Encoding) -> None:
    index = data.draw(st.integers(0, len(line)))
    assert to_code_points(line, to_code_units(line[:index], encoding), encoding) == index


@pytest.mark.parametrize(("column", "expected"), [(0, 0), (1, 1), (2, 1), (3, 2), (4, 3), (99, 3)])
def test_inside_a_surrogate_pair_is_before_it_and_beyond_the_line_at_its_end(
    column: int, expected: int
) -> None:
    assert to_code_points("a😀b", column, Encoding.Utf16) == expected


def test_a_lone_surrogate_is_one_unit() -> None:
    assert to_code_units("\ud83d", Encoding.Utf16) == 1
