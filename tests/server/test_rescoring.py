"""What stands after the cursor decides how far a continuation goes."""

from __future__ import annotations

import math

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from foretype_models.runtime import Runtime
from foretype_server import rescoring, search
from foretype_server.boundaries import Progress, Until
from foretype_server.candidates import Candidate, Cursor, Options
from foretype_server.compute import MAX_TOGETHER, alone
from tests.server.work import PATH, PREFIX, after, followed


def _search(
    runtime: Runtime,
    rest: str,
    prefix: str = PREFIX,
    until: Until = "line",
    candidates: int = 1,
    confidence: float = 0.0,
) -> list[Candidate]:
    cursor = Cursor(after(runtime, prefix), Progress(until, rest.encode()))
    return alone(runtime, search.search(cursor, Options(candidates, 60, confidence)))


@pytest.mark.parametrize(
    ("rest", "missing"),
    [("", " in the zoo."), (" the zoo.", " in"), ("zoo.", " in the "), (".", " in the zoo")],
)
def test_a_gap_in_a_line_is_filled_and_no_more(runtime: Runtime, rest: str, missing: str) -> None:
    [candidate] = _search(runtime, rest)
    assert candidate.text == missing
    assert candidate.stop == ("suffix" if rest else "boundary")
    assert len(candidate.confidences) == len(missing)


@pytest.mark.parametrize("rest", [" in the zoo.", " in the"])
def test_where_nothing_is_missing_nothing_is_suggested(runtime: Runtime, rest: str) -> None:
    assert _search(runtime, rest) == []
    assert _search(runtime, rest, candidates=5) == []


def test_blanks_after_the_cursor_tell_nothing(runtime: Runtime) -> None:
    assert _search(runtime, "  ") == _search(runtime, "")


def test_candidates_for_a_token_are_ranked_by_what_follows_and_all_stay(runtime: Runtime) -> None:
    prefix = PREFIX + " in the zoo.\n */\npublic class Gorilla0 {\n    private final "
    alike = _search(runtime, "", prefix, "token", candidates=5)
    ranked = _search(runtime, " keeper;", prefix, "token", candidates=5)
    assert {candidate.text for candidate in ranked} == {candidate.text for candidate in alike}
    assert ranked[0].text == "String"


def test_it_is_the_most_probable_beginning_given_the_rest(runtime: Runtime) -> None:
    """As all of them say that are scored one by one, from scratch."""
    rest, prefix = " the zoo.", PREFIX
    texts = ["", *(" in the zoo."[:length] for length in (3, 7, 11, 12))]

    def log_prob(text: str) -> float:
        bits = runtime.score(PATH, f"{prefix}{text}{rest}\n".encode())
        return -math.log(2) * float(bits[len(prefix) :].sum())

    cursor = Cursor(after(runtime, prefix), Progress("line", rest.encode()))
    follow = alone(runtime, rescoring.follows(cursor, texts))
    for text, follows in zip(texts, follow, strict=True):
        alone_bits = runtime.score(PATH, f"{prefix}{text}".encode())
        own = -math.log(2) * float(alone_bits[len(prefix) :].sum())
        assert own + follows == pytest.approx(log_prob(text), abs=1e-3)
    [candidate] = _search(runtime, rest)
    assert candidate.text == max(texts, key=log_prob) == " in"
    assert candidate.log_prob == pytest.approx(math.fsum(map(math.log, candidate.confidences)))


def test_a_beginning_that_is_sure_enough_is_left_of_what_is_not(runtime: Runtime) -> None:
    prefix = PREFIX + " in the zoo.\n */\npublic class Gorilla0 {\n    private final "
    [whole] = _search(runtime, ";", prefix)
    bound = whole.probability * 1.01
    [sure] = _search(runtime, ";", prefix, confidence=bound)
    assert whole.text.startswith(sure.text)
    assert len(sure.text) < len(whole.text)
    assert sure.stop == "confidence"
    assert sure.probability >= bound


@pytest.mark.parametrize(
    ("text", "sure", "left"),
    [
        ("feed(quokka, wombat)", "feed(quokka", "feed"),
        ("feed(quokka, wombat)", "feed(quokka, wombat)", "feed(quokka, wombat)"),
        ("feed(quokka), new Wombat()", "feed(quokka), new", "feed(quokka), "),
        ('name + "größe" + 1', 'name + "grö', "name + "),
        ("größe.of(1)", "größe.o", "größe."),
        ("feed(quokka)", "fe", ""),
    ],
)
def test_what_is_cut_leaves_open_nothing_of_its_own(text: str, sure: str, left: str) -> None:
    confidences = [0.999] * len(sure) + [0.1] * (len(text) - len(sure))
    candidate = Candidate(text, sum(map(math.log, confidences)), confidences, "boundary")
    part = rescoring.sure_part(candidate, Progress("line", b";"), 0.5)
    assert part.text == left
    assert part.stop == ("boundary" if left == text else "confidence")


@pytest.mark.parametrize("until", ["token", "line", "block"])
@pytest.mark.parametrize("rest", ["größe);", "ß", ")", "  x", "\t"])
@pytest.mark.parametrize("candidates", [1, 3])
def test_every_rest_is_one(runtime: Runtime, until: Until, rest: str, candidates: int) -> None:
    for prefix in ("", PREFIX, "größ"):
        for candidate in _search(runtime, rest, prefix, until, candidates):
            assert candidate.text.strip()
            assert len(candidate.confidences) == len(candidate.text)


def test_no_run_is_longer_than_what_others_can_wait_for(runtime: Runtime) -> None:
    """Also where what is found is one long word."""
    cursor = Cursor(after(runtime, PREFIX), Progress("line", b" the zoo."))
    texts = ["", *("a" * length for length in range(1, 8)), "a" * 500]
    pieces, _, _ = followed(runtime, rescoring.follows(cursor, texts))
    assert max(piece.symbols.size for piece in pieces) <= MAX_TOGETHER


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    rest=st.text("in the zoo.;)(", min_size=1, max_size=12).filter(str.strip),
    confidence=st.sampled_from((0.0, 0.1, 0.3, 0.9)),
    candidates=st.integers(1, 4),
)
def test_what_is_found_is_sure_enough_and_begins_as_without_the_rest(
    runtime: Runtime, rest: str, confidence: float, candidates: int
) -> None:
    cursor = Cursor(after(runtime, PREFIX), Progress("line", b""))
    whole = alone(runtime, search.search(cursor, Options(candidates, 60, 0.0)))
    found = _search(runtime, rest, candidates=candidates, confidence=confidence)
    assert len({candidate.text for candidate in found}) == len(found)
    for candidate in found:
        assert candidate.probability >= confidence
        if candidates == 1:
            assert whole[0].text.startswith(candidate.text)
