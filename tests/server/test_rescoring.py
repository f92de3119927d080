"""What stands after the cursor decides how far a continuation goes."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from foretype_models.runtime import Runtime
from foretype_server import search
from foretype_server.boundaries import Progress, Until
from foretype_server.candidates import Candidate, Cursor, Options
from foretype_server.compute import alone
from tests.server.work import PREFIX, after


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
