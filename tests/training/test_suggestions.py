"""What the engine suggests at places of a file: where it is asked, what is right, what it knows."""

from __future__ import annotations

from collections.abc import Callable, Generator

import numpy as np
import pytest

from foretype_models.runtime import Piece, Read, Runtime
from foretype_server import search
from foretype_server.candidates import Candidate, Cursor
from foretype_training.corpus import SourceFile
from foretype_training.measure import Setting
from foretype_training.suggestions import NextToken, RestOfLine, next_tokens, rest_of_lines

SETTINGS: list[Setting] = ["none", "file", "project"]
LINE = b"quokkaWombat.platypusEchidna(bilby, numbat);\n"
Suggesting = Callable[[list[str]], None]


@pytest.fixture
def suggesting(monkeypatch: pytest.MonkeyPatch) -> Suggesting:
    """Whatever the engine is asked, it suggests this."""

    def suggest(texts: list[str]) -> None:
        def fake(cursor: Cursor, *_: object) -> Generator[Piece, Read, list[Candidate]]:
            yield Piece(np.zeros((1, 1), np.int64), cursor.snapshot.state)
            return [Candidate(text, 0.0, [], "boundary") for text in texts]

        monkeypatch.setattr(search, "search", fake)

    return suggest


def _shuffled(text: bytes) -> bytes:
    rng = np.random.default_rng(1)
    return bytes(rng.permutation(np.frombuffer(text, np.uint8)))


def test_the_next_token_is_asked_for_at_every_token_that_is_no_comment(
    runtime: Runtime, suggesting: Suggesting
) -> None:
    suggesting(["x", "size", "+", '"', "1"])
    file = SourceFile("A.java", b'size += "a"; /* x */ 1.5')
    found = next_tokens(runtime, [file], "none")
    # The engine takes operators and what is in quotes character by character.
    assert found.all.ranks == [2, 3, 4, 0, 5]
    assert found.identifiers.ranks == [2]


def test_ranks_are_summed_up_as_shares_and_a_mean() -> None:
    found = NextToken([1, 4, 0, 10])
    assert (found.top1, found.top5, found.mrr) == (1 / 4, 2 / 4, (1 + 1 / 4 + 1 / 10) / 4)
    nowhere = NextToken([])
    assert nowhere.top1 is nowhere.top5 is nowhere.mrr is None


def test_a_memory_knows_the_next_token_of_what_repeats(runtime: Runtime) -> None:
    files = [SourceFile("A.java", 6 * LINE), SourceFile("B.java", 2 * LINE)]
    none, file, project = (next_tokens(runtime, files, setting).all.ranks for setting in SETTINGS)
    assert sum(map(bool, none[:54])) < sum(map(bool, file[:54]))
    assert file[:54] == project[:54]  # the first file has no other to remember
    assert sum(map(bool, file[54:])) < sum(map(bool, project[54:]))


@pytest.mark.parametrize("setting", SETTINGS)
def test_what_stands_after_a_token_never_changes_its_rank(
    runtime: Runtime, setting: Setting
) -> None:
    files = [SourceFile("A.java", 2 * LINE), SourceFile("B.java", 3 * LINE)]
    cut = len(LINE) + LINE.index(b"(")
    changed = SourceFile("B.java", files[1].text[:cut] + b" " + _shuffled(files[1].text[cut:]))
    before = next_tokens(runtime, files, setting).all.ranks
    after = next_tokens(runtime, [files[0], changed], setting).all.ranks
    assert after[: 2 * 9 + 9 + 3] == before[: 2 * 9 + 9 + 3]
    assert after != before


def test_the_rest_of_every_line_of_code_is_asked_for_always_at_the_same_place(
    runtime: Runtime, suggesting: Suggesting
) -> None:
    suggesting(["öä; "])
    text = "/* a\n comment */\n\n  int größe = öä;  \n\t// none\n\t}\n" * 20
    file = SourceFile("A.java", text.encode())
    found = rest_of_lines(runtime, [file], "none")
    assert found == rest_of_lines(runtime, [file], "none")
    assert len(found) == 40
    rests = {line.wanted for line in found}
    assert all("int größe = öä;".endswith(rest) or rest == "}" for rest in rests)
    assert "" not in rests
    assert len(rests) > 8
    assert all(line.suggested == "öä;" for line in found)


@pytest.mark.parametrize(
    ("wanted", "suggested", "similarity"),
    [
        ("abc", "abc", 1.0),
        ("abc", "", 0.0),
        ("", "", 1.0),
        ("abcd", "axcd", 1 - 2 / 8),  # one is taken out and one put in
        ("return size();", "return size;", 1 - 2 / 26),
        ("xab", "abx", 4 / 6),
    ],
)
def test_similarity_counts_what_is_put_in_and_taken_out(
    wanted: str, suggested: str, similarity: float
) -> None:
    line = RestOfLine(wanted, suggested)
    assert line.similarity == pytest.approx(similarity)
    assert line.exact == (similarity == 1)


@pytest.mark.parametrize("setting", SETTINGS)
def test_what_stands_after_a_place_never_changes_what_is_suggested_there(
    runtime: Runtime, setting: Setting
) -> None:
    files = [SourceFile("A.java", 2 * LINE), SourceFile("B.java", 5 * LINE)]
    cut = 3 * len(LINE)
    changed = SourceFile("B.java", files[1].text[:cut] + _shuffled(files[1].text[cut:]))
    before = rest_of_lines(runtime, files, setting)
    after = rest_of_lines(runtime, [files[0], changed], setting)
    assert after[: 2 + 3] == before[: 2 + 3]
    assert after != before
