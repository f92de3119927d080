"""A base's weights in a larger network."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, get_args

import numpy as np
import pytest
import torch

from foretype_models import contexts, inputs
from foretype_models.architecture import Architecture, Cell
from foretype_models.inputs import Memories, Ngrams, confidence_class
from foretype_models.network import Network
from foretype_models.pointer import Pointer, shapes
from foretype_training.growth import fits, grow, grow_pointer

SMALL = Architecture(embedding_size=6, hidden_size=6, layers=2, ngrams=(2, 3), memory=False)
TEXT = np.frombuffer(b"for (int i = 0; i < 10; i++) { sum += i; }", np.uint8).astype(np.int64)


def _network(architecture: Architecture) -> Network:
    torch.manual_seed(1)
    return Network(architecture).eval()


def _grown(small: Network, architecture: Architecture) -> Network:
    network = Network(architecture).eval()
    weights = small.state_dict()
    network.load_state_dict(grow(weights, small.architecture, architecture))
    return network


def _answers(network: Network, memories: Memories, table: Ngrams) -> torch.Tensor:
    a = network.architecture
    rows, _ = inputs.encode(a, table, inputs.initial_context(a, 1), TEXT[:, None], memories)
    return network(torch.from_numpy(rows), network.initial_state(1))[0]


def _contexts_of(text: np.ndarray) -> np.ndarray:
    context = inputs.initial_context(SMALL, 1)
    return np.unique(contexts.hashes(SMALL.orders, context, text[:, None]))


@pytest.mark.parametrize("cell", get_args(Cell))
def test_a_wider_network_answers_the_same_at_first(cell: Cell) -> None:
    small = _network(replace(SMALL, cell=cell))
    wide = _grown(small, replace(small.architecture, hidden_size=10))
    answers = [_answers(network, Memories(), Ngrams.empty()) for network in (small, wide)]
    torch.testing.assert_close(answers[1], answers[0])


def test_the_new_units_see_what_they_read_and_are_soon_read_themselves() -> None:
    wide = _grown(_network(SMALL), replace(SMALL, hidden_size=10))
    optimizer = torch.optim.SGD(wide.parameters(), lr=1.0)
    gradients: list[torch.Tensor] = []
    for _ in range(2):
        optimizer.zero_grad()
        _answers(wide, Memories(), Ngrams.empty()).square().sum().backward()
        optimizer.step()
        own = wide.get_parameter("layers.1.fused.weight_ih_l0").grad
        assert own is not None
        gradients.append(own[6:10].clone())  # of the input gates of the new units
    assert not gradients[0].any(), "nobody reads them yet"
    assert gradients[1].any()


def test_it_grows_the_same_each_time_and_leaves_the_generator_alone() -> None:
    small, wider = _network(SMALL), replace(SMALL, hidden_size=10)
    torch.manual_seed(5)
    one = grow(small.state_dict(), SMALL, wider)
    drawn = torch.rand(1)
    torch.manual_seed(5)
    assert torch.equal(torch.rand(1), drawn)
    other = grow(small.state_dict(), SMALL, wider)
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_a_memory_is_believed_like_the_table_at_first() -> None:
    small = _network(SMALL)
    reading = _grown(small, replace(SMALL, memory=True, hidden_size=10))
    known = _contexts_of(TEXT)

    def seen(times: int) -> Ngrams:
        sure = confidence_class(np.array(times), np.array(times))
        prediction = ord("i") * inputs.CLASSES + int(sure)
        return Ngrams(known, np.full(len(known), prediction, dtype=np.uint16))

    by_table = _answers(small, Memories(), seen(2))
    for times in (1, 2):  # no table holds what was seen once
        remembered = _answers(reading, Memories(project=seen(times)), Ngrams.empty())
        torch.testing.assert_close(remembered, by_table)


@pytest.mark.parametrize("memory", [False, True])
@pytest.mark.parametrize(
    "read", [{"ngrams": (2, 3, 5)}, {"ngrams": (1, 2, 3)}, {"words": (1, 2), "parts": (1,)}]
)
def test_more_contexts_say_nothing_at_first(memory: bool, read: dict[str, Any]) -> None:
    small = _network(replace(SMALL, memory=memory))
    more = _grown(small, replace(small.architecture, **read))
    a = more.architecture
    known = np.unique(contexts.hashes(a.orders, inputs.initial_context(a, 1), TEXT[:, None]))
    seen = Ngrams(known, np.full(len(known), ord("i") * inputs.CLASSES + 3, dtype=np.uint16))
    for memories, table in ((Memories(), seen), (Memories(project=seen), Ngrams.empty())):
        answers = [_answers(network, memories, table) for network in (small, more)]
        torch.testing.assert_close(answers[1], answers[0])


def test_a_pointer_reads_the_old_units_of_a_wider_network() -> None:
    random = np.random.default_rng(1)
    arrays = {
        name: random.standard_normal(shape).astype(np.float32)
        for name, shape in shapes(SMALL.hidden_size, 4, 3).items()
    }
    pointer = Pointer.from_arrays(arrays, SMALL.hidden_size)
    wide = grow_pointer(pointer, 10)
    assert Pointer.from_arrays(wide.arrays(), 10)
    hidden = random.standard_normal(10).astype(np.float32)
    old = hidden[: SMALL.hidden_size]
    for of_wide, of_old in zip(wide.asked(hidden), pointer.asked(old), strict=True):
        np.testing.assert_allclose(of_wide, of_old, rtol=1e-5)
    np.testing.assert_allclose(wide.key_before(hidden), pointer.key_before(old), rtol=1e-5)
    np.testing.assert_allclose(wide.key_after(hidden), pointer.key_after(old), rtol=1e-5)


@pytest.mark.parametrize(
    ("change", "fit"),
    [
        ({}, True),
        ({"memory": True}, True),
        ({"hidden_size": 10}, True),
        ({"hidden_size": 10, "memory": True}, True),
        ({"hidden_size": 5}, False),
        ({"layers": 3}, False),
        ({"cell": "gru"}, False),
        ({"ngrams": (2, 3, 5), "hidden_size": 10, "memory": True}, True),
        ({"ngrams": (2,), "hidden_size": 10}, False),
        ({"ngrams": (2, 5)}, False),
        ({"words": (1, 2), "parts": (1,), "heads": (1,), "calls": (1,)}, True),
        ({"ngrams": tuple(range(1, 18))}, True),  # more than with memory there may be
    ],
)
def test_what_a_base_grows_into(change: dict[str, object], fit: bool) -> None:
    assert fits(SMALL, Architecture.from_dict({**SMALL.to_dict(), **change})) is fit
    assert not fits(replace(SMALL, memory=True), SMALL), "what reads memories goes on reading them"
    many = replace(SMALL, ngrams=tuple(range(1, 18)))
    assert not fits(replace(SMALL, memory=True), many)
    assert not fits(many, replace(SMALL, memory=True))
