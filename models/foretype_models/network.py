"""The network: embedding, recurrent layers, output; and the cells it is made of.

This is the only module of `foretype_models` that needs torch. Cell equations follow
Hochreiter & Schmidhuber 1997 with the forget gate of Gers et al. 2000, the peepholes
of Gers et al. 2002 and the gated recurrent unit of Cho et al. 2014 (in the form with
the reset gate after the recurrent product, which fused kernels compute).
"""

from __future__ import annotations

from typing import Protocol, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from foretype_models import alphabet, inputs
from foretype_models.architecture import STATE_NAMES, Architecture, Cell

State = tuple[Tensor, ...]
"""What a network carries from step to step, in the order of `Architecture.state_names`;
each tensor is float32 of shape (batch, hidden)."""


def detach(state: State) -> State:
    """Cuts the state off the graph: gradients of truncated back-propagation end here."""
    return tuple(s.detach() for s in state)


class Layer(Protocol):
    """One recurrent layer. `inputs` is (time, batch, input), the result (time, batch, hidden)."""

    def __call__(self, inputs: Tensor, state: State) -> tuple[Tensor, State]: ...


class LSTMLayer(nn.Module):
    """Long short-term memory: c' = f*c + i*g, h' = o*tanh(c'). State: h, c."""

    def __init__(self, inputs: int, hidden: int) -> None:
        super().__init__()
        self.fused = nn.LSTM(inputs, hidden)
        with torch.no_grad():
            # A forget gate that starts open lets gradients reach far back from the
            # first step on (Jozefowicz et al. 2015). Gates stand in the order i, f, g, o.
            cast(Tensor, self.fused.bias_ih_l0)[hidden : 2 * hidden] = 1.0

    def forward(self, inputs: Tensor, state: State) -> tuple[Tensor, State]:
        h, c = state
        outputs, (h, c) = self.fused(inputs, (h[None], c[None]))
        return outputs, (h[0], c[0])


class GRULayer(nn.Module):
    """Gated recurrent unit: h' = (1 - z)*n + z*h. State: h."""

    def __init__(self, inputs: int, hidden: int) -> None:
        super().__init__()
        self.fused = nn.GRU(inputs, hidden)

    def forward(self, inputs: Tensor, state: State) -> tuple[Tensor, State]:
        outputs, h = self.fused(inputs, state[0][None])
        return outputs, (h[0],)


class RNNLayer(nn.Module):
    """Plain recurrent layer: h' = tanh(W x + R h + b). State: h."""

    def __init__(self, inputs: int, hidden: int) -> None:
        super().__init__()
        self.fused = nn.RNN(inputs, hidden)

    def forward(self, inputs: Tensor, state: State) -> tuple[Tensor, State]:
        outputs, h = self.fused(inputs, state[0][None])
        return outputs, (h[0],)


class PeepholeLayer(nn.Module):
    """LSTM whose gates see the cell state: i and f the old one, o the new one. State: h, c."""

    def __init__(self, inputs: int, hidden: int) -> None:
        super().__init__()
        bound = hidden**-0.5
        self.weight_ih = nn.Parameter(torch.empty(4 * hidden, inputs).uniform_(-bound, bound))
        self.weight_hh = nn.Parameter(torch.empty(4 * hidden, hidden).uniform_(-bound, bound))
        self.bias = nn.Parameter(torch.zeros(4 * hidden))
        self.peephole = nn.Parameter(torch.empty(3, hidden).uniform_(-bound, bound))  # i, f, o
        with torch.no_grad():
            self.bias[hidden : 2 * hidden] = 1.0

    def forward(self, inputs: Tensor, state: State) -> tuple[Tensor, State]:
        h, c = state
        from_inputs = F.linear(inputs, self.weight_ih, self.bias)  # (time, batch, 4 hidden)
        peep_i, peep_f, peep_o = self.peephole
        outputs: list[Tensor] = []
        for step in from_inputs:
            i, f, g, o = (step + F.linear(h, self.weight_hh)).chunk(4, dim=-1)
            i, f = torch.sigmoid(i + peep_i * c), torch.sigmoid(f + peep_f * c)
            c = f * c + i * torch.tanh(g)
            h = torch.sigmoid(o + peep_o * c) * torch.tanh(c)
            outputs.append(h)
        return torch.stack(outputs), (h, c)


LAYERS: dict[Cell, type[LSTMLayer | GRULayer | RNNLayer | PeepholeLayer]] = {
    "lstm": LSTMLayer,
    "gru": GRULayer,
    "rnn": RNNLayer,
    "peephole": PeepholeLayer,
}


class Network(nn.Module):
    """Predicts the next symbol of a text from all that came before it.

    Where several processes train together, `part` says which of how many equal parts of the
    lanes this one reads.
    """

    def __init__(
        self, architecture: Architecture, dropout: float = 0.0, part: tuple[int, int] = (0, 1)
    ) -> None:
        super().__init__()
        self.architecture = architecture
        self.dropout = dropout
        self.part = part
        a = architecture
        self.embedding = nn.EmbeddingBag(inputs.rows(a), a.embedding_size, mode="sum")
        self.layers = nn.ModuleList(
            LAYERS[a.cell](a.embedding_size if i == 0 else a.hidden_size, a.hidden_size)
            for i in range(a.layers)
        )
        self.output = nn.Linear(a.hidden_size + a.embedding_size, alphabet.SIZE)
        nn.init.normal_(self.embedding.weight[: alphabet.SIZE], std=0.5)
        nn.init.normal_(self.embedding.weight[alphabet.SIZE :], std=0.05)

    def initial_state(self, batch: int) -> State:
        """The state before anything was read: zeros."""
        shape = (batch, self.architecture.hidden_size)
        device = self.output.weight.device
        return tuple(torch.zeros(shape, device=device) for _ in self.architecture.state_names)

    def forward(self, rows: Tensor, state: State) -> tuple[Tensor, State]:
        """Reads the `rows` of `inputs.encode`, (time, batch, features), int64. Returns the
        logits of the symbol after each, (time, batch, alphabet), and the state after the last."""
        per_layer = len(STATE_NAMES[self.architecture.cell])
        new_state: list[Tensor] = []
        embedded: Tensor = self.embedding(rows.flatten(0, 1)).unflatten(0, rows.shape[:2])
        x = embedded
        for i, module in enumerate(self.layers):
            layer = cast(Layer, module)
            y, after = layer(self._drop(x), state[i * per_layer : (i + 1) * per_layer])
            x = y if i == 0 else x + y
            new_state.extend(after)
        return self.output(torch.cat((self._drop(x), embedded), -1)), tuple(new_state)

    def _drop(self, x: Tensor) -> Tensor:
        """Dropout with one mask for all time steps (variational: Gal & Ghahramani 2016)."""
        if not self.training or self.dropout == 0:
            return x
        # Drawn on the CPU, whose generator a checkpoint holds, and for the lanes of all
        # processes: each has its part of the masks that a single one would draw.
        number, parts = self.part
        lanes, hidden = x.shape[1:]
        drawn = torch.rand(1, parts * lanes, hidden)[:, number * lanes : (number + 1) * lanes]
        mask = drawn.to(x.device) >= self.dropout
        return x * mask / (1 - self.dropout)
