"""Variants of the network and its training, each different in one thing: what ablations.py tries.

What is not among the settings is made here, for the product has no switch for what did not help.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from foretype_models import alphabet
from foretype_models.architecture import KINDS
from foretype_models.network import Layer, LSTMLayer, Network, State
from foretype_training.settings import DEFAULT, Settings
from foretype_training.trainer import learning_rate

AS_IT_IS = Settings(
    replace(DEFAULT, embedding_size=64, hidden_size=192, layers=3), epochs=2.0, validations=1
)
Rate = Callable[[Settings, float], float]


class Changeable(Network):
    """The same network, in parts that can be changed."""

    def read(self, layer: int, x: Tensor) -> Tensor:
        """What a layer reads of what comes from below."""
        return x

    def joined(self, layer: int, x: Tensor, y: Tensor) -> Tensor:
        """What goes up, of what a layer read and what it made of that."""
        return x + y if layer else y

    def logits(self, x: Tensor, embedded: Tensor) -> Tensor:
        return self.output(torch.cat((x, embedded), -1))

    def forward(self, rows: Tensor, state: State) -> tuple[Tensor, State]:
        embedded: Tensor = self.embedding(rows.flatten(0, 1)).unflatten(0, rows.shape[:2])
        per_layer = len(state) // len(self.layers)
        x, new_state = embedded, list[Tensor]()
        for number, module in enumerate(self.layers):
            layer, own = cast(Layer, module), state[number * per_layer :][:per_layer]
            y, after = layer(self._drop(self.read(number, x)), own)
            x = self.joined(number, x, y)
            new_state.extend(after)
        return self.logits(self._drop(x), embedded), tuple(new_state)


class NoResidual(Changeable):
    """Each layer reads what the one below gives, and no more."""

    def joined(self, layer: int, x: Tensor, y: Tensor) -> Tensor:
        return y


class NoShortcut(Changeable):
    """The output does not read what the first layer reads."""

    def logits(self, x: Tensor, embedded: Tensor) -> Tensor:
        weight = self.output.weight[:, : self.architecture.hidden_size]
        return F.linear(x, weight, self.output.bias)


class Tied(Changeable):
    """The output's weights for the embedding are the embedding itself (Press & Wolf 2017)."""

    def logits(self, x: Tensor, embedded: Tensor) -> Tensor:
        own = self.output.weight[:, : self.architecture.hidden_size]
        weight = torch.cat((own, self.embedding.weight[: alphabet.SIZE]), -1)
        return F.linear(torch.cat((x, embedded), -1), weight, self.output.bias)


class Normalised(Changeable):
    """Layer normalisation of what each layer but the first reads (Ba et al. 2016); within the
    layers it would cost the fused operator."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        size = self.architecture.hidden_size
        self.norms = nn.ModuleList(nn.LayerNorm(size) for _ in list(self.layers)[1:])

    def read(self, layer: int, x: Tensor) -> Tensor:
        return self.norms[layer - 1](x) if layer else x


class _DroppedLSTM(LSTMLayer):
    share = 0.2

    def forward(self, inputs: Tensor, state: State) -> tuple[Tensor, State]:
        if not self.training:
            return super().forward(inputs, state)
        weights = dict(self.fused.named_parameters())
        recurrent = F.dropout(weights["weight_hh_l0"], self.share)
        given = (inputs, (state[0][None], state[1][None]))
        outputs, (h, c) = torch.func.functional_call(
            self.fused, {**weights, "weight_hh_l0": recurrent}, given
        )
        return outputs, (h[0], c[0])


class WeightDropped(Network):
    """A fifth of the recurrent weights is dropped in each window (Merity et al. 2018)."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        for layer in self.layers:
            layer.__class__ = _DroppedLSTM


class Forgetful(Network):
    """The state is not carried from window to window while it trains."""

    def forward(self, rows: Tensor, state: State) -> tuple[Tensor, State]:
        return super().forward(rows, self.initial_state(rows.shape[1]) if self.training else state)


def cosine(settings: Settings, progress: float) -> float:
    """Loshchilov & Hutter 2017, after the same warm-up."""
    rising = progress / settings.warmup + 1e-3
    return settings.learning_rate * min(1.0, rising) * (1 + math.cos(math.pi * progress)) / 2


def one_cycle(settings: Settings, progress: float) -> float:
    """Smith & Topin 2018: up for three tenths, then down, both along a cosine."""
    turn = 0.3
    phase = progress / turn if progress < turn else (1 - progress) / (1 - turn)
    return settings.learning_rate * (0.04 + 0.96 * (1 - math.cos(math.pi * phase)) / 2)


@dataclass(frozen=True)
class Variant:
    """What differs from AS_IT_IS."""

    settings: Mapping[str, Any] = field(default_factory=dict[str, Any])
    architecture: Mapping[str, Any] = field(default_factory=dict[str, Any])
    network: type[Network] = Network
    rate: Rate = learning_rate


FIRST = "as it is"
NONE: Mapping[str, tuple[int, ...]] = dict.fromkeys(KINDS, ())
VARIANTS: Mapping[str, Variant] = {
    FIRST: Variant(),
    "reads no memory": Variant(architecture={"memory": False}),
    "reads no contexts either": Variant(architecture={"memory": False, **NONE}),
    "n-grams alone": Variant(architecture={**NONE, "ngrams": AS_IT_IS.architecture.ngrams}),
    **{f"no {k}": Variant(architecture={k: ()}) for k in KINDS if getattr(DEFAULT, k)},
    "n-grams of 32 and 48 too": Variant(architecture={"ngrams": (3, 4, 6, 9, 14, 22, 32, 48)}),
    "no residual connections": Variant(network=NoResidual),
    "output reads no embedding": Variant(network=NoShortcut),
    "output tied to the embedding": Variant(network=Tied),
    "layer normalisation": Variant(network=Normalised),
    "embedding of 32": Variant(architecture={"embedding_size": 32}),
    "embedding of 128": Variant(architecture={"embedding_size": 128}),
    "gated recurrent units": Variant(architecture={"cell": "gru"}),
    "no dropout": Variant({"dropout": 0.0}),
    "dropout of 0.25": Variant({"dropout": 0.25}),
    "weights dropped": Variant(network=WeightDropped),
    "state not carried": Variant(network=Forgetful),
    "window of 40": Variant({"window": 40}),
    "window of 160": Variant({"window": 160}),
    "batch of 16": Variant({"batch": 16}),
    "batch of 64": Variant({"batch": 64}),
    "rate of 0.001": Variant({"learning_rate": 1e-3}),
    "rate of 0.006": Variant({"learning_rate": 6e-3}),
    "cosine schedule": Variant(rate=cosine),
    "one-cycle schedule": Variant(rate=one_cycle),
    "weights not averaged": Variant({"average": 0.0}),
}


def settings_of(variant: Variant) -> Settings:
    shape = replace(AS_IT_IS.architecture, **variant.architecture)
    return replace(AS_IT_IS, architecture=shape, **variant.settings)
