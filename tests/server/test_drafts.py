"""Guesses of what a search will write."""

from __future__ import annotations

import pytest

from foretype_server.documents import Document
from foretype_server.drafts import Drafts

PREFIX = b"/** Where many animals live. */\nclass Zoo {\n    int gor"
WRITTEN = b"illas = 0; // of all"


def _document(prefix: bytes, path: str = "Zoo.java") -> Document:
    return Document("zoo", path, prefix, b"")


def _after_a_suggestion() -> Drafts:
    drafts = Drafts(is_exact=True)
    drafts.of(_document(PREFIX)).keep(WRITTEN)
    return drafts


def test_who_types_along_a_suggestion_is_expected_to_go_on() -> None:
    draft = _after_a_suggestion().of(_document(PREFIX + b"ill"))
    assert draft.after(b"", 1) == b"as = 0; // of all"
    assert draft.after(b"as =", 1) == b" 0; // of all"


def test_who_goes_back_is_expected_to_write_the_same_again() -> None:
    draft = _after_a_suggestion().of(_document(PREFIX[:-3]))
    assert draft.after(b"", 1) == b"gor" + WRITTEN


def test_nothing_is_guessed_of_what_is_new() -> None:
    drafts = _after_a_suggestion()
    assert drafts.of(_document(PREFIX + b"x")).after(b"", 1) == b""
    assert drafts.of(_document(PREFIX + b"ill")).after(b"x", 1) == b""
    assert drafts.of(_document(PREFIX + b"ill", "Cage.java")).after(b"", 1) == b""
    assert drafts.of(_document(PREFIX[:8])).after(b"", 1) == b""


def test_what_followed_the_same_bytes_last_time_is_expected_again() -> None:
    text = b"int keepers = 1;\nint keepers = 2;\nint keep"
    draft = Drafts(is_exact=True).of(_document(text))
    assert draft.after(b"ers = ", 1) == b"2;\nint "
    assert draft.after(b"ing", 1) == b""


@pytest.mark.parametrize(
    ("written", "unread", "guess"),
    [
        (b"ers = ", 1, b"2;\nint "),  # twelve bytes are the same
        (b"", 1, b"ers"),  # eight are
        (b"er", 1, b"s = 2;\n"),  # twelve again
        (b"", 3, b"e"),
        (b"", 4, b"ers "),
        (b"", 5, b"ers"),
        (b"ers = ", 8, b"2;\nint k"),
        (b" = 2", 1, b";"),  # four are the same, and no more
    ],
)
def test_a_run_reads_two_four_eight_or_sixteen_bytes(
    written: bytes, unread: int, guess: bytes
) -> None:
    """The more bytes are the same, the more are guessed."""
    text = b"int keepers = 1;\nint keepers = 2;\n"
    draft = Drafts(is_exact=True).of(_document(text + b"int keep"))
    assert draft.after(written, unread) == guess


def test_the_last_suggestion_goes_before_what_stands_in_the_text() -> None:
    text = b"int keepers = 1;\nint keep"
    drafts = Drafts(is_exact=True)
    drafts.of(_document(text)).keep(b"ing")
    assert drafts.of(_document(text)).after(b"", 1) == b"ing"


def test_for_a_network_that_is_not_exact_nothing_is_guessed() -> None:
    text = b"int keepers = 1;\nint keep"
    drafts = Drafts(is_exact=False)
    drafts.of(_document(text)).keep(b"ing")
    assert drafts.of(_document(text)).after(b"", 1) == b""
