"""Every text can be written with the alphabet, and is read back as it was."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from foretype_models import alphabet


@given(path=st.text(st.characters(codec="utf-8")), text=st.binary())
def test_a_file_is_its_path_and_its_text_between_control_symbols(path: str, text: bytes) -> None:
    symbols = alphabet.encode_file(path, text).tolist()
    end_of_path = symbols.index(alphabet.END_OF_PATH)
    assert symbols[0] == alphabet.START_OF_FILE
    assert bytes(symbols[1:end_of_path]).decode() == path
    assert bytes(symbols[end_of_path + 1 : -1]) == text
    assert symbols[-1] == alphabet.END_OF_FILE


@given(st.binary())
def test_no_byte_is_a_control_symbol(data: bytes) -> None:
    symbols = alphabet.encode(data)
    assert symbols.dtype == np.int64
    assert (symbols < alphabet.BYTES).all()
    assert bytes(symbols.tolist()) == data


@given(st.characters(codec="utf-8"))
def test_the_first_byte_tells_how_long_a_code_point_is(character: str) -> None:
    first, *rest = character.encode()
    assert alphabet.code_point_length(first) == 1 + len(rest)
    assert not alphabet.is_continuation(first)
    assert all(alphabet.is_continuation(byte) for byte in rest)


def test_control_symbols_stand_alone() -> None:
    controls = {alphabet.START_OF_FILE, alphabet.END_OF_PATH, alphabet.END_OF_FILE}
    assert controls == set(range(alphabet.BYTES, alphabet.SIZE))
    for symbol in controls:
        assert alphabet.code_point_length(symbol) == 1
        assert not alphabet.is_continuation(symbol)
