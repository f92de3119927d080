"""Which language files are written in."""

from __future__ import annotations

import re

from foretype_training.corpus import SourceFile
from foretype_training.languages import BY_SUFFIX, of_file, of_most


def test_a_files_language_follows_from_its_name() -> None:
    assert of_file("src/main/App.java") == "java"
    assert of_file("Setup.PY") == "python"
    assert of_file("java") == of_file(".java") == of_file("notes.txt") == ""


def test_every_suffix_is_one_and_stands_for_one_language() -> None:
    assert all(re.fullmatch(r"\.[a-z]+", suffix) for suffix in BY_SUFFIX)
    assert all(re.fullmatch(r"[a-z]+", language) for language in BY_SUFFIX.values())


def test_the_language_of_most_has_more_than_half_of_the_characters() -> None:
    java, python = SourceFile("A.java", b"class A {}\n"), SourceFile("a.py", b"a = 1 + 1 \n")
    assert of_most([java]) == "java"
    assert of_most([java, python]) == ""
    assert of_most([java, python, SourceFile("B.java", b"x")]) == "java"
    assert of_most([SourceFile("LICENSE", b"a licence"), SourceFile("b.py", b"b")]) == ""
