"""The peers that the model is measured beside, and that no answer leaks into them."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from benchmarks.peers import counts, words

from foretype_training.corpus import SourceFile
from foretype_training.tokens import tokens
from tests.conftest import write_java

ROOT = Path(__file__).parents[2]

STATIC = [SourceFile("Static.java", b"int size = list.size();", project=9)]


def _right(text: str, static: Sequence[SourceFile] = ()) -> int:
    """How many of the tokens of a file that is alone in its project."""
    file = SourceFile("A.java", text.encode())
    share, _ = counts(static, [file], [file])["project"]
    return round((share or 0.0) * len(list(tokens(file.text))))


def test_counts_know_what_they_read_first_the_file_and_the_project() -> None:
    files = [
        SourceFile("A.java", b"zoo.add(wombat); zoo.add(wombat);"),
        SourceFile("B.java", b"zoo.add(wombat); int size = list.size();"),
    ]
    shares = counts(STATIC, files[1:], files)
    # The second statement was read first, but for what follows the first one. That was seen
    # in the other file; of itself only the semicolon is known.
    assert shares["none"] == shares["file"] == (9 / 16, 3 / 6)
    assert shares["project"] == (15 / 16, 6 / 6)
    twice = SourceFile("B.java", 2 * files[1].text)
    assert counts(STATIC, [twice], [twice])["file"][0] == pytest.approx((9 + 15) / 32)


def test_the_longest_context_decides_and_then_the_count() -> None:
    seen = "x b d ; y b d ; z b d ; a b c ; "
    assert _right(seen + "a b c") == _right(seen + "a b d") + 1
    assert _right(seen + "q b d") == _right(seen + "q b c") + 1


def test_other_projects_are_not_remembered() -> None:
    files = [SourceFile("A.java", b"a b c d"), SourceFile("A.java", b"a b c d", project=1)]
    assert counts([], files[1:], files)["project"] == (0.0, 0.0)


def test_what_stands_after_a_token_never_changes_its_guess() -> None:
    """Up to any token as many are right as where the file ends there."""
    rng = np.random.default_rng(1)
    text = " ".join(rng.choice(list("abcd;"), 200))
    right = [_right(text[:end], STATIC) for end in range(1, len(text), 2)]
    assert set(np.diff(right)) == {0, 1}


def test_words_are_completed_after_their_first_letter_with_the_most_recent() -> None:
    done = words(SourceFile("A.java", b"habitat house habitat ha"))
    # After the h of the second word "abitat" is shown, after that of the third "ouse", and
    # after its "ha" the right one; after the h of the last "abitat" again.
    assert (done.characters, done.shown, done.right) == (24, 4, 1)
    assert done.pressed == 24 - len("bitat") + 1


def test_a_word_is_not_known_before_it_is_written() -> None:
    assert words(SourceFile("A.java", b"wombat")).shown == 0
    assert words(SourceFile("A.java", b"wombat(); wombat")).right == 1


@pytest.mark.e2e
def test_the_benchmark_sets_them_beside_the_model(
    tiny_model: Path, other_model: Path, tmp_path: Path
) -> None:
    command = [sys.executable, "benchmarks/quality.py", write_java(tmp_path), "--held-out"]
    options = ["--model", tiny_model, "--beside", other_model, "--keystrokes", "500", "--json"]
    done = subprocess.run([*command, *options], cwd=ROOT, capture_output=True, check=True)
    rows = json.loads(done.stdout)
    typed = {"keystrokes saved", "suggestions right"}
    for model in (tiny_model, other_model):
        of_model = [row for label, row in rows.items() if label.startswith(f"{model} ")]
        assert [set(row) for row in of_model] == 3 * [{"bpc", "tokens", "identifiers", *typed}]
    for memory in ("none", "file", "project"):
        assert set(rows[f"counts, memory {memory}"]) == {"tokens", "identifiers"}
    assert set(rows["words of the buffer"]) == typed
    assert set(rows["xz -9e"]) == {"bpc"}
