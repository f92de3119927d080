"""The simulated typist: what is accepted, what it costs, and what suggestions name."""

from __future__ import annotations

from collections.abc import Callable, Generator

import numpy as np
import pytest

from foretype_models.runtime import Piece, Read, Runtime
from foretype_server import search
from foretype_server.candidates import Candidate, Cursor
from foretype_training.corpus import SourceFile
from foretype_training.measure import Setting
from foretype_training.typist import Keystrokes, keystrokes

SETTINGS: list[Setting] = ["none", "file", "project"]
Typing = Callable[[str, dict[str, str]], tuple[Keystrokes, list[str]]]


@pytest.fixture
def suggesting(monkeypatch: pytest.MonkeyPatch, runtime: Runtime) -> Typing:
    """Types a text with suggestions that the test decides, by what they are asked after."""

    def type_with(text: str, suggestions: dict[str, str]) -> tuple[Keystrokes, list[str]]:
        asked: list[str] = []
        position = 0

        def told(characters: int) -> None:
            nonlocal position
            position = characters

        def fake(cursor: Cursor, *_: object) -> Generator[Piece, Read, list[Candidate]]:
            yield Piece(np.zeros((1, 1), np.int64), cursor.snapshot.state)
            before = text[:position]
            asked.append(before)
            found = next((s for end, s in suggestions.items() if before.endswith(end)), "")
            return [Candidate(found, 0.0, [], "boundary")] if found else []

        monkeypatch.setattr(search, "search", fake)
        file = SourceFile("A.java", text.encode())
        [done] = keystrokes(runtime, [file], "none", progress=told)
        return done, asked

    return type_with


def test_without_suggestions_every_character_is_a_keystroke_but_those_that_indent(
    suggesting: Typing,
) -> None:
    done, _ = suggesting("a {\n    bc\n\tde\n", {})
    assert done == Keystrokes(characters=10, pressed=10, shown=0, right=0)
    assert done.saved == done.accepted == done.undefined_identifiers == 0


def test_all_of_a_suggestion_is_accepted_with_one_keystroke(suggesting: Typing) -> None:
    done, asked = suggesting("int value;", {"int": " value;"})
    assert (done.characters, done.pressed, done.shown, done.right) == (10, 4, 1, 1)
    assert done.saved == pytest.approx(0.6)
    assert asked == ["", "i", "in", "int"]


def test_else_its_first_word_and_what_is_left_stays(suggesting: Typing) -> None:
    done, asked = suggesting("return this.name;", {"ret": "urn this.other;"})
    # r, e, t; "urn", " this", "." are accepted; then "name;" is typed.
    assert (done.pressed, done.shown, done.right) == (3 + 3 + 5, 1, 1)
    assert asked[:4] == ["", "r", "re", "ret"]
    assert "return" not in asked  # the rest of the suggestion is still there


def test_a_wrong_one_is_typed_over(suggesting: Typing) -> None:
    done, _ = suggesting("abc", {"a": "xyz"})
    assert (done.pressed, done.shown, done.right) == (3, 1, 0)
    assert done.accepted == 0


def test_names_that_stand_nowhere_are_undefined(suggesting: Typing) -> None:
    done, _ = suggesting("String s; int n;", {"int": " s = Objects.hash(String, n, bogus);"})
    assert (done.identifiers, done.undefined) == (6, 3)  # Objects, hash, bogus


def test_a_name_that_is_begun_counts_whole_and_words_of_comments_do_not(
    suggesting: Typing,
) -> None:
    done, _ = suggesting("habitat; // zoo\nx", {"hab": "itat = wombat;", "// z": "ebra crossing"})
    assert (done.identifiers, done.undefined) == (2, 1)  # habitat is defined, wombat is not


def test_what_repeats_saves_more_with_a_memory(runtime: Runtime) -> None:
    line = b"quokkaWombat.platypusEchidna(bilby, numbat);\n"
    files = [SourceFile("A.java", 6 * line), SourceFile("B.java", 2 * line)]
    none, file, project = (
        keystrokes(runtime, files, setting, confidence=0.3) for setting in SETTINGS
    )
    assert none[0].saved < file[0].saved
    assert file[1].saved < project[1].saved
    assert sum(project, Keystrokes(0, 0, 0, 0)).characters == 8 * len(line)
