"""What a run computes, and what its machine could."""

from __future__ import annotations

import pytest
import torch

from foretype_models import alphabet
from foretype_models.architecture import Architecture, Cell
from foretype_training.settings import Precision
from foretype_training.throughput import matrix_shapes, product_rate


@pytest.mark.parametrize(("cell", "gates"), [("lstm", 4), ("gru", 3), ("rnn", 1), ("peephole", 4)])
def test_what_is_multiplied_with_is_the_layers_and_the_output(cell: Cell, gates: int) -> None:
    """Neither what is looked up nor biases and peepholes, a number to a unit."""
    shape = Architecture(cell, embedding_size=8, hidden_size=16, layers=2, ngrams=(3, 6))
    assert sorted(matrix_shapes(shape)) == sorted(
        [
            (gates * 16, 8),
            *[(gates * 16, 16)] * 3,
            (alphabet.SIZE, 16 + 8),
        ]
    )


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_the_machines_rate_leaves_the_random_numbers_alone(precision: Precision) -> None:
    before = torch.get_rng_state()
    assert product_rate(4, torch.Size((6, 5)), precision, torch.device("cpu")) > 0
    assert torch.equal(torch.get_rng_state(), before)
