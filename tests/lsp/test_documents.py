"""Documents stay what the editor has, whatever is edited, in every position encoding."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lsprotocol import types

from foretype_lsp.documents import Document, place_in_workspace
from foretype_lsp.positions import Encoding, to_code_units

# Line ends, what only Python takes for one, and characters of one to four bytes.
texts = st.text(st.sampled_from("ab é€😀\x0c\x0b\x85\u2028\u2029") | st.sampled_from("\r\n"))
encodings = st.sampled_from(list(Encoding))


def _open(text: str, encoding: Encoding = Encoding.Utf16) -> Document:
    return Document.opened(types.TextDocumentItem("file:///a", "java", 1, text), encoding)


def _position(text: str, offset: int, encoding: Encoding) -> types.Position:
    """By the definition in the specification, over the text as a whole."""
    ends = [end.end() for end in re.finditer(r"\r\n|\r|\n", text) if end.end() <= offset]
    start = ends[-1] if ends else 0
    return types.Position(len(ends), to_code_units(text[start:offset], encoding))


def _splits_line_end(text: str, offset: int) -> bool:
    return text[offset - 1 : offset + 1] == "\r\n"


@settings(max_examples=300)
@given(st.data(), texts, encodings)
def test_edits_are_those_of_a_plain_text(
    data: st.DataObject, text: str, encoding: Encoding
) -> None:
    document = _open(text, encoding)
    for version in range(2, data.draw(st.integers(2, 12))):
        places = [at for at in range(len(text) + 1) if not _splits_line_end(text, at)]
        start, end = sorted(data.draw(st.tuples(*[st.sampled_from(places)] * 2)))
        inserted = data.draw(texts)
        span = types.Range(_position(text, start, encoding), _position(text, end, encoding))
        change = types.TextDocumentContentChangePartial(range=span, text=inserted)
        text = text[:start] + inserted + text[end:]
        document = document.changed(version, [change])
        assert document.text == text
        assert document.version == version
        assert document.lines == _open(text).lines


@given(texts)
def test_lines_end_where_lsp_says(text: str) -> None:
    parts = re.split(r"(?<=\n)|(?<=\r)(?!\n)", text)
    assert _open(text).lines == parts


@given(st.data(), texts, encodings)
def test_a_text_is_cut_at_the_position(data: st.DataObject, text: str, encoding: Encoding) -> None:
    offset = data.draw(st.integers(0, len(text)).filter(lambda at: not _splits_line_end(text, at)))
    document = _open(text, encoding)
    line, column = document.locate(_position(text, offset, encoding))
    assert document.around(line, column) == (text[:offset], text[offset:])
    assert document.range(line, 0, column).end == _position(text, offset, encoding)


def test_changes_of_one_notification_follow_one_another() -> None:
    at = types.Range(types.Position(0, 1), types.Position(0, 1))
    changes: list[types.TextDocumentContentChangeEvent] = [
        types.TextDocumentContentChangeWholeDocument(text="xy"),
        types.TextDocumentContentChangePartial(range=at, text="\r\n"),
        types.TextDocumentContentChangePartial(range=at, text="z"),
    ]
    assert _open("before").changed(2, changes).text == "xz\r\ny"


def test_an_empty_document_and_a_position_beyond_the_end() -> None:
    assert _open("").locate(types.Position(0, 0)) == (0, 0)
    assert _open("a\nbc").locate(types.Position(7, 3)) == (1, 2)
    assert _open("a\r\nb").locate(types.Position(0, 9)) == (0, 1)


FOLDERS = ["file:///work/app", "file:///work/app/libs/b%20c"]


@pytest.mark.parametrize(
    ("uri", "expected"),
    [
        ("file:///work/app/src/A.java", ("/work/app", "src/A.java")),
        ("file:///work/app/libs/b%20c/%C3%84.java", ("/work/app/libs/b c", "Ä.java")),
        ("file:///work/application/A.java", ("", "A.java")),
        ("untitled:Untitled-1", ("", "Untitled-1")),
    ],
)
def test_a_document_lies_in_the_innermost_folder(uri: str, expected: tuple[str, str]) -> None:
    assert place_in_workspace(uri, FOLDERS) == expected


def test_a_path_is_no_longer_than_the_protocol_takes() -> None:
    _, path = place_in_workspace(f"file:///work/app/{'é' * 600}/A.java", FOLDERS)
    assert path.endswith("/A.java")
    assert len(path.encode()) <= 1024
