"""Which texts a memory takes for the same, by the end of them."""

from __future__ import annotations

from unittest.mock import patch

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from foretype_models import alphabet, contexts
from foretype_models.architecture import KINDS, Order
from foretype_models.contexts import WINDOW, Contexts

EVERY = tuple(Order(kind, n) for kind in KINDS for n in (1, 2))


def _text(pieces: list[str], times: int) -> alphabet.Symbols:
    return alphabet.encode_file("p.x", ("".join(pieces) * times).encode()[: 3 * WINDOW])


pieces = st.lists(
    st.sampled_from([*"aBc_1 (),.\n{]", "  ", "é", "word", "myWord", "A_B"]), min_size=1
)
# Longer than what is looked at, at whose beginning things may go wrong.
texts = st.builds(_text, pieces, st.integers(1, 40))


def _last(order: Order, text: str) -> int:
    symbols = alphabet.encode(text.encode())[:, None]
    return int(contexts.hashes((order,), contexts.before_start((order,), 1), symbols)[-1, 0, 0])


@given(text=texts, data=st.data())
def test_reading_in_parts_is_reading_at_once(text: alphabet.Symbols, data: st.DataObject) -> None:
    symbols = np.stack((text, text[::-1]), axis=1)
    whole = contexts.hashes(EVERY, contexts.before_start(EVERY, 2), symbols)
    sizes = data.draw(st.lists(st.integers(1, 60), min_size=1))
    context, parts, at = contexts.before_start(EVERY, 2), list[Contexts](), 0
    while at < len(text):
        part = symbols[at : at + sizes[len(parts) % len(sizes)]]
        parts.append(contexts.hashes(EVERY, context, part))
        context = np.concatenate((context, part))[len(part) :]
        at += len(part)
    np.testing.assert_array_equal(np.concatenate(parts), whole)


def test_a_symbol_of_many_texts_is_read_one_by_one() -> None:
    """As in a search: what many symbols of one text are read with takes far longer to begin."""
    before = contexts.before_start(EVERY, 200)
    with patch("foretype_models.contexts._at_once", side_effect=AssertionError):
        found = contexts.hashes(EVERY, before, np.full((1, 200), ord("a")))
    assert found.shape == (1, 200, len(EVERY))


@given(text=texts, before=texts)
def test_no_more_than_the_reach_counts(text: alphabet.Symbols, before: alphabet.Symbols) -> None:
    reach = contexts.reach(EVERY)
    end = np.resize(text, reach)[:, None]
    alone = contexts.hashes(EVERY, end[:-1], end[-1:])
    start = contexts.before_start(EVERY, 1)
    whole = contexts.hashes(EVERY, start, np.concatenate((before[:, None], end)))
    np.testing.assert_array_equal(whole[-1:], alone)


@pytest.mark.parametrize(
    ("order", "one", "other"),
    [
        (Order("ngrams", 3), "x = abc", "y abc"),
        (Order("words", 1), "call(in", "x = in"),
        (Order("words", 1), "call(", "x = call("),
        (Order("words", 2), "foo(in", "bar, foo = in"),
        (Order("words", 2), "foo(in.", "foo = in."),
        (Order("parts", 1), "maxIn", "in"),
        (Order("parts", 1), "MAX_in", "maxIn"),
        (Order("parts", 2), "theMaxIn", "max_in".replace("_", " ")),
        (Order("heads", 1), "return foo + in", "return bar(in"),
        (Order("calls", 1), "foo(b(1, 2), in", "foo(x[1], in"),
        (Order("calls", 1), "foo(", "if (x) foo("),
    ],
)
def test_the_same_contexts(order: Order, one: str, other: str) -> None:
    assert _last(order, one) == _last(order, other)


@pytest.mark.parametrize(
    ("order", "one", "other"),
    [
        (Order("ngrams", 3), "abc", "xbc"),
        (Order("words", 1), "in", "ina"),
        (Order("words", 1), "in ", "in("),
        (Order("words", 1), "call(", "cell("),
        (Order("words", 2), "foo(in", "bar(in"),
        (Order("words", 2), "ab c", "a bc"),
        (Order("words", 1), "In", "in"),
        (Order("parts", 1), "max", "ma"),
        (Order("parts", 2), "theMaxIn", "theMinIn"),
        (Order("heads", 1), "return in", "assert in"),
        (Order("heads", 1), "return in", "return\nin"),
        (Order("calls", 1), "foo(in", "bar(in"),
        (Order("calls", 1), "foo(a, in", "foo(in"),
        (Order("calls", 1), "foo(a) in", "foo(a in"),
    ],
)
def test_other_contexts(order: Order, one: str, other: str) -> None:
    assert _last(order, one) != _last(order, other)


def test_of_nothing_there_are_none() -> None:
    nothing = np.zeros((0, 3), dtype=np.int64)
    found = contexts.hashes(EVERY, contexts.before_start(EVERY, 3), nothing)
    assert found.shape == (0, 3, len(EVERY))


def test_orders_tell_apart_what_is_the_same_text() -> None:
    assert len({_last(order, "a") for order in EVERY if order.kind != "ngrams"}) == 8
