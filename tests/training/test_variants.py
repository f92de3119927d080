"""The variants that the benchmark of ablations makes."""

from __future__ import annotations

import math

import pytest
import torch
from benchmarks.variants import (
    FIRST,
    VARIANTS,
    Changeable,
    cosine,
    one_cycle,
    settings_of,
)

from foretype_models import inputs
from foretype_models.architecture import Architecture
from foretype_models.network import Network
from foretype_training.settings import Settings

SMALL = Architecture(embedding_size=4, hidden_size=6, layers=3, ngrams=(2,), memory=False)


def _read(network: Network) -> torch.Tensor:
    shape = (5, 2, inputs.features(SMALL))
    rows = torch.randint(256, shape, generator=torch.Generator().manual_seed(1))
    return network(rows, network.initial_state(2))[0]


def test_what_can_be_changed_is_the_network_that_ships() -> None:
    network, changeable = Network(SMALL, 0.5), Changeable(SMALL, 0.5)
    changeable.load_state_dict(network.state_dict())
    torch.manual_seed(2)
    expected = _read(network)
    torch.manual_seed(2)
    assert torch.equal(_read(changeable), expected)


@pytest.mark.parametrize("name", [n for n, v in VARIANTS.items() if v.network is not Network])
def test_a_changed_network_answers_otherwise_and_learns(name: str) -> None:
    torch.manual_seed(3)
    network, changed = Network(SMALL), VARIANTS[name].network(SMALL)
    changed.load_state_dict(network.state_dict(), strict=False)
    # A window's answers, and whether the next one knows of it.
    expected, found = (_two_windows(own.train()) for own in (network, changed))
    assert not torch.allclose(found, expected)
    found.square().sum().backward()
    assert all(weight.grad is not None for weight in changed.parameters())


def _two_windows(network: Network) -> torch.Tensor:
    rows = torch.arange(20).reshape(10, 2, 1).repeat(1, 1, inputs.features(SMALL))
    first, state = network(rows[:5], network.initial_state(2))
    return torch.cat((first, network(rows[5:], state)[0]))


def test_each_variant_differs_from_what_foretype_does_in_one_thing() -> None:
    for name, variant in VARIANTS.items():
        changes = len(variant.settings) + (variant.network is not Network)
        changes += (len(variant.architecture) > 0) + (variant.rate is not VARIANTS[FIRST].rate)
        assert changes == (name != FIRST), name
        assert (settings_of(variant) == settings_of(VARIANTS[FIRST])) == (
            not variant.settings and not variant.architecture
        )


@pytest.mark.parametrize("rate", [cosine, one_cycle])
def test_a_schedule_rises_to_the_rate_and_falls(rate: type) -> None:
    settings = Settings(learning_rate=0.01)
    rates = [rate(settings, step / 1000) for step in range(1001)]
    assert math.isclose(max(rates), 0.01, rel_tol=0.01)
    assert rates[0] < 0.001
    assert rates[-1] < 0.001
