"""What a search finds, on a real model."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from foretype_models import alphabet
from foretype_models.architecture import Architecture
from foretype_models.inputs import Ngrams
from foretype_models.network import Network
from foretype_models.runtime import LogProbs, Runtime
from foretype_server import search
from foretype_server.boundaries import Progress, Until
from foretype_server.candidates import AT_ONCE, Candidate, Cursor, Options
from foretype_server.compute import alone
from foretype_server.names import Names
from foretype_server.search import Character
from foretype_server.states import Snapshot
from foretype_training.bundling import Identity, make_bundle
from foretype_training.corpus import SourceFile
from tests.server.work import PATH, PREFIX, after, followed


def _search(
    runtime: Runtime,
    prefix: str = PREFIX,
    until: Until = "line",
    candidates: int = 1,
    length: int = 200,
    confidence: float = 0.0,
    names: Names | None = None,
) -> list[Candidate]:
    options = Options(candidates, length, confidence)
    work = search.search(Cursor(after(runtime, prefix), Progress(until, b""), names), options)
    return alone(runtime, work)


def _unlearned(architecture: Architecture) -> Runtime:
    torch.manual_seed(1)
    network = Network(architecture).eval()
    file = SourceFile(PATH, PREFIX.encode())
    return Runtime(make_bundle(network, Ngrams.empty(), Identity("raw", "", 1, {}), [file]))


def test_it_completes_what_all_files_have_in_common(runtime: Runtime) -> None:
    [candidate] = _search(runtime)
    assert candidate.text == " in the zoo."
    assert candidate.stop == "boundary"


@pytest.mark.parametrize("until", ["token", "line", "block"])
def test_candidates_are_distinct_and_most_probable_first(runtime: Runtime, until: Until) -> None:
    found = _search(runtime, PREFIX + " in the zoo.\n */\npublic ", until, candidates=5)
    assert len({candidate.text for candidate in found}) == len(found) == 5
    log_probs = [candidate.log_prob for candidate in found]
    assert log_probs == sorted(log_probs, reverse=True)


def test_the_log_probability_is_that_of_the_text_and_its_end(runtime: Runtime) -> None:
    for candidate in _search(runtime, candidates=3):
        bits = runtime.score(PATH, (PREFIX + candidate.text + "\n").encode())
        own = -math.log(2) * float(bits[len(PREFIX) :].sum())
        assert candidate.log_prob == pytest.approx(own, abs=1e-4)
        text = -math.log(2) * float(bits[len(PREFIX) : -1].sum())
        assert math.fsum(map(math.log, candidate.confidences)) == pytest.approx(text, abs=1e-4)


@dataclass
class _Guesses:
    """Draws what is guessed: the beginning of what comes, and then anything."""

    data: st.DataObject
    comes: bytes
    kept: list[bytes] = field(default_factory=list[bytes])

    def after(self, written: bytes, unread: int) -> bytes:
        right = self.data.draw(st.integers(0, 20))
        return self.comes[len(written) :][:right] + self.data.draw(st.binary(max_size=8))

    def keep(self, written: bytes) -> None:
        self.kept.append(written)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(data=st.data())
@pytest.mark.parametrize("confidence", [0.0, 0.3])
def test_whatever_is_guessed_the_same_is_found(
    runtime: Runtime, confidence: float, data: st.DataObject
) -> None:
    options = Options(1, 60, confidence)
    cursor = Cursor(after(runtime, PREFIX), Progress("block", b""))
    expected = alone(runtime, search.search(cursor, options))
    [candidate] = expected
    guesses = _Guesses(data, candidate.text.encode())
    assert alone(runtime, search.search(replace(cursor, draft=guesses), options)) == expected
    [written] = guesses.kept
    assert written.decode(errors="ignore").startswith(candidate.text)

    guesses = _Guesses(data, candidate.text.encode())
    work = search.stream(replace(cursor, draft=guesses), options)
    _, parts, rest = followed(runtime, work)
    *characters, stop = [item for part in [*parts, rest] for item in part]
    assert "".join(c.text for c in characters if isinstance(c, Character)) == candidate.text
    assert [c.probability for c in characters if isinstance(c, Character)] == candidate.confidences
    assert stop == candidate.stop


def test_what_is_guessed_right_is_read_in_one_run(runtime: Runtime) -> None:
    [candidate] = _search(runtime)
    assert len(candidate.text) < AT_ONCE

    class Right:
        def after(self, written: bytes, unread: int) -> bytes:
            return candidate.text.encode()[len(written) :]

        def keep(self, written: bytes) -> None:
            pass

    cursor = Cursor(after(runtime, PREFIX), Progress("line", b""), draft=Right())
    pieces, _, found = followed(runtime, search.search(cursor, Options(1, 200, 0.0)))
    assert found == [candidate]
    assert len(pieces) == 1


def test_a_stream_is_the_single_candidate_character_by_character(runtime: Runtime) -> None:
    [candidate] = _search(runtime)
    options = Options(1, 200, 0.0)
    work = search.stream(Cursor(after(runtime, PREFIX), Progress("line", b"")), options)
    _, parts, rest = followed(runtime, work)
    *characters, stop = [item for part in [*parts, rest] for item in part]
    assert all(isinstance(item, Character) for item in characters)
    assert "".join(c.text for c in characters if isinstance(c, Character)) == candidate.text
    assert stop == candidate.stop
    assert len(parts) >= len(candidate.text)  # as they are decided, not at the end


def test_white_space_alone_is_no_suggestion_and_is_not_streamed(runtime: Runtime) -> None:
    prefix = PREFIX + " in the zoo.\n"
    options = Options(1, 1, 0.0)
    cursor = Cursor(after(runtime, prefix), Progress("line", b"", last=ord("\n")))
    [blank] = alone(runtime, search._found(cursor, options))  # pyright: ignore[reportPrivateUsage]
    assert blank.text == " "
    assert alone(runtime, search.search(cursor, options)) == []
    _, parts, rest = followed(runtime, search.stream(cursor, options))
    assert [item for part in [*parts, rest] for item in part] == ["length"]


def test_it_is_cut_at_the_end_of_a_token_before_it_becomes_unsure(runtime: Runtime) -> None:
    [sure] = _search(runtime, until="block", length=120, confidence=0.5)
    [whole] = _search(runtime, until="block", length=120)
    assert whole.text.startswith(sure.text)
    assert math.prod(sure.confidences) >= 0.5


def _sure_but_for(runtime: Runtime, text: str, unsure: str, until: Until) -> str:
    """What is suggested where the network writes a text and is unsure of one character."""
    state, at = runtime.initial_state(), text.index(unsure)

    def expected(position: int) -> LogProbs:
        log_probs = np.full(alphabet.SIZE, -20, np.float32)
        log_probs[ord(text[position])] = math.log(0.1 if position == at else 0.999)
        return log_probs

    start = Snapshot(state, expected(0))
    work = search.search(Cursor(start, Progress(until, b"")), Options(1, 200, 0.3))
    next(work)
    for position in range(1, len(text)):
        try:
            work.send((expected(position)[None, None], state))
        except StopIteration as end:
            return "".join(candidate.text for candidate in end.value)
    raise AssertionError("it goes on after the text")


@pytest.mark.parametrize(
    ("text", "unsure", "suggested"),
    [
        ('call("x", y).z;\n', "y", "call"),
        ('call("x", y).z;\n', ")", "call"),
        ('call("x", y).z;\n', "z", 'call("x", y).'),
        ("a[i] = b;\n", "]", "a"),
        ('say("hello world")\n', "w", "say"),
        ('"never', "v", ""),
        (") + f(x)\n", "x", ") + f"),
        ("if (a) {\n", "\n", "if (a) {"),  # it is complete
    ],
)
def test_what_is_cut_leaves_open_no_bracket_or_quote_of_its_own(
    runtime: Runtime, text: str, unsure: str, suggested: str
) -> None:
    assert _sure_but_for(runtime, text, unsure, "line") == suggested


def test_a_block_may_be_cut_at_the_end_of_a_line(runtime: Runtime) -> None:
    block = "if (a) {\n    b();\n    c(d);\n}\n"
    assert _sure_but_for(runtime, block, "d", "block") == "if (a) {\n    b();"


def test_nothing_is_suggested_where_nothing_is_sure(runtime: Runtime) -> None:
    assert _search(runtime, "qqq zzz", confidence=0.999) == []


def test_a_name_that_stands_nowhere_must_be_more_likely_than_not(runtime: Runtime) -> None:
    prefix = "package org.example.zoo;\n\nimport java.util.List;\n\nclass "
    [candidate] = _search(runtime, prefix, confidence=0.01)
    first, second = candidate.text.removesuffix(";").split(" ")
    split = len(first) + 1
    assert math.prod(candidate.confidences[: len(first)]) < search.SURE_OF_NEW
    assert math.prod(candidate.confidences[split:-1]) < search.SURE_OF_NEW

    def found(text: str, confidence: float) -> list[str]:
        names = Names(f"{text} {prefix}".encode())
        return [c.text for c in _search(runtime, prefix, confidence=confidence, names=names)]

    assert found(f"{first} {second}", 0.01) == [candidate.text]
    assert found(first, 0.01) == [candidate.text[:split]]
    assert found(second, 0.01) == []
    assert found("", 0.0) == [candidate.text]  # nothing is asked of it


def test_the_length_is_a_bound_in_bytes(runtime: Runtime) -> None:
    [candidate] = _search(runtime, length=5)
    assert candidate.text == " in t"
    assert candidate.stop == "length"


def test_a_character_that_the_bound_cuts_is_left_out(runtime: Runtime) -> None:
    """A network that has learned nothing writes any characters, most of them of several bytes."""
    unlearned = _unlearned(runtime.architecture)
    of_several_bytes = 0
    for length in range(1, 12):
        for candidate in _search(unlearned, candidates=5, length=length):
            written = candidate.text.encode()
            assert len(written) <= length
            assert len(candidate.confidences) == len(candidate.text)
            of_several_bytes += len(written) > len(candidate.text)
    assert of_several_bytes


def test_a_continuation_that_repeats_itself_says_it_once(runtime: Runtime) -> None:
    """A network that has learned nothing falls into a loop."""
    unlearned = _unlearned(runtime.architecture)
    [candidate] = _search(unlearned, until="block")
    assert candidate.stop == "repetition"

    cursor = Cursor(after(unlearned, PREFIX), Progress("block", b""))
    _, parts, rest = followed(unlearned, search.stream(cursor, Options(1, 200, 0.0)))
    *characters, stop = [item for part in [*parts, rest] for item in part]
    sent = "".join(c.text for c in characters if isinstance(c, Character))
    assert stop == "repetition"
    assert sent.startswith(candidate.text)
    assert len(sent) > len(candidate.text)  # what was sent cannot be taken back

    class Right:
        def after(self, written: bytes, unread: int) -> bytes:
            return sent.encode()[len(written) :]

        def keep(self, written: bytes) -> None:
            pass

    guessed = search.stream(replace(cursor, draft=Right()), Options(1, 200, 0.0))
    _, parts, rest = followed(unlearned, guessed)
    assert [item for part in [*parts, rest] for item in part] == [*characters, stop]


def test_predictions_are_characters_and_sum_to_less_than_one(runtime: Runtime) -> None:
    found = alone(runtime, search.predict(after(runtime, PREFIX), 100))
    probabilities = [probability for _, probability in found]
    assert found[0][0] == " "
    assert all(len(text) <= 1 for text, _ in found)
    assert len(found) == len({text for text, _ in found}) == 100
    assert probabilities == sorted(probabilities, reverse=True)
    assert 0.99 < sum(probabilities) <= 1.0001
