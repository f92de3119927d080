"""Where continuations end."""

from __future__ import annotations

import pytest

from foretype_server.boundaries import Progress, Until, ends_token


def _cut(text: str, until: Until, after_cursor: str = "", last: str = " ") -> str:
    """As much of the text as a continuation would be that the network goes on writing."""
    progress = Progress(until, after_cursor.encode(), last=ord(last))
    written = b""
    for byte in text.encode():
        if progress.ends_before(byte):
            break
        progress = progress.then(byte)
        written += bytes((byte,))
    return written.decode()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("name = 1;", "name"),
        ("  name = 1;", "  name"),
        ("(name)", "("),
        (" = 1;", " ="),
        ("grün, rot", "grün"),
        ("x1_$y+2", "x1_$y"),
        ("\nnext", ""),
    ],
)
def test_a_token_is_a_word_or_a_symbol_with_the_blanks_before_it(text: str, expected: str) -> None:
    assert _cut(text, "token") == expected


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_a_line_ends_before_its_end(end: str) -> None:
    assert _cut(f"return x;{end}}}", "line") == "return x;"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("return x;\n}\n", "return x;"),
        ("if (x) {\n  y();\n}\nz();\n", "if (x) {\n  y();\n}"),
        ("foo(a,\n  b);\nbar();\n", "foo(a,\n  b);"),
        ("\n\n  x();\n  y();\n", "\n\n  x();"),
        ('print("{");\nx();\n', 'print("{");'),
        ("c = '{';\nx();\n", "c = '{';"),
        ("// it's {\n", "// it's {"),
    ],
)
def test_a_block_ends_with_the_line_that_closes_what_it_opened(text: str, expected: str) -> None:
    assert _cut(text, "block") == expected


@pytest.mark.parametrize(
    ("text", "after_cursor", "expected"),
    [
        ("a, b);", ")", "a, b"),
        ("f(a), b);", ");", "f(a), b"),
        ('text");', '");', "text"),
        ('a + ")");', ")", 'a + ")"'),
        ("a);", " + 1", "a);"),
        ("a);", "b", "a);"),
    ],
)
def test_what_an_editor_put_after_the_cursor_is_not_repeated(
    text: str, after_cursor: str, expected: str
) -> None:
    assert _cut(text, "line", after_cursor) == expected


def test_blanks_belong_to_the_token_before_them() -> None:
    text = "int  x=y ;"
    ends = [i for i in range(1, len(text)) if ends_token(ord(text[i - 1]), ord(text[i]))]
    assert [text[:end] for end in ends] == ["int  ", "int  x", "int  x=", "int  x=y "]
