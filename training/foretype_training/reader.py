"""Windows of files through a network: the loss, and the measure made of it."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from foretype_models import inputs
from foretype_models.alphabet import END_OF_FILE, Symbols
from foretype_models.inputs import Ngrams
from foretype_models.network import Network, State, detach
from foretype_training.settings import Precision
from foretype_training.windows import IGNORED, Lanes, Window

BITS = 1 / math.log(2)
"""One nat."""


class Reader:
    """Feeds windows to a network and carries the state from one to the next.

    `ngrams` says which table a file is read with.
    """

    def __init__(self, network: Network, ngrams: Callable[[int], Ngrams], lanes: int) -> None:
        self.network = network
        self._ngrams = ngrams
        self.state: State = network.initial_state(lanes)
        self.context: Symbols = inputs.initial_context(network.architecture, lanes)
        self._lanes = lanes

    def loss(self, window: Window, precision: Precision) -> Tensor:
        """The sum of the nats of the window's targets, a scalar."""
        device = self.state[0].device
        if window.starts.any():
            starts = torch.from_numpy(window.starts).to(device)[:, None]
            self.state = tuple(s.masked_fill(starts, 0) for s in self.state)
            fresh = inputs.initial_context(self.network.architecture, self._lanes)
            self.context = np.where(window.starts, fresh, self.context)
        rows = torch.from_numpy(self._rows(window)).to(device)
        targets = torch.from_numpy(window.targets).to(device)
        with _autocast(device, precision):
            logits, state = self.network(rows, self.state)
        self.state = tuple(s.float() for s in detach(state))
        return functional.cross_entropy(
            logits.float().flatten(0, 1), targets.flatten(), ignore_index=IGNORED, reduction="sum"
        )

    def _rows(self, window: Window) -> inputs.Rows:
        """What the network reads in this window, each lane with the table of its file."""
        architecture = self.network.architecture
        shape = (*window.symbols.shape, 1 + len(architecture.ngrams))
        rows = np.zeros(shape, dtype=np.int64)
        context = self.context.copy()
        tables = [self._ngrams(int(file)) for file in window.files]
        for table in {id(table): table for table in tables}.values():
            lanes = [lane for lane, own in enumerate(tables) if own is table]
            rows[:, lanes], context[:, lanes] = inputs.encode(
                architecture, table, self.context[:, lanes], window.symbols[:, lanes]
            )
        self.context = context
        return rows


def _autocast(device: torch.device, precision: Precision) -> AbstractContextManager[object]:
    if precision == "fp32":
        return nullcontext()
    return torch.autocast(device.type, dtype=torch.bfloat16)


def best_precision(device: torch.device) -> Precision:
    """bf16 where the processor multiplies it faster than fp32: it halves what is moved."""
    if device.type == "cuda":
        return "bf16"
    capabilities = torch.cpu.get_capabilities()
    fast = capabilities.get("avx512_bf16") or capabilities.get("amx_bf16")
    return "bf16" if fast else "fp32"


def bits_per_character(
    network: Network,
    ngrams: Ngrams,
    files: Sequence[Symbols],
    precision: Precision = "fp32",
    lanes: int = 32,
) -> float:
    """Of the texts of whole files, each read from the initial state, in bytes of UTF-8."""
    was_training = network.training
    network.eval()
    reader = Reader(network, lambda file: ngrams, min(lanes, len(files)))
    nats, count = 0.0, 0
    by_length = sorted(files, key=len, reverse=True)  # so that lanes end together
    with torch.no_grad():
        for window in Lanes(by_length, min(lanes, len(files)), length=256, seed=None, epochs=1):
            window.targets[window.targets == END_OF_FILE] = IGNORED
            nats += reader.loss(window, precision).item()
            count += int((window.targets != IGNORED).sum())
    network.train(was_training)
    return nats / count * BITS
