"""Where continuations end."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from foretype_server.boundaries import Progress, Until, ends_token, first_of_repeated


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


def _once(text: str) -> str | None:
    """What is left of the text as soon as it repeats itself, None if it does not."""
    written = text.encode()
    ends = (first_of_repeated(written[:end]) for end in range(len(written) + 1))
    found = next((end for end in ends if end is not None), None)
    return None if found is None else written[:found].decode()


@pytest.mark.parametrize(
    ("text", "once"),
    [
        ("a set of" + " a set of" * 3, "a set of"),
        ('x + ", " + y' + ' + ", " + y' * 2, 'x + ", " + y'),
        ("int[] a = {" + "0, " * 6, "int[] a = {0,"),
        ("// " + "-=" * 8, "// -="),
        ("/" + "*" * 64, "/"),
        ("x = 1;" + " " * 64, "x = 1;"),
        (" " * 64, ""),
        ("zoologists" * 3, ""),
        ("grün " * 4, "grün"),
    ],
)
def test_a_continuation_that_repeats_itself_ends_after_the_first_time(text: str, once: str) -> None:
    assert _once(text) == once


@pytest.mark.parametrize(
    "text",
    ["", "a", "abcabcabc", "get(a, b); get(a, b);", "/" + "*" * 63, "x" + " " * 40 + "= 1"],
)
def test_what_stands_twice_and_rules_are_no_repetitions(text: str) -> None:
    assert _once(text) is None


@given(st.text(max_size=20), st.text(min_size=6, max_size=20))
def test_every_repetition_is_found(before: str, unit: str) -> None:
    once = _once(before + 3 * unit)
    assert once is not None or len(set(unit.encode())) == 1
    assert (before + unit).startswith(once or "")
