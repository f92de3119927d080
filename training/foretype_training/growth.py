"""A base's weights in a network that is more than the base: at first it answers the same.

(In the spirit of Chen et al. 2016, "Net2Net: accelerating learning via knowledge transfer",
who copy units and share out what they say; here new ones say nothing at first.)
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from foretype_models import alphabet, inputs
from foretype_models.architecture import Architecture
from foretype_models.inputs import confidence_class
from foretype_models.network import Network
from foretype_models.pointer import Pointer
from foretype_models.words import Floats
from foretype_training.ngrams import MIN_COUNT

Weights = dict[str, Tensor]
"""By the names of the network's state_dict."""


def fits(base: Architecture, grown: Architecture) -> bool:
    """Whether the base's weights can grow into this architecture: it may come to read memories
    and more contexts, and its layers may become wider."""
    return (
        (grown.cell, grown.embedding_size, grown.layers)
        == (base.cell, base.embedding_size, base.layers)
        and grown.hidden_size >= base.hidden_size
        and grown.memory >= base.memory
        and {*grown.orders} >= {*base.orders}
    )


def grow(weights: Weights, base: Architecture, grown: Architecture) -> Weights:
    """The base's weights in the shapes of the architecture that it `fits`; the same each time."""
    if grown.orders != base.orders:
        weights = _with_orders(weights, base, base.reading(grown))
    if grown.memory and not base.memory:
        weights = _with_memory(weights, grown)
    if grown.hidden_size > base.hidden_size:
        weights = _wider(weights, base.hidden_size, grown)
    return weights


def grow_pointer(pointer: Pointer, hidden: int) -> Pointer:
    """The base's, for a network with so many units in a layer: it reads those that were there."""
    added = hidden - len(pointer.query)

    def taller(matrix: Floats) -> Floats:
        return np.pad(matrix, ((0, added), (0, 0)))

    return replace(
        pointer,
        query=taller(pointer.query),
        before=taller(pointer.before),
        after=taller(pointer.after),
        gate=taller(pointer.gate),
    )


def _with_orders(weights: Weights, base: Architecture, more: Architecture) -> Weights:
    """Weights that read fewer contexts, extended for more: what these answer says nothing yet."""
    old = weights["embedding.weight"]
    new = torch.zeros(inputs.rows(more), old.shape[1])
    new[: alphabet.SIZE] = old[: alphabet.SIZE]
    for number, order in enumerate(base.orders):
        place = more.orders.index(order)
        new[inputs.rows_of_order(more, place)] = old[inputs.rows_of_order(base, number)]
    return {**weights, "embedding.weight": new}


def _with_memory(weights: Weights, architecture: Architecture) -> Weights:
    """Weights that read no memory, extended for one: it answers like the table at first.

    Contexts that were seen once, which no table holds, begin as those that were seen more
    often and always followed by the same.
    """
    old = weights["embedding.weight"]
    new = torch.zeros(inputs.rows(architecture), old.shape[1])
    new[: len(old)] = old
    for order in range(len(architecture.orders)):
        once, often = (
            inputs.prediction_rows(order, confidence_class(np.array(n), np.array(n)))
            for n in (1, MIN_COUNT)
        )
        new[once] = old[often]
    return {**weights, "embedding.weight": new}


def _wider(weights: Weights, hidden: int, architecture: Architecture) -> Weights:
    """Weights of layers of so many units in wider ones, whose new units read all that there is
    as an untrained network's do (but for peepholes, which are zero), and are read by none of
    the old ones and not by the output: the gradient finds what they are good for."""
    with torch.random.fork_rng(devices=()):
        torch.manual_seed(0)
        untrained = Network(architecture).state_dict()
    added = architecture.hidden_size - hidden
    return {name: _within(old, untrained[name], hidden, added) for name, old in weights.items()}


def _within(old: Tensor, new: Tensor, hidden: int, added: int) -> Tensor:
    """The old weights at their places among the new ones, in rows that are zero elsewhere."""
    places = [
        _places(was, (will - was) // added, hidden, added)
        for was, will in zip(old.shape, new.shape, strict=True)
    ]
    grown = new.clone()
    grown[places[0]] = 0
    grown[torch.meshgrid(*places, indexing="ij")] = old
    return grown


def _places(length: int, blocks: int, hidden: int, added: int) -> Tensor:
    """Where the old rows or columns stand, of which the first are so many blocks of units, one
    for each gate, and each of these became wider."""
    places = torch.arange(length)
    return places + added * torch.clamp(places // hidden, max=blocks)
