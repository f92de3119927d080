"""A continuation is valid UTF-8, whatever the network would rather write."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from foretype_models import alphabet
from foretype_server import utf8


@given(st.text())
def test_every_text_is_allowed(text: str) -> None:
    state = utf8.START
    for byte in text.encode():
        assert utf8.ALLOWED[state][byte]
        state = utf8.after(state, byte)
    assert state == utf8.START


@given(st.lists(st.integers(0, 255), max_size=40))
def test_whatever_is_allowed_is_a_text(wishes: list[int]) -> None:
    """Of any bytes, those that are not allowed are passed over."""
    state, complete, written = utf8.START, b"", b""
    for byte in wishes:
        if utf8.ALLOWED[state][byte]:
            written += bytes((byte,))
            state = utf8.after(state, byte)
            complete = written if state == utf8.START else complete
    assert complete.decode().encode() == complete


def test_a_file_ends_only_between_characters() -> None:
    assert utf8.ALLOWED[utf8.START][alphabet.END_OF_FILE]
    assert not utf8.ALLOWED[utf8.after(utf8.START, 0xC3)][alphabet.END_OF_FILE]


def test_a_file_never_starts_within_a_text() -> None:
    for allowed in utf8.ALLOWED.values():
        assert not allowed[alphabet.START_OF_FILE]
        assert not allowed[alphabet.END_OF_PATH]
