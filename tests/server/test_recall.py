"""The memories of the files that are being read."""

from __future__ import annotations

from typing import NoReturn

import numpy as np
import pytest

from foretype_models import alphabet, inputs
from foretype_models.architecture import Architecture
from foretype_models.inputs import Found
from foretype_models.memory import TextMemory
from foretype_server.recall import FileMemories
from foretype_server.states import Name, Snapshots

SHAPE = Architecture(ngrams=(2, 4))
TEXT = b"int sum = 0;\nfor (int i = 0; i < n; i++) {\n    sum += i;\n}\nreturn sum;\n"


def _known(memories: FileMemories, text: bytes) -> Found:
    """What is known after a text, of all contexts in `TEXT`."""
    symbols = alphabet.encode(TEXT)[:, None]
    contexts = inputs.context_hashes(SHAPE.ngrams, inputs.initial_context(SHAPE, 1), symbols)
    origin = Snapshots(0).origin(Name("", "Sum.java"), text)
    return memories.after(origin).look_up(contexts)


def _fresh(text: bytes) -> Found:
    return _known(FileMemories(SHAPE.ngrams), text)


def test_what_stands_behind_the_cursor_is_kept_and_counts_for_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def built(*_: object) -> NoReturn:
        raise AssertionError("nothing is new")

    beginning, whole = _fresh(TEXT[:30]), _fresh(TEXT)
    assert (beginning != whole).any()
    memories = FileMemories(SHAPE.ngrams)
    _known(memories, TEXT)
    monkeypatch.setattr(TextMemory, "follow", built)
    np.testing.assert_array_equal(_known(memories, TEXT[:30]), beginning)
    np.testing.assert_array_equal(_known(memories, TEXT), whole)


def test_an_edit_behind_which_the_text_went_on_is_followed() -> None:
    memories = FileMemories(SHAPE.ngrams)
    edited = TEXT[:30] + b"int n; int n; int n"
    for text in (TEXT, TEXT[:30], edited, TEXT):
        np.testing.assert_array_equal(_known(memories, text), _fresh(text))
