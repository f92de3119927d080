"""Counting what follows each context, against a count that is done by hand."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from foretype_models import alphabet, contexts
from foretype_models.alphabet import Symbols
from foretype_models.architecture import Architecture
from foretype_models.inputs import CLASSES, Memory, Ngrams, confidence_class
from foretype_training import ngrams
from foretype_training.ngrams import FOLDS, MIN_COUNT, CrossFitted

Followers = dict[tuple[int, ...], Counter[int]]
_PADDING = alphabet.SIZE

texts = st.lists(st.text("ab", max_size=12).map(str.encode), min_size=2, max_size=2 * FOLDS + 3)


def _files(texts: Sequence[bytes]) -> list[Symbols]:
    return [alphabet.encode_file("p", text) for text in texts]


def _contexts(file: Symbols, n: int) -> list[tuple[int, ...]]:
    """The last n symbols after each but the last."""
    padded = [_PADDING] * (n - 1) + file.tolist()
    return [tuple(padded[i : i + n]) for i in range(len(file) - 1)]


def _by_hand(n: int, files: Sequence[Symbols]) -> Followers:
    followers: Followers = defaultdict(Counter)
    for file in files:
        for context, follower in zip(_contexts(file, n), file.tolist()[1:], strict=True):
            followers[context][follower] += 1
    return followers


def _answer(followers: Counter[int]) -> int:
    """As `Ngrams.look_up` gives it: the most frequent, of equals the first."""
    total = followers.total()
    if total < MIN_COUNT:
        return 0
    best = max(followers.values())
    symbol = min(s for s, count in followers.items() if count == best)
    return 1 + symbol * CLASSES + int(confidence_class(np.array(best), np.array(total)))


def _look_up(table: Memory, n: int, file: Symbols) -> list[int]:
    orders = Architecture(ngrams=(n,)).orders
    hashes = contexts.hashes(orders, contexts.before_start(orders, 1), file[:-1, None])
    return table.look_up(hashes).ravel().tolist()


def _count(files: Sequence[Symbols], lengths: tuple[int, ...], base: Ngrams) -> CrossFitted:
    return ngrams.count(Architecture(ngrams=lengths), files, base, ngrams.by_file(files))


@given(texts)
def test_the_table_is_what_a_naive_count_gives(texts: list[bytes]) -> None:
    files = _files(texts)
    table = _count(files, (1, 3), Ngrams.empty()).table
    for n in (1, 3):
        counted = _by_hand(n, files)
        for file in files:
            expected = [_answer(counted[context]) for context in _contexts(file, n)]
            assert _look_up(table, n, file) == expected


@given(texts)
def test_a_file_is_read_with_counts_that_leave_it_out(texts: list[bytes]) -> None:
    files = _files(texts)
    counted = _count(files, (2,), Ngrams.empty())
    for number, file in enumerate(files):
        others = [f for k, f in enumerate(files) if k % FOLDS != number % FOLDS]
        without = _by_hand(2, others)
        expected = [_answer(without[context]) for context in _contexts(file, 2)]
        assert _look_up(counted.of(number), 2, file) == expected


def test_where_the_files_know_nothing_the_base_answers() -> None:
    base_files = _files([b"xyxyxy", b"xyxyxy"])
    base = _count(base_files, (2,), Ngrams.empty()).table
    counted = _count(_files([b"abab", b"abab"]), (2,), base)
    [file] = _files([b"xyx"])
    assert _look_up(counted.table, 2, file)[3:] == _look_up(base, 2, file)[3:]
    assert any(_look_up(counted.table, 2, file)[3:])


def test_in_a_full_table_the_files_own_contexts_stand_before_the_base_s(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A large base's were all seen more often than most of a small repository's."""
    base = _count(_files([b"xyxyxyxyxyxyxyxy"] * 8), (2,), Ngrams.empty()).table
    files = _files([b"abab", b"abab"])
    own = _count(files, (2,), Ngrams.empty()).table
    monkeypatch.setattr(ngrams, "MAX_CONTEXTS", len(own) + 2)
    table = _count(files, (2,), base).table
    assert len(table) == ngrams.MAX_CONTEXTS
    assert _look_up(table, 2, files[0]) == _look_up(own, 2, files[0])
    [of_base] = _files([b"xyxyxy"])
    assert _look_up(table, 2, of_base)[4:6] == _look_up(base, 2, of_base)[4:6]


@given(texts)
def test_a_base_that_was_counted_on_the_same_files_tells_nothing_of_them(
    texts: list[bytes],
) -> None:
    """Else a file would be read with counts that it went into, only by way of the base."""
    files = _files(texts)
    once = _count(files, (2,), Ngrams.empty())
    again = _count(files, (2,), once.table)
    for number, file in enumerate(files):
        assert _look_up(again.of(number), 2, file) == _look_up(once.of(number), 2, file)
    assert _look_up(again.table, 2, files[0]) == _look_up(once.table, 2, files[0])


def test_a_single_file_is_read_with_the_base_alone_then_and_later() -> None:
    [file] = _files([b"abababab"])
    counted = _count([file], (2,), Ngrams.empty())
    assert not any(_look_up(counted.table, 2, file))
    assert not any(_look_up(counted.of(0), 2, file))


def test_a_single_file_is_not_read_with_a_base_that_was_counted_on_it() -> None:
    [file, other] = _files([b"abababab", b"xyxyxy"])
    base = _count([file, file, other], (2,), Ngrams.empty()).table
    counted = _count([file], (2,), base)
    repeated = slice(4, -1)  # of the text; what begins and ends it stands there once
    assert not any(_look_up(counted.of(0), 2, file)[repeated])
    assert any(_look_up(counted.of(0), 2, other)[repeated])
    assert counted.table is base


@pytest.mark.parametrize("count", [2, 20])
def test_a_network_that_reads_no_ngrams_has_an_empty_table(count: int) -> None:
    counted = _count(_files([b"abab"] * count), (), Ngrams.empty())
    assert len(counted.table) == 0


def test_of_many_projects_each_is_left_out_as_a_whole_beside_its_neighbours() -> None:
    files = _files([b"ab" * (1 + k % 5) for k in range(40)])
    folds = ngrams.by_project(files, [k // 4 for k in range(40)])
    assert list(folds) == list(range(10))
    assert list(folds.values()) == sorted(folds.values())
    assert set(folds.values()) == set(range(FOLDS))


def test_of_few_projects_none_is_left_out_as_a_whole() -> None:
    assert ngrams.by_project(_files([b"ab"] * 20), [0] * 10 + [1] * 10) == {}
