"""The memories of the files that are being read."""

from __future__ import annotations

from typing import NoReturn

import numpy as np
import pytest

from foretype_models import alphabet, contexts, inputs
from foretype_models.alphabet import Symbols
from foretype_models.architecture import Architecture, Orders
from foretype_models.inputs import Found
from foretype_models.memory import TextMemory
from foretype_server import recall
from foretype_server.recall import FileMemories
from foretype_server.states import Name, Snapshots

SHAPE, ONE = Architecture(ngrams=(2, 4)), Architecture(ngrams=(2,))
TEXT = b"int sum = 0;\nfor (int i = 0; i < n; i++) {\n    sum += i;\n}\nreturn sum;\n"


def _known(memories: FileMemories, text: bytes) -> Found:
    """What is known after a text, of all contexts in `TEXT`."""
    symbols = alphabet.encode(TEXT)[:, None]
    asked = contexts.hashes(SHAPE.orders, inputs.initial_context(SHAPE, 1), symbols)
    origin = Snapshots(0).origin(Name("", "Sum.java"), text)
    return memories.after(origin).look_up(asked)


def _fresh(text: bytes) -> Found:
    return _known(FileMemories(SHAPE.orders), text)


def test_what_stands_behind_the_cursor_is_kept_and_counts_for_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def built(*_: object) -> NoReturn:
        raise AssertionError("nothing is new")

    beginning, whole = _fresh(TEXT[:30]), _fresh(TEXT)
    assert (beginning != whole).any()
    memories = FileMemories(SHAPE.orders)
    _known(memories, TEXT)
    monkeypatch.setattr(TextMemory, "follow", built)
    np.testing.assert_array_equal(_known(memories, TEXT[:30]), beginning)
    np.testing.assert_array_equal(_known(memories, TEXT), whole)


def test_an_edit_behind_which_the_text_went_on_is_followed() -> None:
    memories = FileMemories(SHAPE.orders)
    edited = TEXT[:30] + b"int n; int n; int n"
    for text in (TEXT, TEXT[:30], edited, TEXT):
        np.testing.assert_array_equal(_known(memories, text), _fresh(text))


def _built(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The lengths of the texts that memories are built of from here on."""
    lengths: list[int] = []
    build = TextMemory.__init__

    def noted(memory: TextMemory, orders: Orders, symbols: Symbols) -> None:
        lengths.append(len(symbols))
        build(memory, orders, symbols)

    monkeypatch.setattr(TextMemory, "__init__", noted)
    return lengths


def test_of_a_long_text_two_spans_are_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recall, "SPAN", 32)
    three = TEXT[:70]
    np.testing.assert_array_equal(_fresh(three), _fresh(b"?" * 32 + three[32:]))
    assert (_fresh(three) != _fresh(TEXT[:32] + b"?" * 32 + three[64:])).any()


def test_what_both_spans_know_the_later_one_says_and_who_has_seen_more_how_surely(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(recall, "SPAN", 32)
    context = alphabet.encode(b"in")[:, None]
    asked = contexts.hashes(ONE.orders, inputs.initial_context(ONE, 1), context)[-1:]

    def after_in(text: bytes) -> int:
        origin = Snapshots(0).origin(Name("", "Sum.java"), text)
        return int(FileMemories(ONE.orders).after(origin).look_up(asked)[0, 0, 0])

    often, once = b"int int int int ".ljust(32), b"int "
    assert after_in(often + once) == after_in(often) > after_in(once)
    other = after_in(often + b"ink ")
    assert other == after_in(b"ink ")
    assert after_in(often + b"none") == after_in(often)


def test_who_jumps_about_in_a_long_text_waits_for_no_memory(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(recall, "SPAN", 16)
    expected = {at: _fresh(TEXT[:at]) for at in (40, 20, 70, 10, 33, 16, 32)}
    built = _built(monkeypatch)
    memories = FileMemories(SHAPE.orders)
    origin = Snapshots(0).origin(Name("", "Sum.java"), TEXT)
    for start in range(0, len(TEXT), 8):
        memories.along(origin, start, min(start + 8, len(TEXT)))
    assert len(built) == -(-len(TEXT) // 16)
    for at, found in expected.items():
        np.testing.assert_array_equal(_known(memories, TEXT[:at]), found)
    assert len(built) == -(-len(TEXT) // 16)


def test_of_half_a_megabyte_all_is_kept_for_eight_lengths_of_contexts(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    memories = FileMemories(Architecture(ngrams=(3, 4, 6, 9, 14, 22, 32, 48)).orders)
    text = (TEXT * 9_000)[:574_000]
    origin = Snapshots(0).origin(Name("", "Sum.java"), text)
    built = _built(monkeypatch)
    spans = range(0, len(text), recall.SPAN)
    for start in (*spans, 0):
        memories.along(origin, start, start + 8)
    assert len(built) == len(spans)
