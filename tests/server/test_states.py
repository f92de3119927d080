"""Snapshots are found by the text alone, and never by another one."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from foretype_models.runtime import State
from foretype_models.words import LONGEST, NOTHING, SEALED, Words
from foretype_server.states import BLOCK, Name, Origin, Snapshot, Snapshots

_FLOATS = 64


def _snapshot(number: int, *sealed: Words) -> Snapshot:
    tensor = np.full((1, _FLOATS), number, dtype=np.float32)
    recent = replace(NOTHING, sealed=sealed)
    return Snapshot(State((tensor,), np.zeros((0, 1), np.int64), (recent,)), tensor[0])


def _number(snapshot: Snapshot) -> int:
    return int(snapshot.log_probs[0])


def test_nothing_is_found_in_an_empty_store() -> None:
    store = Snapshots(10_000)
    assert store.deepest(store.origin(Name("w", "p"), b"text")) is None


def test_the_longest_beginning_is_found() -> None:
    store = Snapshots(100_000)
    text = bytes(range(256)) * 4
    for length in (0, 10, BLOCK, BLOCK + 5, 3 * BLOCK):
        store.put(store.origin(Name("w", "p"), text[:length]), length, _snapshot(length))
    found = store.deepest(store.origin(Name("w", "p"), text[: 2 * BLOCK]))
    assert found is not None
    assert found[0] == _number(found[1]) == BLOCK + 5


def test_an_edit_rolls_back_to_before_it() -> None:
    store = Snapshots(100_000)
    text = b"x" * (3 * BLOCK)
    origin = store.origin(Name("w", "p"), text)
    for length in (0, BLOCK, 2 * BLOCK, 3 * BLOCK):
        store.put(origin, length, _snapshot(length))
    edited = text[: BLOCK + 3] + b"y" + text[BLOCK + 3 :]
    found = store.deepest(store.origin(Name("w", "p"), edited))
    assert found is not None
    assert found[0] == BLOCK


def test_workspaces_and_paths_do_not_share() -> None:
    store = Snapshots(10_000)
    store.put(store.origin(Name("w", "p"), b"text"), 4, _snapshot(1))
    assert store.deepest(store.origin(Name("v", "p"), b"text")) is None
    assert store.deepest(store.origin(Name("w", "q"), b"text")) is None
    assert store.deepest(store.origin(Name("wp", ""), b"text")) is None


def test_the_least_recently_used_leaves_first() -> None:
    store = Snapshots(2 * _snapshot(0).nbytes)
    first, second, third = (store.origin(Name("w", "p"), text) for text in (b"a", b"b", b"c"))
    store.put(first, 1, _snapshot(1))
    store.put(second, 1, _snapshot(2))
    store.deepest(first)
    store.put(third, 1, _snapshot(3))
    assert store.deepest(first) is not None
    assert store.deepest(second) is None
    assert store.deepest(third) is not None


def test_what_several_of_them_share_counts_once_and_as_long_as_one_has_it() -> None:
    one, two = (
        Words(np.zeros((SEALED, 4), np.float16), np.zeros((SEALED, LONGEST), np.uint8))
        for _ in range(2)
    )
    store = Snapshots(10**6)
    first, second = (store.origin(Name("w", "p"), text) for text in (b"a", b"ab"))
    store.put(first, 1, _snapshot(1, one))
    store.put(second, 2, _snapshot(2, one, two))
    both = _snapshot(1, one).nbytes + _snapshot(2, one, two).nbytes
    assert store.nbytes == both + one.nbytes + two.nbytes
    store.put(second, 2, _snapshot(3))
    assert store.nbytes == _snapshot(1, one).nbytes + _snapshot(3).nbytes + one.nbytes
    store.put(first, 1, _snapshot(4))
    assert store.nbytes == 2 * _snapshot(3).nbytes


def test_what_they_share_makes_the_oldest_leave_too() -> None:
    words = Words(np.zeros((SEALED, 4), np.float16), np.zeros((SEALED, LONGEST), np.uint8))
    store = Snapshots(2 * _snapshot(0, words).nbytes + words.nbytes - 1)
    for number, text in enumerate((b"a", b"b")):
        store.put(store.origin(Name("w", "p"), text), 1, _snapshot(number, words))
    assert store.deepest(store.origin(Name("w", "p"), b"a")) is None
    assert store.nbytes == _snapshot(1, words).nbytes + words.nbytes


@given(st.lists(st.tuples(st.binary(max_size=3), st.integers(0, 3)), max_size=30), st.binary())
def test_what_is_found_belongs_to_the_text_and_the_store_stays_in_bounds(
    puts: list[tuple[bytes, int]], wanted: bytes
) -> None:
    """Texts over a tiny alphabet, so that beginnings often agree."""
    store = Snapshots(5 * _snapshot(0).nbytes)
    texts: list[bytes] = []
    for start, repeats in puts:
        text = start + b"a" * (repeats * BLOCK // 2)
        texts.append(text)
        store.put(store.origin(Name("", ""), text), len(text), _snapshot(len(texts) - 1))
        assert store.nbytes <= 5 * _snapshot(0).nbytes
    for text in [*texts, wanted]:
        found = store.deepest(store.origin(Name("", ""), text))
        if found is not None:
            assert texts[_number(found[1])] == text[: found[0]]


@given(
    text=st.binary(max_size=4 * BLOCK),
    cut=st.integers(0, 4 * BLOCK),
    inserted=st.binary(max_size=BLOCK + 3),
)
def test_the_digests_of_an_edited_text_are_those_of_a_text_never_seen_before(
    text: bytes, cut: int, inserted: bytes
) -> None:
    edited = text[:cut] + inserted + text[cut // 2 :]
    before = Origin(b"key", Name("w", "p"), text)
    after = Origin(b"key", Name("w", "p"), edited, earlier=before)
    assert after.digests == Origin(b"key", Name("w", "p"), edited).digests
    assert before.digests == Origin(b"key", Name("w", "p"), text).digests
