"""A description of a network is checked when it is read, and says what is wrong with it."""

from __future__ import annotations

import json
from typing import Any, get_args

import pytest

from foretype_models.architecture import STATE_NAMES, Architecture, ArchitectureError, Cell


def test_it_survives_a_model_json() -> None:
    shape = Architecture("gru", embedding_size=3, hidden_size=5, layers=2, ngrams=(2, 7))
    assert Architecture.from_dict(json.loads(json.dumps(shape.to_dict()))) == shape


def test_what_is_left_out_has_its_default() -> None:
    assert Architecture.from_dict({"layers": 3}) == Architecture(layers=3)


@pytest.mark.parametrize("cell", get_args(Cell))
def test_the_state_is_named_by_layer(cell: Cell) -> None:
    names = Architecture(cell, layers=2).state_names
    assert names == [f"{name}{layer}" for layer in (0, 1) for name in STATE_NAMES[cell]]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"cell": "transformer"}, "unknown cell 'transformer'; there are lstm, gru, peephole, rnn"),
        ({"dropout": 0.1}, "unknown setting 'dropout'"),
        ({"layers": 0}, "layers must be between 1 and 16, not 0"),
        ({"layers": 17}, "layers must be between 1 and 16, not 17"),
        ({"layers": True}, "layers must be between 1 and 16, not True"),
        ({"hidden_size": 8193}, "hidden_size must be between 1 and 8192, not 8193"),
        ({"hidden_size": 1.5}, "hidden_size must be between 1 and 8192, not 1.5"),
        ({"embedding_size": "64"}, "embedding_size must be between 1 and 4096, not '64'"),
        ({"ngrams": 3}, "ngrams must be a list of lengths, not 3"),
        ({"ngrams": [0]}, "ngrams must be rising lengths from 1 to 64, not (0,)"),
        ({"ngrams": [65]}, "ngrams must be rising lengths from 1 to 64, not (65,)"),
        ({"ngrams": [3, 3]}, "ngrams must be rising lengths from 1 to 64, not (3, 3)"),
        ({"ngrams": [6, 3]}, "ngrams must be rising lengths from 1 to 64, not (6, 3)"),
        ({"ngrams": ["3"]}, "ngrams must be rising lengths from 1 to 64, not ('3',)"),
        ({"words": [9]}, "words must be rising lengths from 1 to 8, not (9,)"),
        ({"calls": 1}, "calls must be a list of lengths, not 1"),
        (
            {"ngrams": [*range(1, 13)], "words": [1, 2, 3], "parts": [1, 2]},
            "with memory there may be 16 contexts in all, of ngrams, words, parts, heads, calls"
            " together, not 17",
        ),
    ],
)
def test_what_cannot_be_built_is_refused(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ArchitectureError) as raised:
        Architecture.from_dict(values)
    assert str(raised.value) == message
