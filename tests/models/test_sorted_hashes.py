"""Hashes that are kept in buckets, against the plain array of them."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from foretype_models.memory import run_starts
from foretype_models.sorted_hashes import SortedHashes

# Spread over all bits, as hashes are, and side by side, as none are.
hashes = st.sets(st.integers(0, 2**32 - 1) | st.integers(0, 300) | st.just(2**32 - 1), max_size=300)


def _array(values: set[int]) -> npt.NDArray[np.uint32]:
    return np.array(sorted(values), dtype=np.uint32)


def _spread(number: int) -> npt.NDArray[np.uint32]:
    drawn = np.sort(np.random.default_rng(0).integers(0, 2**32, number, dtype=np.uint32))
    return drawn[run_starts(drawn)]


@given(hashes, hashes)
def test_what_is_there_is_found_where_it_stands_and_nothing_else(
    values: set[int], others: set[int]
) -> None:
    known, wanted = _array(values), _array(values | others)
    at, found = SortedHashes(known).find(wanted)
    np.testing.assert_array_equal(found, np.isin(wanted, known))
    np.testing.assert_array_equal(known[at[found]], wanted[found])


@given(hashes)
def test_all_can_be_had_back(values: set[int]) -> None:
    kept = SortedHashes(_array(values))
    assert len(kept) == len(values)
    np.testing.assert_array_equal(kept.values, _array(values))


@pytest.mark.parametrize("number", [20_000, 5_000_000])  # of which 32 bits are kept, and 16
def test_many_are_found_among_many_in_any_shape(number: int) -> None:
    random, known = np.random.default_rng(1), _spread(number)
    wanted = np.append(random.choice(known, 30_000), random.integers(0, 2**32, 30_000))
    wanted = random.permutation(wanted.astype(np.uint32)).reshape(100, 6, 100)
    at, found = SortedHashes(known).find(wanted)
    assert at.shape == found.shape == wanted.shape
    np.testing.assert_array_equal(found, np.isin(wanted, known))
    np.testing.assert_array_equal(known[at[found]], wanted[found])


def test_many_take_hardly_more_than_half_of_what_they_would_take_whole() -> None:
    known = _spread(2**23)
    kept = SortedHashes(known)
    assert kept.largest_bucket < 64
    assert kept.nbytes < 0.65 * known.nbytes


def test_nothing_is_found_among_none_and_none_is_looked_for_among_some() -> None:
    none, some = np.zeros(0, np.uint32), np.array([0, 5], np.uint32)
    assert not SortedHashes(none).find(some)[1].any()
    assert SortedHashes(some).find(none)[0].shape == (0,)


@pytest.mark.parametrize("values", [[2, 1], [1, 1]])
def test_what_does_not_rise_is_refused(values: list[int]) -> None:
    with pytest.raises(ValueError, match="do not rise"):
        SortedHashes(np.array(values, dtype=np.uint32))
