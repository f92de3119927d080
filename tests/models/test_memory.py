"""What a text's own memory answers, against a count that is done by hand."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from foretype_models import alphabet, contexts, inputs, memory
from foretype_models.alphabet import Symbols
from foretype_models.architecture import Architecture
from foretype_models.contexts import BEFORE_START, Contexts
from foretype_models.inputs import CLASSES, Found, Memories, Ngrams, confidence_class
from foretype_models.memory import TextMemory

LENGTHS = (1, 2, 4)
SHAPE = Architecture(ngrams=LENGTHS)
ORDERS = SHAPE.orders

texts = st.text("ab\n", max_size=40).map(lambda text: alphabet.encode_file("p", text.encode())[:-1])


def _contexts(symbols: Symbols) -> Contexts:
    """Those that end at each symbol: (n, 1, orders)."""
    context = inputs.initial_context(SHAPE, 1)
    return contexts.hashes(ORDERS, context, symbols[:, None])


def _by_hand(symbols: Symbols) -> Found:
    """What followed each context before, each time it was read: (n, orders)."""
    found = np.zeros((len(symbols), len(LENGTHS)), dtype=np.int64)
    padded = [BEFORE_START] * max(LENGTHS) + symbols.tolist()
    for column, n in enumerate(LENGTHS):
        followers: dict[tuple[int, ...], list[int]] = {}
        for position in range(len(symbols)):
            end = position + max(LENGTHS) + 1
            seen = followers.setdefault(tuple(padded[end - n : end]), [])
            if seen:
                run = next((i for i, s in enumerate(seen[::-1]) if s != seen[-1]), len(seen))
                confidence = confidence_class(np.array(run), np.array(len(seen)))
                found[position, column] = 1 + seen[-1] * CLASSES + int(confidence)
            if position + 1 < len(symbols):
                seen.append(int(symbols[position + 1]))
    return found


def _along(text: TextMemory, symbols: Symbols) -> Found:
    view = text.along(0, len(symbols))
    return view.look_up(_contexts(symbols))[:, 0]


@given(texts)
def test_it_answers_what_followed_last_and_how_often_in_a_row(symbols: Symbols) -> None:
    expected = _by_hand(symbols)
    np.testing.assert_array_equal(_along(TextMemory(ORDERS, symbols), symbols), expected)
    np.testing.assert_array_equal(memory.answers(ORDERS, symbols), expected)


@given(st.lists(texts, min_size=2, max_size=8))
def test_following_a_text_through_its_edits_is_reading_it_anew(versions: list[Symbols]) -> None:
    text = TextMemory(ORDERS, versions[0])
    for symbols in versions[1:]:
        text.follow(symbols)
        np.testing.assert_array_equal(_along(text, symbols), _by_hand(symbols))


@given(st.lists(texts, min_size=2, max_size=8), st.integers(1, 5))
def test_so_it_is_with_contexts_of_all_kinds(versions: list[Symbols], times: int) -> None:
    orders = Architecture(ngrams=(2,), words=(1, 2), parts=(1,), heads=(1,), calls=(1,)).orders
    text = TextMemory(orders, versions[0])
    for symbols in (np.tile(version, times) for version in versions[1:]):
        text.follow(symbols)
        asked = contexts.hashes(orders, contexts.before_start(orders, 1), symbols[:, None])
        found = text.along(0, len(symbols)).look_up(asked)[:, 0]
        np.testing.assert_array_equal(found, memory.answers(orders, symbols))


@pytest.mark.parametrize("step", [1, 7, 16, memory.MAX_NEW + 1])
def test_typing_on_and_jumping_back_give_the_same(step: int) -> None:
    """Long enough that what is new is sorted in, and texts are sorted anew."""
    rng = np.random.default_rng(step)
    symbols = rng.integers(97, 100, 3 * memory.MAX_NEWEST)
    other = rng.integers(97, 100, len(symbols))
    typed = symbols[:1]
    text = TextMemory(ORDERS, typed)
    for length in range(1, len(symbols), step):
        typed = symbols[:length]
        text.follow(typed)
    np.testing.assert_array_equal(_along(text, typed), _by_hand(typed))
    for back in (5, memory.MAX_NEWEST, 2 * memory.MAX_NEWEST):
        typed = np.concatenate((typed[:-back], other[:back]))
        text.follow(typed)
        np.testing.assert_array_equal(_along(text, typed), _by_hand(typed))


def test_who_takes_an_edit_back_waits_for_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = np.random.default_rng(0).integers(97, 100, 3 * memory.MAX_NEW)
    text = TextMemory(ORDERS, drawn)
    monkeypatch.setattr(memory, "_occurrences", None)
    for at in (memory.MAX_NEW, 2 * memory.MAX_NEW, 10, len(drawn)):
        edited = np.concatenate((drawn[:at], drawn[:5]))
        text.follow(edited)
        np.testing.assert_array_equal(_along(text, edited), _by_hand(edited))


@pytest.mark.parametrize("typed", [1, memory.MAX_NEWEST + 1, memory.MAX_NEW + 1])
@pytest.mark.parametrize("back", [3, 60])
def test_what_was_handed_out_goes_on_to_answer_for_the_text_before(typed: int, back: int) -> None:
    """However much is typed then, and after going back into the newest or behind them."""
    rng = np.random.default_rng(typed)
    drawn = rng.integers(97, 100, 500)
    text = TextMemory(ORDERS, drawn[:100])
    text.follow(drawn[:110])
    handed_out = text.at(110), text.along(0, 110)
    contexts = _contexts(drawn[:110])
    before = [view.look_up(contexts) for view in handed_out]
    text.follow(np.concatenate((drawn[: 110 - back], drawn[200 : 200 + typed])))
    for view, expected in zip(handed_out, before, strict=True):
        np.testing.assert_array_equal(view.look_up(contexts), expected)


@given(texts, st.integers(0, 40))
def test_what_stands_after_a_position_does_not_change_its_answer(symbols: Symbols, at: int) -> None:
    at = min(at, len(symbols))
    whole = TextMemory(ORDERS, symbols).at(at)
    beginning = TextMemory(ORDERS, symbols[:at]).at(at)
    contexts = _contexts(symbols)
    np.testing.assert_array_equal(whole.look_up(contexts), beginning.look_up(contexts))


def test_it_says_how_large_it_is() -> None:
    symbols = alphabet.encode(b"class A {}")
    assert TextMemory(ORDERS, symbols).nbytes > TextMemory(ORDERS, symbols[:4]).nbytes > 0
    typed = TextMemory(ORDERS, symbols[:4])
    before = typed.nbytes
    typed.follow(symbols)
    assert typed.nbytes > before + 100 * (len(symbols) - 4)


def test_a_text_that_is_too_long_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "MAX_SYMBOLS", 4)
    TextMemory(ORDERS, alphabet.encode(b"four"))
    with pytest.raises(ValueError, match="a text of 5 symbols, more than 4"):
        TextMemory(ORDERS, alphabet.encode(b"fives"))


@pytest.mark.parametrize("at", [memory.MAX_SYMBOLS - 2, 2**20])
def test_the_end_of_the_longest_text_is_known_as_its_beginning_is(at: int) -> None:
    symbols = np.full(memory.MAX_SYMBOLS, ord("a"))
    symbols[[0, at]] = ord("b")
    context = _contexts(alphabet.encode(b"xaab"))[-1:]
    [[_, pair, _]] = TextMemory(ORDERS, symbols).at(len(symbols)).look_up(context)[0].tolist()
    assert pair == 1 + ord("a") * CLASSES + int(confidence_class(np.array(1), np.array(1)))


class _Known:
    """Knows that every context with one of these hashes is followed by one symbol."""

    def __init__(self, symbol: int, contexts: Contexts) -> None:
        self._symbol = symbol
        self._contexts = contexts

    def look_up(self, contexts: Contexts) -> Found:
        found = 1 + self._symbol * CLASSES
        return np.where(np.isin(contexts, self._contexts), found, 0).astype(np.int64)


def _rows(memories: Memories, table: Ngrams, shape: Architecture = SHAPE) -> npt.NDArray[np.int64]:
    symbols = alphabet.encode(b"ab")[:, None]
    rows, _ = inputs.encode(shape, table, inputs.initial_context(shape, 1), symbols, memories)
    return rows[:, 0]


def test_the_nearest_that_knows_a_context_answers_and_the_network_is_told_which() -> None:
    contexts = _contexts(alphabet.encode(b"ab"))
    everywhere = contexts.ravel()
    order = np.argsort(everywhere)
    table = Ngrams(everywhere[order], np.full(len(order), ord("t") * CLASSES, dtype=np.uint16))
    of_table = _rows(inputs.NO_MEMORIES, table)
    project = _Known(ord("p"), contexts[1])
    file = _Known(ord("f"), contexts[1, 0, :1])
    rows = _rows(Memories(project, file), table)
    np.testing.assert_array_equal(rows[0], of_table[0])
    answers, sources = rows[1, 1:4] - of_table[1, 1:4], rows[1, 4:] - of_table[1, 4:]
    assert answers.tolist() == [(ord(c) - ord("t")) * CLASSES for c in "fpp"]
    assert sources.tolist() == [2, 1, 1]


def test_a_network_that_reads_no_memory_passes_over_it() -> None:
    shape = Architecture(ngrams=LENGTHS, memory=False)
    known = _Known(ord("f"), _contexts(alphabet.encode(b"ab")))
    table = Ngrams.empty()
    np.testing.assert_array_equal(
        _rows(Memories(known, known), table, shape), _rows(inputs.NO_MEMORIES, table, shape)
    )


@given(texts)
def test_all_rows_lie_in_the_embedding_and_no_two_meanings_share_one(symbols: Symbols) -> None:
    text = TextMemory(ORDERS, symbols)
    rows, _ = inputs.encode(
        SHAPE,
        Ngrams.empty(),
        inputs.initial_context(SHAPE, 1),
        symbols[:, None],
        Memories(file=text.along(0, len(symbols))),
    )
    assert rows.shape[-1] == inputs.features(SHAPE)
    assert rows.max(initial=0) < inputs.rows(SHAPE)
    columns = [set(rows[..., column].ravel().tolist()) for column in range(rows.shape[-1])]
    assert sum(map(len, columns)) == len(set[int]().union(*columns))
