"""A new model beside the one it went on from, on files that neither was trained on."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from foretype_models import bundle
from foretype_models.bundle import Bundle
from foretype_models.inputs import Ngrams
from foretype_models.network import Network
from foretype_models.runtime import Runtime
from foretype_training import comparison
from foretype_training.bundling import Identity, make_bundle
from foretype_training.comparison import Comparison, Example, compare
from foretype_training.corpus import SourceFile, read_corpus
from foretype_training.measure import Setting, bits_per_character, measure
from foretype_training.picture import comparison_png
from foretype_training.report import report, show
from foretype_training.typist import keystrokes
from tests.conftest import write_java

SETTINGS: list[Setting] = ["none", "project"]


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> list[SourceFile]:
    """Classes like those that the tiny model was trained on, and a text that is no Java."""
    zoo = write_java(tmp_path_factory.mktemp("zoo"))
    (zoo / "notes.txt").write_text("The animals are fed at noon.\n")
    return read_corpus([zoo]).files


@pytest.fixture(scope="module")
def held_out(corpus: list[SourceFile]) -> list[SourceFile]:
    return [file for file in corpus if file.path.endswith(("Badger0.java", "Iguana3.java", ".txt"))]


@pytest.fixture(scope="module")
def trained(tiny_model: Path) -> Bundle:
    return bundle.load(tiny_model)


@pytest.fixture(scope="module")
def untrained(trained: Bundle, held_out: list[SourceFile]) -> Bundle:
    """Of the same shape."""
    torch.manual_seed(1)
    network = Network(trained.description.architecture).eval()
    return make_bundle(network, Ngrams.empty(), Identity("raw", "", 1, {}), held_out)


@pytest.fixture(scope="module")
def better(
    untrained: Bundle, trained: Bundle, corpus: list[SourceFile], held_out: list[SourceFile]
) -> Comparison:
    return compare(untrained, trained, held_out, corpus)


def test_a_model_that_has_learned_is_better_than_one_that_has_not(better: Comparison) -> None:
    before, after = better.bits
    assert better.is_better
    assert before is not None
    assert after < before
    assert "is better than raw" in better.verdict
    assert f"{after:.4f} bits per character of held-out files, memory project" in better.verdict
    assert better.verdict.endswith(f"before {before:.4f}")


def test_one_that_gains_nothing_is_not(
    untrained: Bundle, trained: Bundle, corpus: list[SourceFile], held_out: list[SourceFile]
) -> None:
    for base, new in ((trained, untrained), (trained, trained)):
        found = compare(base, new, held_out, corpus)
        assert not found.is_better
        assert "is not better than tiny" in found.verdict
        if base == new:
            assert not found.examples
        assert found.to_json()["better"] is False


def test_it_says_what_the_measures_say_themselves(
    better: Comparison, trained: Bundle, corpus: list[SourceFile], held_out: list[SourceFile]
) -> None:
    runtime = Runtime(trained, trained.choose_precision())
    project = [*(file for file in corpus if file not in held_out), *held_out]
    for found, setting in zip(better.after.measured, SETTINGS, strict=True):
        predicted = measure(runtime, held_out, setting, project)
        assert found.bpc == pytest.approx(bits_per_character(predicted), abs=1e-4)
        typed = keystrokes(runtime, held_out, setting, project, comparison.CONFIDENCE)
        assert found.keystrokes.pressed == sum(file.pressed for file in typed)
    assert better.read == better.typed == held_out


def test_the_most_improved_lines_come_with_what_each_model_suggests(better: Comparison) -> None:
    texts = {file.path: file.text.decode().split("\n") for file in better.read}
    assert 0 < len(better.examples) <= comparison.EXAMPLES
    for example in better.examples:
        before, after = example.bits
        assert after < before
        assert texts[example.path][example.line - 1].strip() == example.text

    def begins_right(side: int) -> int:
        return sum(e.suggested[side].startswith(e.text.split()[0]) for e in better.examples)

    assert begins_right(0) == 0
    assert begins_right(1) > len(better.examples) / 2
    assert len({example.text for example in better.examples}) == len(better.examples)


def test_a_line_that_became_likely_tells_more_than_a_long_one_that_did_not() -> None:
    likely = Example("A.java", 1, "return null;", (7.0, 1.0), ("return 0;", "return null;"))
    hopeless = replace(likely, bits=(206.0, 176.0))
    assert likely.gain > hopeless.gain
    no_nearer = replace(likely, suggested=("return null;", "return null;"))
    assert hopeless.gain > no_nearer.gain


def test_tokens_are_measured_of_java_alone(
    untrained: Bundle, trained: Bundle, corpus: list[SourceFile], held_out: list[SourceFile]
) -> None:
    java = [file for file in held_out if file.path.endswith(".java")]
    notes = [file for file in held_out if not file.path.endswith(".java")]
    both = compare(None, trained, held_out, corpus)
    assert (
        both.after.measured[0].tokens
        == compare(None, trained, java, corpus).after.measured[0].tokens
    )
    other = compare(None, trained, notes, corpus)
    assert other.after.measured[0].tokens.strict is None
    assert other.after.measured[0].bpc > 0
    assert "known of Java alone" in report(trained, other, [], Path("model"), None)
    assert "those of 2 files in Java" in report(trained, both, [], Path("model"), None)


def test_a_model_from_nothing_is_measured_alone(
    trained: Bundle, corpus: list[SourceFile], held_out: list[SourceFile]
) -> None:
    found = compare(None, trained, held_out, corpus)
    assert found.is_better
    assert "has no base to compare it with" in found.verdict
    assert found.to_json()["before"] is None
    assert not found.examples
    text = report(trained, found, [], Path("model"), None)
    assert "## What it does" in text
    assert "comparison.png" not in text
    assert "Most improved" not in text


def test_what_reads_no_memory_is_compared_without(
    untrained: Bundle, trained: Bundle, corpus: list[SourceFile], held_out: list[SourceFile]
) -> None:
    shape = replace(trained.description.architecture, memory=False)
    forgetful = make_bundle(
        Network(shape).eval(), Ngrams.empty(), Identity("forgetful", "", 1, {}), held_out
    )
    found = compare(forgetful, trained, held_out, corpus)
    assert [m.setting for side in found.sides for m in side.measured] == ["none", "none"]
    assert found.verdict.count("memory none") == 1


def test_no_more_is_read_and_typed_than_there_is_time_for(
    monkeypatch: pytest.MonkeyPatch,
    trained: Bundle,
    corpus: list[SourceFile],
    held_out: list[SourceFile],
) -> None:
    monkeypatch.setattr(comparison, "READ_CHARACTERS", 700)
    monkeypatch.setattr(comparison, "TYPED_CHARACTERS", 25)
    found = compare(None, trained, held_out, corpus)
    assert 0 < sum(len(file.text) for file in found.read) <= 700
    assert all(file in held_out for file in found.read)
    [part] = found.typed
    assert part.text == b"The animals are fed at no"
    assert part.path == "notes.txt"


def test_a_file_of_which_a_part_is_held_out_is_compared_too(
    trained: Bundle, corpus: list[SourceFile]
) -> None:
    part = replace(corpus[0], text=corpus[0].text[-200:])
    found = compare(trained, trained, [part], corpus[:2])
    assert found.read == found.typed == [part]


def test_the_report_shows_it_all(
    better: Comparison,
    trained: Bundle,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    text = report(trained, better, [], Path("model"), None)
    assert (
        "| memory | model | bits per character | tokens | identifiers | keystrokes saved |" in text
    )
    rows = [line for line in text.splitlines() if line.startswith(("| none |", "| project |"))]
    assert [row.split(" | ")[1].split()[0] for row in rows] == ["raw", "tiny", "raw", "tiny"]
    assert "](comparison.png)" in text
    headings = [f"`{example.path}`, line {example.line}: " for example in better.examples]
    places = [text.index(heading) for heading in headings]
    assert places == sorted(places)  # the most telling first
    for example in better.examples:
        assert f"`{example.path}`, line {example.line}: " in text
        assert f"stands there       {example.text}" in text
    monkeypatch.setenv("COLUMNS", "200")
    show(better)
    heading, *printed = capsys.readouterr().out.splitlines()
    assert heading.startswith("memory   model")
    for row, line in zip(rows, printed, strict=True):
        assert [cell.strip() for cell in row.strip("|").split("|")] == [
            part.strip() for part in line.split("  ") if part.strip()
        ]


def test_a_picture_is_the_same_every_time(better: Comparison) -> None:
    picture = comparison_png(better)
    assert picture.startswith(b"\x89PNG")
    assert picture == comparison_png(better)
