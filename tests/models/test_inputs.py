"""What the network reads: the last symbol, and what n-grams that end there predict."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from foretype_models import alphabet, contexts, inputs
from foretype_models.architecture import Architecture
from foretype_models.inputs import Ngrams

Table = dict[int, int]

tables = st.dictionaries(
    st.integers(0, 2**32 - 1), st.integers(0, inputs.PREDICTIONS - 1), max_size=8
)
lengths = st.sets(st.integers(1, 7), max_size=3).map(lambda found: tuple(sorted(found)))


def _ngrams(table: Table) -> Ngrams:
    contexts = sorted(table)
    return Ngrams(
        np.array(contexts, dtype=np.uint32),
        np.array([table[context] for context in contexts], dtype=np.uint16),
    )


def _table(ngrams: Ngrams) -> Table:
    return dict(zip(ngrams.contexts.tolist(), ngrams.predictions.tolist(), strict=True))


def _knowing(shape: Architecture, symbols: alphabet.Symbols) -> Ngrams:
    """A table that knows about half of the contexts in `symbols`."""
    context = inputs.initial_context(shape, symbols.shape[1])
    hashes = contexts.hashes(shape.orders, context, symbols)
    return _ngrams({int(c): int(c) % inputs.PREDICTIONS for c in hashes.ravel()[::2]})


@given(ngrams=lengths, text=st.binary(min_size=1, max_size=40), data=st.data())
def test_reading_in_parts_is_reading_at_once(
    ngrams: tuple[int, ...], text: bytes, data: st.DataObject
) -> None:
    shape = Architecture(ngrams=ngrams)
    symbols = np.stack((alphabet.encode(text), alphabet.encode(text[::-1])), axis=1)
    table = _knowing(shape, symbols)
    cuts = sorted(data.draw(st.sets(st.integers(1, len(text) - 1))) if len(text) > 1 else [])
    context = inputs.initial_context(shape, 2)
    whole, after = inputs.encode(shape, table, context, symbols)
    parts: list[inputs.Rows] = []
    for start, end in zip([0, *cuts], [*cuts, len(text)], strict=True):
        rows, context = inputs.encode(shape, table, context, symbols[start:end])
        parts.append(rows)
    np.testing.assert_array_equal(np.concatenate(parts), whole)
    np.testing.assert_array_equal(context, after)


@given(ngrams=lengths, text=st.binary(min_size=1, max_size=40))
def test_each_answer_is_a_row_of_its_own_part_of_the_embedding(
    ngrams: tuple[int, ...], text: bytes
) -> None:
    shape = Architecture(ngrams=ngrams)
    symbols = alphabet.encode(text)[:, None]
    rows, _ = inputs.encode(
        shape, _knowing(shape, symbols), inputs.initial_context(shape, 1), symbols
    )
    assert rows.shape == (len(text), 1, inputs.features(shape))
    np.testing.assert_array_equal(rows[..., 0], symbols)
    part = inputs.PREDICTIONS + 1
    for number in range(len(ngrams)):
        of_length = rows[..., 1 + number] - alphabet.SIZE
        assert (of_length // part == number).all()
    assert rows.max() < inputs.rows(shape)


def test_a_context_is_the_last_n_symbols_and_no_more() -> None:
    shape = Architecture(ngrams=(3,))
    one, other = (alphabet.encode(text)[:, None] for text in (b"xabc", b"yabc"))
    hashes = [
        contexts.hashes(shape.orders, inputs.initial_context(shape, 1), symbols).ravel()
        for symbols in (one, other)
    ]
    assert (hashes[0] == hashes[1]).tolist() == [False, False, False, True]


@given(first=tables, second=tables)
def test_of_two_tables_the_upper_one_answers_first(first: Table, second: Table) -> None:
    joined = _ngrams(first).over(_ngrams(second))
    assert _table(joined) == second | first
    assert (np.diff(joined.contexts.astype(np.int64)) > 0).all()  # as a look-up needs it


@given(table=tables, unknown=st.integers(0, 2**32 - 1))
def test_a_look_up_gives_the_prediction_and_zero_for_what_was_never_seen(
    table: Table, unknown: int
) -> None:
    asked = [*table, unknown]
    found = _ngrams(table).look_up(np.array(asked, dtype=np.uint32))
    assert found.tolist() == [table[c] + 1 if c in table else 0 for c in asked]


def test_more_evidence_and_more_agreement_are_higher_classes() -> None:
    def classes(best: list[int], total: list[int]) -> list[int]:
        return inputs.confidence_class(np.array(best), np.array(total)).tolist()

    assert classes([1, 2, 4, 10], [1, 2, 4, 10]) == [3, 7, 11, 15]
    assert classes([3, 4, 8, 10], [10, 10, 10, 10]) == [12, 13, 14, 15]


def test_of_contexts_that_were_seen_often_the_least_sure_stay() -> None:
    classes = np.array([3, 15, 12, 7, 13, 15], dtype=np.uint16)
    assert inputs.most_seen(classes, 3).tolist() == [1, 2, 4]
    assert inputs.most_seen(classes, 6).tolist() == [*range(6)]
